"""Rows of edits: which edit each tells of, means with intervals, and paired differences."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sat3d.evaluation.bootstrap import Interval, bootstrap_mean

Row = Mapping[str, str | float]
"""What became of one code: `method`, `seed`, `attribute`, `code`, and what was measured of its edit."""

Place = tuple[str, str, int]


def place_of(row: Row) -> Place:
    """Return which edit a row tells of: seed, attribute, code."""
    return str(row["seed"]), str(row["attribute"]), int(float(row["code"]))


def interval_of(rows: Iterable[Row], name: str, digits: int = 6) -> Interval:
    """Return the mean of a column and its 95 % interval, over codes and seeds.

    A code's edits are averaged first: those of different attributes are not independent.
    """
    cells: dict[tuple[str, float], list[float]] = defaultdict(list)
    for row in rows:
        if name in row and not math.isnan(float(row[name])):
            cells[str(row["seed"]), float(row["code"])].append(float(row[name]))
    groups = [seed for seed, _ in cells]
    means = [sum(values) / len(values) for values in cells.values()]
    return Interval(*(round(x, digits) for x in bootstrap_mean(means, groups=groups)))


def paired_difference(a: Sequence[Row], b: Sequence[Row], key: str) -> Interval:
    """Return the mean of a column over edits of one method minus that of another, and its 95 % interval.

    Edits are paired by seed, attribute and code, and drawn again by seed and code (`interval_of`).
    """
    cells = {place_of(row): float(row[key]) for row in b if key in row}
    paired: list[Row] = [
        {"seed": row["seed"], "code": row["code"], "difference": float(row[key]) - cells[place_of(row)]}
        for row in a
        if key in row and place_of(row) in cells
    ]
    return interval_of(paired, "difference")


def with_order(rows: Sequence[Row], found: Mapping[str, Mapping[int, float]]) -> list[dict[str, float | str]]:
    """Add what `MatchedProtocol.order` told, by first attribute and code, to rows."""
    nothing: Mapping[int, float] = {}
    return [
        {**row, "order": found.get(str(row["attribute"]), nothing).get(int(float(row["code"])), float("nan"))}
        for row in rows
    ]
