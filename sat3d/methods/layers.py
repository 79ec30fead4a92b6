"""Which of the ws an attribute's edits change: layer ranges, the papers' "layers 4 to 7"."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

Layers = Mapping[str, Sequence[int]]
"""For an attribute the first and the last of the ws that its edits change, counted from 0; all of them if not said."""


def checked_layers(layers: Layers | None, attributes: Collection[str]) -> dict[str, list[int]]:
    """Return layer ranges as plain data.

    Raises:
        ValueError: for ranges of unknown attributes, and those that are none.
    """
    found = {name: list(span) for name, span in (layers or {}).items()}
    if unknown := sorted(set(found) - set(attributes)):
        raise ValueError(f"layers: unknown attributes {unknown}; there are {', '.join(attributes)}")
    for name, span in found.items():
        if len(span) != 2 or not 0 <= span[0] <= span[1]:
            raise ValueError(f"layers: {name}: {span} must be the first and the last of its ws, counted from 0")
    return found


def span_of(layers: Layers, name: str, count: int) -> tuple[int, int]:
    """Return the first and the last of the `count` ws that an attribute's edits change.

    Raises:
        ValueError: if there are not that many.
    """
    first, last = layers.get(name, (0, count - 1))
    if last >= count:
        raise ValueError(f"layers: {name} asks for ws {first} to {last}; the codes have {count}")
    return first, last
