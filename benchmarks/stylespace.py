"""What StyleSpace's discovery is worth on `toyfaces64`, where the truth is known: three studies, each by seed.

    python benchmarks/stylespace.py --study dci                      # 80 minutes of one core, the first time
    python benchmarks/stylespace.py --study truth                    # three quarters of an hour
    python benchmarks/stylespace.py --study dependency               # after truth, half an hour
    python benchmarks/stylespace.py --tables                         # prints what --out holds

`dci`: disentanglement, completeness and informativeness of z, w and s against the world's true attributes. `truth`:
every channel's true effect on what the judge reads, and against it the locally active channels and the channels that
a few examples rank first. `dependency`: Attribute Dependency of edits by channels and of whole codes. What pictures and
fits tell is kept under --cache, so that a stopped run goes on; figures are merged into --out by study and seed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import stylespace_tables as tables
from benchmarks.generators import hardware
from benchmarks.stylespace_runs import MIXED, Run, importances
from sat3d.evaluation.channels import (
    Hits,
    consistent,
    ranking_hits,
    region_agreement,
    shown_in,
    target_first,
    true_logits,
)
from sat3d.folders import cache_folder
from sat3d.methods.stylespace.relevance import attribute_relevance
from sat3d.metrics import MatchedDependency, completeness, disentanglement
from sat3d.world import load_world

WORLD = load_world("heads")
EXAMPLES, DRAWS = (5, 10, 20, 30, 1000), 20
STRONG = 0.05  # σ of a column: an effect that is told apart from weak ones
TARGETS = (  # one class of each editable attribute
    "hair_colour/blond", "hair_length/long", "hair_curl/curly", "glasses/sunglasses", "smile/value",
    "mouth_open/value", "beard/long", "moustache/moustache", "eyebrows/value", "hat/brimmed", "hat_colour/yellow",
    "shirt_colour/red", "background/blue",
)  # fmt: skip
FEW, EDITED = 30, 100
CHANNELS = (2.0, 5.0, 10.0, 20.0, 40.0)
STEPS = {  # strengths: σ of channels, or shares of the way
    tables.ORACLE: CHANNELS,
    "first channel": CHANNELS,
    "first three": CHANNELS,
    "mean direction": (0.25, 0.5, 0.75, 1.0, 1.5),
    "interpolation": (0.2, 0.4, 0.6, 0.8, 1.0),
}


def attribute_of(column: str) -> str:
    """Return the attribute of a column."""
    return column.partition("/")[0]


# DCI ------------------------------------------------------------------------------------------------------------------


def study_dci(seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Measure DCI of each space by each engine, over several sets of columns."""
    names = true_logits(WORLD, torch.zeros(1, WORLD.z_dim))[1]
    editable = torch.tensor([attribute_of(name) in WORLD.editable() for name in names])
    result: dict[str, Any] = {"codes": args.codes}
    for engine in args.engines:
        for space in args.spaces:
            if space == MIXED and engine != "boosting":
                continue
            made = importances(seed, space, engine, args.codes, args.cache)
            weight, accuracy = made["importance"], made["accuracy"]
            rows = result.setdefault(engine, {}).setdefault(space, {})
            rows["all"] = scores_of(weight, accuracy)
            rows["editable"] = scores_of(weight[:, editable], accuracy[editable])
            rows["attributes"] = scores_of(by_attribute(weight, names), accuracy)
    return result


def by_attribute(weight: Tensor, names: tuple[str, ...]) -> Tensor:
    """Average the importances of an attribute's classes, (C, A)."""
    groups = [[i for i, name in enumerate(names) if attribute_of(name) == a] for a in WORLD.names]
    return torch.stack([weight[:, group].mean(1) for group in groups], dim=1)


def scores_of(weight: Tensor, accuracy: Tensor) -> dict[str, float]:
    """Return D, C and I, and how many attributes a channel and channels an attribute have (exp of the entropy)."""

    def breadth(rows: Tensor) -> float:
        total = rows.sum(1)
        entropy = torch.special.entr(rows / total.clamp_min(1e-300)[:, None]).sum(1)
        return float((entropy.exp() * total).sum() / total.sum())

    return {
        "D": disentanglement(weight), "C": completeness(weight), "I": float(accuracy.mean()),
        "attributes": breadth(weight), "channels": breadth(weight.T),
    }  # fmt: skip


# Truth ----------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def study_truth(seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Hold regions and rankings against the channels' true effects."""
    run = Run(seed, args.cache)
    effects, columns = run.effects, run.judge.columns
    effect, known = effects.mean(0), consistent(effects)
    halves = torch.stack([half.mean(0).flatten() for half in effects.chunk(2)])
    return {
        "bank": run.sizes[0], "pictures": len(effects), "maps": run.sizes[2],
        "halves": float(torch.corrcoef(halves)[0, 1]),
        "consistent": {"all": int(known.sum()), "conv": int((known & run.conv).sum())},
        "strongest": dict(zip(columns, effect.abs().amax(0).tolist(), strict=True)),
        "regions": study_regions(run, effects, known),
        "few": study_few(run, effects),
    }  # fmt: skip


