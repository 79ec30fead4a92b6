"""Editors that give attributes coordinates of their own: StyleAE and the flows it is measured against."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.methods.base import Editor
from sat3d.methods.layers import Layers, checked_layers, span_of

Columns = Mapping[str, Mapping[str, Sequence[int]]]
"""For each attribute its columns among the K labels, by class; a continuous one has the single class `value`."""

Form = Literal["residual", "paper"]
"""How an edited code is told: w + D(c') − D(c), which keeps what D does not know of w, or the papers' D(c')."""

Change = Callable[[Tensor, str, Tensor], Tensor]
"""Coordinates (N, K), attribute, amounts (N, 1) → coordinates."""


def label_width(columns: Columns) -> int:
    """Return K, the number of label columns.

    Raises:
        ValueError: for no column, one without an attribute, or one with two.
    """
    found = Counter(c for classes in columns.values() for numbers in classes.values() for c in numbers)
    if not found or sorted(found) != list(range(len(found))) or max(found.values()) > 1:
        raise ValueError(f"columns: {dict(columns)} must name each of the columns 0 to K−1 once")
    return len(found)


class CoordinateEditor(Editor):
    """Set or shift an attribute's coordinates c of a code w, and leave everything else.

    Subclasses write `coordinates` and `moved`. Codes are w (B, D), or ws (B, num_ws, D), of which every layer in
    `layers` is edited on its own. Several attributes are edited one after the other, each on the last one's codes.

    Labels are scaled to [-1, 1] in training, so strength 2 takes a continuous attribute from one end to the other. A
    class of a categorical attribute is edited by name, `hat/cap`: it rises, and its siblings fall, though not below −1,
    where training has them; with a negative strength it falls, and the largest of its siblings rises. So strength 2
    takes a code from any class to the one named.

    Args:
        columns: see `Columns`.
        layers: see `Layers`; all ws for attributes that are not named. Codes w (B, D) have no layers to choose from.
        form: see `Form`.

    Raises:
        ValueError: for columns named twice or missing, layers of unknown attributes, spans that are none, and an
            unknown form.
    """

    space = "w"

    def __init__(self, columns: Columns, layers: Layers | None = None, form: Form = "residual") -> None:
        self.columns = {name: {k: list(v) for k, v in classes.items()} for name, classes in columns.items()}
        self.width = label_width(self.columns)
        self._place = {
            name if list(classes) == ["value"] else f"{name}/{k}": (name, k)
            for name, classes in self.columns.items()
            for k in classes
        }
        super().__init__(tuple(self._place))
        if form not in ("residual", "paper"):
            raise ValueError(f"form={form!r} is unknown; choose residual or paper")
        self.form = form
        self.layers = checked_layers(layers, self.columns)

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"columns": self.columns, "layers": self.layers, "form": self.form}

    # What subclasses say ---------------------------------------------------------------------------------------------

    @abstractmethod
    def coordinates(self, w: Float[Tensor, "n d"], values: Float[Tensor, "n k"] | None = None) -> Float[Tensor, "n k"]:
        """Return the codes' coordinates of the labels; `values` are their labels, where they are known."""

    @abstractmethod
    def moved(
        self, w: Float[Tensor, "n d"], old: Float[Tensor, "n k"], new: Float[Tensor, "n k"]
    ) -> Float[Tensor, "n d"]:
        """Return codes whose coordinates went from `old`, as `coordinates` told them, to `new`.

        Where both agree the code stays as it is, bitwise; callers see to that.
        """

    def known(self, codes: Tensor, values: Tensor | None) -> Tensor | None:
        """Return the labels (B, K) that an edit starts from; editors that need them find them here, or raise."""
        return values

    # Coordinates -----------------------------------------------------------------------------------------------------

    def shifted(self, c: Float[Tensor, "n k"], attribute: str, amount: Float[Tensor, "n 1"]) -> Float[Tensor, "n k"]:
        """Return coordinates of which an attribute rose by an amount."""
        own, siblings = self._columns_of(attribute)
        new = c.clone()
        new[:, own] += amount
        runner_up = self._largest(c, siblings)
        for row, numbers in enumerate(siblings):
            old = c[:, numbers]
            fallen = (old - amount.clamp_min(0)).maximum(old.clamp_max(-1))
            new[:, numbers] = torch.where(runner_up == row, fallen - amount.clamp_max(0), fallen)
        return new

    def valued(self, c: Float[Tensor, "n k"], attribute: str, value: Float[Tensor, "n 1"]) -> Float[Tensor, "n k"]:
        """Return coordinates of which an attribute has a value, see `set_value`."""
        own, siblings = self._columns_of(attribute)
        new = c.clone()
        new[:, own] = value.expand(-1, len(own))
        runner_up = self._largest(c, siblings)
        for row, numbers in enumerate(siblings):
            new[:, numbers] = torch.where(runner_up == row, -value, -1.0).expand(-1, len(numbers))
        return new

    def _columns_of(self, attribute: str) -> tuple[list[int], list[list[int]]]:
        name, wanted = self._place[attribute]
        return self.columns[name][wanted], [numbers for k, numbers in self.columns[name].items() if k != wanted]

    @staticmethod
    def _largest(c: Tensor, groups: list[list[int]]) -> Tensor:
        if not groups:
            return torch.zeros(len(c), 1, device=c.device)
        return torch.stack([c[:, numbers].mean(1) for numbers in groups], dim=1).argmax(1, keepdim=True)

    # Editing ---------------------------------------------------------------------------------------------------------

    def set_value(
        self, codes: Float[Tensor, "b ..."], attribute: str, value: float | Tensor, values: Tensor | None = None
    ) -> Float[Tensor, "b ..."]:
        """Return codes of which an attribute's coordinate has a value: −1 is the training's least, 1 its most.

        Args:
            codes: (B, D) or (B, num_ws, D).
            attribute: one. Of a class, 1 is this and none of the others, −1 the likeliest of the others.
            value: one, or one for each code.
            values: the codes' current labels (B, K), for editors that need them.

        Raises:
            ValueError: for an unknown attribute, and values that do not fit.
        """
        if not self.knows(attribute):
            raise ValueError(f"attribute: unknown {attribute}; this editor knows {self.known_names()}")
        wanted = torch.as_tensor(value, dtype=codes.dtype, device=codes.device)
        return self._changed(codes, [attribute], self.valued, wanted, values)

    def _edit(
        self, codes: Tensor, attributes: list[str], strength: Tensor, reference: Tensor | None, values: Tensor | None
    ) -> Tensor:
        return self._changed(codes, attributes, self.shifted, strength, values)

    def _changed(
        self, codes: Tensor, attributes: list[str], change: Change, amount: Tensor, values: Tensor | None
    ) -> Tensor:
        if values is not None and values.shape != (len(codes), self.width):
            raise ValueError(f"values: {tuple(values.shape)} does not fit {len(codes)} codes and {self.width} labels")
        amount = amount.reshape(-1, 1).expand(len(codes), 1)
        values = self.known(codes, None if values is None else values.to(codes))
        for attribute in attributes:
            codes = self._change(codes, attribute, change, amount, values)
            # The next attribute starts from labels that tell of this one.
            values = None if values is None else change(values, attribute, amount)
        return codes

    def _change(self, codes: Tensor, attribute: str, change: Change, amount: Tensor, values: Tensor | None) -> Tensor:
        layered = codes if codes.ndim == 3 else codes[:, None]
        ranges = self.layers if codes.ndim == 3 else {}
        first, last = span_of(ranges, self._place[attribute][0], layered.shape[1])
        part = layered[:, first : last + 1]
        if bool((part == part[:, :1]).all()):
            part = part[:, :1]  # one w for all layers, as mapping networks tell them, is edited once
        w, count = part.flatten(0, 1), part.shape[1]
        old = self.coordinates(w, None if values is None else values.repeat_interleave(count, 0))
        new = change(old, attribute, amount.repeat_interleave(count, 0))
        moved = torch.where((new == old).all(1, keepdim=True), w, self.moved(w, old, new))
        edited = moved.unflatten(0, part.shape[:2]).expand(-1, last + 1 - first, -1)
        out = torch.cat([layered[:, :first], edited, layered[:, last + 1 :]], dim=1)
        return out if codes.ndim == 3 else out[:, 0]


class LeadingCoordinateEditor(CoordinateEditor):
    """Move the first K coordinates c of z = f(w) = (c, s), and map back: w' = w + f⁻¹(c', s) − f⁻¹(c, s).

    Where c' = c that is w, also for an f that is not quite undone. Subclasses write `encode`, f, and `decode`, f⁻¹.
    `values` are not needed: a code's coordinates are what f tells.

    Args:
        columns: see `CoordinateEditor`.
        code_width: D, of codes and of z.
        layers: see `CoordinateEditor`.
        form: `residual` as above, or `paper`: w' = f⁻¹(c', s).

    Raises:
        ValueError: if there are more labels than coordinates.
    """

    def __init__(
        self, columns: Columns, code_width: int, layers: Layers | None = None, form: Form = "residual"
    ) -> None:
        super().__init__(columns, layers, form)
        if self.width > code_width:
            raise ValueError(f"columns: {self.width} labels do not fit into codes of {code_width}")
        self.code_width = code_width

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().config(), "code_width": self.code_width}

    @abstractmethod
    def encode(self, w: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return z."""

    @abstractmethod
    def decode(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return codes."""

    def coordinates(self, w: Float[Tensor, "n d"], values: Float[Tensor, "n k"] | None = None) -> Float[Tensor, "n k"]:
        """Return c."""
        return self.encode(w)[:, : self.width]

    def moved(
        self, w: Float[Tensor, "n d"], old: Float[Tensor, "n k"], new: Float[Tensor, "n k"]
    ) -> Float[Tensor, "n d"]:
        """Return codes whose c went from `old` to `new`."""
        z = self.encode(w)
        made = self.decode(torch.cat([z[:, : self.width] + (new - old), z[:, self.width :]], dim=1))
        return made if self.form == "paper" else w + (made - self.decode(z))
