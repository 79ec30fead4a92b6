"""How local edits by Editing in Style are, and how well clusters tell the parts that it edits.

    python benchmarks/editing_in_style.py                              # under ten minutes on one core
    python benchmarks/editing_in_style.py --sat3d runs/sat3d/0/editor  # SAT3D's masks beside it
    python benchmarks/editing_in_style.py --generator toycars64        # wheels, windows and lights of cars

Contributions are found on some codes of an embedded generator at truncation 1, edits graded on pairs of others, three
seeds of them. Locality is the paper's: in-MSE and out-MSE in CIELAB between source and edit, inside and outside the
edited part, here what it has in the source or the reference as the parser sees them; pairs where it has fewer than ten
pixels are left out. Stronger edits change more on both sides, so that each is compared with the global transfer, λ·1,
whose λ gives the same in-MSE (read between measured λ): `out` / `global` below 1 is more local than mixing whole codes.
`random` permutes q among the channels that take part: a mask of the same mass.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Trainer
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.regions import look, measure
from sat3d.data import StyleCodeDataModule
from sat3d.generators import load_generator
from sat3d.generators.batches import PairBatch
from sat3d.methods import EditingInStyle, PartEditor, load_editor
from sat3d.metrics import lab_errors
from sat3d.perception import ParserRegions, RegionSource
from sat3d.shipped import companion


class Subject(NamedTuple):
    """Hold what is edited of a generator's pictures.

    Args:
        generator: its name.
        parts: by what is taken over, the parser's parts that it is made of.
        sat3d: by what is taken over, SAT3D's attributes.
    """

    generator: str
    parts: dict[str, list[str]]
    sat3d: dict[str, list[str]]

    @property
    def parser(self) -> str:
        """Return the name of the generator's parser."""
        return companion(self.generator, "parser") or "toyfaces-parser"

    @property
    def fits(self) -> dict[str, tuple[RegionSource, str]]:
        """Return regions and memberships of the editors that are compared."""
        parser, clusters = RegionSource(parser=self.parser), RegionSource(clusters=12, layer="renderer")
        return {
            "parts, picture": (parser, "picture"),
            "parts, planes": (parser, "planes"),
            "parts, gradients": (parser, "gradients"),
            "clusters, planes": (clusters, "planes"),
            "clusters, gradients": (clusters, "gradients"),
        }


SUBJECTS = {
    "toyfaces64": Subject(
        "toyfaces64",
        {"hair": ["hair"], "mouth": ["mouth"], "hat": ["hat"], "eyes": ["eyes", "glasses"]},
        {
            "hair": ["hair_length", "hair_colour", "hair_curl"],
            "mouth": ["smile", "mouth_open"],
            "hat": ["hat", "hat_colour"],
            "eyes": ["glasses"],
        },
    ),
    "toyanimals64": Subject(
        "toyanimals64",
        {"ears": ["ears"], "eyes": ["eyes"], "mouth": ["mouth"], "collar": ["collar"]},
        {
            "ears": ["ear_shape"],
            "eyes": ["eye_colour", "eyelids"],
            "mouth": ["mouth"],
            "collar": ["collar", "collar_colour"],
        },
    ),
    "toycars64": Subject(
        "toycars64",
        {
            "wheels": ["tyres", "rims"],
            "windows": ["windows"],
            "headlights": ["headlights"],
            "taillights": ["taillights"],
            "grille": ["grille"],
        },
        {
            "wheels": ["wheel_size", "rim_colour"],
            "windows": ["window_tint"],
            "headlights": ["headlight_shape"],
            "taillights": ["taillight_shape"],
            "grille": ["grille"],
        },
    ),
}
BUDGET, RHO, GAIN = 10.0, 0.1, 1.0
GLOBAL = (0.05, 0.1, 0.2, 0.3, 0.4, 0.55, 0.7, 0.85, 1.0)
Edit = Callable[[Tensor, Tensor], Tensor]


def data(subject: Subject, seed: int, count: int) -> StyleCodeDataModule:
    """Return the stream of codes."""
    sizes = {"epoch_size": count, "batch_size": 32, "num_codes": 64}
    return StyleCodeDataModule(subject.generator, batch="codes", seed=seed, truncation=1.0, **sizes)


