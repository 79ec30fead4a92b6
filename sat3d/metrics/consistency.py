"""View consistency: whether an edit reads the same from every side."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric


def view_spread(scores: Float[Tensor, "b v p"], std: Float[Tensor, " p"]) -> Float[Tensor, " b"]:
    """Return the spread of scores over views: the standard deviation over V, in units of `std`, averaged over columns.

    Args:
        scores: of one edit seen by V cameras, (B, V, P).
        std: population standard deviation of each column, (P,).
    """
    return (scores.std(dim=1, correction=0) / std.clamp_min(1e-6)).mean(1)


class ViewConsistency(Metric):
    """Average `view_spread` over pictures; 0 is the same reading from every camera."""

    higher_is_better = False
    is_differentiable = False
    full_state_update = False

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, scores: Float[Tensor, "b v p"], std: Float[Tensor, " p"]) -> None:
        """Add the scores of B pictures from V cameras."""
        self.total += view_spread(scores, std).double().sum()
        self.count += len(scores)

    def compute(self) -> Tensor:
        """Return the mean spread, standard deviations."""
        return (self.total / self.count).float()
