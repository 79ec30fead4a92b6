"""Who grades directions that a closed-form method found, on which codes, and what is logged."""

from __future__ import annotations

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from sat3d.generators.batches import CodeBatch
from sat3d.methods.base import edited_styles
from sat3d.methods.precision import float32
from sat3d.methods.streamed import StreamedPictures
from sat3d.methods.sweeps import SweepGrades, Tail, known_tails
from sat3d.perception import Scorer
from sat3d.perception.scorers import load_scorer


class GradedDiscovery(StreamedPictures):
    """Let frozen predictors grade the fitted editor on held-out codes: the labeller `val/*`, the judge `test/*`.

    They tell Attribute Dependency at equal change of the target, see `SweepGrades`. Subclasses set `attributes`, and
    take `labeller`, `judge`, `graded_as`, `strengths`, `graded_codes` and `render_batch` as `StyleSpaceDiscovery` does.
    Editors of w and of s are graded alike.

    Attributes:
        attributes: what the editor knows.
        grader: who grades in this stage, if anybody does.
        grades: what it found since the last report.

    Raises:
        ValueError: without a labeller in validate or a judge in test.
        RuntimeError: before the fit.
    """

    attributes: tuple[str, ...]
    grader: Scorer | None
    grades: SweepGrades | None

    def __init__(self) -> None:
        super().__init__()
        self.grader, self.grades = None, None

    def setup(self, stage: str) -> None:
        """Load who grades: the labeller in fit and validate, the judge in test."""
        super().setup(stage)
        self.grader = None
        role = {"fit": "labeller", "validate": "labeller", "test": "judge"}.get(stage)
        if role is None or (stage == "fit" and self.hparams[role] is None):
            return
        if self.hparams[role] is None:
            raise ValueError(f"{role}: grading needs the name of an attribute predictor, e.g. toyfaces-{role}")
        self.grader = load_scorer(self.hparams[role], role)
        if not self._graded(self.grader):
            rank_zero_warn(f"{role}: it knows none of {', '.join(self.attributes)}; graded_as can tell its names")

    def on_validation_start(self) -> None:
        """Learn what the labeller makes of unedited pictures."""
        self.grades = self._unedited()

    def on_test_start(self) -> None:
        """Learn what the judge makes of unedited pictures."""
        self.grades = self._unedited()

    def validation_step(self, batch: CodeBatch, batch_idx: int) -> None:
        """Let the labeller grade edits of held-out codes."""
        self._grade(batch)

    def test_step(self, batch: CodeBatch, batch_idx: int) -> None:
        """Let the judge grade edits of held-out codes."""
        self._grade(batch)

    def on_validation_epoch_end(self) -> None:
        """Log Attribute Dependency as the labeller sees it."""
        self._report("val")

    def on_test_epoch_end(self) -> None:
        """Log Attribute Dependency as the judge sees it."""
        self._report("test")

    def predict_step(self, batch: CodeBatch, batch_idx: int) -> dict[str, Tensor]:
        """Return one picture of the edited codes for each attribute, at the strength in the middle."""
        editor, strengths = self.editor(), self.hparams["strengths"]
        middle = strengths[len(strengths) // 2]

        def pictures(name: str) -> Tensor:
            parts = self._split(batch)
            styles = (edited_styles(self.generator, editor, part, name, middle) for part in parts)
            return torch.cat([self._picture(part, edited) for part, edited in zip(parts, styles, strict=True)])

        return {name: pictures(name) for name in self.attributes}

    @torch.no_grad()
    def _unedited(self) -> SweepGrades | None:
        if self.trainer.state.fn != "fit":
            self.require_fit()
        if self.grader is None or not bool(self.is_fitted):
            return None
        codes = self._data().codes("val", range(self.hparams["graded_codes"]), self.device)
        odds = torch.cat([self.grader.log_odds(self._picture(part, part.styles)) for part in self._split(codes)])
        return SweepGrades(self.generator, self.grader, self._graded(self.grader), self.hparams["strengths"], odds)

    def _grade(self, batch: CodeBatch) -> None:
        if self.grades is not None:
            with float32(self.device):  # as the unedited pictures
                for part in self._split(batch):
                    self.grades.update(part, self.editor())

    def _report(self, stage: str) -> None:
        if self.grades is not None:
            for key, value in self.grades.report().items():
                self.log(f"{stage}/{key}", value, prog_bar="/" not in key)

    def _graded(self, grader: Scorer) -> dict[str, Tail]:
        return known_tails(grader, self.attributes, self.hparams["graded_as"] or {})

    def _picture(self, codes: CodeBatch, styles: Tensor) -> Tensor:
        return self.generator.synthesize(styles, camera=codes.camera).image
