"""StyleCLIP's global directions as a LightningModule."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from sat3d.generators import load_generator
from sat3d.generators.batches import CodeBatch
from sat3d.methods.graded import GradedDiscovery
from sat3d.methods.shares import among, spread
from sat3d.methods.styleclip.editor import TextDirectionEditor, check_cuts
from sat3d.methods.styleclip.table import ChannelDirections, DirectionMean, channel_directions, read_table
from sat3d.methods.styleclip.texts import (
    checked_templates,
    checked_texts,
    imagenet_templates,
    pairs_of,
    text_directions,
)
from sat3d.methods.sweeps import Tail
from sat3d.metrics import row_moments
from sat3d.perception import DescriptorGroups, Scorer, load_clip


class StyleCLIPDirections(GradedDiscovery):
    """Find what each style channel changes in CLIP's eyes, in one pass; texts then choose among the channels.

    Patashnik et al. 2021, arXiv 2103.17249, §6: the population's mean and σ of every channel, from codes alone; then,
    for some pictures, each channel at mean ± `shift` σ, and the direction from one to the other among image features
    (`channel_directions`), averaged over the pictures. The result, Δi, knows no text: the editor takes any.

    Leaves an editor, and the table Δi, which a run with other texts can take over (`table`).

    Args:
        generator: name or file for `load_generator`.
        clip: text-image model, see `load_clip`; the paper's is ViT-B-32 with `openai` weights.
        clip_pretrained: its weights, where open_clip offers several.
        texts: by attribute, a list of two: target and neutral; each a phrase, or a list of phrases.
        descriptors: descriptor groups, a bundled name or a YAML file: every phrase is an attribute of its own name,
            whose neutral phrases are the others of its group.
        templates: texts with `{}`, into which phrases are put; `null` takes those of the descriptors, and without
            descriptors the 80 that CLIP's authors chose for ImageNet.
        kinds: kinds of style channels that take part, of `conv` and `torgb`; the paper leaves toRGB channels out.
        parts: parts of the generator that take part, of `backbone` and `superresolution`.
        max_resolution: of the layers that take part, pixels.
        pictures: over which directions are averaged, spread evenly over the epoch.
        population: codes, the first of the stream, from which mean and σ are taken.
        shift: in σ of the channel, to both sides.
        threshold: β, see `TextDirectionEditor`, as the next two.
        thresholds: β of single attributes.
        top: number of channels in place of β.
        table: folder of an earlier run whose table is taken, so that nothing is rendered; it must be of the same
            networks, settings and stream of codes.
        labeller: attribute predictor behind `val/*`.
        judge: attribute predictor behind `test/*`; it is not loaded before.
        graded_as: what labeller and judge call an attribute, where that differs.
        strengths: of the graded edits, see `TextDirectionEditor`; rising from above 0.
        graded_codes: unedited pictures from which the σ of the graders' log-odds is taken.
        render_batch: pictures that are made at a time.
        neural_resolution: 3-D only: side of the ray-marched picture that CLIP sees, pixels; grading takes the
            generator's own.

    Raises:
        ValueError: for settings out of range, texts that are no pairs, and channels of which there are none.

    Example:
        >>> module = StyleCLIPDirections("toyfaces64", texts={"smile": ["a smile", "a frown"]}, pictures=10)
        >>> Trainer(max_epochs=1).fit(module, datamodule=StyleCodeDataModule("toyfaces64", batch="codes"))
        >>> module.editor().edit(s, "smile", 5.0)
    """

    population: Tensor
    directions: Tensor
    texts: Tensor

    def __init__(
        self,
        generator: str,
        *,
        clip: str = "toyfaces-clip",
        clip_pretrained: str | None = None,
        texts: dict[str, list[str | list[str]]] | None = None,
        descriptors: str | None = None,
        templates: list[str] | None = None,
        kinds: tuple[str, ...] = ("conv",),
        parts: tuple[str, ...] = ("backbone", "superresolution"),
        max_resolution: int = 128,
        pictures: int = 100,
        population: int = 2000,
        shift: float = 5.0,
        threshold: float = 0.13,
        thresholds: dict[str, float] | None = None,
        top: int | None = None,
        table: str | None = None,
        labeller: str | None = None,
        judge: str | None = None,
        graded_as: dict[str, str] | None = None,
        strengths: tuple[float, ...] = (2.0, 5.0, 10.0, 20.0),
        graded_codes: int = 200,
        render_batch: int = 16,
        neural_resolution: int | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        for name, value, least in (
            ("pictures", pictures, 1),
            ("population", population, 2),
            ("graded_codes", graded_codes, 2),
        ):
            if value < least:
                raise ValueError(f"{name}={value} must be at least {least}")
        if shift <= 0:
            raise ValueError(f"shift={shift} must be above 0")
        if not strengths or sorted({0.0, *strengths}) != [0.0, *strengths]:
            raise ValueError(f"strengths={list(strengths)} must rise from above 0")
        groups = None if descriptors is None else DescriptorGroups.from_yaml(descriptors)
        pairs = ({} if groups is None else pairs_of(groups)) | checked_texts(texts or {})
        if not pairs:
            raise ValueError("texts: name target and neutral phrases of an attribute at least, or descriptors")
        self.attributes = tuple(pairs)
        check_cuts(self.attributes, threshold, thresholds or {}, top)
        self.templates = checked_templates(templates or (imagenet_templates() if groups is None else groups.templates))
        self.generator = load_generator(generator)
        space = self.generator.style_space
        sides = {layer.resolution for layer in space.layers if layer.resolution <= max_resolution}
        self.channels = space.mask(kinds, parts, sides).nonzero()[:, 0]
        if len(self.channels) == 0:
            raise ValueError(f"{kinds=}, {parts=}, {max_resolution=}: this generator has no such channels")
        self.clip = load_clip(clip, clip_pretrained)
        self._clip_hash = self.clip.hash
        # Not stored: they follow from CLIP and the phrases, so that a checkpoint serves other texts too.
        self.register_buffer("texts", text_directions(self.clip, pairs, self.templates), persistent=False)
        u, d = len(self.channels), self.texts.shape[1]
        self._pace = float("nan")
        self.mean_direction = DirectionMean(u, d)
        self.register_buffer("population", torch.zeros(2, space.size, dtype=torch.float64))
        self.register_buffer("directions", torch.zeros(u, d))

    def basis(self) -> dict[str, Any]:
        """Return what the directions are of."""
        hp = self.hparams
        return {
            "generator": self.generator.hash,
            "clip": self._clip_hash,
            **{key: list(hp[key]) for key in ("kinds", "parts")},
            **{key: hp[key] for key in ("max_resolution", "pictures", "population", "shift", "neural_resolution")},
        }

    # Collecting -------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Start a fit without a population, unless a checkpoint brings one."""
        super().setup(stage)
        if stage == "fit":
            self.population.zero_()

    def on_train_start(self) -> None:
        """Take the channels' mean and σ, from the same codes on every device; or all that an earlier run found.

        Raises:
            ValueError: the checkpoint's or the table's codes are others.
        """
        if self.hparams["table"] is not None:
            found = read_table(self.hparams["table"], self.basis() | {"codes": self._codes()})
            self.directions.copy_(found.directions)
            self.population.copy_(found.population)
            return
        data, count = self._data(), self.hparams["population"]
        parts = [data.codes("train", range(n, min(n + 500, count)), self.device).styles for n in range(0, count, 500)]
        rows, mean, squares = row_moments(torch.cat(parts))
        taken = torch.stack([mean, (squares / rows).sqrt()])
        if bool(self.population.any()) and not torch.allclose(self.population, taken, rtol=1e-3, atol=1e-4):
            raise ValueError(
                "checkpoint: its pictures are of another stream of codes; take the same seed and truncation"
            )
        self.population.copy_(taken)

    def collect(self, batch: CodeBatch) -> None:
        """Add those of the codes whose share it is to be looked at, channel by channel."""
        if self.hparams["table"] is not None:
            return
        total = self._data().epoch_size
        chosen = batch[among(batch.index, spread(self.hparams["pictures"], total), total)]
        started = time.perf_counter()
        for row in range(len(chosen)):
            self.mean_direction.update(self._directions(chosen[row : row + 1]))
        if len(chosen):
            self._pace = (time.perf_counter() - started) / len(chosen)
        self.log("train/seconds_per_picture", self._pace)  # in every step: Lightning repeats what is logged in some

    def _directions(self, code: CodeBatch) -> Tensor:
        options = {"neural_resolution": self.hparams["neural_resolution"]} if self.generator.is_3d else {}

        def look(styles: Tensor) -> Tensor:
            return self.clip.encode_image(self.generator.synthesize(styles, camera=code.camera, **options).image)

        mean, std = self.population.to(code.styles)
        channels, quiet = self.channels.to(self.device), not self.trainer.is_global_zero
        reach, batch = self.hparams["shift"] * std, self.hparams["render_batch"]
        return channel_directions(look, code.styles[0], channels, mean, reach, batch, quiet)

    def _codes(self) -> dict[str, Any]:
        """Return what a stream of codes depends on, as plain data."""
        return {key: getattr(self._data(), key) for key in ("seed", "truncation", "yaw", "pitch")}

    # Solving ----------------------------------------------------------------------------------------------------------

    def solve(self) -> None:
        """Average, and warn of attributes that move no channel.

        Raises:
            ValueError: no picture was seen.
        """
        if self.hparams["table"] is None:
            self.directions.copy_(self.mean_direction.compute())
            if not bool(self.directions.any()):
                raise ValueError("pictures: none was seen by the last batch, or none changed; take more batches")
        editor = self._editor()
        for name in self.attributes:
            if len(editor.kept(name)) == 0:
                most = float(editor.relevance(name).abs().max())
                rank_zero_warn(f"threshold: it leaves no channel for {name}, whose most relevant one has {most:.3f}")

    def editor(self) -> TextDirectionEditor:
        """Return the editor of the texts."""
        self.require_fit()
        return self._editor()

    def _editor(self) -> TextDirectionEditor:
        hp = self.hparams
        channels = self.channels.to(self.device)
        editor = TextDirectionEditor(
            self.attributes,
            {layer.name: layer.size for layer in self.generator.style_space.layers},
            **{key: hp[key] for key in ("threshold", "thresholds", "top")},
            templates=self.templates,
            clip=self._clip_hash,
            effects=self.directions,
            channels=channels,
            std=self.population[1, channels].float(),
            texts=self.texts,
        )
        return editor.eval()

    def _graded(self, grader: Scorer) -> dict[str, Tail]:
        """Return what a grader knows, without attributes that move no channel."""
        known = super()._graded(grader)
        if not bool(self.is_fitted):
            return known
        editor = self.editor()
        return {name: tail for name, tail in known.items() if len(editor.kept(name))}

    def export(self, folder: Path) -> None:
        """Write the editor and the table."""
        super().export(folder)
        facts = self.basis() | {"codes": self._codes()}
        ChannelDirections(self.directions, self.channels, self.population, facts).write(folder)
