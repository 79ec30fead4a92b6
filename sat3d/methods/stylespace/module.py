"""StyleSpace's channel discovery as a LightningModule."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sat3d.generators import load_generator
from sat3d.generators.batches import CodeBatch
from sat3d.methods.graded import GradedDiscovery
from sat3d.methods.shares import among, spread
from sat3d.methods.stylespace.editor import ChannelEditor
from sat3d.methods.stylespace.jacobian import GradientMaps
from sat3d.methods.stylespace.positives import Examples, Likeness, seeded_styles, stored_styles
from sat3d.methods.stylespace.relevance import attribute_relevance
from sat3d.methods.stylespace.table import ChannelTable
from sat3d.metrics import (
    ColumnMoments,
    Moments,
    RegionOverlap,
    TopRows,
    locally_active,
    region_grid,
)
from sat3d.perception import RegionSource, load_clip
from sat3d.perception.scorers import training_scorer


class StyleSpaceDiscovery(GradedDiscovery):
    """Find the style channels that act on one region, and those that belong to an attribute, in one pass.

    Wu, Lischinski & Shechtman 2021, arXiv 2011.12799: the channels' population (mean, σ, extremes); gradient maps on a
    grid, their overlap with semantic regions and the locally active channels (§4); the relevance θ of channels to
    attributes from a few positive examples (§5). Each is measured on its own share of the streamed codes, spread evenly
    over the epoch: all of them, `scored` and `pictures` of them.

    Leaves an editor of channels, `channels.csv` (and `.parquet`), and what `ChannelFigures` draws.

    Args:
        generator: name or file for `load_generator`.
        regions: where semantic regions come from; `null` leaves gradient maps out.
        grid: side G of the pooled picture of gradient maps; the paper's is 32.
        pictures: codes whose gradient maps are computed; the paper takes 1,000.
        kinds: kinds of style channels that take part, of `conv` and `torgb`; the paper leaves toRGB channels out.
        mapped: kinds of these that get gradient maps, and with them a region; the others take part in relevance only.
        parts: parts of the generator that take part, of `backbone` and `superresolution`.
        minimum: locally active: a region wins the channel in more than this share of its pictures,
        gap: and the second region in less by more than this.
        clip: text-image model that scores positives (with `descriptors`).
        clip_pretrained: its weights, where open_clip offers several.
        descriptors: descriptor groups, a bundled name or a YAML file.
        scorer: an attribute predictor that takes the place of CLIP with descriptors; `clip` beside it compares example
            pictures. Not the judge.
        attributes: a line each: a column of the scorer, such as `hat/cap`, `smile` or `blond hair`; with a minus before
            it, its low end; `null` takes all columns.
        scored: codes whose pictures are scored; the paper's bank is larger.
        positives: codes that score highest, from which θ is taken, for each attribute; the paper finds 10 to 30 enough.
        examples: attributes that nobody scores, by name; see `Examples`.
        local: keep to locally active channels where there are any.
        top: channels that the editor moves for an attribute.
        ranked: channels that the editor remembers for an attribute, so that `with_top` can take more.
        labeller: attribute predictor behind `val/*`.
        judge: attribute predictor behind `test/*`; it is not loaded before.
        graded_as: what labeller and judge call an attribute, where that differs.
        strengths: of the graded edits, in σ of the channel, rising from above 0.
        graded_codes: unedited pictures from which the σ of the graders' log-odds is taken.
        render_batch: pictures that are made at a time.
        neural_resolution: 3-D only: side of the ray-marched picture that is scored and mapped, pixels; grading takes
            the generator's own.
        max_bytes: working memory of gradient maps, see `GradientMaps`.
        maps_folder: keeps every picture's gradient maps, for another run with other regions or thresholds; large.
        seed: of feature clusters.

    Raises:
        ValueError: for settings that exclude each other, and unknown columns.

    Example:
        >>> module = StyleSpaceDiscovery("toyfaces64", regions=RegionSource(parser="toyfaces-parser"), grid=16)
        >>> Trainer(max_epochs=1).fit(module, datamodule=StyleCodeDataModule("toyfaces64", batch="codes"))
        >>> module.table.strongest("hair", 5), module.editor().edit(s, "backbone.synthesis.b8.conv1/8", 10.0)
    """

    population: Tensor
    rate: Tensor
    theta: Tensor
    direction: Tensor

    def __init__(
        self,
        generator: str,
        *,
        regions: RegionSource | None = None,
        grid: int = 32,
        pictures: int = 100,
        kinds: tuple[str, ...] = ("conv",),
        mapped: tuple[str, ...] = ("conv",),
        parts: tuple[str, ...] = ("backbone", "superresolution"),
        minimum: float = 0.5,
        gap: float = 0.25,
        clip: str | None = None,
        clip_pretrained: str | None = None,
        descriptors: str | None = None,
        scorer: str | None = None,
        attributes: list[str] | None = None,
        scored: int = 2000,
        positives: int = 30,
        examples: dict[str, Examples] | None = None,
        local: bool = True,
        top: int = 1,
        ranked: int = 10,
        labeller: str | None = None,
        judge: str | None = None,
        graded_as: dict[str, str] | None = None,
        strengths: tuple[float, ...] = (2.0, 5.0, 10.0, 20.0, 40.0),
        graded_codes: int = 200,
        render_batch: int = 16,
        neural_resolution: int | None = None,
        max_bytes: int = 2**28,
        maps_folder: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        regions = RegionSource.of(regions) if isinstance(regions, Mapping) else regions
        examples = {k: Examples(**e) if isinstance(e, Mapping) else e for k, e in (examples or {}).items()}
        settings = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        plain = {  # plain data only: a checkpoint must load with weights_only=True
            "regions": None if regions is None else asdict(regions),
            "examples": {name: asdict(e) for name, e in examples.items()},
        }
        self.save_hyperparameters({**settings, **plain})
        if not 1 <= top <= ranked:
            raise ValueError(f"top={top} must be between 1 and ranked={ranked}")
        if positives < 2 or scored < positives:
            raise ValueError(f"positives={positives} must be at least 2, and at most scored={scored}")
        if not strengths or sorted({0.0, *strengths}) != [0.0, *strengths]:
            raise ValueError(f"strengths={list(strengths)} must rise from above 0")
        if graded_codes < 2:
            raise ValueError(f"graded_codes={graded_codes} must be at least 2: they tell a standard deviation")
        self.generator = load_generator(generator)
        space = self.generator.style_space
        self.channels = space.mask(kinds, parts).nonzero()[:, 0]
        if len(self.channels) == 0:
            raise ValueError(f"kinds={list(kinds)}, parts={list(parts)}: this generator has no such channels")
        self.mapped = space.mask(mapped, parts)[self.channels]
        if regions is not None and not bool(self.mapped.any()):
            raise ValueError(f"mapped={list(mapped)}: none of the channels of kinds={list(kinds)} would get a region")
        self.regions = None if regions is None else regions.build()
        folders = {name: e.pictures for name, e in examples.items() if e.pictures}
        wanted, text_image = None, None
        if clip and folders and not descriptors:
            text_image = load_clip(clip, clip_pretrained)
        if scorer or descriptors or (clip and not folders):
            named = (clip, clip_pretrained) if text_image is None else (None, None)
            wanted = training_scorer(*named, descriptors, None, scorer)
        self.likeness = Likeness(wanted, attributes, text_image, folders)
        self.examples = {name: e for name, e in examples.items() if not e.pictures}
        self.attributes = (*self.likeness.names, *self.examples)
        if twice := sorted({name for name in self.attributes if self.attributes.count(name) > 1}):
            raise ValueError(f"attributes, examples: {twice} are named twice")
        if unknown := sorted({*(graded_as or {})} - {*self.attributes}):
            raise ValueError(f"graded_as: {unknown} are no attributes; those are {', '.join(self.attributes)}")
        names = () if self.regions is None else self.regions.names
        self.region_names = tuple(names)
        self.moments = ColumnMoments(space.size)
        self.overlap = RegionOverlap(int(self.mapped.sum()), len(names))
        self.ranking = TopRows(len(self.likeness.names), positives)
        u, k, a = len(self.channels), len(names), len(self.attributes)
        self.register_buffer("population", torch.zeros(4, space.size, dtype=torch.float64))
        self.register_buffer("rate", torch.zeros(u, k, dtype=torch.float64))
        self.register_buffer("theta", torch.zeros(a, u, dtype=torch.float64))
        self.register_buffer("direction", torch.zeros(a, u))
        self._engine: GradientMaps | None = None
        self._pace = float("nan")

    # Collecting -------------------------------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Fit what regions need, and learn what example pictures have in common; every device does the same.

        Raises:
            ValueError: for too few codes or examples.
        """
        hp, total = self.hparams, self._data().epoch_size
        if self.likeness.names and total < hp["positives"]:
            raise ValueError(f"positives={hp['positives']}: the epoch has only epoch_size={total} codes")
        for name, examples in self.examples.items():  # now, and not after the epoch
            if (count := len(self._given(examples))) < 2:
                raise ValueError(f"examples: {name} needs two at least, not {count}")
        mask = torch.zeros(self.generator.style_space.size, dtype=torch.bool)
        mask[self.channels[self.mapped]] = True
        if self.regions is not None:
            options: dict[str, Any] = {"neural_resolution": hp["neural_resolution"], "max_bytes": hp["max_bytes"]}
            self._engine = GradientMaps(self.generator, hp["grid"], mask, **options)
            self.find_regions()
        if self.likeness.folders and self.likeness.directions is None:
            codes = self._data().probe(64, self.device)
            self.likeness.compare(torch.cat([self._render(part).image for part in self._split(codes)]))

    def collect(self, batch: CodeBatch) -> None:
        """Add codes: all to the population, some to the ranking of positives, some to the gradient maps."""
        hp, total = self.hparams, self._data().epoch_size
        self.moments.update(batch.styles)
        if self.likeness.names:
            scored = batch[among(batch.index, spread(hp["scored"], total), total)]
            for part in self._split(scored):
                self.ranking.update(self.likeness(self._render(part).image), part.index)
        if self.regions is not None:
            pictured = batch[among(batch.index, spread(hp["pictures"], total), total)]
            started = time.perf_counter()
            self._map(pictured)
            if len(pictured):
                self._pace = (time.perf_counter() - started) / len(pictured)
            self.log("train/seconds_per_map", self._pace)  # in every step: Lightning repeats what is logged in some

    def basis(self) -> dict[str, Any]:
        """Return what rates and relevance are of."""
        hp = self.hparams
        return {
            "generator": self.generator.hash,
            "attributes": list(self.attributes),
            "regions": list(self.region_names),
            **{key: list(hp[key]) for key in ("kinds", "mapped", "parts")},
            **{key: hp[key] for key in ("grid", "positives")},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what pictures are compared by, too."""
        state = {key: value for key, value in checkpoint["state_dict"].items() if key == "likeness.directions"}
        super().on_save_checkpoint(checkpoint)
        checkpoint["state_dict"] |= state

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Make room for what pictures are compared by."""
        super().on_load_checkpoint(checkpoint)
        if (directions := checkpoint["state_dict"].get("likeness.directions")) is not None:
            self.likeness.directions = torch.empty_like(directions, device=self.device)

    def _map(self, codes: CodeBatch) -> None:
        assert self.regions is not None and self._engine is not None
        singles = [(int(codes.index[i]), codes[i : i + 1]) for i in range(len(codes))]
        stream = ((number, one.styles, one.camera) for number, one in singles)
        folder = self.hparams["maps_folder"]
        for (_, one), (_, maps) in zip(singles, self._engine.stream(stream, folder, quiet=True), strict=True):
            out = self._render(one, self.regions.features)
            labels = self.regions.segment(out.image, out.features)
            k = len(self.region_names)
            cells = region_grid(torch.where(labels < 0, k, labels), k + 1, self.hparams["grid"])[:, :k]
            self.overlap.update(maps[None].to(cells.device), cells)

    # Solving ----------------------------------------------------------------------------------------------------------

    def solve(self) -> None:
        """Turn the statistics into rates and relevance."""
        moments = self.moments.compute()
        self.population.copy_(torch.stack([moments.mean, moments.std, moments.minimum, moments.maximum]))
        if self.regions is not None:
            self.rate.fill_(torch.nan)
            self.rate[self.mapped] = self.overlap.compute().rate
        ranked = self.ranking.compute().rows.sort(dim=1).values  # sorted, so that equal sets give equal numbers
        positives = [self._styles(row[row >= 0]) for row in ranked]
        positives += [self._given(examples) for examples in self.examples.values()]
        for a, styles in enumerate(positives):
            if len(styles) < 2:
                name, count = self.attributes[a], len(styles)
                raise ValueError(f"scored: {name} has {count} scored codes by the last batch; take more batches")
            found = attribute_relevance(styles, moments.mean, moments.std)
            self.theta[a], self.direction[a] = found.theta[self.channels], found.direction[self.channels]

    def _given(self, examples: Examples) -> Float[Tensor, "n c"]:
        if examples.seeds:
            return seeded_styles(self.generator, tuple(examples.seeds), self._data().truncation)
        if examples.codes is not None:
            return stored_styles(self.generator, examples.codes)
        return self._styles(torch.tensor(examples.indices))

    def _styles(self, index: Int[Tensor, " n"]) -> Float[Tensor, "n c"]:
        """Return the styles of sample numbers: a pure function of them, so that they need not be kept."""
        return self._data().codes("train", index.tolist(), self.device).styles

    @property
    def table(self) -> ChannelTable:
        """The channels that took part.

        Raises:
            RuntimeError: before the epoch's end.
        """
        self.require_fit()
        mean, std, low, high = self.population.cpu()[:, self.channels]
        hp, rate = self.hparams, self.rate.cpu()
        local = locally_active(rate, hp["minimum"], hp["gap"]) if rate.shape[1] else torch.full((len(rate),), -1)
        return ChannelTable(
            self.generator.style_space,
            self.channels,
            Moments(-1, mean, std, low, high),
            self.region_names,
            rate,
            local,
            self.attributes,
            self.theta.cpu().T,
            self.direction.cpu().T,
        )

    def editor(self) -> ChannelEditor:
        """Return the editor of each attribute's best channels."""
        table, hp = self.table, self.hparams
        only_local = hp["local"] and bool((table.region >= 0).any())
        channels = torch.full((len(self.attributes), hp["ranked"]), -1)
        directions = torch.ones(channels.shape)
        for a, name in enumerate(self.attributes):
            rows = table.best(name, hp["ranked"], only_local)
            channels[a, : len(rows)] = table.flat[rows]
            directions[a, : len(rows)] = table.direction[rows, a].float()
        editor = ChannelEditor.of(
            self.generator.style_space,
            self.attributes,
            top=hp["top"],
            channels=channels,
            directions=directions,
            std=self.population[1].float().cpu(),
        )
        return editor.to(self.device).eval()

    def export(self, folder: Path) -> None:
        """Write the editor and the table."""
        super().export(folder)
        self.table.write(folder)
