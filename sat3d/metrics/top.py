"""The highest rows of a stream, by number: which codes show most of what is scored."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor
from torchmetrics import Metric


class Ranking(NamedTuple):
    """Hold the highest values of each column, falling: values (A, K), −∞ where there were fewer; rows (A, K), −1."""

    values: Tensor
    rows: Tensor


def highest(parts: Float64[Tensor, "parts 2 a k"]) -> Float64[Tensor, "2 a k"]:
    """Merge rankings of disjoint rows; of equal values the lower index comes first."""
    keep = parts.shape[-1]
    values, index = parts.permute(1, 2, 0, 3).flatten(2)  # (A, parts·K) each
    by_index = index.argsort(dim=1, stable=True)
    values, index = values.gather(1, by_index), index.gather(1, by_index)
    order = values.argsort(dim=1, descending=True, stable=True)[:, :keep]
    return torch.stack([values.gather(1, order), index.gather(1, order)])


class TopRows(Metric):
    """Keep the index of the K highest rows of every column, in one pass; what is −∞ or no number is never kept.

    Args:
        columns: A.
        keep: K.
        kwargs: torchmetrics' own.

    Example:
        >>> top = TopRows(columns=1, keep=2)
        >>> top.update(torch.tensor([[0.1], [0.9], [0.5]]), torch.tensor([10, 11, 12]))
        >>> top.compute().rows
        tensor([[11, 12]])
    """

    is_differentiable = False
    full_state_update = False

    ranking: Tensor

    def __init__(self, columns: int, keep: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        empty = torch.stack([torch.full((columns, keep), -torch.inf), torch.full((columns, keep), -1.0)]).double()
        # One state, since values and indices can only be merged together; float64 holds indices up to 2^53.
        self.add_state("ranking", empty, dist_reduce_fx=highest)

    def update(self, values: Float[Tensor, "n a"], index: Int[Tensor, " n"]) -> None:
        """Add rows and their numbers."""
        if len(values) == 0:
            return
        values = values.T.double().nan_to_num(-torch.inf, torch.inf, -torch.inf)
        rows = torch.stack([values, index.to(values.device).double().expand(len(values), -1)])
        width = max(rows.shape[-1], self.ranking.shape[-1])
        keep = self.ranking.shape[-1]
        self.ranking = highest(torch.stack([_padded(rows, width), _padded(self.ranking, width)]))[..., :keep]

    def compute(self) -> Ranking:
        """Return the ranking."""
        values, index = self.ranking
        return Ranking(values, index.long())


def _padded(ranking: Tensor, width: int) -> Tensor:
    missing = ranking.new_tensor([-torch.inf, -1.0])[:, None, None]
    return torch.cat([ranking, missing.expand(2, ranking.shape[1], width - ranking.shape[2])], dim=2)
