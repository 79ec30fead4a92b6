"""Editors that give attributes coordinates of their own: StyleAE and the flows it is measured against."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.methods.base import Editor

Columns = Mapping[str, Mapping[str, Sequence[int]]]
"""For each attribute its columns among the K labels, by class; a continuous one has the single class `value`."""


class CoordinateEditor(Editor):
    """Set or shift an attribute's coordinates c of a code w, and leave everything else: w' = w + D(c') − D(c).

    Labels are scaled to [-1, 1] in training, so strength 2 takes a continuous attribute from one end to the other. Of a
    categorical attribute each class is edited by name, `hat/cap`: its columns rise and its siblings' fall. Codes are w
    (B, D), or ws (B, num_ws, D), of which every layer in `layers` is edited on its own.

    Args:
        columns: see `Columns`.
        layers: of the ws, for each attribute, first and last; all where it is not named.

    Raises:
        ValueError: for layers of unknown attributes.
    """

    space = "w"

    def __init__(self, columns: Columns, layers: Mapping[str, tuple[int, int]] | None = None) -> None:
        self.columns = {name: {k: list(v) for k, v in classes.items()} for name, classes in columns.items()}
        names = [
            name if list(classes) == ["value"] else f"{name}/{k}"
            for name, classes in self.columns.items()
            for k in classes
        ]
        super().__init__(names)
        self.layers = {name: (int(a), int(b)) for name, (a, b) in (layers or {}).items()}
        if unknown := set(self.layers) - set(self.columns):
            raise ValueError(f"layers: unknown attributes {sorted(unknown)}; there are {', '.join(self.columns)}")

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"columns": self.columns, "layers": {name: list(span) for name, span in self.layers.items()}}

    @property
    def width(self) -> int:
        """K, the number of label columns."""
        return 1 + max(c for classes in self.columns.values() for columns in classes.values() for c in columns)

    @abstractmethod
    def coordinates(self, w: Float[Tensor, "n d"], values: Tensor | None = None) -> Float[Tensor, "n k"]:
        """Return the codes' coordinates of the labels; `values` where they are known."""

    @abstractmethod
    def moved(
        self, w: Float[Tensor, "n d"], old: Float[Tensor, "n k"], new: Float[Tensor, "n k"]
    ) -> Float[Tensor, "n d"]:
        """Return codes whose coordinates went from `old`, as `coordinates` told them, to `new`; w where both agree."""

    def direction(self, attribute: str) -> Float[Tensor, " k"]:
        """Return what strength 1 adds to the coordinates: 1 on the attribute's columns, −1 on its siblings'."""
        name, _, wanted = attribute.partition("/")
        step = torch.zeros(self.width)
        for k, columns in self.columns[name].items():
            step[list(columns)] = 1.0 if k in (wanted, "value") else -1.0
        return step

    def set_value(
        self, codes: Float[Tensor, "b ..."], attribute: str, value: float | Tensor, values: Tensor | None = None
    ) -> Float[Tensor, "b ..."]:
        """Return codes whose attribute's coordinate has a value: −1 is the training's least, 1 its most.

        Args:
            codes: (B, D) or (B, num_ws, D).
            attribute: one; of a class, value 1 is this one and −1 is none of it.
            value: one, or one for each code.
            values: the codes' current labels, for editors that need them.
        """
        step = self.direction(attribute)
        wanted = torch.as_tensor(value, dtype=codes.dtype, device=codes.device).reshape(-1, 1)

        def change(c: Tensor) -> Tensor:
            target = wanted.repeat_interleave(len(c) // len(codes), 0) if len(wanted) > 1 else wanted
            return torch.where(step.to(c) == 0, c, step.to(c) * target)

        return self._change(codes, [attribute], change, values)

    def _edit(
        self, codes: Tensor, attributes: list[str], strength: Tensor, reference: Tensor | None, values: Tensor | None
    ) -> Tensor:
        edited = codes
        for attribute in attributes:
            step = self.direction(attribute).to(codes)

            def change(c: Tensor, step: Tensor = step) -> Tensor:
                amount = strength.reshape(-1, 1) if strength.ndim else strength
                return c + (amount.repeat_interleave(len(c) // len(codes), 0) if amount.ndim else amount) * step

            edited = self._change(edited, [attribute], change, values)
        return edited

    def _change(self, codes: Tensor, attributes: list[str], change: Any, values: Tensor | None) -> Tensor:
        layered = codes if codes.ndim == 3 else codes[:, None]
        first, last = self.layers.get(attributes[0].partition("/")[0], (0, layered.shape[1] - 1))
        part = layered[:, first : last + 1]
        w = part.flatten(0, 1)
        known = None if values is None else values.repeat_interleave(part.shape[1], 0)
        old = self.coordinates(w, known)
        moved = self.moved(w, old, change(old)).unflatten(0, part.shape[:2])
        out = torch.cat([layered[:, :first], moved, layered[:, last + 1 :]], dim=1)
        return out if codes.ndim == 3 else out[:, 0]
