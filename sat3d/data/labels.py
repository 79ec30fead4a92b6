"""A plan of labels: which attributes of a source, and what is made of each."""

from __future__ import annotations

from dataclasses import dataclass

from sat3d.data.schema import VALUE, Attribute, AttributeKind, Schema


@dataclass(frozen=True)
class Label:
    """Ask for one attribute: a line of a plan of labels.

    Args:
        name: what editors call it; without `/`.
        columns: of the source; where `null`, the attribute or the column called `name`.
        kind: `continuous`: one column of values. `categorical`: the most probable of several columns, or one column of
            class numbers. `null`: what the source says, or what the number of columns suggests.
        classes: names of the classes; where `null`, the source's, or the columns' own.
        threshold: of a continuous attribute: 1 from there on, else 0. Of one column of a categorical one: the second
            class from there on (0.5 where the column is a probability). Of several: no class where none reaches it.
        repeat: how often each column of the label stands in it (StyleAE repeats AFHQ's classes 50 times).
        log_odds: take a score's log-odds, which do not saturate, as the continuous value.
    """

    name: str
    columns: tuple[str, ...] | None = None
    kind: AttributeKind | None = None
    classes: tuple[str, ...] | None = None
    threshold: float | None = None
    repeat: int = 1
    log_odds: bool = False

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ValueError(f"labels: name={self.name!r} must be a text without '/', which stands before classes")
        if self.repeat < 1:
            raise ValueError(f"labels: {self.name}: repeat={self.repeat} must be at least 1")

    def resolve(self, schema: Schema) -> Attribute:
        """Find what the line asks for among a source's columns.

        Raises:
            ValueError: if it is not there, or does not fit; the message names the line.
        """
        option = f"labels: {self.name}"
        if self.columns is not None:
            found = Attribute("categorical", *_named(self, schema, option))
            if len(found.columns) == 1:
                found = next((a for a in schema.attributes.values() if a.columns == found.columns), found)
                found = found if len(found.classes) > 1 else Attribute("continuous", found.columns)
        elif self.name in schema.attributes:
            found = schema.attributes[self.name]
        else:
            raise ValueError(f"{option}: not known; there are {', '.join(schema.attributes)}, or give its columns")
        kind = self.kind or ("categorical" if self.classes else found.kind)
        if kind == "continuous":
            if len(found.columns) != 1:
                raise ValueError(f"{option}: kind continuous takes one column, not {len(found.columns)}")
            if self.classes is not None:
                raise ValueError(f"{option}: classes are of kind categorical")
            if self.log_odds and (not schema.log_odds or self.threshold is not None):
                raise ValueError(f"{option}: log_odds are of scores, without a threshold")
            return Attribute("continuous", found.columns)
        return Attribute("categorical", found.columns, self._classes(found, schema, option))

    def _classes(self, found: Attribute, schema: Schema, option: str) -> tuple[str, ...]:
        if self.log_odds:
            raise ValueError(f"{option}: log_odds are of kind continuous")
        several = len(found.columns) > 1
        binary = not several and (self.threshold is not None or schema.log_odds)
        known = found.classes if found.classes != (VALUE,) else ("no", "yes") if binary else None
        classes = self.classes or known
        if classes is None:
            raise ValueError(f"{option}: give classes (names of the values 0, 1, …), or a threshold")
        wanted = len(found.columns) if several else 2 if binary else len(found.classes)
        if len(classes) != len(set(classes)) or (wanted > 1 and len(classes) != wanted) or len(classes) < 2:
            raise ValueError(f"{option}: {max(wanted, 2)} different classes are needed, found {', '.join(classes)}")
        return tuple(classes)


def _named(line: Label, schema: Schema, option: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    assert line.columns is not None
    if not line.columns:
        raise ValueError(f"{option}: columns is empty")
    places = tuple(schema.place(column, option) for column in line.columns)
    return places, tuple(column.rpartition("/")[2] for column in line.columns)