def fitted(subject: Subject, regions: RegionSource, memberships: Any, count: int) -> PartEditor:
    """Fit an editor."""
    module = EditingInStyle(
        subject.generator,
        regions=regions,
        attributes=subject.parts,
        named_by=None if regions.parser else subject.parser,
        memberships=memberships,
        kinds=("conv", "torgb"),
        query={"budget": BUDGET, "rho": RHO, "gain": GAIN},  # type: ignore[arg-type]
    )
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="cpu", max_epochs=1, logger=False, default_root_dir=folder, limit_val_batches=0, **quiet
        )
        trainer.fit(module, datamodule=data(subject, 100, count))
    return module.editor()


class Pairs:
    """Hold the pairs of a seed, their pictures, and where each part is."""

    def __init__(self, subject: Subject, seed: int, count: int) -> None:
        self.generator, self.parser = load_generator(subject.generator), ParserRegions(subject.parser)
        self.pairs: PairBatch = data(subject, seed, 1).pairs("test", range(count))
        self.before = self.picture(self.pairs.source)
        labels = [self.parser.segment(image) for image in (self.before, self.picture(self.pairs.reference))]
        self.inside = {}
        for part, members in subject.parts.items():
            numbers = torch.tensor([self.parser.names.index(m) for m in members])
            self.inside[part] = (torch.isin(labels[0], numbers) | torch.isin(labels[1], numbers))[:, None].float()

    @torch.no_grad()
    def picture(self, styles: Tensor) -> Tensor:
        """Return pictures of styles, from the pairs' cameras."""
        camera, step = self.pairs.camera, 16
        parts = [slice(i, i + step) for i in range(0, len(styles), step)]
        return torch.cat([self.generator.synthesize(styles[p], camera=camera and camera[p]).image for p in parts])

    def errors(self, edit: Edit, parts: Sequence[str] | None = None) -> dict[str, tuple[float, float]]:
        """Return in-MSE and out-MSE of an edit for each part."""
        after, found = self.picture(edit(self.pairs.source, self.pairs.reference)), {}
        for part in self.inside if parts is None else parts:
            there = self.inside[part].sum((1, 2, 3)) >= 10
            inside, outside = lab_errors(self.before[there], after[there], self.inside[part][there])
            found[part] = (float(inside.mean()), float(outside.mean()))
        return found


def masked(q: Tensor) -> Edit:
    """Return the edit by a mask."""
    return lambda source, reference: source + q * (reference - source)


def permuted(q: Tensor, among: Tensor, seed: int) -> Tensor:
    """Return a mask of the same mass on other channels."""
    places = among.nonzero()[:, 0]
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))
    return q.index_put((places,), q[places][order])


def contestants(
    subject: Subject, editors: Mapping[str, PartEditor], sat3d: Any, seed: int
) -> dict[str, dict[str, Edit]]:
    """Return by name and part the edits that are compared."""
    found: dict[str, dict[str, Edit]] = {}
    for name, editor in editors.items():
        kinds = ("greedy", "simple", "released") if name == "parts, gradients" else ("greedy", "simple")
        for kind in kinds:
            tool = editor.with_query(kind=kind)
            found[f"{name}, {kind}"] = {part: masked(tool.query_of([part])) for part in subject.parts}
    last = editors["parts, gradients"]
    found["random"] = {p: masked(permuted(last.query_of([p]), last.participates, seed)) for p in subject.parts}
    if sat3d is not None:

        def transferred(part: str) -> Edit:
            names = [n for n in subject.sat3d[part] if n in sat3d.attributes]
            return lambda s, r: sat3d.edit(s, names, 1.0, reference=r)

        known = [p for p, names in subject.sat3d.items() if any(n in sat3d.attributes for n in names)]
        found["SAT3D"] = {p: transferred(p) for p in known}
    return found


def locality(
    subject: Subject, seed: int, count: int, editors: Mapping[str, PartEditor], sat3d: Any
) -> list[dict[str, Any]]:
    """Grade every contestant on the pairs of a seed."""
    pairs = Pairs(subject, seed, count)
    curve = {lam: pairs.errors(lambda s, r, lam=lam: torch.lerp(s, r, lam)) for lam in GLOBAL}  # type: ignore[misc]
    rows = []
    for name, edits in contestants(subject, editors, sat3d, seed).items():
        for part, edit in edits.items():
            inside, outside = pairs.errors(edit, [part])[part]
            xs, ys = ([0.0, *(curve[lam][part][i] for lam in GLOBAL)] for i in range(2))
            matched = float(np.interp(inside, xs, ys))
            rows.append({"seed": seed, "name": name, "part": part, "in": inside, "out": outside, "global": matched})
    return rows


