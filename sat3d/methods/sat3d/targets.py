"""Target sets: which attributes a training pair shall transfer."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def choose_targets(
    distances: Float[Tensor, "b a"],
    u: Float[Tensor, " b"],
    *,
    minimum: float = 0.1,
    two: float = 0.2,
    weights: Float[Tensor, " a"] | None = None,
) -> tuple[Bool[Tensor, "b a"], Bool[Tensor, " b"]]:
    """Turn one random number per pair into a target set Ω of one attribute (probability 1 − two) or two.

    Only attributes in which source and reference differ are drawn: drawing first and discarding unfit pairs would be
    the same conditional choice at the price of wasted pictures.

    Args:
        distances: d(D_a(I_ref), D_a(I_src)), (B, A).
        u: in [0, 1), (B,); float64 leaves enough digits for both draws.
        minimum: attributes below it are not drawn.
        two: probability of a second attribute.
        weights: relative frequency with which differing attributes are drawn, (A,); equal if not given.

    Returns:
        Targets, (B, A); and whether a pair differs in any attribute, (B,). Where none does, Ω is the most different
        attribute and the pair should not count in L_ref.
    """
    u = u.to(distances.device, torch.float64)
    differs = distances >= minimum
    valid = differs.any(1)
    open_ = torch.where(valid[:, None], differs, distances == distances.amax(1, keepdim=True))
    frequency = open_.double() * (1.0 if weights is None else weights.to(u))
    twice = u < two
    rest = torch.where(twice, u / max(two, 1e-12), (u - two) / max(1 - two, 1e-12)).clamp(0, 1 - 1e-12)
    first, rest = _draw(frequency, rest)
    targets = torch.nn.functional.one_hot(first, distances.shape[1]).bool()
    others = frequency.masked_fill(targets, 0)
    twice = twice & (others.sum(1) > 0)
    second, _ = _draw(torch.where(twice[:, None], others, frequency), rest)
    return targets | (torch.nn.functional.one_hot(second, distances.shape[1]).bool() & twice[:, None]), valid


def _draw(frequency: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Draw one column per row by the inverse distribution function; return it and what is left of the number."""
    upper = (frequency / frequency.sum(1, keepdim=True)).cumsum(1)
    # Rounding may leave the last sum just below u: the last column with a frequency takes what remains.
    last = (frequency > 0).double() * torch.arange(1, frequency.shape[1] + 1, device=u.device)
    column = torch.minimum((upper <= u[:, None]).sum(1), last.argmax(1))
    high = upper.gather(1, column[:, None])[:, 0]
    width = (frequency / frequency.sum(1, keepdim=True)).gather(1, column[:, None])[:, 0]
    return column, ((u - (high - width)) / width).clamp(0, 1 - 1e-12)


def balancing_weights(differs: Bool[Tensor, "n a"]) -> Float[Tensor, " a"]:
    """Return weights with which rare attributes are drawn about as often as common ones, (A,).

    An attribute that differs in a share p of the pairs gets weight 1/p, within a factor of ten of each other.
    """
    share = differs.double().mean(0)
    return 1 / share.clamp_min(max(float(share.max()) / 10, 1e-3))
