"""What the studies of `stylespace.py` measure, kept on disk: importances, a bank of readings, effects, maps, sweeps."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sat3d.data import StyleCodeDataModule
from sat3d.evaluation.channels import channel_effects, log_odds_of, swept_changes, true_logits
from sat3d.generators.batches import CodeBatch
from sat3d.methods.stylespace import GradientMaps
from sat3d.metrics import ColumnMoments, RegionOverlap, dci_scores
from sat3d.metrics.dci import Engine
from sat3d.metrics.locality import ChannelRegions, region_grid
from sat3d.metrics.moments import Moments
from sat3d.perception import load_observer
from sat3d.world import load_world

GENERATOR, JUDGE, LABELLER, PARSER = "toyfaces64", "toyfaces-judge", "toyfaces-labeller", "toyfaces-parser"
CODES, BLOCK = 20_000, 500
MIXED = "w, mixed"


def kept(path: Path, key: object, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Read tensors that were made under this key, or make and keep them."""
    digest = hashlib.sha256(repr(key).encode()).hexdigest()
    if path.is_file():
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("key") == digest:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    made = {name: t.contiguous() for name, t in make().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".part")
    save_file(made, written, {"key": digest})
    written.replace(path)
    return made


def importances(seed: int, space: str, engine: Engine, count: int, folder: Path) -> dict[str, Tensor]:
    """Fit what DCI asks for: `importance` (C, P) of the true attributes and the held-out `accuracy` (P,).

    Args:
        seed: of the codes and of the fits.
        space: `z`, `w`, `s`, or `MIXED`: as many random combinations of w as s has channels.
        engine: of `dci_scores`.
        count: codes.
        folder: where they are kept.
    """
    data = StyleCodeDataModule(GENERATOR, batch="codes", seed=seed, truncation=1.0)

    def make() -> dict[str, Tensor]:
        codes = data.codes("train", range(count))
        logits, names = true_logits(load_world("heads"), codes.z)
        w = codes.ws[:, 0]
        mixing = torch.randn(w.shape[1], codes.styles.shape[1], generator=torch.Generator().manual_seed(seed))
        rows = {"z": codes.z, "w": w, "s": codes.styles, MIXED: w @ mixing}[space]
        scores = dci_scores(rows, logits, names, engine, seed=seed)
        assert scores.attributes == names
        return {"importance": scores.importance, "accuracy": scores.accuracy}

    key = ("dci", data.generator.hash, seed, space, engine, count)
    return kept(folder / f"seed{seed}/dci/{space.replace(', ', '-')}-{engine}-{count}.safetensors", key, make)


