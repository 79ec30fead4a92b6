"""View consistency: whether an edit reads the same from every side."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torchmetrics import MeanMetric


def view_spread(scores: Float[Tensor, "b v p"], std: Float[Tensor, " p"]) -> Float[Tensor, " b"]:
    """Return the spread of scores over views: the standard deviation over V, in units of `std`, averaged over columns.

    Args:
        scores: of one edit seen by V cameras, (B, V, P).
        std: population standard deviation of each column, (P,).
    """
    return (scores.std(dim=1, correction=0) / std.clamp_min(1e-6)).mean(1)


class ViewConsistency(MeanMetric):
    """Average `view_spread` over pictures; 0 is the same reading from every camera."""

    higher_is_better = False  # type: ignore[assignment]

    def update(self, scores: Float[Tensor, "b v p"], std: Float[Tensor, " p"]) -> None:  # type: ignore[override]
        """Add the scores of B pictures from V cameras."""
        super().update(view_spread(scores, std))
