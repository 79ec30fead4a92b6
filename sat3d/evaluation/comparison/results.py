"""What a comparison found: tables with paired intervals, curves, re-scoring, as one JSON file, CSV and Markdown."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat3d.evaluation.bootstrap import Interval
from sat3d.evaluation.comparison.measures import MEASURES, Measure
from sat3d.evaluation.comparison.protocol import Outcome
from sat3d.evaluation.rows import Place, Row, interval_of, paired_difference, place_of
from sat3d.evaluation.tables import Estimate, Table, markdown_table
from sat3d.visualization import replacing

CHANGES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
"""Changes of the target, in σ, at which curves are read."""

Kind = Literal["reference", "value"]


@dataclass(frozen=True)
class Standing:
    """Hold what is known of one method of a comparison.

    Args:
        name: of the method.
        kind: whether it looks at a reference, or is told a value.
        outcomes: by seed.
        marks: by measure, why its cells do not count.
        facts: what it costs.
    """

    name: str
    kind: Kind
    outcomes: Mapping[int, Outcome]
    marks: Mapping[str, str]
    facts: Mapping[str, str]

    @property
    def rows(self) -> list[dict[str, float | str]]:
        """All its edits."""
        return [row for outcome in self.outcomes.values() for row in outcome.rows]


def ranked(standings: Sequence[Standing]) -> dict[str, list[dict[str, float | str]]]:
    """Return all rows by method, seeds numbered from 0: the first seed of one is held against the first of another."""
    found = {}
    for one in standings:
        number = {str(seed): str(i) for i, seed in enumerate(one.outcomes)}
        found[one.name] = [{**row, "seed": number[str(row["seed"])]} for row in one.rows]
    return found


def shared_places(rows: Mapping[str, Sequence[Row]]) -> set[Place]:
    """Return the edits in which all methods reach what is wanted."""
    reached = [{place_of(row) for row in part if float(row["reached"]) > 0.5} for part in rows.values()]
    return set.intersection(*reached) if reached else set()


def table_of(rows: Mapping[str, Sequence[Row]], measures: Sequence[Measure]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return cells by method and measure: mean, low, high, best.

    A cell is the best where its method's paired difference from every other method leaves out 0, on the good side.
    """
    cells = {
        name: {m.key: _cell(interval_of(part, m.key)) for m in measures if any(m.key in row for row in part)}
        for name, part in rows.items()
    }
    for measure in measures:
        told = {name: own[measure.key]["mean"] for name, own in cells.items() if measure.key in own}
        known = {name: value for name, value in told.items() if value is not None}
        if measure.better is None or len(known) < 2:
            continue
        sign = -1.0 if measure.better == "lower" else 1.0
        leader = max(known, key=lambda name: sign * known[name])
        gaps = (paired_difference(rows[leader], rows[other], measure.key) for other in known if other != leader)
        cells[leader][measure.key]["best"] = all((gap.low if sign > 0 else -gap.high) > 0 for gap in gaps)
    return cells


def _cell(value: Interval) -> dict[str, Any]:
    if math.isnan(value.mean):
        return {"mean": None, "low": None, "high": None, "best": False}
    return {**value._asdict(), "best": False}


def by_attribute(
    rows: Mapping[str, Sequence[Row]], keys: Iterable[str], attributes: Sequence[str]
) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Return cells by measure, method and attribute."""
    return {
        key: {
            name: {a: _cell(interval_of([row for row in part if row["attribute"] == a], key)) for a in attributes}
            for name, part in rows.items()
        }
        for key in keys
    }


def drift_curve(one: Standing, changes: Sequence[float] = CHANGES) -> dict[str, list[float | None]]:
    """Return how far other attributes have moved where the target has moved by so much, on average, with bands.

    Each code's trials are put in the order of the target's change, and its drift is interpolated linearly between them,
    from (0, 0) on. Codes that no trial moved as far are left out there; `edits` tells how many are left.
    """
    found: dict[str, list[float | None]] = {"change": list(changes), "drift": [], "low": [], "high": [], "edits": []}
    for at in changes:
        rows: list[Row] = []
        for seed, outcome in enumerate(one.outcomes.values()):
            read = drift_at(outcome.moved, outcome.drift, at)
            codes = [row["code"] for row in outcome.rows]
            rows += [{"seed": str(seed), "code": c, "drift": d} for c, d in zip(codes, read.tolist(), strict=True)]
        cell = _cell(interval_of(rows, "drift"))
        for key, value in (("drift", cell["mean"]), ("low", cell["low"]), ("high", cell["high"])):
            found[key].append(value)
        found["edits"].append(sum(not math.isnan(float(row["drift"])) for row in rows))
    return found


def drift_at(moved: Float[Tensor, "n t"], drift: Float[Tensor, "n t"], at: float) -> Float[Tensor, " n"]:
    """Return each code's drift where its target has moved by `at`, NaN where it has not; see `drift_curve`."""
    read = np.full(len(moved), np.nan)
    for i, (x, y) in enumerate(zip(moved.numpy(), drift.numpy(), strict=True)):
        known = np.flatnonzero(x > 0)
        known = known[np.argsort(x[known])]
        if len(known) and x[known[-1]] >= at:
            read[i] = np.interp(at, [0.0, *x[known]], [0.0, *y[known]])
    return torch.from_numpy(read)


