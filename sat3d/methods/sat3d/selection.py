"""Channel pre-selection: which channels an attribute's score reacts to at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def channel_relevance(
    score: Callable[[Tensor, slice], Float[Tensor, "b p"]],
    styles: Float[Tensor, "n c"],
    columns: Mapping[str, Sequence[slice]],
    *,
    batch_size: int = 8,
    seed: int = 0,
    progress: Callable[[Sequence[int]], Sequence[int]] = lambda steps: steps,
) -> Float[Tensor, "a c"]:
    """Average |∂D_a/∂s_c|·σ_c over codes (the procedure is a choice; the paper's is unknown).

    An attribute has several columns. Their gradients are summed with random signs: the square of the sum's expected
    size is the sum of the squares, so one backward pass per attribute serves instead of one per column.

    Args:
        score: styles (B, C) and their place in the probe → scores (B, P), differentiable.
        styles: codes to average over, (N, C).
        columns: columns of each attribute.
        batch_size: codes in one backward pass.
        seed: of the signs.
        progress: wraps the iteration over batches, e.g. in a progress bar.

    Returns:
        Relevance of each attribute and channel, (A, C).
    """
    rng = torch.Generator().manual_seed(seed)
    total = styles.new_zeros(len(columns), styles.shape[1])
    for start in progress(range(0, len(styles), batch_size)):
        place = slice(start, start + batch_size)
        batch = styles[place].detach().requires_grad_(True)
        with torch.enable_grad():
            scores = score(batch, place)
            for row, slices in enumerate(columns.values()):
                chosen = torch.cat([scores[:, s] for s in slices], dim=1)
                signs = torch.randint(0, 2, chosen.shape, generator=rng).to(chosen) * 2 - 1
                (gradient,) = torch.autograd.grad((chosen * signs).sum(), batch, retain_graph=row + 1 < len(columns))
                total[row] += gradient.abs().sum(0)
    return total / len(styles) * styles.std(0)


def preselect(
    relevance: Float[Tensor, "a c"], participates: Bool[Tensor, " c"], fraction: float
) -> Bool[Tensor, "a c"]:
    """Keep each attribute's most relevant share of the participating channels, (A, C)."""
    if not 0 < fraction <= 1:
        raise ValueError(f"preselect={fraction} must be in (0, 1], or null for all channels")
    count = max(1, round(fraction * int(participates.sum())))
    best = relevance.masked_fill(~participates, -1.0).topk(count, dim=1).indices
    return torch.zeros_like(relevance, dtype=torch.bool).scatter_(1, best, True) & participates
