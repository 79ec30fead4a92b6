"""What StyleFlow's flow is made of: moving norms, and the rate of change as a network that time and labels gate."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn


class MovingNorm(nn.Module):
    """Normalise by moving statistics, so that the density of a code does not depend on those beside it.

    y = (x − μ) / √(σ² + ε), times a learnable scale, plus a learnable shift. μ and σ² move in `observe` only: the
    average of all batches at first, then of the last ten or so. A batch is what all processes see in a step.

    Args:
        width: D.
        affine: learn scale and shift.
        decay: weight of a batch in the moving averages.
        eps: added to the variance.
    """

    mean: Tensor
    var: Tensor
    seen: Tensor

    def __init__(self, width: int, affine: bool = True, decay: float = 0.1, eps: float = 1e-4) -> None:
        super().__init__()
        self.decay, self.eps = decay, eps
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("var", torch.ones(width))
        self.register_buffer("seen", torch.tensor(0))
        self.log_scale = nn.Parameter(torch.zeros(width), requires_grad=affine)
        self.shift = nn.Parameter(torch.zeros(width), requires_grad=affine)

    @torch.no_grad()
    def observe(self, x: Float[Tensor, "b d"]) -> None:
        """Move the statistics towards a batch's; with several processes all of them must."""
        self.seen += 1
        weight = (1 / self.seen).clamp_min(self.decay).to(x)
        mean, var = batch_moments(x)
        self.mean.lerp_(mean, weight)
        self.var.lerp_(var, weight)

    def log_slope(self) -> Float[Tensor, " d"]:
        """Return log ∂y/∂x of each dimension."""
        return self.log_scale - 0.5 * (self.var + self.eps).log()

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Normalise."""
        return (x - self.mean) * self.log_slope().exp() + self.shift

    def inverse(self, y: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Undo it."""
        return (y - self.shift) * (-self.log_slope()).exp() + self.mean


def batch_moments(x: Float[Tensor, "b d"]) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
    """Return mean and variance of a batch, of which every process holds a part.

    Parts are told by their own mean and variance, not by sums of squares, in which small variances would be lost.
    """
    mean, var = x.mean(0), x.var(0, correction=0)
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return mean, var
    own = torch.stack([torch.full_like(mean, len(x)), mean, var])
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, own)
    counts, means, variances = torch.stack(parts, dim=1)
    shares = counts / counts.sum(0)
    mean = (shares * means).sum(0)
    return mean, (shares * (variances + (means - mean).square())).sum(0)


class ConcatSquash(nn.Module):
    """A linear layer that time and condition gate and shift: (W x + b) ⊙ σ(W_g [t, a] + b_g) + W_h [t, a]."""

    def __init__(self, width: int, out: int, context: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, out)
        self.gate = nn.Linear(context, out)
        self.hyper = nn.Linear(context, out, bias=False)

    def forward(self, x: Tensor, tangents: Tensor | None, context: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map points (B, D) and, where given, P tangents at each, (B, P, D)."""
        gate = self.gate(context).sigmoid()
        y = self.linear(x) * gate + self.hyper(context)
        return y, None if tangents is None else tangents @ self.linear.weight.T * gate[:, None]


class Dynamics(nn.Module):
    """dy/dt = f(y, t, a): concat-squash layers with tanh between them.

    Tangents are carried along, so J u costs as much as f again, and no graph within the graph.

    Args:
        width: D.
        context: K, the number of labels.
        hidden: widths of the hidden layers.
    """

    def __init__(self, width: int, context: int, hidden: Sequence[int]) -> None:
        super().__init__()
        sizes = [width, *hidden, width]
        self.layers = nn.ModuleList(ConcatSquash(a, b, 1 + context) for a, b in pairwise(sizes))

    def forward(
        self,
        t: Tensor,
        y: Float[Tensor, "b d"],
        labels: Float[Tensor, "b k"],
        tangents: Float[Tensor, "b p d"] | None = None,
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b p d"] | None]:
        """Return f (B, D) and (∂f/∂y) u for each tangent u, (B, P, D)."""
        context = torch.cat([t.expand(len(y), 1), labels], dim=1)
        for depth, layer in enumerate(self.layers):
            if depth:
                y = y.tanh()
                tangents = None if tangents is None else tangents * (1 - y.square())[:, None]
            y, tangents = layer(y, tangents, context)
        return y, tangents
