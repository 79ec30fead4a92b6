"""Checkpoints that a dying process, a full disk or a damaged file cannot take away."""

from __future__ import annotations

import errno
import io
import os
import pickle
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from sat3d.callbacks.pictures import run_folder
from sat3d.visualization import replacing

LAST, PREVIOUS, TRIAL = "last.ckpt", "previous.ckpt", ".trial.ckpt"


def is_readable(path: str | Path) -> bool:
    """Tell whether a checkpoint is whole: every record has the checksum that was written with it, and torch opens it.

    Nothing in it is executed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return False
        torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        return True  # as it was written, with objects that only who trusts the file may load
    except Exception:  # damaged archives raise whatever their bytes happen to say
        return False
    return True


def newest_readable(folder: Path) -> Path | None:
    """Return the newest checkpoint of a folder that is whole, and warn of newer ones that are not."""
    found = sorted(folder.glob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in found:
        if is_readable(path):
            return path
        rank_zero_warn(f"{path} is damaged: an older checkpoint is taken, if there is one")
    return None


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write checkpoints whole or not at all: to a temporary file, to the disk, and then to their name.

    Lightning's own writes to the system's temporary folder and copies from there, which a crash can cut short. Here a
    checkpoint that cannot be written leaves the one before in its place; the training goes on, with a warning.

    Attributes:
        must: whether a checkpoint that cannot be written is an error.
    """

    def __init__(self) -> None:
        super().__init__()
        self.must = False

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint; places with a scheme (s3://…) are left to Lightning."""
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        content = io.BytesIO()
        torch.save(checkpoint, content)
        try:
            write_durably(Path(path), content.getbuffer())
        except OSError as error:
            message = _unwritable(Path(path), content.tell(), error)
            if self.must:
                raise OSError(message) from error
            rank_zero_warn(f"{message}; the training goes on, and the next save is tried")


def write_durably(path: Path, content: Any) -> None:
    """Write bytes so that after a power cut the file is the old one or the new one, and nothing between.

    Raises:
        OSError: if it cannot be written; the old file stays.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name, too
    finally:
        os.close(folder)


def _unwritable(path: Path, size: int, error: OSError) -> str:
    message = f"checkpoint: {path} cannot be written ({error.strerror or error})"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(next(p for p in path.parents if p.exists())).free
        return f"{message}: it takes {size / 2**20:.1f} MiB, {free / 2**20:.1f} are free; make room, or --run.root"
    return f"{message}: choose another folder by --run.root or --run.dir"


class RunCheckpoints(Checkpoint):
    """Keep `<run>/checkpoints/last.ckpt` and, as `previous.ckpt`, the whole one before it.

    Saved are every few minutes, a training that is told to end (SIGTERM), and the end. What was logged until then is
    written before. A run that is gone on with from here is the uninterrupted one, step by step and row by row. Before
    the first step a checkpoint is written and removed: a folder that takes none is told of in time.

    Processes agree on the step at which to look at the clock again, so that no other step waits for them.

    Args:
        minutes: between saves.
        steps: save every so many steps, too.

    Raises:
        ValueError: for times that are not above 0.
        OSError: at the start or the end of the training, if the checkpoint cannot be written.
    """

    def __init__(self, minutes: float = 5.0, steps: int | None = None) -> None:
        if minutes <= 0 or (steps is not None and steps < 1):
            raise ValueError(f"minutes={minutes}, steps={steps} must be above 0")
        self.seconds, self.steps = 60 * minutes, steps
        self._begun = self._seen = self._look_at = 0
        self._started = self._saved_at = 0.0
        self._waiting = False  # a save that is due, for the validation or the epoch that ends with this step
        self._between_steps = self._epoch_ended = False
        self._logged: dict[str, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take up the rows and metrics of a run that is gone on with; of a new one, try whether it can be saved."""
        self._started = self._saved_at = time.monotonic()
        self._begun = self._seen = trainer.global_step
        self._look_at, self._waiting = trainer.global_step + 1, False
        logged, self._logged = self._logged, {}
        for logger in trainer.loggers:
            if trainer.is_global_zero and hasattr(logger, "go_on"):
                logger.go_on(logged.get("until", trainer.global_step))  # without: saved by another callback, or new
            if logged.get("row"):
                logger.log_metrics(logged["row"], step=trainer.global_step - 1)
        known = {key: torch.tensor(value) for key, value in logged.get("known", {}).items()}
        trainer.callback_metrics.update(known)  # a validation before the stop is still the last one
        if not trainer.ckpt_path:
            self._save(trainer, 0, must=True, name=TRIAL)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Save where it is time; where a validation or the end of the epoch comes first, after those."""
        self._epoch_ended, step = False, trainer.global_step
        if step == self._seen:  # gradients are still being added up
            return
        self._seen = step
        self._waiting |= self.steps is not None and step % self.steps == 0
        if step >= self._look_at:
            self._look_at, due = trainer.strategy.broadcast(self._plan(step))
            self._waiting |= due
        loop: Any = trainer.fit_loop
        comes = _end_comes(trainer) or loop.epoch_loop._should_check_val_fx(loop._data_fetcher)
        if self._waiting and not comes:
            self._save(trainer, step - 1, row=_row_to_come(trainer))

    def _plan(self, step: int) -> tuple[int, bool]:
        """Return the step at which to look at the clock again, and whether it is time now."""
        now = time.monotonic()
        due = now - self._saved_at >= self.seconds
        left = self.seconds if due else self.seconds - (now - self._saved_at)
        seen = step - self._begun
        return step + max(1, min(int(left * seen / max(now - self._started, 1e-9)), seen)), due

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what had to wait for the validation."""
        if self._waiting and not trainer.sanity_checking and not _end_comes(trainer):
            self._save(trainer, trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what had to wait, where epochs are single batches."""
        self._epoch_ended = True
        if self._waiting and trainer.num_training_batches == 1:
            self._between_steps = True
            self._save(trainer, trainer.global_step)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save a training that was told to end between two steps.

        What a validation had seen is lost with it. Before an epoch's first step there is nothing to go on from.
        """
        begun = trainer.fit_loop.epoch_loop.batch_progress.current.ready > 0
        if isinstance(exception, SIGTERMException) and trainer.training and begun:
            self._between_steps = True
            self._save(trainer, trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end, from which a run with more steps goes on."""
        self._between_steps = True
        self._save(trainer, trainer.global_step, must=True)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write Lightning's counters as they are when it goes on from them without a flaw; in own saves alone."""
        if not self._logged:
            return
        loop = checkpoint["loops"]["fit_loop"]
        if self._between_steps:
            _back_to_batch_end(loop)
        for count in (loop["epoch_progress"]["total"], loop["epoch_progress"]["current"]):
            # After an epoch that was gone on with, Lightning forgets to count the start of the next.
            before = count["processed"] - self._epoch_ended
            count.update(ready=before + 1, started=before + 1, processed=before, completed=before)

    def state_dict(self) -> dict[str, Any]:
        """Return up to which step rows were logged, the row that comes after the checkpoint, and the last metrics."""
        return self._logged

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember what was logged."""
        self._logged = state_dict

    def _save(
        self,
        trainer: Trainer,
        until: int,
        row: dict[str, Any] | None = None,
        must: bool = False,
        name: str = LAST,
    ) -> None:
        self._waiting = False
        if getattr(trainer, "fast_dev_run", False):
            return
        known = {key: float(value) for key, value in trainer.callback_metrics.items()}
        self._logged = {"until": until, "row": row or {}, "known": known}
        path = run_folder(trainer) / "checkpoints" / name
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.save()
            _empty_of_leftovers(path.parent)
            if is_readable(path):
                _keep(path, path.with_name(PREVIOUS))
        writer = trainer.strategy.checkpoint_io
        if isinstance(writer, AtomicCheckpointIO):
            writer.must = must
        trainer.save_checkpoint(path)
        self._logged, self._saved_at, self._between_steps = {}, time.monotonic(), False
        if name == TRIAL and trainer.is_global_zero:
            path.unlink(missing_ok=True)


def _end_comes(trainer: Trainer) -> bool:
    """Tell whether the epoch or the training ends with this step: what is to be saved is saved there.

    From a checkpoint of the last step Lightning would go on with nothing, not even the validation that is due.
    """
    return trainer.is_last_batch or 0 <= trainer.max_steps <= trainer.global_step


def _back_to_batch_end(loop: dict[str, Any]) -> None:
    """Turn the counters of a fit that stands between two steps back to the end of the last one's callbacks.

    From other places Lightning counts steps or epochs once too often when it goes on, which shows in what is logged and
    in whatever depends on the epoch's number.
    """
    batches = loop["epoch_loop.batch_progress"]
    if not batches["total"]["ready"] or batches["current"]["completed"] != batches["current"]["processed"]:
        return
    for count in (batches["total"], batches["current"]):
        count["completed"] -= 1
    loop["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1


def _row_to_come(trainer: Any) -> dict[str, Any]:
    """Return what Lightning will log of this step once its callbacks are done, if it logs this step."""
    if trainer.global_step % trainer.log_every_n_steps or trainer._results is None:
        return {}
    told = {key: float(value) for key, value in trainer._results.metrics(on_step=True)["log"].items()}
    return {"epoch": trainer.current_epoch, **told} if told else {}


def _empty_of_leftovers(folder: Path) -> None:
    """Remove temporary files that a killed process left; the folder is this run's alone."""
    for pattern in (".*.ckpt", "*.part"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def _keep(path: Path, name: Path) -> None:
    """Give a file a second name, which may have been another's."""
    if name.exists() and name.samefile(path):
        return  # what renaming one to the other would not undo
    other = name.with_suffix(".part")
    try:
        other.unlink(missing_ok=True)
        os.link(path, other)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, other)
    other.replace(name)
