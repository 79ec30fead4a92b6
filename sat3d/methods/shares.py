"""Which of an epoch's codes take part in what is too dear for all of them."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


def spread(count: int, total: int) -> Int[Tensor, " n"]:
    """Return min(count, total) numbers below `total`, one in each of as many equal stretches.

    Where the stretches are long enough the j-th number is j modulo 24 (or 8, or 2), so that processes that share the
    numbers in turn get alike many.
    """
    count = min(count, total)
    edges = torch.arange(count + 1) * total // max(count, 1)
    turn = next(n for n in (24, 8, 2, 1) if n <= max(total // max(count, 1), 1))
    return edges[:-1] + (torch.arange(count) - edges[:-1]) % turn


def among(index: Int[Tensor, " b"], chosen: Int[Tensor, " n"], total: int) -> Int[Tensor, " m"]:
    """Return the places of a batch whose sample numbers, within the epoch, are among the chosen ones."""
    return torch.isin(index % total, chosen.to(index.device)).nonzero()[:, 0]
