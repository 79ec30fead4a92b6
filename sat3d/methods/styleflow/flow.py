"""StyleFlow's conditional continuous normalising flow, by an adaptive solver (needs torchdiffeq)."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from importlib import import_module
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat3d.methods.styleflow.layers import Dynamics, MovingNorm

LOG_2PI = 1.8378770664093453
EXACT = 1e-8
"""Tolerance at which edits are solved, in float64."""


class ContinuousFlow(nn.Module):
    """The solution of dy/dt = f(y, t, a) from 0 to a learnable T (Chen et al. 2018, Grathwohl et al. 2019).

    Solved with adaptive steps. One error counts for the whole batch, so what a code becomes depends on the codes beside
    it, within the tolerance.

    Args:
        width: D.
        context: K, the number of labels.
        hidden: widths of the hidden layers of f.
        tolerance: absolute and relative, of a step.
        adjoint: solve backwards for the gradients: memory that does not grow with the steps, more time, and gradients
            as exact as the tolerance. Otherwise they go back through the solver's steps.

    Attributes:
        method: of torchdiffeq.
        evaluations: of f in the last solve.

    Raises:
        ImportError: if torchdiffeq is missing.
    """

    def __init__(
        self, width: int, context: int, hidden: Sequence[int], tolerance: float = 1e-5, adjoint: bool = False
    ) -> None:
        super().__init__()
        _solver(adjoint)
        self.dynamics = Dynamics(width, context, hidden)
        self.root_time = nn.Parameter(torch.ones(()))
        self.tolerance, self.adjoint, self.method, self.evaluations = tolerance, adjoint, "dopri5", 0

    def forward(self, y: Float[Tensor, "b d"], labels: Float[Tensor, "b k"], reverse: bool = False) -> Tensor:
        """Return the solution (B, D); `reverse` goes from T to 0."""
        return self._solve(y, y, labels, None, reverse)

    def with_log_det(
        self, y: Float[Tensor, "b d"], labels: Float[Tensor, "b k"], probes: Float[Tensor, "b p d"]
    ) -> tuple[Float[Tensor, "b d"], Float[Tensor, " b"]]:
        """Return the solution and log |det ∂y(T)/∂y(0)| = ∫ tr(∂f/∂y) dt, of which Σ uᵀ J u over probes is taken."""
        solution, log_det = self._solve((y, y.new_zeros(len(y))), y, labels, probes, False)
        return solution, log_det

    def _solve(self, state: Any, y: Tensor, labels: Tensor, probes: Tensor | None, reverse: bool) -> Any:
        self.evaluations = 0

        def rate(s: Tensor, state: Any) -> Any:
            # Time runs from 0 to 1 for the solver, so that T is a parameter of the rate like others.
            self.evaluations += 1
            end = self.root_time.square()
            slope, tangents = self.dynamics(s * end, state if probes is None else state[0], labels, probes)
            if tangents is None or probes is None:
                return slope * end
            return slope * end, (tangents * probes).sum((1, 2)) * end

        times = y.new_tensor([1.0, 0.0] if reverse else [0.0, 1.0])
        # The last step ends at the end: interpolation from beyond it would miss the tolerance a hundred times over.
        settings: dict[str, Any] = {"options": {"step_t": times[1:]}}
        if self.adjoint:
            settings |= {"adjoint_options": {"step_t": times[:1]}, "adjoint_params": tuple(self.parameters())}
        try:
            found = _solver(self.adjoint)(
                rate, state, times, rtol=self.tolerance, atol=self.tolerance, method=self.method, **settings
            )
        except AssertionError as error:  # torchdiffeq's way to say it
            raise FloatingPointError(
                f"StyleFlow: the differential equation cannot be solved ({str(error)[:60]}); lower lr, clip gradients"
            ) from error
        return found[-1] if probes is None else tuple(part[-1] for part in found)


class ConditionalFlow(nn.Module):
    """z = flow(w | a): a moving norm, then blocks of a continuous flow and a moving norm (Abdal et al. 2021).

    Args:
        width: D.
        context: K, the number of labels.
        hidden: widths of the hidden layers.
        blocks: continuous flows one after the other.
        tolerance: of the solver.
        adjoint: see `ContinuousFlow`.
    """

    def __init__(
        self,
        width: int,
        context: int,
        hidden: Sequence[int] = (512,) * 5,
        blocks: int = 1,
        tolerance: float = 1e-5,
        adjoint: bool = False,
    ) -> None:
        super().__init__()
        self.norm = MovingNorm(width)
        self.norms = nn.ModuleList(MovingNorm(width) for _ in range(blocks))
        self.flows = nn.ModuleList(ContinuousFlow(width, context, hidden, tolerance, adjoint) for _ in range(blocks))

    def encode(self, w: Float[Tensor, "b d"], labels: Float[Tensor, "b k"]) -> Float[Tensor, "b d"]:
        """Return z."""
        z: Tensor = self.norm(w)
        for flow, norm in self._blocks():
            z = norm(flow(z, labels))
        return z

    def decode(self, z: Float[Tensor, "b d"], labels: Float[Tensor, "b k"]) -> Float[Tensor, "b d"]:
        """Return w."""
        for flow, norm in reversed(self._blocks()):
            z = flow(norm.inverse(z), labels, reverse=True)
        w: Tensor = self.norm.inverse(z)
        return w

    def exact(self) -> ConditionalFlow:
        """Return a copy in float64, solved by dopri8 to 1e-8 at least, that undoes what it does to float32's rounding.

        What a trained flow stretches, the errors of its solver among it, the way back stretches again.
        """
        flow = deepcopy(self).double()
        for part, _ in flow._blocks():
            part.method, part.tolerance = "dopri8", min(part.tolerance, EXACT)
        return flow

    def log_prob(
        self,
        w: Float[Tensor, "b d"],
        labels: Float[Tensor, "b k"],
        noise: Float[Tensor, "b d"] | None = None,
        observe: bool = False,
    ) -> Float[Tensor, " b"]:
        """Return log p(w | a) = log N(z; 0, I) + log |det ∂z/∂w| in nats.

        Args:
            w: codes.
            labels: their condition.
            noise: of mean 0 and covariance 1: εᵀ J ε takes the place of the trace (Hutchinson), with the same ε
                throughout the solve. Without it the trace is exact, for D times the work.
            observe: let the moving norms see the batch first.
        """
        probes = torch.eye(w.shape[1]).to(w).expand(len(w), -1, -1) if noise is None else noise[:, None]
        if observe:
            self.norm.observe(w)
        z, log_det = self.norm(w), self.norm.log_slope().sum()
        for flow, norm in self._blocks():
            z, volume = flow.with_log_det(z, labels, probes)
            if observe:
                norm.observe(z)
            z, log_det = norm(z), log_det + volume + norm.log_slope().sum()
        return -0.5 * (z.square() + LOG_2PI).sum(1) + log_det

    @property
    def evaluations(self) -> int:
        """Evaluations of f in the last solve."""
        return sum(flow.evaluations for flow, _ in self._blocks())

    def _blocks(self) -> list[tuple[ContinuousFlow, MovingNorm]]:
        pairs = zip(self.flows, self.norms, strict=True)
        return [(cast(ContinuousFlow, flow), cast(MovingNorm, norm)) for flow, norm in pairs]


def _solver(adjoint: bool) -> Any:
    try:
        torchdiffeq = import_module("torchdiffeq")
    except ImportError as error:
        raise ImportError("StyleFlow needs torchdiffeq: pip install 'sat3d[flows]'") from error
    return torchdiffeq.odeint_adjoint if adjoint else torchdiffeq.odeint
