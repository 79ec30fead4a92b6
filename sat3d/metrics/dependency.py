"""Attribute Dependency: how much an edit of one attribute moves the others."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric


def attribute_dependency(
    change: Float[Tensor, "b a"], std: Float[Tensor, " a"], target: int, reduction: Literal["mean", "max"] = "mean"
) -> Float[Tensor, " b"]:
    """Return mean-AD or max-AD of each picture (StyleSpace, Wu et al. 2021, arXiv 2011.12799, §6).

    Args:
        change: logits of the edited picture minus those of the original, (B, A).
        std: standard deviation of each logit over generated pictures, (A,).
        target: the attribute that was edited.
        reduction: mean or maximum over the other attributes of |Δl|/σ(l).
    """
    others = torch.arange(change.shape[1]) != target
    moved = (change / std).abs()[:, others]
    return moved.mean(1) if reduction == "mean" else moved.amax(1)


class AttributeDependency(Metric):
    """Average Attribute Dependency by how far the target moved: methods are compared at equal target change.

    Args:
        edges: rising borders of the bins of |Δl_target|/σ.
        reduction: `mean` or `max` over the other attributes.
    """

    higher_is_better = False
    is_differentiable = False
    full_state_update = False

    total: Tensor
    count: Tensor
    edges: Tensor

    def __init__(
        self, edges: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0), reduction: Literal["mean", "max"] = "mean"
    ) -> None:
        super().__init__()
        self.reduction = reduction
        self.register_buffer("edges", torch.tensor(edges), persistent=False)
        self.add_state("total", torch.zeros(len(edges) - 1, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(len(edges) - 1, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, change: Float[Tensor, "b a"], std: Float[Tensor, " a"], target: int) -> None:
        """Add edits of one target attribute; changes outside the borders are left out."""
        moved = (change[:, target] / std[target]).abs()
        dependency = attribute_dependency(change, std, target, self.reduction)
        place = torch.bucketize(moved, self.edges, right=True) - 1
        for k in range(len(self.count)):
            self.total[k] += dependency[place == k].double().sum()
            self.count[k] += (place == k).sum()

    def compute(self) -> Tensor:
        """Return the mean dependency in each bin; NaN where a bin is empty."""
        return (self.total / self.count).float()
