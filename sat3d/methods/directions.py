"""Editors that add a direction to a code, whatever method found it: how they compose, and how they are conditioned."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.methods.base import Editor
from sat3d.methods.layers import Layers, checked_layers, span_of


def keep_fixed(direction: Float[Tensor, " d"], others: Float[Tensor, "n d"]) -> Float[Tensor, " d"]:
    """Return the part of a direction that is orthogonal to others, as long as the direction was.

    The conditional manipulation of InterFaceGAN (Shen et al. 2020, arXiv 1907.10786, §3.2): for one other
    n₁ − (n₁·n₂) n₂, for several the least-squares projection on their span is subtracted.

    Args:
        direction: (D,).
        others: directions along which nothing shall change, of any length, linearly dependent or not, (N, D).

    Raises:
        ValueError: if nothing is left: the direction lies in the others' span.

    Example:
        >>> keep_fixed(torch.tensor([3.0, 4.0]), torch.tensor([[0.0, 2.0]]))
        tensor([5., 0.])
    """
    wanted = direction.double()
    _, sizes, basis = torch.linalg.svd(others.double(), full_matrices=False)
    basis = basis[sizes > 1e-9 * sizes.max().clamp_min(1e-300)]
    rest = wanted - basis.T @ (basis @ wanted)
    rest = rest - basis.T @ (basis @ rest)  # twice: what rounding left of the others
    if float(rest.norm()) <= 1e-6 * float(wanted.norm()):
        raise ValueError("the direction lies in the span of those that it shall keep fixed: nothing of it is left")
    return (rest * (wanted.norm() / rest.norm())).to(direction)


class LinearEditor(Editor):
    """Add a direction: code' = code + strength · direction.

    So edits commute and add up: `edit(edit(x, a), b)` and `edit(x, [a, b])` agree. Subclasses write `direction`.

    Attributes:
        ranges: see `Layers`; of w editors only.
    """

    ranges: Layers = MappingProxyType({})

    @abstractmethod
    def direction(self, attribute: str) -> Float[Tensor, " d"]:
        """Return what strength 1 adds to a code, (D,)."""

    def keeping(self, conditions: Mapping[str, Sequence[str]]) -> DirectionEditor:
        """Return an editor some of whose attributes leave others where they are, see `keep_fixed`.

        Args:
            conditions: for an attribute those that it shall keep fixed, all known to this editor.

        Raises:
            ValueError: for unknown attributes, and where nothing of a direction is left.

        Example:
            >>> fair = editor.keeping({"smile": ["mouth_open", "beard"]})
        """
        asked = [name for pair in conditions.items() for name in (pair[0], *pair[1])]
        if unknown := [name for name in asked if not self.knows(name)]:
            raise ValueError(f"keeping: unknown {', '.join(unknown)}; this editor knows {self.known_names()}")
        directions = {name: self.direction(name) for name in (*self.attributes, *conditions)}
        for name, others in conditions.items():
            if not others:
                continue
            try:
                directions[name] = keep_fixed(directions[name], torch.stack([self.direction(o) for o in others]))
            except ValueError as error:
                raise ValueError(f"keeping: {name}, with {', '.join(others)} fixed: {error}") from error
        made = DirectionEditor(tuple(directions), torch.stack(list(directions.values())), self.space, self.ranges)
        made.card = dict(self.card)
        return made.eval()

    def _edit(
        self, codes: Tensor, attributes: list[str], strength: Tensor, reference: Tensor | None, values: Tensor | None
    ) -> Tensor:
        return codes + strength * torch.stack([self._offset(name, codes) for name in attributes]).sum(0)

    def _offset(self, name: str, codes: Tensor) -> Tensor:
        """Return what strength 1 adds, in a shape that broadcasts against the codes."""
        direction = self.direction(name).to(codes)
        if codes.shape[-1] != len(direction):
            raise ValueError(f"codes: {tuple(codes.shape)} do not fit directions of {len(direction)}")
        if codes.ndim < 3:
            return direction
        first, last = span_of(self.ranges, name, codes.shape[1])
        chosen = codes.new_zeros(codes.shape[1], 1)
        chosen[first : last + 1] = 1
        return chosen * direction


class DirectionEditor(LinearEditor):
    """Add one direction for each attribute: what InterFaceGAN, GANSpace and SeFa leave behind.

    Codes are s (B, C); or w (B, D), or ws (B, num_ws, D), of which the layers in `layers` are moved.

    Args:
        attributes: A names.
        directions: what strength 1 adds, (A, D).
        space: of the codes, `w` or `s`.
        layers: see `Layers`; all ws for attributes that are not named. A single w has no layers to choose from.
        width: D, where no directions are given.

    Raises:
        ValueError: for directions that do not fit the attributes, layers of unknown attributes, spans that are none,
            and layers in style space.

    Example:
        >>> editor = DirectionEditor(("smile",), torch.eye(1, 64), "w", layers={"smile": [0, 3]})
        >>> editor.edit(ws, "smile", 2.0)
    """

    directions: Tensor

    def __init__(
        self,
        attributes: Sequence[str],
        directions: Float[Tensor, "a d"] | None = None,
        space: Literal["w", "s"] = "w",
        layers: Layers | None = None,
        width: int = 1,
    ) -> None:
        super().__init__(attributes)
        if space not in ("w", "s"):
            raise ValueError(f"space={space!r} must be w or s")
        if layers and space == "s":
            raise ValueError("layers: styles have no ws to choose from; leave it out")
        self.space = space
        self.ranges = checked_layers(layers, self.attributes)
        made = torch.zeros(len(self.attributes), width) if directions is None else directions
        if made.ndim != 2 or len(made) != len(self.attributes):
            raise ValueError(f"directions: {tuple(made.shape)} do not fit {len(self.attributes)} attributes")
        self.register_buffer("directions", made.detach().clone())

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments without the directions."""
        return {**super().config(), "space": self.space, "layers": self.ranges, "width": self.directions.shape[1]}

    def direction(self, attribute: str) -> Float[Tensor, " d"]:
        """Return what strength 1 adds to a code, (D,)."""
        return self.directions[self.attributes.index(attribute)]
