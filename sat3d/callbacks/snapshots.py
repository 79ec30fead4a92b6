"""Editors in the course of a training, by seconds: what a method has learnt after how long."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, Trainer

from sat3d.callbacks.pictures import run_folder

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


class TimedEditors(Callback):
    """Train for a number of seconds, and export the editor each time that a share of them is spent.

    Seconds of training steps with their data count, from the end of the first step on, which compiles and fills caches;
    validations and exports do not. They are in every checkpoint, so that a stopped run goes on with what it has left.
    Editors go to `<run>/editors/<percent of the budget>`. With several processes the first one's clock counts.

    Args:
        budget_s: seconds.
        editors: how many, at equal distances.
        clock: `wall`, or `processor`: of all threads of this process, which other work on the machine hardly touches,
            and which does not know of a GPU's.

    Raises:
        ValueError: for no budget, no editors, and unknown clocks.
    """

    def __init__(self, budget_s: float, editors: int = 20, clock: Literal["wall", "processor"] = "wall") -> None:
        if budget_s <= 0 or editors < 1 or clock not in CLOCKS:
            raise ValueError(
                f"budget_s={budget_s}, editors={editors} must be above 0, clock={clock!r} one of {[*CLOCKS]}"
            )
        self.budget_s, self.editors, self._now = budget_s, editors, CLOCKS[clock]
        self.spent, self.saved = 0.0, 0
        self._mark: float | None = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        """Count the step, and export or stop where it is time."""
        now = self._now()
        if self._mark is not None:
            self.spent = float(trainer.strategy.broadcast(self.spent + now - self._mark))
        while self.saved < self.editors and self.spent >= self.budget_s * (self.saved + 1) / self.editors:
            self.saved += 1
            self._export(trainer, pl_module)
        trainer.should_stop = trainer.should_stop or self.spent >= self.budget_s
        self._mark = self._now()

    def _export(self, trainer: Trainer, pl_module: Any) -> None:
        folder: Path = run_folder(trainer) / "editors" / f"{100 * self.saved / self.editors:03.0f}"
        if trainer.is_global_zero:
            told = {"seconds": round(self.spent, 3), **pl_module.facts()}
            pl_module.editor().save(folder, pl_module.generator, **told)

    def on_validation_start(self, *_: Any) -> None:
        """Count what was trained so far, and stop the clock."""
        if self._mark is not None:
            self.spent += self._now() - self._mark
        self._mark = None

    def on_validation_end(self, trainer: Trainer, *_: Any) -> None:
        """Go on counting, if training had begun."""
        self._mark = self._now() if trainer.global_step else None

    def state_dict(self) -> dict[str, Any]:
        """Return what has been spent."""
        return {"spent": self.spent, "saved": self.saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with what is left."""
        self.spent, self.saved = state_dict["spent"], state_dict["saved"]
