"""What a source of labelled codes tells about its columns, before any of them is made or read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sat3d.perception import Scorer

AttributeKind = Literal["continuous", "categorical"]
VALUE = "value"
"""The single class of a continuous attribute."""


@dataclass(frozen=True)
class Attribute:
    """Say where an attribute stands among a source's columns.

    Args:
        kind: continuous, or categorical.
        columns: places among the source's columns: one for each class, or a single one that holds values or class
            numbers.
        classes: their names; `value` for a continuous attribute.
    """

    kind: AttributeKind
    columns: tuple[int, ...]
    classes: tuple[str, ...] = (VALUE,)


@dataclass(frozen=True)
class Schema:
    """Name the columns and attributes of a source.

    Args:
        columns: a name for every column.
        attributes: those that the source knows.
        log_odds: whether columns hold log p/(1 − p) of scores, and not the values themselves.
    """

    columns: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    log_odds: bool = False

    def place(self, column: str, option: str) -> int:
        """Return the place of a column.

        Raises:
            ValueError: if there is none of this name; lists those there are.
        """
        if column not in self.columns:
            raise ValueError(f"{option}: no column {column!r}; there are {', '.join(self.columns)}")
        return self.columns.index(column)

    @classmethod
    def of_scorer(cls, scorer: Scorer) -> Schema:
        """Describe what an observer scores; groups of an attribute that has several are numbered `hair_1`, `hair_2`."""
        columns: list[str] = []
        attributes: dict[str, Attribute] = {}
        for attribute in scorer.attributes:
            groups = scorer.slices[attribute]
            for number, group in enumerate(groups, start=1):
                name = attribute if len(groups) == 1 else f"{attribute}_{number}"
                places = tuple(range(group.start, group.stop))
                classes = tuple(scorer.columns[k].removeprefix(f"{attribute}/") for k in places)
                single = len(places) == 1
                attributes[name] = (
                    Attribute("continuous", places) if single else Attribute("categorical", places, classes)
                )
                columns += [f"{name}/{k}" for k in attributes[name].classes]
        return cls(tuple(columns), attributes, log_odds=True)

    @classmethod
    def of_columns(cls, columns: Sequence[str], classes: Mapping[str, Sequence[str]]) -> Schema:
        """Describe a table, each column of which is an attribute; those with named classes hold class numbers."""
        attributes = {
            name: Attribute("categorical", (k,), tuple(classes[name]))
            if name in classes
            else Attribute("continuous", (k,))
            for k, name in enumerate(columns)
        }
        return cls(tuple(columns), attributes)
