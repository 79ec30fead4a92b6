"""Tables of successes: rates and what else changed, on each method's successes and on those that all share."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sat3d.evaluation.bootstrap import Interval, bootstrap_mean
from sat3d.evaluation.success import MEASURES
from sat3d.evaluation.tables import markdown_table
from sat3d.visualization import replacing

Row = Mapping[str, str | float]
"""What became of one code: `method`, `seed`, `attribute`, `code`, and what `SuccessProtocol.grade` tells."""

DIGITS = {"psnr": 1, "rmse": 3, "mse": 4, "ssim": 3, "identity": 3, "others": 3}
ARROWS = {"psnr": "↑", "ssim": "↑", "rmse": "↓", "mse": "↓", "identity": "↓", "others": "↓"}


@dataclass(frozen=True)
class Summary:
    """Hold what is said of a method.

    Args:
        success: share of edits that the judge accepts.
        reached: share of edits that the labeller accepts.
        by_attribute: `success` of each attribute.
        own: the measures on the method's successes.
        shared: the measures on edits, by seed, attribute and code, in which all methods succeed.
        edits: how many were graded.
        own_edits: how many succeeded.
        shared_edits: in how many all methods succeeded.
    """

    success: Interval
    reached: Interval
    by_attribute: dict[str, Interval]
    own: dict[str, Interval]
    shared: dict[str, Interval]
    edits: int
    own_edits: int
    shared_edits: int


def _place(row: Row) -> tuple[str, str, int]:
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


def summarise(rows: Sequence[Row]) -> dict[str, Summary]:
    """Summarise each method's edits, in the order in which they come."""
    methods: dict[str, list[Row]] = {}
    for row in rows:
        methods.setdefault(str(row["method"]), []).append(row)
    won = {name: {_place(row) for row in part if float(row["success"]) > 0.5} for name, part in methods.items()}
    common = set.intersection(*won.values()) if won else set()
    found = {}
    for name, part in methods.items():
        attributes = list(dict.fromkeys(str(row["attribute"]) for row in part))
        measures = [m for m in MEASURES if m in part[0]]
        own = [row for row in part if float(row["success"]) > 0.5]
        shared = [row for row in part if _place(row) in common]
        found[name] = Summary(
            interval_of(part, "success"),
            interval_of(part, "reached"),
            {a: interval_of([row for row in part if row["attribute"] == a], "success") for a in attributes},
            {m: interval_of(own, m) for m in measures},
            {m: interval_of(shared, m) for m in measures},
            len(part),
            len(own),
            len(shared),
        )
    return found


def difference(rows: Sequence[Row], a: str, b: str, name: str) -> Interval:
    """Return the mean of a column of method `a` minus that of `b`, paired by seed, attribute and code.

    Measures are compared where both succeed, `success` and `reached` everywhere.
    """
    cells: dict[str, dict[tuple[str, str, int], Row]] = {a: {}, b: {}}
    for row in rows:
        if row["method"] in cells and (name in ("success", "reached") or float(row["success"]) > 0.5):
            cells[str(row["method"])][_place(row)] = row
    shared = [place for place in cells[a] if place in cells[b]]
    paired: list[Row] = [
        {"seed": p[0], "code": p[2], "difference": float(cells[a][p][name]) - float(cells[b][p][name])} for p in shared
    ]
    return interval_of(paired, "difference")


def markdown(found: Mapping[str, Summary], facts: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """Write three tables: success by attribute; what else changed on each method's successes; on those that all share.

    Args:
        found: of the methods.
        facts: further columns of the first table by method, such as parameters.
    """
    facts = facts or {}
    first = next(iter(found.values()))
    more = list(dict.fromkeys(key for columns in facts.values() for key in columns))
    head = ["method", "success", "reached", *first.by_attribute, *more]
    rows = [
        [name, cell(s.success, 2), cell(s.reached, 2), *(f"{v.mean:.2f}" for v in s.by_attribute.values())]
        + [facts.get(name, {}).get(key, "") for key in more]
        for name, s in found.items()
    ]
    lines = markdown_table(head, rows)
    for title, part in (("On each method's own successes", "own"), ("On the edits in which all succeed", "shared")):
        rows = [
            [name, str(s.shared_edits if part == "shared" else s.own_edits)]
            + [cell(value, DIGITS[measure]) for measure, value in getattr(s, part).items()]
            for name, s in found.items()
        ]
        lines += [
            "",
            f"{title}:",
            "",
            *markdown_table(["method", "edits", *(f"{m} {ARROWS[m]}" for m in first.own)], rows),
        ]
    return "\n".join(lines) + "\n"


def cell(value: Interval, digits: int) -> str:
    """Write a mean and its interval."""
    if math.isnan(value.mean):
        return "–"
    return f"{value.mean:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"


def write_successes(rows: Sequence[Row], folder: Path, facts: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """Write `successes.csv`, `successes.json` and `table.md`; return the last one's text."""
    found = summarise(rows)
    text = markdown(found, facts)
    with replacing(folder / "successes.csv") as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: v if isinstance(v, str) else f"{v:.6g}" for k, v in row.items()} for row in rows)
    content = {name: asdict(s) | {"facts": dict((facts or {}).get(name, {}))} for name, s in found.items()}
    with replacing(folder / "successes.json") as path:
        path.write_text(json.dumps(content, indent=1) + "\n")
    with replacing(folder / "table.md") as path:
        path.write_text(text)
    return text
