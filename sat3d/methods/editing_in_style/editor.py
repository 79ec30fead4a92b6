"""The editor of Editing in Style: parts taken over from a reference, along the channels that make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.generators import StyleSpace
from sat3d.generators.base import StyleLayer
from sat3d.methods.base import Editor
from sat3d.methods.editing_in_style.query import Query
from sat3d.methods.interpolation import transfer

EVERYTHING = "everything"


class PartEditor(Editor):
    """Interpolate styles to a reference's: σ_G = σ_S + Q(σ_R − σ_S), Q = diag(q) (Collins et al. 2020, §3.3).

    It keeps the contributions M, so that queries, and the regions that make up an attribute, can still be changed. The
    attribute `everything` is the global transfer q = λ·1 over all channels that take part, λ being the strength.

    Args:
        attributes: by name, the regions that it is made of.
        regions: names of the rows of M.
        layers: the style space, as `layers_of` writes it.
        query: how M turns into q.
        queries: settings in which an attribute's query differs.
        contribution: M, (K, C); zeros if not given.
        participates: which channels take part, (C,); all if not given.

    Raises:
        ValueError: for unknown regions or settings, an attribute called `everything`, and shapes that do not fit.

    Example:
        >>> editor = load_editor("runs/editing-in-style/0/editor", G)
        >>> edited = editor.with_query(budget=20.0).edit(source, "hat", 1.0, reference=reference)
    """

    space = "s"
    needs_reference = True
    contribution: Tensor
    participates: Tensor

    def __init__(
        self,
        attributes: Mapping[str, Sequence[str]],
        regions: Sequence[str],
        layers: Sequence[Mapping[str, Any]],
        query: Query | Mapping[str, Any] | None = None,
        queries: Mapping[str, Mapping[str, Any]] | None = None,
        contribution: Float[Tensor, "k c"] | None = None,
        participates: Tensor | None = None,
    ) -> None:
        super().__init__((*attributes, EVERYTHING))
        self.members = {name: list(members) for name, members in attributes.items()}
        self.regions, self.layers = tuple(regions), [dict(layer) for layer in layers]
        self.query = Query.of(query)
        self.queries = {name: dict(settings) for name, settings in (queries or {}).items()}
        for name, members in self.members.items():
            if unknown := [region for region in members if region not in self.regions]:
                raise ValueError(f"attributes: {name} has unknown regions {unknown}; there are {', '.join(regions)}")
        if EVERYTHING in self.members:
            raise ValueError(f"attributes: {EVERYTHING} is the name of the global transfer; choose another")
        if unknown := sorted(set(self.queries) - set(self.members)):
            raise ValueError(f"queries: {unknown} are no attributes; those are {', '.join(self.members)}")
        self.style_space = StyleSpace(tuple(StyleLayer(**layer) for layer in self.layers))
        self._queries = {name: Query.of(self.queries.get(name), self.query) for name in self.members}
        shape = (len(self.regions), self.style_space.size)
        contribution = torch.zeros(shape) if contribution is None else contribution.detach().float().clone()
        participates = torch.ones(shape[1], dtype=torch.bool) if participates is None else participates.clone()
        if contribution.shape != shape or participates.shape != shape[1:]:
            raise ValueError(
                f"contribution {tuple(contribution.shape)} and participates {tuple(participates.shape)} do not fit "
                f"{shape[0]} regions and {shape[1]} channels"
            )
        self.register_buffer("contribution", contribution)
        self.register_buffer("participates", participates)

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments without the tensors."""
        return {
            "attributes": self.members,
            "regions": list(self.regions),
            "layers": self.layers,
            "query": asdict(self.query),
            "queries": self.queries,
        }

    def with_query(self, **settings: Any) -> PartEditor:
        """Return an editor with other settings of the query, for all attributes; see `Query`."""
        queries = {name: {k: v for k, v in own.items() if k not in settings} for name, own in self.queries.items()}
        return self._again(query=Query.of(settings, self.query), queries=queries)

    def with_attributes(self, **attributes: Sequence[str]) -> PartEditor:
        """Return an editor that knows these attributes too, or makes them up of other regions."""
        return self._again(attributes={**self.members, **attributes})

    def _again(self, **changes: Any) -> PartEditor:
        tensors: dict[str, Any] = {"contribution": self.contribution, "participates": self.participates}
        return PartEditor(**{**self.config(), **changes}, **tensors).to(self.contribution.device)

    def contribution_of(self, attribute: str) -> Float[Tensor, " c"]:
        """Return M of an attribute's regions together, (C,): contributions of merged regions add up."""
        rows = [self.regions.index(name) for name in self.members[attribute]]
        return self.contribution[rows].sum(0).clamp(0, 1)

    def query_of(self, attributes: Sequence[str]) -> Float[Tensor, " c"]:
        """Return q of attributes that change together: in each channel the largest of theirs, (C,)."""
        taken = self.participates.to(self.contribution)
        found = [
            taken
            if name == EVERYTHING
            else self._queries[name].weights(self.contribution_of(name) * taken, self.style_space)
            for name in attributes
        ]
        return torch.stack(found).amax(0) * taken

    def _edit(
        self, codes: Tensor, attributes: list[str], strength: Tensor, reference: Tensor | None, values: Tensor | None
    ) -> Tensor:
        assert reference is not None  # `edit` has checked it
        return transfer(codes, reference, strength * self.query_of(attributes).to(codes))


def layers_of(style_space: StyleSpace) -> list[dict[str, Any]]:
    """Return a style space as plain data."""
    return [asdict(layer) for layer in style_space.layers]
