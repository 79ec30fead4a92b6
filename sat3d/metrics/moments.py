"""Streaming moments of columns: what codes and style channels look like over a population, in one pass."""

from __future__ import annotations

from functools import reduce
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torchmetrics import Metric


class Moments(NamedTuple):
    """Hold the moments of C columns over N rows; float64, each (C,). `std` is the population's (divided by n)."""

    rows: int
    mean: Tensor
    std: Tensor
    minimum: Tensor
    maximum: Tensor


def row_moments(rows: Float[Tensor, "n c"]) -> Float64[Tensor, "3 c"]:
    """Return the count, the mean and M2 = Σ(x − mean)² of every column, in two passes."""
    rows = rows.double()
    mean = rows.sum(0) / max(len(rows), 1)
    return torch.stack([torch.full_like(mean, len(rows)), mean, (rows - mean).square().sum(0)])


def merge_moments(parts: Float64[Tensor, "parts 3 c"]) -> Float64[Tensor, "3 c"]:
    """Merge counts, means and M2 of disjoint parts (Chan, Golub & LeVeque 1979, Eq. 2.1); parts may be empty."""

    def merge(a: Tensor, b: Tensor) -> Tensor:
        count, delta = a[0] + b[0], b[1] - a[1]
        share = b[0] / count.clamp_min(1)
        return torch.stack([count, a[1] + delta * share, a[2] + b[2] + delta.square() * a[0] * share])

    return reduce(merge, parts)


class ColumnMoments(Metric):
    """Collect mean, standard deviation and extremes of every column in one pass, without cancellation.

    Args:
        columns: C.
        kwargs: torchmetrics' own.

    Example:
        >>> moments = ColumnMoments(2)
        >>> moments.update(torch.tensor([[1.0, 1e8], [3.0, 1e8]]))
        >>> moments.compute().std
        tensor([1., 0.], dtype=torch.float64)
    """

    is_differentiable = False
    full_state_update = False

    moments: Tensor
    minimum: Tensor
    maximum: Tensor

    def __init__(self, columns: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        extreme = torch.full((columns,), float("inf"), dtype=torch.float64)
        # One state, since count, mean and M2 can only be merged together.
        self.add_state("moments", torch.zeros(3, columns, dtype=torch.float64), dist_reduce_fx=merge_moments)
        self.add_state("minimum", extreme, dist_reduce_fx="min")
        self.add_state("maximum", -extreme, dist_reduce_fx="max")

    def update(self, rows: Float[Tensor, "n c"]) -> None:
        """Add rows."""
        if len(rows) == 0:
            return
        self.moments = merge_moments(torch.stack([self.moments, row_moments(rows)]))
        low, high = rows.double().aminmax(dim=0)
        self.minimum, self.maximum = self.minimum.minimum(low), self.maximum.maximum(high)

    def compute(self) -> Moments:
        """Return the moments; NaN and infinities before the first row."""
        count, mean, squares = self.moments
        mean = torch.where(count > 0, mean, torch.nan)
        return Moments(int(count[0]), mean, (squares / count).sqrt(), self.minimum, self.maximum)


class Covariance(NamedTuple):
    """Hold what was seen of N rows: count, mean (D,) and the population's covariance (D, D), float64."""

    rows: int
    mean: Tensor
    covariance: Tensor


def row_scatter(rows: Float[Tensor, "n d"]) -> Float64[Tensor, "r d"]:
    """Return the count (a row of it), the mean and the scatter Σ(x − mean)(x − mean)ᵀ, (D + 2, D)."""
    rows = rows.double()
    mean = rows.sum(0) / max(len(rows), 1)
    centred = rows - mean
    return torch.cat([torch.full_like(mean, len(rows))[None], mean[None], centred.T @ centred])


def merge_scatter(parts: Float64[Tensor, "parts r d"]) -> Float64[Tensor, "r d"]:
    """Merge counts, means and scatters of disjoint parts (Chan, Golub & LeVeque 1979, Eq. 2.1); parts may be empty."""

    def merge(a: Tensor, b: Tensor) -> Tensor:
        count, delta = a[:1] + b[:1], b[1:2] - a[1:2]
        share = b[:1] / count.clamp_min(1)
        return torch.cat([count, a[1:2] + delta * share, a[2:] + b[2:] + delta.T @ (delta * a[:1] * share)])

    return reduce(merge, parts)


class ColumnCovariance(Metric):
    """Collect mean and covariance of columns in one pass, without cancellation.

    Args:
        columns: D.
        kwargs: torchmetrics' own.

    Example:
        >>> found = ColumnCovariance(2)
        >>> found.update(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
        >>> found.compute().covariance
        tensor([[1., 2.],
                [2., 4.]], dtype=torch.float64)
    """

    is_differentiable = False
    full_state_update = False

    scatter: Tensor

    def __init__(self, columns: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("scatter", torch.zeros(columns + 2, columns, dtype=torch.float64), dist_reduce_fx=merge_scatter)

    def update(self, rows: Float[Tensor, "n d"]) -> None:
        """Add rows."""
        if len(rows):
            self.scatter = merge_scatter(torch.stack([self.scatter, row_scatter(rows)]))

    def compute(self) -> Covariance:
        """Return mean and covariance; NaN before the first row."""
        count, mean, scatter = self.scatter[0], self.scatter[1], self.scatter[2:]
        return Covariance(int(count[0]), torch.where(count > 0, mean, torch.nan), scatter / count)
