"""SAT3D as a LightningModule: learning the mask matrix."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from sat3d.generators import Rendering, load_generator
from sat3d.generators.batches import CodeBatch, PairBatch
from sat3d.methods.grading import grade, grade_views, picture_of
from sat3d.methods.interpolation import transfer
from sat3d.methods.precision import float32
from sat3d.methods.resume import reopen_epoch
from sat3d.methods.sat3d.background import (
    NO_REGION,
    OPACITY_PARTS,
    Background,
    background_parser,
    opacity_labels,
    region_labels,
    region_of,
    uninterested,
)
from sat3d.methods.sat3d.bank import PictureBank, Sight
from sat3d.methods.sat3d.editor import MaskEditor
from sat3d.methods.sat3d.losses import LossWeights, background_loss, remaining_loss, target_loss
from sat3d.methods.sat3d.mask import MaskKind, MaskMatrix, target_mask
from sat3d.methods.sat3d.selection import channel_relevance, preselect
from sat3d.methods.sat3d.targets import balancing_weights, choose_targets
from sat3d.methods.streamed import fit_regions
from sat3d.metrics import ALLOWED_DRIFT, TransferCurves, TransferScore, ViewConsistency
from sat3d.ops.camera import Camera
from sat3d.ops.schedules import known_steps
from sat3d.perception import Scorer
from sat3d.perception.scorers import load_scorer, training_scorer

VIEWS = (-0.5, -0.25, 0.0, 0.25, 0.5)


class SAT3D(LightningModule):
    """Learn which style channels carry which attribute, judged by text (Zhai et al. 2024, arXiv 2408.01664).

    A mask matrix over (attribute, channel) is all that is trained. Each step moves sources towards references along the
    channels of a target set, renders the edit once, and compares its scores with the reference's on the targets (L_ref)
    and with the source's elsewhere (L_src); L_bg keeps uninterested pixels, L_prob makes each channel decide. Sources
    and references come from a finite pool and are rendered and scored once per camera bin.

    The paper's settings are largely unknown: every default below is a choice.

    Args:
        generator: name or file for `load_generator`.
        clip: text-image model that scores the training (with `descriptors`).
        clip_pretrained: its weights, where open_clip offers several.
        descriptors: descriptor groups, a bundled name or a YAML file.
        temperature: of the descriptors' softmax; `null` takes CLIP's own scale. Large ones saturate gradients.
        scorer: an attribute predictor that takes the place of CLIP; with the labeller here the run is the oracle.
        labeller: attribute predictor behind `val/*`.
        judge: attribute predictor behind `test/*`; it is not loaded before.
        attributes: rows of the mask matrix; `null` takes all that the scorer knows.
        masks: `softmax` (a channel belongs to one attribute) or `sigmoid` (attributes may share it).
        rest: give softmax a row without attribute. Without it the masks sum to one, and L_bg, averaged over uniform
            targets, is to first order constant.
        init_std: of the initial logits.
        kinds: kinds of style channels that take part, of `conv` and `torgb`.
        parts: parts of the generator that take part, of `backbone` and `superresolution`.
        preselect: share of the channels that each attribute may claim, by |∂D/∂s|·σ; `null` explores all.
        probe_codes: codes on which pre-selection and balancing are measured, before training.
        balance: draw rare attributes about as often as common ones.
        background: uninterested region.
        distance: between scores: `l1`, `kl` or `cosine`. Where scores are confident, a small mask hardly moves them and
            the gradient of `l1` vanishes; that of `kl` does not.
        loss_weights: weights of the losses.
        min_distance: pairs count for attributes in which they differ by at least this.
        two_targets: probability of a second attribute in the target set.
        strength: editing intensity in training.
        lr: learning rate of Adam.
        betas: of Adam.
        val_strengths: editing intensities of validation; 1 must be among them.
        test_strengths: editing intensities of the test curves; 1 must be among them.
        threshold: cut masks at this probability in validation, test and export; `null` keeps them soft.
        seed: of the initial logits and of the probe.

    Raises:
        ValueError: for settings that exclude each other, and unknown attributes or parts.

    Example:
        >>> module = SAT3D("toyfaces64", clip="toyfaces-clip", descriptors="toyfaces")
        >>> Trainer(max_steps=500).fit(module, datamodule=StyleCodeDataModule("toyfaces64"))
        >>> module.editor().edit(source, "hat", 1.0, reference=reference)
    """

    uninterested: Tensor
    frequency: Tensor
    probed: Tensor

    def __init__(
        self,
        generator: str,
        *,
        clip: str | None = None,
        clip_pretrained: str | None = None,
        descriptors: str | None = None,
        temperature: float | None = None,
        scorer: str | None = None,
        labeller: str | None = None,
        judge: str | None = None,
        attributes: list[str] | None = None,
        masks: MaskKind = "softmax",
        rest: bool = True,
        init_std: float = 0.01,
        kinds: tuple[str, ...] = ("conv",),
        parts: tuple[str, ...] = ("backbone",),
        preselect: float | None = 0.2,
        probe_codes: int = 200,
        balance: bool = True,
        background: Background = Background(),  # noqa: B008 - frozen
        distance: Literal["l1", "kl", "cosine"] = "l1",
        loss_weights: LossWeights = LossWeights(),  # noqa: B008 - frozen
        min_distance: float = 0.1,
        two_targets: float = 0.2,
        strength: float = 1.0,
        lr: float = 1e-2,
        betas: tuple[float, float] = (0.9, 0.999),
        val_strengths: tuple[float, ...] = (1.0,),
        test_strengths: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0),
        threshold: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        background = Background(**background) if isinstance(background, Mapping) else background
        loss_weights = LossWeights(**loss_weights) if isinstance(loss_weights, Mapping) else loss_weights
        settings = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        # Plain data only: a checkpoint must load with weights_only=True.
        plain = {"background": asdict(background), "loss_weights": asdict(loss_weights)}
        self.save_hyperparameters({**settings, **plain})
        for name, strengths in {"val_strengths": val_strengths, "test_strengths": test_strengths}.items():
            if 1.0 not in strengths or sorted(strengths) != list(strengths):
                raise ValueError(f"{name}={list(strengths)} must rise and contain 1.0, at which results are logged")
        self.weights, self.background = loss_weights, background
        self.generator = load_generator(generator)
        self.scorer = training_scorer(clip, clip_pretrained, descriptors, temperature, scorer)
        self.attributes = _rows(attributes, self.scorer)
        style_space = self.generator.style_space
        self.mask = MaskMatrix(
            len(self.attributes),
            style_space.mask(kinds, parts),
            kind=masks,
            rest=rest,
            init_std=init_std,
            seed=seed,
        )
        self.parser, self.region = background_parser(background, self.generator.is_3d)
        self.regions = background.regions.build() if background.regions else None
        names = self.parser.parts if self.parser else OPACITY_PARTS
        if self.regions is not None:
            names = (*self.regions.names, NO_REGION)
        table = uninterested(background, self.attributes, names) if self.region != "none" else torch.zeros(0)
        self.register_buffer("uninterested", table, persistent=False)
        self.register_buffer("frequency", torch.ones(len(self.attributes), dtype=torch.float64))
        self.register_buffer("probed", torch.tensor(False))
        self.labeller: Scorer | None = None
        self.judge: Scorer | None = None
        self.bank = PictureBank(self._look)
        self.curves: TransferCurves | None = None

    # What is frozen stays so, and out of checkpoints ------------------------------------------------------------------

    def train(self, mode: bool = True) -> SAT3D:
        """Set the mode of the mask matrix only; everything else is frozen and stays in eval()."""
        super().train(mode)
        for frozen in (self.generator, self.scorer, self.parser, self.regions, self.labeller, self.judge):
            if frozen is not None:
                frozen.eval()
        return self

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the mask matrix only, and the editor in the form that `load_editor` reads."""
        kept = ("mask.", "frequency", "probed", "regions.centres")
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k.startswith(kept)}
        editor = self.editor()
        card = editor.describe(self.generator, **self._facts())
        checkpoint["editor"] = {"card": card, "tensors": {k: v.cpu() for k, v in editor.state_dict().items()}}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is frozen: it comes from its own files; and go on with an epoch that was cut short."""
        reopen_epoch(checkpoint)
        checkpoint["state_dict"] = {**self.state_dict(), **checkpoint["state_dict"]}

    def setup(self, stage: str) -> None:
        """Load who grades: the labeller in fit and validate, the judge in test."""
        warnings.filterwarnings("ignore", r".*module\(s\) in eval mode")  # frozen on purpose
        if stage in ("fit", "validate"):
            self.labeller, self.val_score = self._grader("labeller", self.hparams["val_strengths"])
        if stage == "test":
            if self.hparams["judge"] is None:
                raise ValueError("judge: testing needs the name of an attribute predictor, e.g. toyfaces-judge")
            self.judge, self.test_score = self._grader("judge", self.hparams["test_strengths"])
            self.test_views = ViewConsistency()
            self.unedited_views = ViewConsistency()

    def _grader(self, role: str, strengths: Sequence[float]) -> tuple[Scorer | None, TransferScore | None]:
        if (name := self.hparams[role]) is None:
            return None, None
        grader = load_scorer(name, role)
        known = [a for a in self.attributes if a in grader.attributes]
        if not known:
            raise ValueError(f"{role}={name!r} knows none of {list(self.attributes)}; it scores {grader.attributes}")
        return grader, TransferScore(known, strengths)

    # Training ---------------------------------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Measure once which channels matter and how often attributes differ, and find clusters."""
        data: Any = getattr(self.trainer, "datamodule", None)
        if self.regions is not None and not self.regions.is_fitted:
            if not hasattr(data, "probe"):
                raise ValueError("background.regions: clusters need StyleCodeDataModule; take a parser for other data")
            self._cluster(data.probe(self.hparams["background"]["regions"]["codes"], self.device))
        if bool(self.probed):
            return
        if self.hparams["preselect"] is not None or self.hparams["balance"]:
            if not hasattr(data, "probe"):
                raise ValueError("preselect, balance: need StyleCodeDataModule; set both to null/false for other data")
            self._probe(data.probe(self.hparams["probe_codes"], self.device))
        self.probed.fill_(True)

    @torch.no_grad()
    def _cluster(self, codes: CodeBatch) -> None:
        assert self.regions is not None
        parts = (codes[start : start + 8] for start in range(0, len(codes), 8))
        seen = (self._rendered(part.styles, part.camera).features for part in parts)
        fit_regions(self.regions, seen, self.hparams["seed"], self.trainer.strategy.broadcast)

    def _probe(self, codes: CodeBatch) -> None:
        columns = {a: self.scorer.slices[a] for a in self.attributes}
        seen: list[Tensor] = []

        def score(styles: Tensor, place: slice) -> Tensor:
            camera = None if codes.camera is None else codes.camera[place]
            scores: Tensor = self.scorer(self.generator.synthesize(styles, camera=camera).image)
            seen.append(scores.detach())
            return scores

        if self.hparams["preselect"] is not None:
            progress = partial(_progress, quiet=self.trainer.progress_bar_callback is None)
            relevance = channel_relevance(score, codes.styles, columns, seed=self.hparams["seed"], progress=progress)
            self.mask.restrict(preselect(relevance, self.mask.participates, self.hparams["preselect"]))
        else:
            with torch.no_grad():
                for start in range(0, len(codes), 8):
                    score(codes.styles[start : start + 8], slice(start, start + 8))
        if self.hparams["balance"]:
            scores = torch.cat(seen)
            others = torch.cat([scores.roll(k, 0) for k in range(1, min(9, len(scores)))])
            distances = self._distances(scores.repeat(len(others) // len(scores), 1), others)
            self.frequency.copy_(balancing_weights(distances >= self.hparams["min_distance"]))

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """Move sources towards references on a target set each, and compare."""
        source, reference = self.bank.lookup(batch)
        with float32(self.device):  # masks and losses; the networks below compute in the Trainer's precision
            targets, valid = choose_targets(
                self._distances(reference.scores, source.scores),
                batch.u,
                minimum=self.hparams["min_distance"],
                two=self.hparams["two_targets"],
                weights=self.frequency,
            )
            mask = target_mask(self.mask(), targets, self.mask.kind) * self.hparams["strength"]
            styles = transfer(batch.source, batch.reference, mask)
        image = self.generator.synthesize(styles, camera=batch.camera).image
        scores = self.scorer(image).float()
        with float32(self.device):
            losses = {
                "ref": target_loss(self._distances(scores, reference.scores), targets, valid.to(scores)),
                "src": remaining_loss(self._distances(scores, source.scores), targets),
                "prob": self.mask.entropy(),
            }
            if source.labels is not None:
                region = region_of(source.labels, self.uninterested, targets)
                if self.background.both and reference.labels is not None:
                    region &= region_of(reference.labels, self.uninterested, targets)
                losses["bg"] = background_loss(image.float(), source.image, region)
        length = self.weights.ramp_steps or known_steps(self.trainer.estimated_stepping_batches)
        prob = self.weights.prob_at(self.global_step, length)
        weights = {**asdict(self.weights), "prob": prob}
        loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        self.log_dict({f"train/{k}": v for k, v in losses.items()}, batch_size=len(batch))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam on the mask matrix."""
        return torch.optim.Adam(self.mask.parameters(), lr=self.hparams["lr"], betas=tuple(self.hparams["betas"]))

    def on_fit_end(self) -> None:
        """Export the editor to the run folder."""
        folder = self.trainer.log_dir or self.trainer.default_root_dir
        if self.trainer.is_global_zero:
            self.editor().save(Path(folder) / "editor", self.generator, **self._facts())

    # Grading ----------------------------------------------------------------------------------------------------------

    def validation_step(self, batch: PairBatch, batch_idx: int) -> None:
        """Let the labeller grade edits of held-out pairs."""
        if self.labeller is not None and self.val_score is not None:
            picture = picture_of(self.generator, self.editor())
            grade(self.val_score, batch, picture, self.generator, self.labeller)

    def on_validation_epoch_end(self) -> None:
        """Log gain and drift, and the gain where drift reaches `ALLOWED_DRIFT`, which a search may maximise."""
        if self.val_score is not None:
            self._report("val", self.val_score)

    def test_step(self, batch: PairBatch, batch_idx: int) -> None:
        """Let the judge grade edits of held-out pairs, and whether they read the same from five sides."""
        assert self.judge is not None and self.test_score is not None
        editor = self.editor()
        grade(self.test_score, batch, picture_of(self.generator, editor), self.generator, self.judge)
        if self.generator.cameras is not None and batch_idx == 0:
            views = self.generator.cameras.turned(torch.tensor(VIEWS)).to(self.device)
            grade_views(self.unedited_views, batch.source, self.generator, self.judge, views)
            for attribute in self.test_score.attributes:
                styles = editor.edit(batch.source, attribute, 1.0, reference=batch.reference)
                grade_views(self.test_views, styles, self.generator, self.judge, views)

    def on_test_epoch_end(self) -> None:
        """Log gain, drift and view consistency."""
        assert self.test_score is not None
        self._report("test", self.test_score)
        if self.generator.is_3d:
            for name, views in (("view_spread", self.test_views), ("view_spread_unedited", self.unedited_views)):
                self.log(f"test/{name}", views.compute())
                views.reset()

    def predict_step(self, batch: PairBatch, batch_idx: int) -> dict[str, Tensor]:
        """Return one picture of the edited pairs for each attribute."""
        picture = picture_of(self.generator, self.editor())
        return {attribute: picture(batch, attribute, 1.0) for attribute in self.attributes}

    def _report(self, stage: str, score: TransferScore) -> None:
        self.curves = score.curves()
        score.reset()
        gain, drift = self.curves.at(1.0)
        self.log_dict({f"{stage}/gain": gain.nanmean(), f"{stage}/drift": drift.nanmean()}, prog_bar=True)
        self.log(f"{stage}/gain_at_drift", self.curves.gain_at_drift(ALLOWED_DRIFT).nanmean())
        for name, g, d in zip(self.curves.attributes, gain, drift, strict=True):
            if not bool(g.isnan()):
                self.log_dict({f"{stage}/gain/{name}": g, f"{stage}/drift/{name}": d})

    # Parts ------------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def editor(self) -> MaskEditor:
        """Return the editor of the present masks."""
        hp = self.hparams
        editor = MaskEditor(self.attributes, len(self.mask.participates), self.mask.kind, hp["threshold"], self.mask())
        return editor.to(self.mask.logits.device).eval()

    def _facts(self) -> dict[str, Any]:
        trainer = self._trainer
        metrics = {} if trainer is None else trainer.callback_metrics
        finite = {k: round(float(v), 6) for k, v in metrics.items() if bool(torch.isfinite(torch.as_tensor(v)))}
        step = 0 if trainer is None else trainer.global_step
        return {"method": "SAT3D", "training": {**_plain(self.hparams), "steps": step}, "metrics": finite}

    def _distances(self, a: Tensor, b: Tensor) -> Tensor:
        kind = self.hparams["distance"]
        return torch.stack([self.scorer.distance(a, b, name, kind) for name in self.attributes], dim=1)

    def _look(self, styles: Tensor, camera: Camera | None) -> Sight:
        out = self._rendered(styles, camera)
        labels = None
        if self.regions is not None:
            labels = region_labels(out, self.regions)
        elif self.region == "opacity":
            labels = opacity_labels(out)
        elif self.parser is not None:
            labels = self.parser.segment(out.image).to(torch.uint8)
        return Sight(out.image.float(), self.scorer(out.image).float(), labels)

    def _rendered(self, styles: Tensor, camera: Camera | None) -> Rendering:
        options: dict[str, Any] = {} if self.regions is None else {"features": self.regions.features}
        return self.generator.synthesize(styles, camera=camera, **options)


def _rows(attributes: Sequence[str] | None, scorer: Scorer) -> tuple[str, ...]:
    names = tuple(scorer.attributes if attributes is None else attributes)
    if unknown := [name for name in names if name not in scorer.attributes]:
        raise ValueError(f"attributes: unknown {', '.join(unknown)}; the scorer knows {', '.join(scorer.attributes)}")
    if len(set(names)) != len(names) or not names:
        raise ValueError(f"attributes={list(names)} must name at least one attribute, and none twice")
    return names


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}


def _progress(steps: Sequence[int], quiet: bool) -> Any:
    from tqdm.auto import tqdm

    return tqdm(steps, desc="Pre-selecting channels", leave=False, disable=quiet)