def rescoring(
    outcomes: Iterable[Outcome], attributes: Sequence[str], groups: Mapping[str, Sequence[slice]]
) -> list[list[float]]:
    """Return how far every attribute of the judge moves (InterFaceGAN's re-scoring, arXiv 1907.10786, table 2).

    Args:
        outcomes: of all seeds.
        attributes: edited ones, the rows.
        groups: the judge's columns by attribute, the columns.

    Returns:
        mean |change| in σ, over edits and an attribute's columns.
    """
    found = {a: [torch.zeros(0)] for a in attributes}
    for outcome in outcomes:
        for row, change in zip(outcome.rows, outcome.change, strict=True):
            parts = [torch.cat([change[s] for s in slices]).abs().mean() for slices in groups.values()]
            found[str(row["attribute"])].append(torch.stack(parts)[None])
    return [torch.cat(found[a][1:]).mean(0).tolist() if len(found[a]) > 1 else [] for a in attributes]


def kernel_distance(features: Float[Tensor, "n f"], real: Float[Tensor, "m f"], seed: int = 0) -> tuple[float, float]:
    """Return KID (Bińkowski et al. 2018, arXiv 1801.01401) between sets of features: mean and σ over 50 subsets.

    torchmetrics computes it; the network that it would run is left out, as the features are known.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    metric = KernelInceptionDistance(feature=nn.Identity(), subsets=50, subset_size=min(len(features), len(real), 100))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        metric.update(real.cpu(), real=True)
        metric.update(features.cpu(), real=False)
        mean, std = metric.compute()
    return float(mean), float(std)


LEAST = 10_000
"""Pictures from which on the Fréchet distance is told: with fewer it says more about their number."""


def frechet_distance(features: Float[Tensor, "n f"], real: Float[Tensor, "m f"], least: int = LEAST) -> float | None:
    """Return FID (Heusel et al. 2017, arXiv 1706.08500) between sets of features, by torchmetrics; `None` for few."""
    if min(len(features), len(real)) < least:
        return None
    from torchmetrics.image.fid import FrechetInceptionDistance

    known = nn.Identity()
    known.num_features = features.shape[1]  # type: ignore[assignment]  # what torchmetrics asks a network of one's own
    metric = FrechetInceptionDistance(feature=known).set_dtype(torch.float64)
    metric.update(real.cpu().double(), real=True)
    metric.update(features.cpu().double(), real=False)
    return float(metric.compute())


# Files ----------------------------------------------------------------------------------------------------------------


def write_edits(rows: Mapping[str, Sequence[Row]], path: Path) -> None:
    """Write a line for every edit."""
    table = [row for part in rows.values() for row in part]
    head = list(dict.fromkeys(key for row in table for key in row))
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, head, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: v if isinstance(v, str) else f"{v:.6g}" for k, v in row.items()} for row in table)


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write results, rounded to five digits; NaN as null."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def markdown_of(results: Mapping[str, Any]) -> str:
    """Write the tables of a comparison in Markdown."""
    return written(tables_of(results), notes_of(results["methods"]))


def written(tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Write tables, and the notes that their marks refer to, in Markdown."""
    parts = [[f"{table.title}:", "", *markdown_table(table.head, table.rows)] for table in tables]
    return "\n\n".join("\n".join(part) for part in (*parts, notes) if part) + "\n"


def tables_of(results: Mapping[str, Any]) -> list[Table]:
    """Return the two tables of measures, reach by attribute, and what methods cost."""
    tables = []
    titles = {
        "shared": "On the {edits} edits in which all methods reach what is wanted",
        "all": "On all {edits} edits, failures at their strongest",
    }
    methods = results["methods"]
    for name, title in titles.items():
        table = results["tables"][name]
        keys = [m for m in results["measures"] if any(m["key"] in cells for cells in table["cells"].values())]
        if name == "shared":
            keys = [m for m in keys if m["key"] != "reached"]
        rows = [
            [named(method), *(estimate(table["cells"][method["name"]].get(m["key"]), m, method["marks"]) for m in keys)]
            for method in methods
        ]
        tables.append(Table(title.format(**table), ["method", *map(head_of, keys)], rows))
    if reach := results["by_attribute"].get("reached"):
        names = results["attributes"]
        body = [[name, *(f"{own[a]['mean']:.2f}" for a in names)] for name, own in reach.items()]
        tables.append(Table("Reach by attribute", ["method", *names], body))
    facts = list(dict.fromkeys(key for method in methods for key in method["facts"]))
    costs = [[m["name"], *(m["facts"].get(key, "–") for key in facts)] for m in methods]
    return [*tables, Table("What they cost", ["method", *facts], costs)]


def notes_of(methods: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what the marks of methods mean."""
    return [f"† {note}." for note in sorted({note for method in methods for note in method["marks"].values()})]


def named(method: Mapping[str, Any]) -> str:
    """Return a method's name, with what sets it apart."""
    return f"{method['name']} (reference)" if method["kind"] == "reference" else str(method["name"])


def head_of(measure: Mapping[str, Any]) -> str:
    """Return the head of a measure's column."""
    arrow = {"lower": " ↓", "higher": " ↑", None: ""}[measure["better"]]
    return f"{measure['short']}{arrow}" + (f", {measure['unit']}" if measure["unit"] else "")


def estimate(cell: Mapping[str, Any] | None, measure: Mapping[str, Any], marks: Mapping[str, str]) -> Estimate | str:
    """Return a cell of `table_of` in words; a dash where nothing is known."""
    if cell is None or cell["mean"] is None:
        return "–"
    mean, low, high = (f"{cell[key]:.{measure['digits']}f}" for key in ("mean", "low", "high"))
    return Estimate(mean, f"[{low}, {high}]", cell["best"], " †" if measure["key"] in marks else "")


def marks_by_measure(marks: Mapping[str, str]) -> dict[str, str]:
    """Return the marks of a method by measure, from those by observer's role."""
    return {m.key: marks[m.eyes] for m in MEASURES if m.eyes is not None and m.eyes in marks}
