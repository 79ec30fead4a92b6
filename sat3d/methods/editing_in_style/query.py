"""Which query an edit takes, written once for all layers of the style vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.generators import StyleSpace
from sat3d.ops.queries import greedy_query, released_query, simple_query


@dataclass(frozen=True)
class Query:
    """Say how contributions turn into weights of style channels (Collins et al. 2020, §3.3).

    Args:
        kind: `greedy`, the exact solution of the paper's linear programme; `simple`, min(1, λM); `released`, the
            greedy query as the authors' code has it.
        gain: λ of the simple query.
        rho: ρ, price of change outside.
        budget: ε, change outside that is allowed in each layer. It counts channels: the paper's are for layers of 512.
        first_budget: ε of the first layers, whose cells are coarse; `null` treats them like the others.
        first: how many ws count as first; the paper takes 4, the layers of up to 16 px.
        budgets: ε of single layers, by name.

    Raises:
        ValueError: for a negative number.
    """

    kind: Literal["greedy", "simple", "released"] = "greedy"
    gain: float = 1.0
    rho: float = 0.1
    budget: float = 50.0
    first_budget: float | None = None
    first: int = 4
    budgets: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in ("greedy", "simple", "released"):
            raise ValueError(f"query.kind={self.kind!r} must be greedy, simple or released")
        numbers = {"gain": self.gain, "rho": self.rho, "budget": self.budget, "first": self.first, **self.budgets}
        for name, value in {**numbers, "first_budget": self.first_budget or 0}.items():
            if not value >= 0:
                raise ValueError(f"query: {name}={value} must not be negative")

    @classmethod
    def of(cls, settings: Query | Mapping[str, Any] | None, default: Query | None = None) -> Query:
        """Return the query that plain data tells; what it does not say is as in `default`."""
        if isinstance(settings, Query):
            return settings
        base = {} if default is None else asdict(default)
        known = cls().__dataclass_fields__
        if unknown := sorted(set(settings or {}) - set(known)):
            raise ValueError(f"query: unknown settings {unknown}; there are {', '.join(known)}")
        return cls(**{**base, **(settings or {})})

    def budget_of(self, name: str, ws_index: int) -> float:
        """Return ε of a layer."""
        early = self.first_budget is not None and ws_index < self.first
        return self.budgets.get(name, float(self.first_budget or 0) if early else self.budget)

    def weights(self, contribution: Float[Tensor, " c"], style_space: StyleSpace) -> Float[Tensor, " c"]:
        """Return q of all channels, each layer on its own.

        Args:
            contribution: M of the queried region; the channels that do not take part have 0.
            style_space: names the layers.
        """
        if self.kind == "simple":
            return simple_query(contribution, self.gain)
        solve = greedy_query if self.kind == "greedy" else released_query
        parts = [
            solve(m, self.budget_of(layer.name, layer.ws_index), self.rho)
            for layer, m in zip(
                style_space.layers, contribution.split([y.size for y in style_space.layers]), strict=True
            )
        ]
        return torch.cat(parts)
