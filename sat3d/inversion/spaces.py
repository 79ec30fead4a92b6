"""Spaces that a picture can be inverted into, and what is usual in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.generators import CodeStream, Generator

Space = Literal["w", "w+", "s"]
SPACES: tuple[Space, ...] = get_args(Space)


@dataclass(frozen=True)
class CodeStatistics:
    """Say where a generator's codes lie.

    Args:
        w: mean and standard deviation of w, (2, w_dim).
        s: mean and standard deviation of the styles, (2, C).
    """

    w: Float[Tensor, "2 d"]
    s: Float[Tensor, "2 c"]

    @classmethod
    @torch.no_grad()
    def of(cls, generator: Generator, count: int = 10_000, seed: int = 0) -> CodeStatistics:
        """Measure them on sampled codes, ψ = 1.

        Args:
            generator: with its usual conditioning; a class-conditional one takes classes in turn.
            count: codes; 10,000 as Karras et al. 2020 (arXiv 1912.04958, appendix D) have it.
            seed: of the codes.
        """
        stream = CodeStream(seed, generator.z_dim, stream="statistics")
        sums = [torch.zeros(2, d, dtype=torch.float64) for d in (generator.w_dim, generator.style_space.size)]
        for start in range(0, count, 500):
            index = torch.arange(start, min(start + 500, count))
            c = None
            if generator.c_dim and not generator.is_3d:
                c = torch.nn.functional.one_hot(index % generator.c_dim, generator.c_dim).float().to(generator.device)
            mapped = generator.map(stream.z(index).to(generator.device), c)
            for total, codes in zip(sums, (mapped[:, 0], generator.styles(mapped)), strict=True):
                found = codes.double().cpu()
                total += torch.stack([found.sum(0), found.square().sum(0)])
        w, s = (_moments(total / count).to(generator.device) for total in sums)
        return cls(w, s)

    def to(self, device: torch.device | str) -> CodeStatistics:
        """Move to a device."""
        return CodeStatistics(self.w.to(device), self.s.to(device))


def _moments(means: Tensor) -> Tensor:
    """Turn means of codes and of their squares, (2, D), into mean and standard deviation.

    What never changes has a deviation that can be divided by.
    """
    std = (means[1] - means[0].square()).clamp_min(0).sqrt()
    return torch.stack([means[0], std.clamp_min(1e-3 * float(std.mean()))]).float()


class Codes:
    """Move codes of a batch of pictures in a space: `x`, in standard deviations, from where they start.

    Args:
        generator: that the codes are of.
        statistics: its codes' mean and spread.
        space: `w` moves one w for all layers, `w+` one for each, `s` every style channel.
        ws: where the codes start, (B, num_ws, w_dim).
        styles: likewise, (B, C); those of `ws` unless they were moved before.

    Attributes:
        x: (B, w_dim), (B, num_ws, w_dim) or (B, C), zero at the start.
    """

    def __init__(
        self, generator: Generator, statistics: CodeStatistics, space: Space, ws: Tensor, styles: Tensor | None = None
    ) -> None:
        if space not in SPACES:
            raise ValueError(f"space={space!r} is unknown; choose one of {', '.join(SPACES)}")
        self.generator, self.statistics, self.space = generator, statistics, space
        self.ws = ws
        self.styles = generator.styles(ws) if styles is None else styles
        shapes = {"w": ws[:, 0].shape, "w+": ws.shape, "s": self.styles.shape}
        self.x = torch.zeros(shapes[space], dtype=ws.dtype, device=ws.device)

    def at(self, x: Tensor) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b c"]]:
        """Return ws and styles at moves `x`."""
        if self.space == "s":
            return self.ws, self.styles + x * self.statistics.s[1]
        moved = self.ws + (x[:, None] if self.space == "w" else x) * self.statistics.w[1]
        # what the styles had beyond those of their ws stays
        return moved, self.styles + (self.generator.styles(moved) - self._own)

    def strangeness(self, ws: Tensor, styles: Tensor) -> Float[Tensor, " b"]:
        """Return how unusual codes are: the mean square of their distance from the mean, in standard deviations."""
        if self.space == "s":
            mean, std = self.statistics.s
            return ((styles - mean) / std).square().mean(-1)
        mean, std = self.statistics.w
        return ((ws - mean) / std).square().flatten(1).mean(-1)

    @cached_property
    def _own(self) -> Tensor:
        with torch.no_grad():
            return self.generator.styles(self.ws)
