"""Identity: who a head is, whatever it wears and from wherever it is seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from sat3d.perception.networks import build_trunk, fit_resolution, load_torchscript
from sat3d.perception.observer import Observer


@dataclass(frozen=True)
class IdentityConfig:
    """What an identity embedder is made of."""

    trunk: str = "residual"
    widths: tuple[int, ...] = (24, 48, 96, 128)
    size: int = 64
    resolution: int = 64

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> IdentityConfig:
        """Read it back from plain data."""
        return cls(data["trunk"], tuple(data["widths"]), data["size"], data["resolution"])


class IdentityEmbedder(Observer):
    """Embed images as unit vectors whose cosine tells whether two of them show the same person.

    Args:
        config: Embedding size and architecture.
    """

    def __init__(self, config: IdentityConfig | None = None) -> None:
        super().__init__()
        self.config = config or IdentityConfig()
        self.trunk = build_trunk(self.config.trunk, self.config.widths, self.config.resolution)
        self.head = nn.Linear(self.trunk.features, self.config.size)

    def describe(self) -> dict[str, Any]:
        """Return kind and configuration."""
        return {"kind": "identity", **asdict(self.config)}

    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch d"]:
        """Embed images in [-1, 1] as unit vectors ``(B, d)``."""
        features = self.trunk(fit_resolution(images, self.config.resolution))
        return nn.functional.normalize(self.head(features), dim=-1)

    def similarity(self, a: Float[Tensor, "batch 3 h w"], b: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, " batch"]:
        """Return the cosine between the identities of two batches of images, picture by picture."""
        return (self(a) * self(b)).sum(-1)


class ScriptedIdentity(IdentityEmbedder):
    """Embed identities by a TorchScript network, such as an ArcFace (arXiv 1801.07698) exported by its owner.

    It is given pictures in [-1, 1], 112 × 112 as ArcFace has them, and returns embeddings of any width.

    Args:
        path: of the file.
        resolution: side of the pictures that it takes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no TorchScript network.
    """

    def __init__(self, path: str | Path, resolution: int = 112) -> None:
        Observer.__init__(self)
        self.resolution = resolution
        self.net = load_torchscript(Path(path))
        self.freeze()

    def describe(self) -> dict[str, Any]:
        """Return kind and resolution; the weights tell the rest."""
        return {"kind": "scripted identity", "resolution": self.resolution}

    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch d"]:
        """Embed images in [-1, 1] as unit vectors ``(B, d)``."""
        return nn.functional.normalize(self.net(fit_resolution(images, self.resolution)), dim=-1)
