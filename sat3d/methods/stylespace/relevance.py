"""How much each style channel belongs to an attribute, from a few examples (StyleSpace, arXiv 2011.12799, §5)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Relevance(NamedTuple):
    """Hold what positive examples tell about each channel.

    Args:
        theta: θ_u = |mean δ_u| / std δ_u, (C,); 0 where the population's channel never moves.
        direction: sign of the mean of δ_u: −1, 0 or 1, (C,).
    """

    theta: Tensor
    direction: Tensor


def attribute_relevance(
    positives: Float[Tensor, "n c"], mean: Float[Tensor, " c"], std: Float[Tensor, " c"]
) -> Relevance:
    """Rank channels by how consistently some examples deviate from the population: δ = (s − μ)/σ, θ = |mean δ|/std δ.

    Args:
        positives: styles of pictures that show the attribute, two at least, (N, C).
        mean: the population's, (C,).
        std: the population's, (C,).

    Raises:
        ValueError: fewer than two examples.

    Example:
        >>> attribute_relevance(torch.tensor([[2.0, -1.0], [4.0, 1.0]]), torch.zeros(2), torch.ones(2)).theta
        tensor([2.1213, 0.0000], dtype=torch.float64)
    """
    if len(positives) < 2:
        raise ValueError(f"relevance needs two positive examples at least, not {len(positives)}")
    moves = std > 0
    delta = (positives.double() - mean.double()) / torch.where(moves, std, 1).double()
    average, spread = delta.mean(0), delta.std(0)
    theta = torch.where(moves, average.abs() / spread.clamp_min(1e-12), 0.0)
    return Relevance(theta, average.sign() * moves)
