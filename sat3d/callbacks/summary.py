"""What a run took and what came out, as one JSON file."""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from sat3d.callbacks.pictures import run_folder
from sat3d.visualization import replacing


class Summary(Callback):
    """Write `<run>/fit.json` or `<run>/test.json`: metrics, curves over strength, seconds, peak memory."""

    def __init__(self) -> None:
        self.started = self.train_started = 0.0
        self.first_step = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Start the clock of the steps after the preparations of the first one."""
        if not self.train_started:
            self.train_started, self.first_step = time.perf_counter(), trainer.global_step

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what training took."""
        steps, seconds = trainer.global_step - self.first_step, time.perf_counter() - self.train_started
        timing = {"steps": trainer.global_step, "seconds_per_step": seconds / steps} if steps else {}
        self._write(trainer, pl_module, "fit", timing)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what the test gave."""
        self._write(trainer, pl_module, "test", {})

    def _write(self, trainer: Trainer, pl_module: Any, stage: str, timing: dict[str, float]) -> None:
        folder = run_folder(trainer)
        if not trainer.is_global_zero:
            return
        content = {
            "metrics": {k: float(v) for k, v in sorted(trainer.callback_metrics.items())},
            "curves": _curves(getattr(pl_module, "curves", None)),
            "seconds": time.perf_counter() - self.started,
            **timing,
            "peak_memory_mib": _peak_memory(),
            "device": str(pl_module.device),
        }
        with replacing(folder / f"{stage}.json") as temporary:
            temporary.write_text(json.dumps(_clean(content), indent=2) + "\n")


def _curves(curves: Any) -> dict[str, Any] | None:
    if curves is None:
        return None
    rows = zip(curves.attributes, curves.gain.tolist(), curves.drift.tolist(), curves.pairs.tolist(), strict=True)
    by_attribute = {name: {"gain": g, "drift": d, "pairs": n} for name, g, d, n in rows}
    return {"strengths": list(curves.strengths), "attributes": by_attribute}


def _peak_memory() -> int:
    """Return the largest memory that this process had, MiB; on a GPU its own memory counts too."""
    unit = 1024**2 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
    return peak + (torch.cuda.max_memory_allocated() // 1024**2 if torch.cuda.is_available() else 0)


def _clean(value: Any) -> Any:
    """Round numbers and replace what JSON has no word for."""
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