def study_regions(run: Run, effects: Tensor, known: Tensor) -> dict[str, Any]:
    """Tell how often a locally active channel's strongest attribute shows in its region."""
    effect = effects.mean(0)
    shows, local = shown_in(run.judge.columns, WORLD.attributes, run.parser.parts), run.regions.local()
    agreement = region_agreement(effect, shows, local, known)
    active = local >= 0
    counts = torch.bincount(local[active], minlength=len(run.parser.parts)).tolist()
    parts = zip(run.parser.parts, counts, agreement.judged.tolist(), agreement.right.tolist(), strict=True)
    strong = known & (effect.abs().amax(1) >= STRONG)
    moved = consistent(effects.transpose(1, 2))
    right = shows[moved][:, local[active]]  # by column and active channel
    best = effect[active][:, moved].abs().argmax(0)
    return {
        "active": int(active.sum()), "unknown": int((active & ~known).sum()),
        "precision": agreement.precision, "chance": agreement.chance,
        "strong": region_agreement(effect, shows, local, strong).precision,
        "strong_channels": int((strong & active).sum()),
        "columns": int(moved.sum()), "best": float(right.gather(1, best[:, None]).double().mean()),
        "best_chance": float(right.double().mean()),
        "parts": {part: {"active": a, "judged": j, "right": r} for part, a, j, r in parts},
    }  # fmt: skip


def study_few(run: Run, effects: Tensor) -> dict[str, Any]:
    """Tell how often the channels that a few examples rank first are among the strongest."""
    logits, names = true_logits(WORLD, run.codes.z)
    place = [run.judge.columns.index(name) for name in names]
    moved = consistent(effects.transpose(1, 2))
    sources = {"labeller": run.bank["labeller"][:, place], "world": logits}
    pools = {"all": torch.ones_like(run.conv), "conv": run.conv, "local": run.regions.local() >= 0}
    rows: dict[str, dict[str, list[dict[str, float]]]] = {}
    chosen = [k for k, column in enumerate(place) if moved[column]]
    for k in chosen:
        effect = effects.mean(0)[:, place[k]]
        ranked = {
            f"{source}, {n}": rankings(run, table[:, k], n) for source, table in sources.items() for n in EXAMPLES
        }
        for (name, ranks), (pool, candidates) in product(ranked.items(), pools.items()):
            groups = rows.setdefault(f"{name}, {pool}", {})
            for measure, among in (("", candidates), (" of all", pools["all"])):
                told = average([ranking_hits(*rank, effect, candidates, among) for rank in ranks])
                for group in ("columns", "editable")[: 1 + (attribute_of(names[k]) in WORLD.editable())]:
                    groups.setdefault(group + measure, []).append(told)
        for pool, candidates in pools.items():
            told = average(ceiling(effects[:, :, place[k]], candidates))
            rows.setdefault(f"other pictures, 8, {pool}", {}).setdefault("columns", []).append(told)
    return {"columns": [names[k] for k in chosen], "rows": {k: mean_rows(groups) for k, groups in rows.items()}}


def ceiling(effects: Tensor, candidates: Tensor) -> list[Hits]:
    """Rank by the effects (B, C) on one half of the pictures and measure on the other: what can be reached at all."""
    one, other = (half.mean(0) for half in effects.chunk(2))
    return [ranking_hits(a.abs(), a.sign(), b, candidates) for a, b in ((one, other), (other, one))]


def rankings(run: Run, logits: Tensor, count: int) -> list[tuple[Tensor, Tensor]]:
    """Rank channels by examples drawn from the clearest 5 %, or by up to 1,000 of all that have the attribute."""
    order = logits.argsort(descending=True)
    bank = order[: round(0.05 * len(order))] if count <= 30 else order
    bank, rng = bank[logits[bank] > 0], torch.Generator().manual_seed(run.seed)
    made = []
    for _ in range(DRAWS):
        chosen = bank[torch.randperm(len(bank), generator=rng)[:count]]
        made.append(attribute_relevance(run.codes.styles[chosen], run.moments.mean, run.moments.std))
        if len(bank) <= count:
            break
    return [(r.theta, r.direction) for r in made]


def average(hits: list[Hits]) -> dict[str, float]:
    """Average draws; the sign over those whose first channel is a hit, NaN if there are none."""
    right = [h.sign for h in hits if h.first]
    return {
        "top1": mean([h.first for h in hits]), "top5": mean([h.five for h in hits]), "sign": mean(right),
        "reach": mean([h.reach for h in hits]), "chance1": hits[0].chance[0], "chance5": hits[0].chance[1],
    }  # fmt: skip


def mean(values: list[float] | list[bool]) -> float:
    """Return the mean, NaN of nothing."""
    return sum(values) / len(values) if values else float("nan")


