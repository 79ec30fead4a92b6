"""Comparing transfer methods: gain and drift over strength, read at equal drift, and likeness to the ideal edit."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sat3d.evaluation.baselines import IdealEdit, PictureMaker
from sat3d.evaluation.tables import markdown_table
from sat3d.generators import Generator
from sat3d.generators.batches import PairBatch
from sat3d.methods.grading import grade
from sat3d.metrics import PictureMatch, TransferCurves, TransferScore
from sat3d.perception import Scorer

COPY = "copy"


@dataclass(frozen=True)
class TransferResult:
    """Hold what the judge made of one method.

    Args:
        curves: gain and drift over strength.
        psnr: by ideal (`generator`, `world`): PSNR of the edits at strength 1 to the ideal edit, (A,), decibels.
    """

    curves: TransferCurves
    psnr: Mapping[str, Tensor]


@torch.no_grad()
def compare_transfer(
    methods: Mapping[str, PictureMaker],
    batches: Iterable[PairBatch],
    generator: Generator,
    judge: Scorer,
    attributes: Sequence[str],
    strengths: Sequence[float],
    ideals: Mapping[str, IdealEdit] | None = None,
) -> dict[str, TransferResult]:
    """Grade several methods on the same held-out pairs.

    Args:
        methods: by name, how their edits look. The one named `copy` sets the drift at which gains are read.
        batches: held-out pairs.
        generator: shows sources and references.
        judge: grades, and has not been used for anything else.
        attributes: targets.
        strengths: rising, 1 among them.
        ideals: pictures that edits should look like.
    """
    ideals = ideals or {}
    where = generator.device
    scores = {name: TransferScore(attributes, strengths).to(where) for name in methods}
    matches = {name: {i: [PictureMatch().to(where) for _ in attributes] for i in ideals} for name in methods}
    for pairs in batches:
        for name, picture in methods.items():
            grade(scores[name], pairs, picture, generator, judge)
        if ideals:
            for row, attribute in enumerate(attributes):
                chosen = pairs[_differing(pairs, attribute, generator, judge)]
                if len(chosen) == 0:
                    continue
                wanted = {i: ideal(chosen, attribute, 1.0) for i, ideal in ideals.items()}
                for name, picture in methods.items():
                    edited = picture(chosen, attribute, 1.0)
                    for i, target in wanted.items():
                        matches[name][i][row].update(edited, target)
    return {
        name: TransferResult(score.curves(), {i: _psnr(rows) for i, rows in matches[name].items()})
        for name, score in scores.items()
    }


def _differing(pairs: PairBatch, attribute: str, generator: Generator, judge: Scorer) -> Tensor:
    source, reference = (
        judge(generator.synthesize(styles, camera=pairs.camera).image) for styles in (pairs.source, pairs.reference)
    )
    return (judge.distance(source, reference, attribute) >= TransferScore(()).minimum).nonzero()[:, 0]


def _psnr(rows: Sequence[PictureMatch]) -> Tensor:
    return torch.stack([row.compute().cpu() if row.update_called else torch.tensor(float("nan")) for row in rows])


def curves_csv(results: Mapping[str, TransferResult]) -> str:
    """Write all curves as CSV: method, attribute, strength, gain, drift, pairs."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["method", "attribute", "strength", "gain", "drift", "pairs"])
    for name, result in results.items():
        curves = result.curves
        for a, attribute in enumerate(curves.attributes):
            for d, strength in enumerate(curves.strengths):
                numbers = (f"{float(x[a, d]):.4f}" for x in (curves.gain, curves.drift))
                table.writerow([name, attribute, f"{strength:g}", *numbers, int(curves.pairs[a])])
    return out.getvalue()


def readings(results: Mapping[str, TransferResult], share: float = 0.5) -> list[dict[str, float | str]]:
    """Read every method and attribute at strength 1, and at `share` of the copy's drift.

    Returns:
        Rows with method, attribute (`mean` last), gain, drift, gain_at_drift (NaN without a copy), psnr_*.
    """
    rows: list[dict[str, float | str]] = []
    allowed = results[COPY].curves.at(1.0)[1] * share if COPY in results else None
    for name, result in results.items():
        curves = result.curves
        gain, drift = curves.at(1.0)
        read = torch.full_like(gain, float("nan")) if allowed is None else curves.gain_at_drift(allowed)
        columns = {"gain": gain, "drift": drift, "gain_at_drift": read}
        columns |= {f"psnr_{ideal}": values for ideal, values in result.psnr.items()}
        for a, attribute in enumerate(curves.attributes):
            rows.append({"method": name, "attribute": attribute} | {k: float(v[a]) for k, v in columns.items()})
        rows.append({"method": name, "attribute": "mean"} | {k: float(v.nanmean()) for k, v in columns.items()})
    return rows


def markdown(results: Mapping[str, TransferResult], share: float = 0.5) -> str:
    """Write the readings as two tables: means by method, and gain at equal drift by attribute."""
    rows = readings(results, share)
    means = [row for row in rows if row["attribute"] == "mean"]
    keys = [key for key in means[0] if key not in ("method", "attribute")]
    titles = {"gain_at_drift": f"gain at {share:g} × copy's drift"}
    lines = markdown_table(
        ["method", *(titles.get(key, key.replace("_", " to ideal of ")) for key in keys)],
        [[str(row["method"]), *(f"{float(row[key]):.3f}" for key in keys)] for row in means],
    )
    attributes = next(iter(results.values())).curves.attributes
    cells = {(row["method"], row["attribute"]): row for row in rows}
    lines += ["", f"Gain / drift at strength 1, and gain at {share:g} × copy's drift, by attribute:", ""]
    lines += markdown_table(
        ["attribute", *results],
        [[a, *(_cell(cells[m, a]) for m in results)] for a in attributes],
    )
    return "\n".join(lines) + "\n"


def _cell(row: Mapping[str, float | str]) -> str:
    gain, drift, read = (f"{float(row[key]):.2f}" for key in ("gain", "drift", "gain_at_drift"))
    return f"{gain} / {drift}, {read}"


def write_results(results: Mapping[str, TransferResult], folder: Path, share: float = 0.5) -> None:
    """Write `curves.csv`, `readings.csv` and `table.md`."""
    rows = readings(results, share)
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: v if isinstance(v, str) else round(v, 4) for k, v in row.items()} for row in rows)
    folder.mkdir(parents=True, exist_ok=True)
    files = {"curves.csv": curves_csv(results), "readings.csv": table.getvalue(), "table.md": markdown(results, share)}
    for name, text in files.items():
        partial = folder / f".{name}"
        partial.write_text(text)
        partial.replace(folder / name)
