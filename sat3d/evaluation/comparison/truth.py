"""What only a world with known truth can tell: which measures rank edits as the truth does, and what comes along.

A measure is worth something if, of several edits of one code, it likes those best that are best in truth. Three
questions are asked, each code by itself:

- of edits that were made in the world, with the target in place and other attributes moved by known amounts: does a
  measure rank them by how much else has changed?
- of such edits that bring the target part of the way: does a reading rank them by how far?
- of the methods' own edits: does a measure rank them by their likeness to the ideal edit?

What methods' edits carry along is told by `carried.py`.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.functional.regression import spearman_corrcoef

from sat3d.evaluation.bootstrap import Interval
from sat3d.evaluation.comparison.carried import carried_along, ideal_outcome
from sat3d.evaluation.comparison.measures import MEASURES
from sat3d.evaluation.comparison.protocol import MatchedProtocol, Outcome
from sat3d.evaluation.rows import Row, interval_of
from sat3d.evaluation.tasks import Task
from sat3d.methods.sweeps import dependency_columns, tail_of
from sat3d.metrics import attribute_dependency, lab_errors, picture_errors
from sat3d.perception import ClipModel
from sat3d.world import World

LEAKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4)
"""By how much other attributes move along, normal scores: one step for each made-up edit of a code."""

MOVED = 4
"""How many other attributes move with a made-up edit."""

PARTS = (0.2, 0.4, 0.6, 0.8, 1.0)
"""How far made-up edits bring a continuous target."""


def rank_agreement(measured: Float[Tensor, "n k"], truth: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """Return Spearman's rank correlation of each row; NaN where one of the two is constant."""
    found = []
    for a, b in zip(measured.double(), truth.double(), strict=True):
        known = ~(a.isnan() | b.isnan())
        a, b = a[known], b[known]
        constant = len(a) < 3 or bool((a == a[0]).all() or (b == b[0]).all())
        found.append(torch.tensor(torch.nan).double() if constant else spearman_corrcoef(a, b))
    return torch.stack(found)


# Edits made in the world ----------------------------------------------------------------------------------------------


def leaking_edits(
    world: World, z: Float[Tensor, "n z"], task: Task, value: Any, leaks: Sequence[float] = LEAKS
) -> tuple[list[Float[Tensor, "n z"]], Float[Tensor, "n k"]]:
    """Set a target in the world, and move other attributes along by known amounts.

    Each edit moves four of the other attributes, drawn for it, so that edits differ in what leaks, too.

    Args:
        world: knows what codes mean.
        z: of the sources.
        task: whose target is set.
        value: that it gets, see `World.intervene`.
        leaks: sizes of these moves, normal scores, by edit.

    Returns:
        codes of the edits, by leak; and how much else has changed in truth, (N, K): mean over the other attributes of
        the change of a continuous value, or 1 where a class is another one.
    """
    edited = world.intervene(z, task.attribute, value)
    target = world.index(task.attribute)
    rng = np.random.default_rng(zlib.crc32(task.column.encode()))
    others = [k for k in range(world.z_dim) if k != target]
    old = world.values(world.coordinates(z))
    made, drifts = [], []
    scores = _scores(world, edited)
    for leak in leaks:
        direction = torch.zeros(len(z), world.z_dim, dtype=torch.float64)
        for row in direction:
            chosen = rng.choice(others, size=MOVED, replace=False)
            row[chosen] = torch.from_numpy(rng.choice([-1.0, 1.0], size=MOVED))
        code = torch.from_numpy(world.code_map.code((scores + leak * direction).numpy())).float() if leak else edited
        new = world.values(world.coordinates(code))
        gaps = [
            (new[:, k] - old[:, k]).abs() if a.kind == "continuous" else (new[:, k] != old[:, k]).float()
            for k, a in enumerate(world.attributes)
            if k != target
        ]
        made.append(code)
        drifts.append(torch.stack(gaps).mean(0))
    return made, torch.stack(drifts, dim=1)


def _scores(world: World, z: Tensor) -> Tensor:
    return torch.from_numpy(world.code_map.normal(z.double().numpy()))


@torch.no_grad()
def drift_agreement(
    protocol: MatchedProtocol, attributes: Sequence[str], clip: ClipModel | None, count: int
) -> list[dict[str, float | str]]:
    """Ask which measures rank a code's made-up edits by how much else they change.

    Args:
        protocol: shows codes, and has the observers.
        attributes: targets.
        clip: a text-image model that is asked too.
        count: codes.

    Returns:
        rows of code, attribute, measure and rank correlation with the true drift.
    """
    world = protocol.eyes.world
    assert world is not None
    found: list[dict[str, float | str]] = []
    for attribute in attributes:
        for task in protocol.tasks(attribute):
            rows = task.rows[task.rows < count]
            if not len(rows):
                continue
            z = protocol.codes.z[rows].cpu()
            made, drift = leaking_edits(world, z, task, _value(protocol, task, rows))
            told: dict[str, list[Tensor]] = defaultdict(list)
            for code in made:
                for name, values in _dislikes(protocol, clip, task, rows, _picture(protocol, code, rows)).items():
                    told[name].append(values.cpu())
            found += _agreements(protocol, task, rows, told, drift)
    return found