def mean_rows(groups: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Average each group's columns."""
    return {
        group: {key: mean([row[key] for row in rows if row[key] == row[key]]) for key in rows[0]}
        for group, rows in groups.items()
    }


# Dependency -----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def study_dependency(seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Measure the dependency of edits at equal change of the target, by target and method."""
    run = Run(seed, args.cache)
    result: dict[str, Any] = {}
    for target in TARGETS:
        codes = run.without(target, EDITED)
        columns = target_first(run.judge.columns, target)
        for method, move in moves(run, target, codes.styles).items():
            change = run.swept(target, method, move, STEPS[method], codes)
            metric = MatchedDependency()
            metric.update(change[..., columns].double(), run.std[columns], 0)
            curve = metric.compute()
            moved = change[..., columns[0]].double() / run.std[columns[0]]
            passed = moved >= 1
            first = torch.tensor(STEPS[method])[passed.int().argmax(1)][passed.any(1)]
            result.setdefault(target, {})[method] = {
                "mean": curve.mean, "max": curve.max, "edits": curve.edits, "seen": curve.seen,
                "towards": float(passed.any(1).double().mean()),
                "strength": float(first.median()) if len(first) else float("nan"),
            }  # fmt: skip
        print(f"seed {seed}: {target}", flush=True)
    return {"change": MatchedDependency().points, "targets": result}


def moves(run: Run, target: str, styles: Tensor) -> dict[str, Tensor]:
    """Return what each method adds to styles (B, C) at strength 1."""
    logits = run.bank["labeller"][:, run.labeller.columns.index(target)]
    order, rng = logits.argsort(descending=True), torch.Generator().manual_seed(run.seed)
    bank = order[: round(0.05 * len(order))]
    bank = bank[logits[bank] > 0]
    positives = run.codes.styles[bank[torch.randperm(len(bank), generator=rng)[:FEW]]]
    mean, std = run.moments.mean.float(), run.moments.std.float()
    theta, direction = attribute_relevance(positives, run.moments.mean, run.moments.std)
    first = theta.masked_fill(~run.conv, -1).topk(3).indices
    effect = run.effects.mean(0)[:, run.judge.columns.index(target)].masked_fill(~run.conv, 0)
    best = effect.abs().argmax()

    def only(channels: Tensor, signs: Tensor) -> Tensor:
        return torch.zeros_like(mean).index_copy(0, channels, (std * signs)[channels])

    return {
        tables.ORACLE: only(best[None], effect.sign().float()),
        "first channel": only(first[:1], direction.float()),
        "first three": only(first, direction.float()),
        "mean direction": positives.mean(0) - mean,
        "interpolation": positives[torch.randint(len(positives), (len(styles),), generator=rng)] - styles,
    }


# The door -------------------------------------------------------------------------------------------------------------

STUDIES: dict[str, Callable[[int, argparse.Namespace], dict[str, Any]]] = {
    "dci": study_dci,
    "truth": study_truth,
    "dependency": study_dependency,
}


def merge(path: Path, study: str, seed: int, figures: dict[str, Any]) -> dict[str, Any]:
    """Put a seed's figures of a study into the file, beside those that are there."""
    facts = json.loads(path.read_text()) if path.is_file() else {}
    facts |= {"date": date.today().isoformat(), "hardware": hardware("cpu"), "torch": torch.__version__}
    into(facts, {study: {str(seed): rounded(figures)}})
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".part")
    written.write_text(json.dumps(facts, indent=1).replace("NaN", "null") + "\n")
    written.replace(path)
    return facts


def into(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Put figures beside those that are there, level by level."""
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            into(old[key], value)
        else:
            old[key] = value


def rounded(value: Any) -> Any:
    """Round all numbers to five digits."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def main() -> None:
    """Run studies and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", choices=[*STUDIES], nargs="+", default=[*STUDIES])
    parser.add_argument("--tables", action="store_true", help="measure nothing, print what --out holds")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--codes", type=int, default=25_000, help="of the study dci")
    parser.add_argument("--engines", nargs="+", default=["boosting", "histogram", "linear"], help="of the study dci")
    spaces = ["z", "w", "s", MIXED]
    parser.add_argument("--spaces", nargs="+", choices=spaces, default=spaces, help="of the study dci")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=cache_folder() / "stylespace", help="folder for what is measured")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/stylespace.json"))
    parser.add_argument("--figure", type=Path, help="a picture file for the curves of the study dependency")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for study, seed in () if args.tables else product(args.study, args.seeds):
        merge(args.out, study, seed, STUDIES[study](seed, args))
    facts = json.loads(args.out.read_text())
    for study in args.study:
        if study in facts:
            print(f"\n{tables.TABLES[study](facts[study])}")
    if args.figure and "dependency" in facts:
        tables.draw(facts["dependency"], args.figure)


if __name__ == "__main__":
    main()
