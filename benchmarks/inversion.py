"""What an inversion is worth: 200 pictures of the world that no training saw, inverted in every way, and edited.

    python benchmarks/inversion.py --out docs/benchmarks/inversion.json            # make bench-inversion; an hour
    python benchmarks/inversion.py --seconds --out docs/benchmarks/inversion.json  # adds seconds, of 8 pictures

Codes that were found are kept in `--folder`, so that a run that was stopped goes on. Losses see the labeller's
activations and pixels; everything is graded by the judge's activations and log-odds, and by the identity embedder,
which no loss sees. Editability: a fixed editor of S (`experiments/toyfaces/interfacegan-s.yaml` on 2,000 codes)
changes each code as strongly as it takes to make the labeller see the target; what the judge then sees of other
attributes is the drift. KID compares the edited pictures with others of the world.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sat3d.cli import main as door
from sat3d.data import StyleCodeDataModule
from sat3d.evaluation.comparison.eyes import Eyes, Sight
from sat3d.evaluation.comparison.protocol import MatchedProtocol, Rules
from sat3d.evaluation.comparison.results import kernel_distance
from sat3d.evaluation.contestants import Contestant
from sat3d.generators import Generator, load_generator
from sat3d.generators.batches import CodeBatch
from sat3d.inversion import (
    InversionOptions,
    Inverter,
    PictureCodes,
    Recipe,
    TuningOptions,
    load_codes,
    load_encoder,
    tune,
    view_angle,
    with_tuning,
)
from sat3d.methods import load_editor
from sat3d.metrics import feature_distance
from sat3d.metrics.pictures import picture_errors
from sat3d.ops.camera import Camera
from sat3d.perception import load_observer, load_perceptual
from sat3d.world import load_world

GENERATOR = "toyfaces64"
SEED = 90_210  # of the pictures: no training has it
BATCH = 20
FROM_MEAN, FEW = 60, 20


@dataclass(frozen=True)
class Way:
    """Name a way to invert.

    Args:
        recipe: of `sat3d invert`.
        pivot: name of the way whose codes are tuned, for pivotal tuning.
    """

    recipe: Recipe
    pivot: str | None = None


def recipe(space: str, steps: int, encoder: str) -> Recipe:
    return Recipe(InversionOptions(space=space, steps=steps), encoder)  # type: ignore[arg-type]


ENCODER = f"{GENERATOR}-encoder"
WAYS = {
    "w": Way(recipe("w", FROM_MEAN, "none")),
    "w+": Way(recipe("w+", FROM_MEAN, "none")),
    "s": Way(recipe("s", FROM_MEAN, "none")),
    "encoder": Way(recipe("w", 0, ENCODER)),
    "encoder, w": Way(recipe("w", FEW, ENCODER)),
    "encoder, w+": Way(recipe("w+", FEW, ENCODER)),
    "encoder, s": Way(recipe("s", FEW, ENCODER)),
    "encoder, w, tuned": Way(
        replace(recipe("w", FEW, ENCODER), tuning=TuningOptions(steps=25, locality=0.0)), "encoder, w"
    ),
}


@dataclass(frozen=True)
class Pictures:
    """Hold pictures of the world, (N, 3, 64, 64) in [-1, 1], their codes z and cameras."""

    rgb: Tensor
    z: Tensor
    camera: Camera


def world_pictures(count: int, seed: int, side: int) -> Pictures:
    """Render pictures of the world."""
    world = load_world("heads")
    z, camera = world.sample(seed, range(count))
    return Pictures(world.render(world.coordinates(z), camera, side).rgb, z, camera)


class Inversions:
    """Invert pictures in all ways, and keep what is found."""

    def __init__(self, net: Generator, pictures: Pictures, folder: Path) -> None:
        self.net, self.pictures, self.folder = net, pictures, folder
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, name: str, way: Way) -> list[PictureCodes]:
        """Return the codes of all pictures, one by one; made where they are missing."""
        net, found, count = self.net, [], len(self.pictures.rgb)
        encoder = None if way.recipe.encoder == "none" else load_encoder(way.recipe.encoder, net)
        invert = None if way.pivot else Inverter(net, way.recipe.options, encoder)
        pivots = self(way.pivot, WAYS[way.pivot]) if way.pivot else []
        for start in tqdm(range(0, count, BATCH), desc=name):
            paths = [self.folder / name / f"{k}.safetensors" for k in range(start, min(start + BATCH, count))]
            if not all(path.is_file() for path in paths):
                rgb = self.pictures.rgb[start : start + BATCH]
                if invert is not None:
                    together = invert(rgb)
                    codes = [together[k : k + 1] for k in range(len(rgb))]
                else:
                    assert way.recipe.tuning is not None
                    codes = [tune(net, pivots[start + k], rgb[k : k + 1], way.recipe.tuning) for k in range(len(rgb))]
                paths[0].parent.mkdir(exist_ok=True)
                for path, code in zip(paths, codes, strict=True):
                    code.save(path, net)
            found += [load_codes(path, net) for path in paths]
        return found


def together(codes: list[PictureCodes]) -> PictureCodes:
    """Join codes of single pictures."""
    cameras = [code.camera for code in codes if code.camera is not None]
    return PictureCodes(torch.cat([c.ws for c in codes]), torch.cat([c.styles for c in codes]), Camera.cat(cameras))


@torch.no_grad()
def reconstruction(nets: list[Generator], codes: PictureCodes, pictures: Pictures) -> dict[str, float]:
    """Grade what codes draw against the pictures, and their cameras against the true ones."""
    judge, identity = load_perceptual("toyfaces-judge"), load_observer("toyfaces-identity")
    drawn = torch.cat([nets[k].synthesize(codes.styles[k : k + 1], codes.camera[k : k + 1]).image  # type: ignore[index]
                       for k in range(len(codes))])  # fmt: skip
    errors = picture_errors(drawn, pictures.rgb)
    seen = feature_distance(judge.activations(drawn), judge.activations(pictures.rgb), judge.layer_weights)
    alike = identity.similarity(drawn, pictures.rgb)  # type: ignore[operator]
    assert codes.camera is not None
    angle = view_angle(codes.camera, pictures.camera)
    told = {"psnr": errors.psnr, "ssim": errors.ssim, "perceptual": seen, "identity": alike, "pose_degrees": angle}
    return {
        **{name: float(value.mean()) for name, value in told.items()},
        "pose_degrees_median": float(angle.median()),
        "pose_above_5_degrees": float((angle > 5).float().mean()),
    }


class OwnGenerators(MatchedProtocol):
    """The protocol of `sat3d compare`, each code drawn by a generator of its own."""

    def __init__(self, nets: list[Generator], generator: Generator, codes: CodeBatch, *rest: Any) -> None:
        self.nets = nets
        super().__init__(generator, codes, *rest)

    def look(self, styles: Tensor, rows: Tensor, other: bool = False) -> Sight:
        """Return pictures of styles from the cameras of some rows, by their generators."""
        assert self.codes.camera is not None
        pairs = zip(styles.split(1), rows.tolist(), strict=True)
        images = [self.nets[row].synthesize(s, self.codes.camera[row]).image for s, row in pairs]
        return Sight(torch.cat(images), None)


def editability(
    nets: list[Generator], net: Generator, codes: PictureCodes, editor: Any, attributes: list[str], real: Tensor
) -> dict[str, float]:
    """Edit codes at an equal change of the target, and tell what else changes and how real the edits look."""
    data = StyleCodeDataModule(GENERATOR, truncation=1.0, yaw=None, pitch=None)
    batch = CodeBatch(
        torch.arange(len(codes)), torch.zeros(len(codes), net.z_dim), codes.ws, codes.styles, codes.camera
    )
    eyes = Eyes(*(load_observer(f"toyfaces-{who}") for who in ("labeller", "judge")),  # type: ignore[arg-type]
                identity=load_observer("toyfaces-identity"), perceptual=load_perceptual("toyfaces-judge"))  # fmt: skip
    protocol = OwnGenerators(nets, net, batch, data.codes("test", range(60)), eyes, None, Rules(trials=4))
    rows: list[dict[str, Any]] = []
    features = []
    for attribute in attributes:
        outcome = protocol.compare(Contestant("fixed", "0", editor), attribute)
        rows += outcome.rows
        features.append(outcome.features)
    kid, spread = kernel_distance(torch.cat(features), real)
    mean = {
        key: statistics.fmean(float(row[key]) for row in rows) for key in ("ad_mean", "identity", "success", "reached")
    }
    return {"drift": mean["ad_mean"], "identity_moved": mean["identity"], "success": mean["success"],
            "reached": mean["reached"], "kid": kid, "kid_spread": spread}  # fmt: skip


def fixed_editor(folder: Path, net: Generator) -> Any:
    """Fit the editor that all codes are edited by, once."""
    if not (folder / "editor").is_dir():
        words = [
            "--data.init_args.source.init_args.count=2000",
            "--data.init_args.val=100",
            "--data.init_args.test=100",
        ]
        words += ["--model.init_args.ratio=0.1", "--trainer.callbacks=[]", "--run.dir", str(folder)]
        door(["fit", "--config", "experiments/toyfaces/interfacegan-s.yaml", *words])
    return load_editor(folder / "editor", net)


def study(args: argparse.Namespace, known: dict[str, Any]) -> dict[str, Any]:
    """Invert and grade."""
    net = load_generator(GENERATOR)
    pictures = world_pictures(args.count, SEED, net.resolution)
    judge = load_perceptual("toyfaces-judge")
    with torch.no_grad():
        real = judge.activations(world_pictures(500, SEED + 1, net.resolution).rgb)[-1].mean((2, 3))
    editor = fixed_editor(args.folder / "editor", net)
    invert, rows = Inversions(net, pictures, args.folder), dict(known)
    ws = net.map(pictures.z)
    true = [PictureCodes(ws[k : k + 1], net.styles(ws[k : k + 1]), pictures.camera[k]) for k in range(args.count)]
    for name in ["true code", *WAYS]:
        if args.ways and name not in args.ways:
            continue
        codes = true if name == "true code" else invert(name, WAYS[name])
        nets, joined = [with_tuning(net, code.tuned) for code in codes], together(codes)
        found = reconstruction(nets, joined, pictures)
        found |= editability(nets, net, joined, editor, args.attributes, real)
        rows[name] = {**rows.get(name, {}), **{key: float(f"{value:.5g}") for key, value in found.items()}}
        print(f"{name:18} " + "  ".join(f"{key} {value:.4g}" for key, value in found.items()), flush=True)
    return rows


def seconds(known: dict[str, Any]) -> dict[str, Any]:
    """Add what each way takes, in seconds a picture, in a batch of 8."""
    net = load_generator(GENERATOR)
    pictures, rows = world_pictures(8, SEED, net.resolution), dict(known)
    for name, way in WAYS.items():
        encoder = None if way.recipe.encoder == "none" else load_encoder(way.recipe.encoder, net)
        invert = Inverter(net, way.recipe.options, encoder)
        codes = invert(pictures.rgb)
        took = float(codes.card["seconds"])
        if way.recipe.tuning is not None:
            started = time.perf_counter()
            for k in range(2):
                tune(net, codes[k : k + 1], pictures.rgb[k : k + 1], way.recipe.tuning)
            took += (time.perf_counter() - started) / 2
        rows[name] = {**rows.get(name, {}), "seconds": float(f"{took:.3g}")}
        print(f"{name:18} {took:.2f} s a picture", flush=True)
    return rows


def main() -> None:
    """Run, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--ways", nargs="*", help="only these")
    parser.add_argument("--attributes", nargs="*", default=["glasses", "smile"])
    parser.add_argument("--folder", type=Path, default=Path("runs/inversion-study"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", action="store_true", help="measure seconds only")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    from benchmarks.generators import hardware

    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    known = json.loads(args.out.read_text())["ways"] if args.out and args.out.is_file() else {}
    rows = seconds(known) if args.seconds else study(args, known)
    if args.out:
        about = {"date": date.today().isoformat(), "hardware": hardware("cpu"), "threads": args.threads}
        order = {name: rows[name] for name in ["true code", *WAYS] if name in rows}
        args.out.write_text(json.dumps({**about, "pictures": args.count, "ways": order}, indent=1) + "\n")


if __name__ == "__main__":
    main()
