"""Grades of a run's edits by the labeller, for methods that learn from labelled codes and look at no picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from sat3d.generators import Generator
from sat3d.generators.batches import CodeBatch, LatentBatch
from sat3d.methods.precision import float32
from sat3d.methods.sweeps import SweepGrades, known_tails
from sat3d.perception import Scorer
from sat3d.perception.scorers import load_scorer


class EditGrades(Callback):
    """Log at every validation what the labeller makes of edits: `val/change_at_drift`, `mean_ad`, `max_ad`, `reach`.

    What such methods log themselves (losses, errors of labels) tells how well codes are read, and grows and shrinks
    with the weights of the losses; this tells how well they are edited, in the same unit whatever the weights. See
    `sat3d.metrics.change_at_drift` and `sat3d.methods.sweeps.SweepGrades`.

    For StyleAE, StyleFlow and PluGeN on `LabelledLatentDataModule` with codes w of the module's generator.

    Args:
        labeller: attribute predictor; not the judge.
        attributes: what is edited, by the editor's names, such as `smile` or `hat/cap`; `null` for all that the
            labeller knows.
        strengths: of the edits, in units of the labels, rising; 2 goes from one end of an attribute to the other.
        codes: validation codes.
        batch: pictures that are made at a time.

    Raises:
        ValueError: for attributes that editor or labeller does not know, and data without such codes.
    """

    def __init__(
        self,
        labeller: str,
        attributes: list[str] | None = None,
        strengths: tuple[float, ...] = (0.5, 1.0, 2.0),
        codes: int = 32,
        batch: int = 16,
    ) -> None:
        if not strengths or sorted({0.0, *strengths}) != [0.0, *strengths]:
            raise ValueError(f"EditGrades.strengths={list(strengths)} must rise from above 0")
        if codes < 2:
            raise ValueError(f"EditGrades.codes={codes} must be at least 2: they tell a standard deviation")
        self.labeller, self.attributes, self.strengths = labeller, attributes, tuple(strengths)
        self.codes, self.batch = codes, batch
        self.scorer: Scorer | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Load the labeller."""
        if stage in ("fit", "validate"):
            self.scorer = load_scorer(self.labeller, "EditGrades.labeller")

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Grade the editor as it is now; every process does the same."""
        if trainer.sanity_checking or self.scorer is None:
            return
        module: Any = pl_module
        generator, editor, scorer = module.generator, module.editor(), self.scorer.to(module.device)
        tails = known_tails(scorer, self.attributes or editor.attributes, {})
        unknown = [name for name in self.attributes or () if name not in tails or not editor.knows(name)]
        if unknown or not tails:
            raise ValueError(
                f"EditGrades.attributes: {', '.join(unknown) or 'all'} unknown to labeller or editor, which has "
                f"{editor.known_names()}"
            )
        with float32(module.device):  # as the unedited pictures, whatever the Trainer's precision
            parts = _parts(trainer, generator, self.codes, self.batch, module.device)
            odds = [scorer.log_odds(generator.synthesize(part.styles, camera=part.camera).image) for part, _ in parts]
            grades = SweepGrades(generator, scorer, tails, self.strengths, torch.cat(odds))
            for part, labels in parts:
                grades.update(part, editor, labels)
        for name, value in grades.report().items():
            module.log(f"val/{name}", value, prog_bar=name == "change_at_drift")


def _parts(
    trainer: Trainer, generator: Generator | None, count: int, size: int, device: torch.device
) -> Sequence[tuple[CodeBatch, torch.Tensor]]:
    """Return the first validation codes, a few at a time, with their labels."""
    data: Any = getattr(trainer, "datamodule", None)
    if generator is None or not hasattr(data, "latents"):
        raise ValueError("EditGrades: needs a module with a generator, and LabelledLatentDataModule with its codes w")
    numbers = list(data.rows["val"][:count])
    batches = (data.latents(numbers[start : start + size], device) for start in range(0, len(numbers), size))
    return [(_with_styles(generator, batch), batch.labels) for batch in batches]


def _with_styles(generator: Generator, batch: LatentBatch) -> CodeBatch:
    ws = batch.codes[:, None].expand(-1, generator.num_ws, -1)
    return CodeBatch(batch.index, batch.codes.new_empty(len(batch), 0), ws, generator.styles(ws), batch.camera)