def agreement(subject: Subject, seeds: int) -> list[dict[str, Any]]:
    """Return how well clusters tell the parser's parts, by layer and number of clusters."""
    parser = ParserRegions(subject.parser)
    (fit, _), (graded, parts) = (look(subject.generator, parser, *some) for some in (("fit", 32), ("grade", 48)))
    rows = []
    for layer in ("picture", "renderer", "superresolution.block0.conv1"):
        for clusters in (8, 12, 20):
            runs = [measure(layer, clusters, seed, fit, graded, parts, len(parser.names)) for seed in range(seeds)]
            values = {
                "purity": [r.purity for r in runs],
                "matched": [float(r.matched.mean()) for r in runs],
                "merged": [float(r.named.mean()) for r in runs],
            }
            means = {key: float(np.mean(v)) for key, v in values.items()}
            rows.append({"layer": layer, "clusters": clusters, **means})
    return rows


def tables(subject: Subject, agreed: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """Print what was found."""
    print("| layer | clusters | purity | mIoU, one to one | mIoU, merged by name |\n|---|---|---|---|---|")
    for r in agreed:
        print(f"| {r['layer']} | {r['clusters']} | {r['purity']:.3f} | {r['matched']:.3f} | {r['merged']:.3f} |")
    parts, names = list(subject.parts), list(dict.fromkeys(r["name"] for r in rows))
    for title, value in {
        "in-MSE / out-MSE": lambda r: r["in"] / r["out"] if r["out"] else float("nan"),
        "out-MSE / that of the global transfer at equal in-MSE": lambda r: (
            r["out"] / r["global"] if r["global"] else float("nan")
        ),
        "in-MSE, units of 1e-4": lambda r: 1e4 * r["in"],
    }.items():
        print(f"\n{title}\n| edit | {' | '.join(parts)} |\n|---|{'---|' * len(parts)}")
        for name in names:
            cells = []
            for part in parts:
                seen = [value(r) for r in rows if (r["name"], r["part"]) == (name, part)]  # type: ignore[no-untyped-call]
                cells.append(f"{np.mean(seen):.2f} ± {np.std(seen):.2f}" if seen else "")
            print(f"| {name} | {' | '.join(cells)} |")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", choices=sorted(SUBJECTS), default="toyfaces64")
    parser.add_argument("--codes", type=int, default=64, help="of which contributions are found")
    parser.add_argument("--pairs", type=int, default=20, help="graded, for each seed")
    parser.add_argument("--seeds", type=int, default=3, help="of the graded pairs, and of the clustering")
    parser.add_argument("--sat3d", help="folder of an editor of SAT3D, graded too")
    parser.add_argument(
        "--json",
        type=Path,
        help="by default docs/benchmarks/editing-in-style[-GENERATOR].json with --sat3d, runs/benchmarks without",
    )
    options = parser.parse_args(arguments)
    subject = SUBJECTS[options.generator]
    started = time.perf_counter()
    sat3d = load_editor(options.sat3d, load_generator(subject.generator)) if options.sat3d else None
    agreed = agreement(subject, options.seeds)
    print(f"agreement: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    editors = {}
    for name, (regions, memberships) in subject.fits.items():
        regions = regions if regions.parser else replace(regions, codes=32)
        editors[name] = fitted(subject, regions, memberships, options.codes)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    rows = []
    for seed in range(options.seeds):
        rows += locality(subject, seed, options.pairs, editors, sat3d)
        print(f"seed {seed}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    suffix = "" if subject.generator == "toyfaces64" else f"-{subject.generator}"
    folder = Path("docs/benchmarks" if options.sat3d else "runs/benchmarks")  # the published rows have SAT3D's
    file = options.json or folder / f"editing-in-style{suffix}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    settings = {"codes": options.codes, "pairs": options.pairs, "budget": BUDGET, "rho": RHO, "gain": GAIN}
    found = {"settings": settings, "agreement": agreed, "locality": rows}
    file.write_text(json.dumps(found, indent=1) + "\n")
    tables(subject, agreed, rows)


if __name__ == "__main__":
    main()
