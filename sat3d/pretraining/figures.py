"""Figures of merit of observers, summed over pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class MaskedMean(Metric):
    """Average several columns, each over the rows where it counts.

    Args:
        names: Names of the columns.
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.add_state("total", torch.zeros(len(self.names), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(len(self.names), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, values: Float[Tensor, "b c"], mask: Bool[Tensor, "b c"]) -> None:
        """Add rows of values."""
        self.total += torch.where(mask, values, 0.0).double().sum(0)
        self.count += mask.double().sum(0)

    def compute(self) -> dict[str, float]:
        """Return the means of the columns that counted at all, by name."""
        means = (self.total / self.count).tolist()
        return {name: mean for name, mean in zip(self.names, means, strict=True) if mean == mean}


class PartIoU(Metric):
    """Intersection over union of each part, over all pixels of all pictures.

    Args:
        parts: Names of the parts.
        min_pixels: The mean counts parts that cover at least this many pixels where they appear, on average.
    """

    full_state_update = False
    intersection: Tensor
    predicted: Tensor
    true: Tensor
    pictures: Tensor

    def __init__(self, parts: Sequence[str], min_pixels: int = 20) -> None:
        super().__init__()
        self.parts, self.min_pixels = tuple(parts), min_pixels
        for name in ("intersection", "predicted", "true", "pictures"):
            self.add_state(name, torch.zeros(len(self.parts), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predicted: Int[Tensor, "b h w"], true: Int[Tensor, "b h w"]) -> None:
        """Add pictures of part numbers."""
        count = len(self.parts)
        self.intersection += torch.bincount(true[predicted == true].flatten(), minlength=count)
        self.predicted += torch.bincount(predicted.flatten(), minlength=count)
        self.true += torch.bincount(true.flatten(), minlength=count)
        appears = torch.stack([(true == part).flatten(1).any(1) for part in range(count)], dim=1)
        self.pictures += appears.sum(0)

    def compute(self) -> dict[str, float]:
        """Return the IoU of each part that occurs, and ``mean`` over those that are large enough."""
        iou = self.intersection / (self.predicted + self.true - self.intersection)
        large = (self.true / self.pictures.clamp_min(1) >= self.min_pixels) & iou.isfinite()
        figures = {part: value for part, value in zip(self.parts, iou.tolist(), strict=True) if value == value}
        return {**figures, "mean": float(iou[large].mean())}


class PairSimilarity(Metric):
    """Tell pairs of one person from pairs of two; see :func:`verification`."""

    full_state_update = False
    same: list[Tensor]
    other: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("same", [], dist_reduce_fx="cat")
        self.add_state("other", [], dist_reduce_fx="cat")

    def update(self, first: Float[Tensor, "n d"], second: Float[Tensor, "n d"]) -> None:
        """Add unit embeddings of pairs of one person; neighbouring pairs make the pairs of two."""
        self.same.append((first * second).sum(-1))
        self.other.append((first * second.roll(1, 0)).sum(-1))

    def compute(self) -> dict[str, float]:
        """Return the figures over all pairs."""
        return verification(dim_zero_cat(self.same), dim_zero_cat(self.other))


def verification(same: Float[Tensor, " n"], other: Float[Tensor, " m"]) -> dict[str, float]:
    """Tell how well similarities separate pairs of one person from pairs of two.

    Args:
        same: Similarities of pairs that show the same person.
        other: Similarities of pairs that show two.

    Returns:
        ``auc``: chance that a same pair is the more similar one; ``accuracy``: share of right answers, both kinds
        weighing alike, at the best threshold; ``same`` and ``other``: mean similarities.
    """
    greater = (same[:, None] > other[None]).double() + 0.5 * (same[:, None] == other[None]).double()
    thresholds = torch.cat([same, other])
    accepted = (same[None] >= thresholds[:, None]).double().mean(1)
    refused = (other[None] < thresholds[:, None]).double().mean(1)
    return {
        "auc": float(greater.mean()),
        "accuracy": float((accepted + refused).max() / 2),
        "same": float(same.mean()),
        "other": float(other.mean()),
    }
