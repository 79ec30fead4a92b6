"""Tables of successes: rates and what else changed, on each method's successes and on those that all share."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sat3d.evaluation.bootstrap import Interval
from sat3d.evaluation.rows import Row, interval_of, paired_difference, place_of
from sat3d.evaluation.success.protocol import MEASURES
from sat3d.evaluation.tables import markdown_table
from sat3d.visualization import replacing

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


def summarise(rows: Sequence[Row]) -> dict[str, Summary]:
    """Summarise each method's edits, in the order in which they come."""
    methods: dict[str, list[Row]] = {}
    for row in rows:
        methods.setdefault(str(row["method"]), []).append(row)
    won = {name: {place_of(row) for row in part if float(row["success"]) > 0.5} for name, part in methods.items()}
    common = set.intersection(*won.values()) if won else set()
    found = {}
    for name, part in methods.items():
        attributes = list(dict.fromkeys(str(row["attribute"]) for row in part))
        measures = [m for m in MEASURES if m in part[0]]
        own = [row for row in part if float(row["success"]) > 0.5]
        shared = [row for row in part if place_of(row) in common]
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
    """Return the paired difference of a column, method `a` minus method `b`; see `paired_difference`.

    Measures are compared where both succeed, `success` and `reached` everywhere.
    """
    everywhere = name in ("success", "reached")
    mine, theirs = (
        [row for row in rows if row["method"] == one and (everywhere or float(row["success"]) > 0.5)] for one in (a, b)
    )
    return paired_difference(mine, theirs, name)


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


def write_rows(rows: Sequence[Row], file: Path) -> None:
    """Write a CSV with a row for each edit."""
    with replacing(file) as path, path.open("w", newline="") as out:
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(out, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: v if isinstance(v, str) else f"{v:.6g}" for k, v in row.items()} for row in rows)


def write_successes(rows: Sequence[Row], folder: Path, facts: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """Write `successes.csv`, `successes.json` and `table.md`; return the last one's text."""
    found = summarise(rows)
    text = markdown(found, facts)
    write_rows(rows, folder / "successes.csv")
    content = {name: asdict(s) | {"facts": dict((facts or {}).get(name, {}))} for name, s in found.items()}
    with replacing(folder / "successes.json") as path:
        path.write_text(json.dumps(content, indent=1) + "\n")
    with replacing(folder / "table.md") as path:
        path.write_text(text)
    return text
