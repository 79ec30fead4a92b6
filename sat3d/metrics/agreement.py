"""Agreement: what the clusters of a picture are called by a parser of parts, and how well they fit."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float64, Int
from torch import Tensor
from torchmetrics import Metric


def pixel_counts(labels: Int[Tensor, "b h w"], parts: Int[Tensor, "b h w"], k: int, p: int) -> Int[Tensor, "k p"]:
    """Count the pixels of every pair of labels; negative ones are left out.

    Args:
        labels: of clusters, below k.
        parts: of parts, below p.
        k: K.
        p: P.
    """
    known = (labels >= 0) & (parts >= 0)
    return (labels[known] * p + parts[known]).bincount(minlength=k * p).view(k, p)


def part_overlap(counts: Int[Tensor, "k p"]) -> Float64[Tensor, "k p"]:
    """Return intersection over union of every cluster and part; 0 where both are empty."""
    pixels = counts.double()
    return pixels / (pixels.sum(1, keepdim=True) + pixels.sum(0) - pixels).clamp_min(1)


class Agreement(NamedTuple):
    """Hold how K clusters fit P parts.

    Args:
        counts: pixels of every cluster and part, (K, P).
        share: of the pixels, (K,).
        part: which part has most of the cluster's pixels, (K,); −1 for an empty cluster.
        purity: share of the cluster's pixels that this part has, (K,); NaN for an empty one.
        total_purity: share of all pixels whose cluster is called by their part.
        matched: intersection over union of each part with the cluster that is matched to it one to one so that the
            mean is largest (Hungarian), (P,); 0 for a part without.
        merged: of each part with all clusters that are called by it, (P,).
    """

    counts: Tensor
    share: Tensor
    part: Tensor
    purity: Tensor
    total_purity: float
    matched: Tensor
    merged: Tensor


def agreement(counts: Int[Tensor, "k p"]) -> Agreement:
    """Return how clusters fit parts, from their pixel counts."""
    from scipy.optimize import linear_sum_assignment  # type: ignore[attr-defined]

    pixels, sizes = counts.double(), counts.sum(1)
    part = torch.where(sizes > 0, counts.argmax(1), -1)
    overlap = part_overlap(counts)
    matched = torch.zeros(counts.shape[1], dtype=torch.float64)
    rows, columns = (torch.from_numpy(x) for x in linear_sum_assignment(overlap.cpu().numpy(), maximize=True))
    matched[columns] = overlap.cpu()[rows, columns]
    called = (part[:, None] == torch.arange(counts.shape[1], device=part.device)).double()
    merged = part_overlap((called.T @ pixels).round().long()).diag()
    most = pixels.amax(1)
    total = pixels.sum()
    return Agreement(counts, pixels.sum(1) / total, part, most / sizes, float(most.sum() / total), matched, merged)


class RegionAgreement(Metric):
    """Count the pixels that clusters and parts share.

    Args:
        clusters: K.
        parts: P.
        kwargs: torchmetrics' own.

    Example:
        >>> counted, labels = RegionAgreement(2, 2), torch.tensor([[[0, 0, 1, 1]]])
        >>> counted.update(labels, torch.tensor([[[0, 0, 0, 1]]]))
        >>> counted.compute().purity
        tensor([1.0000, 0.5000], dtype=torch.float64)
    """

    is_differentiable = False
    full_state_update = False

    counts: Tensor

    def __init__(self, clusters: int, parts: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("counts", torch.zeros(clusters, parts, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, labels: Int[Tensor, "b h w"], parts: Int[Tensor, "b h w"]) -> None:
        """Add the labels of B pictures."""
        self.counts += pixel_counts(labels, parts, *self.counts.shape)

    def compute(self) -> Agreement:
        """Return shares, names and fits."""
        return agreement(self.counts)
