"""Queries: how much of each style channel takes part in a local edit (Collins et al. 2020, arXiv 2004.14367, §3.3).

All take the contribution M_c ∈ [0, 1] of one region to the C channels of a layer, and return q_c ∈ [0, 1].
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def simple_query(contribution: Float[Tensor, "*b c"], gain: float) -> Float[Tensor, "*b c"]:
    """Return q = min(1, λ M).

    Args:
        contribution: M, (…, C).
        gain: λ ≥ 0.
    """
    return (gain * contribution).clamp(0, 1)


def greedy_query(contribution: Float[Tensor, "*b c"], budget: float, rho: float) -> Float[Tensor, "*b c"]:
    """Return the q that maximises Σ q [M − ρ(1 − M)] with Σ q (1 − M) ≤ ε and 0 ≤ q ≤ 1.

    A fractional knapsack: value by weight, M/(1 − M) − ρ, rises with M. So channels are taken by falling M while the
    budget lasts, the one that overflows it in part; those of M ≤ ρ/(1 + ρ) have no value. The paper calls it the
    sequential query.

    Args:
        contribution: M, (…, C).
        budget: ε ≥ 0, of what is changed outside.
        rho: ρ ≥ 0, price of what is changed outside.
    """
    falling, order = contribution.double().clamp(0, 1).sort(dim=-1, descending=True, stable=True)
    weight = 1 - falling
    left = budget - (weight.cumsum(-1) - weight)
    share = torch.where(weight > 0, left / weight.clamp_min(1e-300), 1.0).clamp(0, 1)
    share = share * (falling > rho / (1 + rho))
    return torch.zeros_like(share).scatter(-1, order, share).to(contribution)


def released_query(contribution: Float[Tensor, "*b c"], budget: float, rho: float) -> Float[Tensor, "*b c"]:
    """Return the greedy query of the authors' code: whole channels only, and a threshold at ρ itself.

    q = 1 where the sum of 1 − M over channels of larger M, the channel's own included, is below ε, and M > ρ.

    Args:
        contribution: M, (…, C).
        budget: ε.
        rho: ρ.
    """
    falling, order = contribution.double().sort(dim=-1, descending=True, stable=True)
    chosen = ((1 - falling).cumsum(-1) < budget) & (falling > rho)
    return torch.zeros_like(falling).scatter(-1, order, chosen.double()).to(contribution)