@torch.no_grad()
def progress_agreement(
    protocol: MatchedProtocol, attributes: Sequence[str], clip: ClipModel | None, count: int
) -> list[dict[str, float | str]]:
    """Ask which readings rank a code's made-up edits by how far they bring the target; see `drift_agreement`."""
    world = protocol.eyes.world
    assert world is not None
    found: list[dict[str, float | str]] = []
    continuous = [name for name in attributes if world.attribute(name).kind == "continuous"]
    for attribute in continuous:
        for task in protocol.tasks(attribute):
            rows = task.rows[task.rows < count]
            if not len(rows):
                continue
            z = protocol.codes.z[rows].cpu()
            old = world.values(world.coordinates(z))[:, world.index(attribute)]
            new = _value(protocol, task, rows)
            told: dict[str, list[Tensor]] = defaultdict(list)
            for part in PARTS:
                image = _picture(protocol, world.intervene(z, attribute, old + part * (new - old)), rows)
                for name, values in _likes(protocol, clip, task, rows, image).items():
                    told[name].append(values.cpu())
            found += _agreements(protocol, task, rows, told, torch.tensor(PARTS).expand(len(rows), -1))
    return found


def _value(protocol: MatchedProtocol, task: Task, rows: Tensor) -> Any:
    """Return what the ideal edit sets: a class, or the references' values."""
    _, _, label = task.target.partition("/")
    world = protocol.eyes.world
    assert world is not None
    if label:
        return label
    shown = protocol.pool.z[protocol.references(task)[rows]].cpu()
    return world.values(world.coordinates(shown))[:, world.index(task.attribute)]


def _picture(protocol: MatchedProtocol, z: Tensor, rows: Tensor) -> Tensor:
    net = protocol.generator
    return protocol.look(net.styles(net.map(z.to(protocol.codes.z))), rows).image


def _agreements(
    protocol: MatchedProtocol, task: Task, rows: Tensor, told: Mapping[str, Sequence[Tensor]], truth: Tensor
) -> list[dict[str, float | str]]:
    codes = protocol.codes.index[rows].tolist()
    return [
        {"seed": "0", "attribute": task.attribute, "code": float(code), "measure": name, "agreement": float(value)}
        for name, values in told.items()
        for code, value in zip(codes, rank_agreement(torch.stack(list(values), dim=1), truth), strict=True)
    ]


def _dislikes(
    protocol: MatchedProtocol, clip: ClipModel | None, task: Task, rows: Tensor, image: Tensor
) -> dict[str, Tensor]:
    """Return what should be small in a good edit."""
    eyes, before = protocol.eyes, protocol.before.image[rows]
    tail = tail_of(eyes.judge, task.column)
    columns = dependency_columns(eyes.judge, tail.column)
    change = ((eyes.judge.log_odds(image) - protocol.judged[0][rows]) / protocol.std)[:, columns]
    unit = torch.ones(len(columns), device=change.device)
    errors = picture_errors(image, before)
    found = {
        "attribute dependency, mean": attribute_dependency(change, unit, 0, "mean"),
        "attribute dependency, maximum": attribute_dependency(change, unit, 0, "max"),
        "RMSE": errors.rmse,
        "1 − SSIM": 1 - errors.ssim,
    }
    if eyes.identity is not None:
        found["identity distance"] = 1 - eyes.identity.similarity(before, image)
    if eyes.perceptual is not None:
        found["perceptual distance"] = protocol.eyes.perceived(before, image)
    if eyes.parser is not None and task.attribute in eyes.parts:
        region = protocol.eyes.region(task.attribute, before, image)
        found["change outside the region"] = lab_errors(before, image, region)[1]
    if clip is not None:
        a, b = clip.encode_image(before), clip.encode_image(image)
        found["CLIP distance of the pictures"] = 1 - (a * b).sum(-1)
        assert eyes.world is not None
        found["CLIP, 1 − directional similarity"] = 1 - _directional(clip, eyes.world, task, a, b)
    return found


def _likes(
    protocol: MatchedProtocol, clip: ClipModel | None, task: Task, rows: Tensor, image: Tensor
) -> dict[str, Tensor]:
    """Return what should grow with the target."""
    eyes = protocol.eyes
    found = {}
    for name, scorer in (("judge", eyes.judge), ("labeller", eyes.labeller)):
        tail = tail_of(scorer, task.column)
        found[f"{name}'s log-odds"] = tail.sign * scorer.log_odds(image)[:, tail.column]
    if clip is not None:
        a, b = clip.encode_image(protocol.before.image[rows]), clip.encode_image(image)
        assert eyes.world is not None
        high, _ = _texts(clip, eyes.world, task)
        found["CLIP similarity to the target's text"] = b @ high
        found["CLIP, directional similarity"] = _directional(clip, eyes.world, task, a, b)
    return found