class Run:
    """Measure what one seed's studies share.

    Args:
        seed: of the streams of codes and cameras; "train" gives statistics and examples, "val" the pictures of the
            effects and the gradient maps, "test" those of the edits.
        folder: where everything is kept; a stopped run goes on where it was.
        bank: pictures of the train stream that both observers read.
        effects: pictures on which every channel is moved.
        maps: pictures whose gradient maps are taken.
    """

    def __init__(self, seed: int, folder: Path, bank: int = 3000, effects: int = 16, maps: int = 40) -> None:
        self.seed, self.folder, self.sizes = seed, folder / f"seed{seed}", (bank, effects, maps)
        self.data = StyleCodeDataModule(GENERATOR, batch="codes", seed=seed, truncation=1.0)
        self.generator = self.data.generator
        self.space = self.generator.style_space
        self.conv = torch.tensor([y.kind == "conv" for y in self.space.layers for _ in range(y.size)])
        self.judge, self.labeller, self.parser = (load_observer(name) for name in (JUDGE, LABELLER, PARSER))
        self._hashes = (self.generator.hash, self.judge.hash, self.labeller.hash)

    @cached_property
    def codes(self) -> CodeBatch:
        """The first codes of the train stream."""
        return self.data.codes("train", range(CODES))

    @cached_property
    def moments(self) -> Moments:
        """Of every style channel."""
        moments = ColumnMoments(self.space.size)
        moments.update(self.codes.styles)
        return moments.compute()

    @cached_property
    def bank(self) -> dict[str, Tensor]:
        """Log-odds by `judge` and `labeller` of the first pictures of the train stream, (N, P)."""
        with torch.no_grad():
            blocks = [
                kept(
                    self.folder / f"bank/{start:06d}.safetensors",
                    ("bank", self._hashes, start),
                    partial(self._read, start),
                )
                for start in tqdm(range(0, self.sizes[0], BLOCK), desc=f"seed {self.seed}: bank")
            ]
        return {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}

    def _read(self, start: int) -> dict[str, Tensor]:
        codes = self.data.codes("train", range(start, start + BLOCK))
        made: dict[str, list[Tensor]] = {"judge": [], "labeller": []}
        for at in range(0, BLOCK, 16):
            rows = slice(at, at + 16)
            image = self.generator.synthesize(codes.styles[rows], camera=codes.camera[rows]).image
            made["judge"].append(self.judge.log_odds(image))
            made["labeller"].append(self.labeller.log_odds(image))
        return {name: torch.cat(parts) for name, parts in made.items()}

    @cached_property
    def std(self) -> Tensor:
        """Standard deviation of the judge's log-odds over the bank, (P,)."""
        return self.bank["judge"].double().std(0)

    @cached_property
    def effects(self) -> Tensor:
        """Change of the judge's log-odds by one σ of each channel, in σ of the column; by picture, (B, C, P)."""
        codes = self.data.codes("val", range(self.sizes[1]))
        made = []
        for i in tqdm(range(len(codes)), desc=f"seed {self.seed}: effects"):
            key = ("effects", self._hashes[:2], CODES, i)
            make = partial(self._move, codes[i : i + 1])
            made.append(kept(self.folder / f"effects/{i:04d}.safetensors", key, make)["effects"])
        return torch.stack(made).double() / self.std

    def _move(self, code: CodeBatch) -> dict[str, Tensor]:
        step = self.moments.std
        return {"effects": channel_effects(self.generator, self.judge, code.styles, code.camera, step)}

    @cached_property
    def regions(self) -> ChannelRegions:
        """Regions of all channels' gradient maps; those of other kinds than conv meet none."""
        overlap = RegionOverlap(self.space.size, len(self.parser.parts))
        codes, engine = self.data.codes("val", range(self.sizes[2])), GradientMaps(self.generator, 16, self.conv)
        each = ((i, codes.styles[i : i + 1], codes.camera[i : i + 1]) for i in range(len(codes)))
        for i, maps in engine.stream(each, self.folder / "maps", total=len(codes)):
            image = self.generator.synthesize(codes.styles[i : i + 1], camera=codes.camera[i : i + 1]).image
            cells = region_grid(self.parser.segment(image), len(self.parser.parts), 16)
            every = maps.new_zeros(self.space.size, *maps.shape[1:])
            every[self.conv] = maps
            overlap.update(every[None], cells)
        return overlap.compute()

    def without(self, column: str, count: int) -> CodeBatch:
        """Return the first codes of the test stream that the judge says lack an attribute."""
        lacks = self._tests[:, self.judge.columns.index(column)] < 0
        return self.data.codes("test", lacks.nonzero()[:count, 0].tolist())

    @cached_property
    def _tests(self) -> Tensor:
        def make() -> dict[str, Tensor]:
            codes = self.data.codes("test", range(BLOCK))
            return {"judge": log_odds_of(self.generator, self.judge, codes.styles, codes.camera)}

        return kept(self.folder / "tests.safetensors", ("tests", self._hashes[:2], BLOCK), make)["judge"]

    def swept(self, column: str, method: str, move: Tensor, strengths: tuple[float, ...], codes: CodeBatch) -> Tensor:
        """Return how a method's edits change the judge's log-odds, (B, D, P)."""
        moved = hashlib.sha256(move.numpy().tobytes()).hexdigest()
        key = ("sweep", self._hashes[:2], codes.index.tolist(), strengths, moved)

        path = self.folder / f"sweeps/{column}-{method}.safetensors".replace(" ", "-")
        edits = partial(swept_changes, self.generator, self.judge, codes.styles, codes.camera, move, strengths)
        return kept(path, key, lambda: {"change": edits()})["change"]
