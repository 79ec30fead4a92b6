"""Attribute predictors: supervised networks that read a picture's attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat3d.perception.networks import build_trunk, fit_resolution
from sat3d.perception.scorer import Scorer


@dataclass(frozen=True)
class PredictedAttribute:
    """One attribute: its name, its kind, and the names of its classes (ignored where it is continuous)."""

    name: str
    kind: Literal["continuous", "categorical"]
    classes: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Columns of scores: one for a continuous attribute, else one a class."""
        return 1 if self.kind == "continuous" else len(self.classes)


@dataclass(frozen=True)
class PredictorConfig:
    """What an attribute predictor is made of."""

    attributes: tuple[PredictedAttribute, ...]
    trunk: str = "residual"
    widths: tuple[int, ...] = (24, 48, 96, 160)
    resolution: int = 64

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PredictorConfig:
        """Read it back from plain data."""
        attributes = tuple(PredictedAttribute(a["name"], a["kind"], tuple(a["classes"])) for a in data["attributes"])
        return cls(attributes, data["trunk"], tuple(data["widths"]), data["resolution"])


class AttributePredictor(Scorer):
    """Predict attributes: class probabilities, and values in [0, 1] of continuous attributes.

    It has the interface of :class:`~sat3d.perception.QMM`, so that one can stand in for the other. Every attribute has
    one group.

    Args:
        config: Attributes and architecture.

    Attributes:
        column_std: Standard deviation of each score over the pictures it was trained for, ``(P,)``: the unit in which
            drift is told.
    """

    column_std: Tensor

    def __init__(self, config: PredictorConfig) -> None:
        super().__init__()
        self.config = config
        self.attributes = tuple(a.name for a in config.attributes)
        self.trunk = build_trunk(config.trunk, config.widths, config.resolution)
        slices: dict[str, list[slice]] = {}
        columns: list[str] = []
        for attribute in config.attributes:
            slices[attribute.name] = [slice(len(columns), len(columns) + attribute.width)]
            classes: Sequence[str] = attribute.classes if attribute.kind == "categorical" else ("value",)
            columns.extend(f"{attribute.name}/{name}" for name in classes)
        self.slices = slices
        self.columns = tuple(columns)
        self.head = nn.Linear(self.trunk.features, len(columns))
        self.register_buffer("column_std", torch.ones(len(columns)))

    def describe(self) -> dict[str, Any]:
        """Return kind and configuration."""
        return {"kind": "attributes", **asdict(self.config)}

    def logits(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch p"]:
        """Return the scores before softmax (classes) or sigmoid (continuous attributes)."""
        out: Tensor = self.head(self.trunk(fit_resolution(images, self.config.resolution)))
        return out

    def scores(self, logits: Float[Tensor, "batch p"]) -> Float[Tensor, "batch p"]:
        """Turn logits into probabilities and values in [0, 1]."""
        parts = []
        for attribute in self.config.attributes:
            part = logits[:, self.slices[attribute.name][0]]
            parts.append(part.sigmoid() if attribute.kind == "continuous" else part.softmax(-1))
        return torch.cat(parts, dim=-1)

    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch p"]:
        """Score images in [-1, 1], ``(B, P)``, differentiably."""
        return self.scores(self.logits(images))

    def values(self, scores: Float[Tensor, "batch p"]) -> Float[Tensor, "batch a"]:
        """Read attribute values off scores: the most probable class's number, or the value itself, ``(B, A)``."""
        columns = []
        for attribute in self.config.attributes:
            part = scores[:, self.slices[attribute.name][0]]
            columns.append(part[:, 0] if attribute.kind == "continuous" else part.argmax(-1).to(part.dtype))
        return torch.stack(columns, dim=-1)