def _texts(clip: ClipModel, world: World, task: Task) -> tuple[Tensor, Tensor]:
    """Return the embedded phrases of the target, and of all that it is not."""
    attribute = world.attribute(task.attribute)
    _, _, label = task.target.partition("/")
    target = label or attribute.classes[1 if task.direction > 0 else 0]
    phrases = {name: f"{world.domain.noun} with {attribute.phrases[name][0]}" for name in attribute.classes}
    own = clip.encode_text([phrases[target]])[0]
    return own, clip.encode_text([p for name, p in phrases.items() if name != target]).mean(0)


def _directional(clip: ClipModel, world: World, task: Task, before: Tensor, after: Tensor) -> Tensor:
    """Return the cosine of the pictures' change and the texts' (StyleGAN-NADA, arXiv 2108.00946, equation 2)."""
    high, low = _texts(clip, world, task)
    return torch.nn.functional.cosine_similarity(after - before, (high - low)[None], dim=-1)


# The methods' own edits -----------------------------------------------------------------------------------------------


def ideal_agreement(rows: Mapping[str, Sequence[Row]], measures: Sequence[str], truth: str = "ideal_psnr") -> list[Row]:
    """Ask which measures rank the methods' edits of a code by their likeness to the ideal edit.

    Args:
        rows: edits by method, seeds numbered alike.
        measures: columns; of each the agreement with `truth` is told as it comes, negative where small is good.
        truth: the column that knows.
    """
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for part in rows.values():
        for row in part:
            groups[str(row["seed"]), str(row["attribute"]), str(row["code"])].append(row)
    found: list[Row] = []
    for (seed, attribute, code), edits in groups.items():
        known = torch.tensor([float(row[truth]) for row in edits])[None]
        for name in measures:
            if all(name in row for row in edits):
                value = rank_agreement(torch.tensor([float(row[name]) for row in edits])[None], known)
                found.append(
                    {"seed": seed, "attribute": attribute, "code": code, "measure": name, "agreement": float(value)}
                )
    return found


def agreement_table(rows: Sequence[Row]) -> dict[str, Interval]:
    """Return the mean agreement of each measure over codes and attributes, with its interval."""
    names = dict.fromkeys(str(row["measure"]) for row in rows)
    return {name: interval_of([row for row in rows if row["measure"] == name], "agreement") for name in names}


def truth_tables(
    protocol: MatchedProtocol,
    made: Mapping[str, Sequence[Row]],
    edits: Mapping[str, Sequence[Row]],
    outcomes: Mapping[str, Sequence[Outcome]],
    attributes: Sequence[str],
) -> list[dict[str, Any]]:
    """Return the answers as tables: title, what they tell, head and rows.

    Args:
        protocol: of the comparison, on the embedded world.
        made: what `drift_agreement` and `progress_agreement` found, as `drift` and `progress`.
        edits: the methods' rows.
        outcomes: the methods' outcomes, by seed.
        attributes: that are edited.
    """
    world = protocol.eyes.world
    assert world is not None
    judged = {m.key: m for m in MEASURES if m.better is not None and not m.key.startswith("ideal")}
    own: list[Row] = []
    for row in ideal_agreement(edits, list(judged)):
        measure = judged[str(row["measure"])]
        sign = 1.0 if measure.better == "higher" else -1.0
        own.append({**row, "measure": measure.title, "agreement": sign * float(row["agreement"])})
    agree = "Spearman's rank correlation within a code, mean over codes and attributes; 1 agrees always."
    tables = [
        _told("Does it see how much else changed?", f"Made-up edits whose true drift is known. {agree}", made["drift"]),
        _told("Does it see how far the target went?", f"Made-up edits, continuous targets. {agree}", made["progress"]),
        _told(
            "Does it like those edits that are like the ideal one?",
            f"All methods' edits of a code, ranked by PSNR to the ideal edit. {agree}",
            own,
        ),
    ]
    contestants = {"ideal edit": [ideal_outcome(protocol, attributes)], **outcomes}
    slopes = {name: carried_along(world, protocol, found) for name, found in contestants.items()}
    about = (
        "Slope of correlated attributes' change on what the population's correlation with the target would give: 1 "
        "follows the population, 0 moves nothing else. Beside it how far uncorrelated ones move for 1 σ of the target."
    )
    head = ["method", "carried along", "95 %", "uncorrelated, σ", "95 %"]
    rows = [[name, *_written(a), *_written(b)] for name, (a, b) in slopes.items()]
    tables.append({"title": "What comes along with correlated attributes?", "about": about, "head": head, "rows": rows})
    return tables


def _told(title: str, about: str, rows: Sequence[Row]) -> dict[str, Any]:
    found = sorted(agreement_table(rows).items(), key=lambda item: -float(np.nan_to_num(item[1].mean, nan=-9)))
    head = ["measure", "agreement", "95 %"]
    return {"title": title, "about": about, "head": head, "rows": [[name, *_written(value)] for name, value in found]}


def _written(value: Interval) -> tuple[str, str]:
    if np.isnan(value.mean):
        return "–", "–"
    return f"{value.mean:.2f}", f"{value.low:.2f} to {value.high:.2f}"
