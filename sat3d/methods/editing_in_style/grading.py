"""Grading of transfers on held-out codes: how local they are, and what an observer makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from sat3d.generators import Generator
from sat3d.generators.batches import CodeBatch, PairBatch
from sat3d.methods.base import Editor
from sat3d.methods.editing_in_style.memberships import resized_labels
from sat3d.methods.grading import grade, picture_of
from sat3d.methods.precision import float32
from sat3d.methods.streamed import StreamedPictures
from sat3d.metrics import EditLocality, TransferScore
from sat3d.perception import Scorer
from sat3d.perception.regions import Regions
from sat3d.perception.scorers import load_scorer


def paired(codes: CodeBatch, reference: CodeBatch) -> PairBatch:
    """Pair codes with references, both seen by the first's camera."""
    none = torch.full_like(codes.index, -1)
    return PairBatch(
        source_index=codes.index,
        reference_index=reference.index,
        camera_index=none,
        block=none,
        source_z=codes.z,
        reference_z=reference.z,
        source=codes.styles,
        reference=reference.styles,
        camera=codes.camera,
        u=torch.zeros(len(codes), dtype=torch.float64, device=codes.index.device),
    )


class TransferGrades:
    """Collect how local transfers at strength 1 are (CIELAB in- and out-MSE), and their gain and drift.

    Args:
        generator: makes the pictures.
        regions: labels them.
        members: for each attribute its regions, by number.
        grader: observer of attributes, if there is one.
    """

    def __init__(
        self, generator: Generator, regions: Regions, members: Mapping[str, Tensor], grader: Scorer | None
    ) -> None:
        self.generator, self.regions, self.members, self.grader = generator, regions, dict(members), grader
        self.locality = {name: EditLocality().to(generator.device) for name in members}
        known = [name for name in members if grader is not None and name in grader.attributes]
        self.score = TransferScore(known).to(generator.device) if known else None

    @torch.no_grad()
    def update(self, pairs: PairBatch, editor: Editor) -> None:
        """Add pairs."""
        picture = picture_of(self.generator, editor)
        before = self.generator.synthesize(pairs.source, camera=pairs.camera, features=self.regions.features)
        labels = resized_labels(self.regions.segment(before.image, before.features), before.image.shape[-1])
        for name, numbers in self.members.items():
            inside = torch.isin(labels, numbers.to(labels.device))[:, None].float()
            self.locality[name].update(before.image, picture(pairs, name, 1.0), inside)
        if self.score is not None:
            assert self.grader is not None
            grade(self.score, pairs, picture, self.generator, self.grader)

    def report(self) -> dict[str, float]:
        """Return all numbers by name, means over attributes first; those that are defined."""
        values: dict[str, float] = {}
        for name, locality in self.locality.items():
            found = locality.compute()
            values |= {f"in_mse/{name}": found.inside, f"out_mse/{name}": found.outside, f"in_out/{name}": found.ratio}
        if self.score is not None:
            curves = self.score.curves()
            gain, drift = curves.at(1.0)
            for name, g, d in zip(curves.attributes, gain.tolist(), drift.tolist(), strict=True):
                values |= {f"gain/{name}": g, f"drift/{name}": d}
        values = {key: value for key, value in values.items() if value == value and abs(value) != float("inf")}
        kinds = dict.fromkeys(key.partition("/")[0] for key in values)
        means = {kind: [v for k, v in values.items() if k.partition("/")[0] == kind] for kind in kinds}
        return {**{kind: sum(v) / len(v) for kind, v in means.items()}, **values}


class GradedTransfers(StreamedPictures):
    """Grade the fitted editor on held-out codes: the labeller `val/*`, the judge `test/*`.

    They tell gain and drift of transfers; locality needs nobody. Subclasses set `classes` and `attributes`, and take
    `labeller`, `judge` and `render_batch`.

    Attributes:
        classes: names of the regions.
        attributes: what the editor knows, and what it is made of.
        grades: what was found since the last report.

    Raises:
        ValueError: without a judge in test.
        RuntimeError: before the fit.
    """

    classes: tuple[str, ...]
    attributes: dict[str, list[str]]

    def __init__(self) -> None:
        super().__init__()
        self.grades: TransferGrades | None = None

    def setup(self, stage: str) -> None:
        """Refuse to test without a judge."""
        super().setup(stage)
        if stage == "test" and self.hparams["judge"] is None:
            raise ValueError("judge: testing needs the name of an attribute predictor, e.g. toyfaces-judge")

    def on_validation_start(self) -> None:
        """Load the labeller, if there is one."""
        self._start("labeller")

    def on_test_start(self) -> None:
        """Load the judge."""
        self._start("judge")

    def validation_step(self, batch: CodeBatch, batch_idx: int) -> None:
        """Grade transfers between held-out codes."""
        self._grade(batch, "val")

    def test_step(self, batch: CodeBatch, batch_idx: int) -> None:
        """Grade transfers between held-out codes."""
        self._grade(batch, "test")

    def on_validation_epoch_end(self) -> None:
        """Log locality, and gain and drift as the labeller sees them."""
        self._report("val")

    def on_test_epoch_end(self) -> None:
        """Log locality, and gain and drift as the judge sees them."""
        self._report("test")

    def predict_step(self, batch: CodeBatch, batch_idx: int) -> dict[str, Tensor]:
        """Return for each attribute a picture of every code with it taken over from the next code of the stream."""
        picture, parts = picture_of(self.generator, self.editor()), self._split(self._pairs(batch, "test"))
        return {name: torch.cat([picture(pairs, name, 1.0) for pairs in parts]) for name in self.attributes}

    def _start(self, role: str) -> None:
        self.grades = None
        if self.trainer.state.fn != "fit":
            self.require_fit()
        if not bool(self.is_fitted):
            return
        assert self.regions is not None
        editor: Any = self.editor()
        grader = load_scorer(self.hparams[role], role).to(self.device) if self.hparams[role] else None
        if grader is not None and not set(grader.attributes) & set(editor.members):
            rank_zero_warn(f"{role}: it knows none of {', '.join(editor.members)}")
        numbers = {a: torch.tensor([self.classes.index(m) for m in names]) for a, names in editor.members.items()}
        self.grades = TransferGrades(self.generator, self.regions, numbers, grader)

    def _pairs(self, batch: CodeBatch, split: str) -> PairBatch:
        """Pair codes with those after them in the stream, whatever batch and process these are in."""
        return paired(batch, self._data().codes(split, (batch.index + 1).tolist(), self.device))

    def _grade(self, batch: CodeBatch, split: str) -> None:
        if self.grades is not None:
            with float32(self.device):
                for pairs in self._split(self._pairs(batch, split)):
                    self.grades.update(pairs, self.editor())

    def _report(self, stage: str) -> None:
        if self.grades is not None:
            for key, value in self.grades.report().items():
                self.log(f"{stage}/{key}", value, prog_bar="/" not in key)
