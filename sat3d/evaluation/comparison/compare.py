"""A whole comparison: edits, what they cost, tables, pictures, and the page that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import sat3d
from sat3d.evaluation.comparison.figures import write_figures
from sat3d.evaluation.comparison.measures import MEASURES
from sat3d.evaluation.comparison.page import write_report
from sat3d.evaluation.comparison.pictures import MULTIPLES, Album, clip_path, strengths_of, strip_path, task_of
from sat3d.evaluation.comparison.plan import Entry, Plan
from sat3d.evaluation.comparison.results import (
    Kind,
    Standing,
    by_attribute,
    drift_curve,
    frechet_distance,
    kernel_distance,
    markdown_of,
    marks_by_measure,
    ranked,
    rescoring,
    shared_places,
    table_of,
    write_edits,
    write_json,
)
from sat3d.evaluation.comparison.truth import truth_tables
from sat3d.evaluation.comparison.work import Desk, Office
from sat3d.evaluation.roster import device_name, find_run, fit_facts, marks_of, slug, teachers
from sat3d.evaluation.rows import place_of
from sat3d.generators import load_generator
from sat3d.methods import load_editor
from sat3d.visualization import replacing
from sat3d.world import world_of


def compare(
    plan: Plan,
    entries: Sequence[Entry],
    folder: Path,
    *,
    jobs: int = 1,
    device: str = "cpu",
    title: str = "Attribute editing, compared at an equal change",
    command: str = "",
    examples: int = 4,
    clips: Sequence[str] = (),
    strict: bool = True,
    modules: Sequence[str] = (),
) -> str:
    """Compare runs, and write everything into a folder; return the tables.

    Args:
        plan: on what, and by whose eyes.
        entries: the runs; those of one name are seeds of one method.
        folder: for results; what is there of the same plan is not done again.
        jobs: processes of one thread each.
        device: where to compute.
        title: of the report.
        command: that led here.
        examples: codes that are shown.
        clips: attributes that are shown from all sides.
        strict: refuse a judge that taught a method, rather than mark its cells.
        modules: that other processes import first, for editors of classes that are not ours.

    Raises:
        ValueError: for such a judge, or an attribute that an editor does not know.
    """
    hashes = plan.hashes()
    if hashes["judge"] == hashes["labeller"]:
        raise ValueError(f"judge={plan.judge!r} chooses strengths as the labeller, and cannot grade them")
    marks = {e.method: marks_of(e.method, teachers(find_run(e.run).run), hashes, strict) for e in entries}
    _require_known(plan, entries)
    with Office(plan, folder, jobs, device, modules) as office:
        office.all("edits", [(e, a) for e in entries for a in plan.attributes], "Editing")
        if plan.order and len(plan.attributes) > 1:
            office.all("order", [(e,) for e in entries], "Order of edits")
        firsts = list({e.method: e for e in reversed(entries)}.values())[::-1]
        album = Album(tuple(range(min(examples, plan.codes))), plan.attributes, _clips(plan, clips if examples else ()))
        if album.codes:
            office.all("sources", [(album,)], "Sources")
            office.all("pictures", [(e, album) for e in firsts], "Pictures")
        made = office.all("truth", [()], "Truth")[0] if plan.world and plan.truth else None
        costs = [office.desk.facts(entry) for entry in firsts]
        standings = [
            _standing(office.desk, [e for e in entries if e.method == first.method], marks[first.method], cost)
            for first, cost in zip(firsts, costs, strict=True)
        ]
        results = _results(plan, office.desk, standings, album)
        if made is not None:
            outcomes = {s.name: list(s.outcomes.values()) for s in standings}
            results["truth"] = truth_tables(office.desk.protocol, made, ranked(standings), outcomes, plan.attributes)
    results |= {"title": title, "command": command, "device": device_name()}
    write_json(results, folder / "results.json")
    write_edits(ranked(standings), folder / "edits.csv")
    text = markdown_of(results)
    with replacing(folder / "table.md") as path:
        path.write_text(text)
    write_figures(results, folder)
    write_report(folder)
    return text


def _require_known(plan: Plan, entries: Sequence[Entry]) -> None:
    net, labeller = load_generator(plan.generator), _scorer(plan.labeller)
    for entry in entries:
        editor = load_editor(find_run(entry.run).editor, net)
        for name in plan.attributes:
            groups = labeller.slices.get(name)
            if groups is None:
                raise ValueError(f"attributes: {name!r} is not scored; there are {', '.join(labeller.attributes)}")
            columns = labeller.columns[groups[0].start : groups[0].stop]
            targets = [name] if editor.needs_reference or len(columns) == 1 else columns
            if lacking := [t for t in targets if not editor.knows(t)]:
                raise ValueError(f"attributes: {entry.method} cannot edit {', '.join(lacking)}; leave {name!r} out")


def _scorer(name: str) -> Any:
    from sat3d.perception import load_observer

    return load_observer(name)


def _clips(plan: Plan, clips: Sequence[str]) -> tuple[str, ...]:
    if unknown := [name for name in clips if name not in plan.attributes]:
        raise ValueError(f"clips: {', '.join(unknown)} are none of the attributes {', '.join(plan.attributes)}")
    return tuple(clips) if load_generator(plan.generator).is_3d else ()


def _standing(desk: Desk, entries: Sequence[Entry], marks: dict[str, str], costs: dict[str, str]) -> Standing:
    outcomes = {entry.seed: desk.outcome(entry) for entry in entries}
    editor = load_editor(find_run(entries[0].run).editor, load_generator(desk.plan.generator))
    facts = {**fit_facts([find_run(entry.run).run for entry in entries]), **costs}
    if (pool := desk.protocol.pool_features) is not None:
        found = [kernel_distance(outcome.features, pool) for outcome in outcomes.values()]
        mean, spread = (sum(values) / len(found) for values in zip(*found, strict=True))
        facts["KID × 10³"] = f"{1000 * mean:.1f} ± {1000 * spread:.1f}"
        distance = frechet_distance(torch.cat([outcome.features for outcome in outcomes.values()]), pool)
        if distance is not None:
            facts["FID"] = f"{distance:.2f}"
    kind: Kind = "reference" if editor.needs_reference else "value"
    return Standing(entries[0].method, kind, outcomes, marks_by_measure(marks), facts)


def _results(plan: Plan, desk: Desk, standings: Sequence[Standing], album: Album) -> dict[str, Any]:
    rows = ranked(standings)
    places = shared_places(rows)
    shared = {name: [row for row in part if place_of(row) in places] for name, part in rows.items()}
    used = [m for m in MEASURES if any(m.key in row for part in rows.values() for row in part)]
    judge = desk.protocol.eyes.judge
    edits = len(next(iter(rows.values())))
    return {
        "format": 1,
        "generator": plan.generator,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {"sat3d": sat3d.__version__, "torch": torch.__version__, "lightning": version("lightning")},
        "settings": asdict(plan),
        "codes": plan.codes,
        "seeds": list(next(iter(standings)).outcomes),
        "attributes": list(plan.attributes),
        "warnings": _warnings(plan, len(places), edits),
        "measures": [m.told() for m in used],
        "methods": [
            {"name": s.name, "kind": s.kind, "seeds": len(s.outcomes), "marks": dict(s.marks), "facts": dict(s.facts)}
            for s in standings
        ],
        "tables": {
            "shared": {"edits": len(places), "cells": table_of(shared, [m for m in used if m.key != "reached"])},
            "all": {"edits": edits, "cells": table_of(rows, used)},
        },
        "by_attribute": by_attribute(rows, ("reached", "success", "ad_mean"), plan.attributes),
        "curves": {s.name: drift_curve(s) for s in standings},
        "rescoring": {
            "attributes": list(plan.attributes),
            "read": list(judge.attributes),
            "values": {s.name: rescoring(s.outcomes.values(), plan.attributes, judge.slices) for s in standings},
        },
        "pictures": _pictures(desk, standings, album),
        "truth": None,
    }


def _warnings(plan: Plan, shared: int, edits: int) -> list[str]:
    told = []
    if shared < 0.2 * edits:
        told.append(f"Only {shared} of {edits} edits reach what is wanted with every method: see both tables.")
    for role in ("identity", "perceptual", "parser"):
        if getattr(plan, role) is None:
            told.append(f"No {role}: what it tells is left out.")
    if not plan.world:
        known = world_of(load_generator(plan.generator).name) is not None and plan.truncation == 1
        why = "world: true compares with it" if known else "it is known on embedded worlds only"
        told.append(f"The ideal edit is left out: {why}.")
    return told


def _pictures(desk: Desk, standings: Sequence[Standing], album: Album) -> dict[str, Any]:
    protocol, examples = desk.protocol, []
    rows = {s.name: next(iter(s.outcomes.values())).rows for s in standings}
    reached = {
        name: {(str(r["attribute"]), int(float(r["code"]))): float(r["reached"]) > 0.5 for r in part}
        for name, part in rows.items()
    }
    strengths = {name: strengths_of(part) for name, part in rows.items()}
    for row in album.codes:
        code = int(protocol.codes.index[row])
        strips = {}
        for attribute in album.attributes:
            task = task_of(protocol, attribute, row)
            strips[attribute] = {
                "target": f"{attribute}, {'more' if task.direction > 0 else 'less'}" if "/" not in task.target
                else task.target.replace("/", ": "),
                "reference": f"pictures/{code}/{slug(attribute)}/reference.jpg",
                "methods": {
                    s.name: {
                        "strip": strip_path(code, attribute, s.name),
                        "reached": reached[s.name][attribute, code],
                        "strength": strengths[s.name][attribute, code],
                    }
                    for s in standings
                },
            }  # fmt: skip
        examples.append({"code": code, "source": f"pictures/{code}/source.jpg", "strips": strips})
    clips = [
        {
            "method": s.name,
            "attribute": attribute,
            "code": int(protocol.codes.index[album.codes[0]]),
            "file": clip_path(attribute, s.name),
            "still": str(Path(clip_path(attribute, s.name)).with_suffix(".jpg")),
        }
        for attribute in album.clips
        for s in standings
    ]
    side = min(album.side, protocol.before.image.shape[-1])
    return {"strengths": list(MULTIPLES), "examples": examples, "frame": side, "clips": clips}
