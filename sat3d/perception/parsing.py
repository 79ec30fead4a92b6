"""Part parsing: which part of the head each pixel shows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sat3d.perception.networks import conv_norm, fit_resolution
from sat3d.perception.observer import Observer


@dataclass(frozen=True)
class ParserConfig:
    """What a part parser is made of."""

    parts: tuple[str, ...]
    widths: tuple[int, ...] = (16, 32, 64, 96)
    resolution: int = 64

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ParserConfig:
        """Read it back from plain data."""
        return cls(tuple(data["parts"]), tuple(data["widths"]), data["resolution"])


class PartParser(Observer):
    """Label every pixel with a part, by a small U-Net (Ronneberger et al. 2015, arXiv 1505.04597).

    Args:
        config: Names of the parts (the first is the background) and the architecture.
    """

    def __init__(self, config: ParserConfig) -> None:
        super().__init__()
        self.config = config
        self.parts = config.parts
        widths = config.widths
        self.down = nn.ModuleList(
            nn.Sequential(conv_norm(cin, cout, stride=1 if i == 0 else 2), conv_norm(cout, cout))
            for i, (cin, cout) in enumerate(zip((3, *widths[:-1]), widths, strict=True))
        )
        self.up = nn.ModuleList(conv_norm(low + high, high) for low, high in zip(widths[1:], widths[:-1], strict=True))
        self.head = nn.Conv2d(widths[0], len(config.parts), 1)

    def describe(self) -> dict[str, Any]:
        """Return kind and configuration."""
        return {"kind": "parser", **asdict(self.config)}

    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch parts h w"]:
        """Return logits ``(B, parts, H, W)`` for images in [-1, 1], at their own resolution."""
        x = fit_resolution(images, self.config.resolution)
        maps: list[Tensor] = []
        for block in self.down:
            x = block(x)
            maps.append(x)
        for block, skip in zip(reversed(self.up), reversed(maps[:-1]), strict=True):
            x = block(torch.cat([nn.functional.interpolate(x, skip.shape[-2:], mode="nearest"), skip], dim=1))
        logits: Tensor = self.head(x)
        if logits.shape[-2:] != images.shape[-2:]:
            logits = nn.functional.interpolate(logits, images.shape[-2:], mode="bilinear")
        return logits

    def segment(self, images: Float[Tensor, "batch 3 h w"]) -> Int[Tensor, "batch h w"]:
        """Return the most probable part of each pixel."""
        return self(images).argmax(1)

    def probability(self, images: Float[Tensor, "batch 3 h w"], parts: tuple[str, ...]) -> Float[Tensor, "batch 1 h w"]:
        """Return the probability that a pixel shows one of some parts.

        Raises:
            ValueError: If a part is unknown.
        """
        unknown = [part for part in parts if part not in self.parts]
        if unknown:
            raise ValueError(f"unknown parts {unknown}; known: {', '.join(self.parts)}")
        index = [self.parts.index(part) for part in parts]
        return self(images).softmax(1)[:, index].sum(1, keepdim=True)
