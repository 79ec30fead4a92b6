"""Checkpoints are whole or not there, and a damaged one does not end a run."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.utilities.exceptions import SIGTERMException

from sat3d.callbacks import AtomicCheckpointIO, RunCheckpoints
from sat3d.callbacks.checkpoints import is_readable, newest_readable
from sat3d.commands.runs import find_checkpoint


def trainer(folder, *callbacks, **options):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "logger": False}
    settings = {"max_steps": 6, "limit_val_batches": 0, "plugins": [AtomicCheckpointIO()], **quiet, **options}
    return Trainer(default_root_dir=folder, callbacks=list(callbacks), **settings)


def saved(folder, value):
    """Write a checkpoint and return it."""
    path = folder / "checkpoints" / f"{value}.ckpt"
    AtomicCheckpointIO().save_checkpoint({"value": torch.full((1000,), float(value)), "step": value}, path)
    return path


def test_every_change_of_a_byte_is_seen_or_harmless(tmp_path):
    path = saved(tmp_path, 1)
    whole, expected = path.read_bytes(), torch.load(path, weights_only=True)
    draw, seen = random.Random(0), 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(draw.choice((1, 1, 8))):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        if is_readable(path):
            read = torch.load(path, weights_only=True)
            assert torch.equal(read["value"], expected["value"]) and read["step"] == expected["step"]
        else:
            seen += 1
    assert seen > 300
    for length in range(0, len(whole), 61):
        path.write_bytes(whole[:length])
        assert not is_readable(path)


def test_the_newest_whole_checkpoint_is_taken_and_damaged_ones_are_told_of(tmp_path):
    run = tmp_path / "experiment" / "0"
    paths = [saved(run, value) for value in range(3)]
    for place, path in enumerate(paths):
        os.utime(path, ns=(place, place))
    paths[2].write_bytes(paths[2].read_bytes()[:-100])
    with pytest.warns(UserWarning, match=r"2\.ckpt is damaged: an older checkpoint is taken"):
        assert newest_readable(run / "checkpoints") == paths[1]
        assert find_checkpoint("last", run.parent) == str(paths[1])
    with pytest.raises(ValueError, match=r"2\.ckpt is truncated or damaged.*1\.ckpt can be read"):
        find_checkpoint(str(paths[2]), run.parent)
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"no run under .* left a checkpoint that can be read"):
        find_checkpoint("last", run.parent)


KILLED = """
import sys, torch
from pathlib import Path
from sat3d.callbacks import AtomicCheckpointIO
io, value = AtomicCheckpointIO(), torch.zeros(1_000_000)
print("ready", flush=True)
for step in range(10**9):
    io.save_checkpoint({"step": step, "value": value + step}, Path(sys.argv[1]) / "last.ckpt")
"""


def test_a_process_killed_while_it_writes_leaves_a_whole_checkpoint(tmp_path):
    draw = random.Random(0)
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "ready\n"
        while not (tmp_path / "last.ckpt").exists():
            pass
        for _ in range(20):  # look into what is there at any moment
            shutil.copy(tmp_path / "last.ckpt", tmp_path / "copy.ckpt")
            content = torch.load(tmp_path / "copy.ckpt", weights_only=True)
            assert is_readable(tmp_path / "copy.ckpt") and bool((content["value"] == content["step"]).all())
        signal.sigtimedwait([], draw.random() / 10)
        child.kill()
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert is_readable(tmp_path / "last.ckpt") and bool((content["value"] == content["step"]).all())


class FillDisk(Callback):
    """Let every write to the disk fail between two steps."""

    def __init__(self, monkeypatch, first, last):
        self.patch, self.first, self.last = monkeypatch, first, last

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.first:
            self.patch.setattr("os.fsync", no_space)
        if trainer.global_step == self.last:
            self.patch.undo()


def no_space(handle):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_told_of_before_the_first_step(tmp_path, monkeypatch):
    model = BoringModel()
    before = model.layer.weight.clone()
    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match=r"No space left on device.*: it takes .* MiB, .* are free; make room"):
        trainer(tmp_path, RunCheckpoints()).fit(model)
    assert torch.equal(model.layer.weight, before)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_disk_that_is_full_for_a_while_costs_no_more_than_the_saves_of_that_while(tmp_path, monkeypatch):
    run = trainer(tmp_path, FillDisk(monkeypatch, 3, 5), RunCheckpoints(steps=1))
    with pytest.warns(UserWarning, match="cannot be written .* the training goes on, and the next save is tried"):
        run.fit(BoringModel())
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 6


def test_a_disk_that_is_full_at_the_end_is_an_error_and_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    run = trainer(tmp_path, FillDisk(monkeypatch, 3, 99), RunCheckpoints(steps=1))
    with pytest.raises(OSError, match="No space left"), pytest.warns(UserWarning, match="cannot be written"):
        run.fit(BoringModel())
    monkeypatch.undo()
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 3
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} <= {"last.ckpt", "previous.ckpt"}


def test_a_folder_that_takes_no_files_is_told_of_before_the_first_step(tmp_path):
    (tmp_path / "checkpoints").write_text("a file in the folder's place")
    with pytest.raises(OSError, match=r"checkpoint: .*trial\.ckpt cannot be written"):
        trainer(tmp_path, RunCheckpoints()).fit(BoringModel())


def test_the_checkpoint_before_is_kept_and_never_replaced_by_a_damaged_one(tmp_path):
    class Damage(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == 4:
                path = tmp_path / "checkpoints" / "last.ckpt"
                path.write_bytes(path.read_bytes()[:-50])
            if trainer.global_step == 5:
                kept = torch.load(tmp_path / "checkpoints" / "previous.ckpt", weights_only=True)
                assert kept["global_step"] == 3  # that of step 4 was damaged

    trainer(tmp_path, Damage(), RunCheckpoints(steps=1)).fit(BoringModel())
    steps = {name: torch.load(tmp_path / "checkpoints" / name, weights_only=True)["global_step"] for name in
             ("previous.ckpt", "last.ckpt")}  # fmt: skip
    assert steps["last.ckpt"] == 6 and steps["previous.ckpt"] in (5, 6)


def test_file_systems_without_links_keep_the_checkpoint_before_too(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr("os.link", refuse)
    trainer(tmp_path, RunCheckpoints(steps=2)).fit(BoringModel())
    assert is_readable(tmp_path / "checkpoints" / "previous.ckpt")


class Term(Callback):
    """Ask this process to end, as schedulers do."""

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_training_that_is_told_to_end_saves_the_step_it_was_at(tmp_path):
    with pytest.raises(SIGTERMException):
        trainer(tmp_path, Term(), RunCheckpoints()).fit(BoringModel())
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 4


def test_saves_come_by_the_clock(tmp_path, monkeypatch):
    now, steps = [0.0], []
    monkeypatch.setattr("sat3d.callbacks.checkpoints.time.monotonic", lambda: now[0])

    class Clock(Callback):
        def on_train_batch_start(self, trainer, *_):
            now[0] += 10.0  # seconds a step

    class Seen(RunCheckpoints):
        def _save(self, trainer, *args, **kwargs):
            steps.append(trainer.global_step)
            super()._save(trainer, *args, **kwargs)

    trainer(tmp_path, Clock(), Seen(minutes=2.0), max_steps=50).fit(BoringModel())
    assert steps == [0, 12, 24, 36, 48, 50]


@pytest.mark.parametrize("bad", [{"minutes": 0}, {"steps": 0}])
def test_times_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match="must be above 0"):
        RunCheckpoints(**bad)


def test_checkpoints_are_zip_files_of_checked_records(tmp_path):
    with zipfile.ZipFile(saved(tmp_path, 1)) as archive:
        assert all(entry.CRC for entry in archive.infolist() if entry.file_size)
    assert not [path for path in Path(tmp_path / "checkpoints").iterdir() if path.name.startswith(".")]


def test_a_step_of_several_batches_is_saved_once_and_whole(tmp_path, monkeypatch):
    seen, save = [], RunCheckpoints._save
    monkeypatch.setattr(
        RunCheckpoints, "_save", lambda self, t, step, **k: seen.append(step) or save(self, t, step, **k)
    )
    run = trainer(tmp_path, RunCheckpoints(steps=2), max_steps=6, accumulate_grad_batches=3)
    run.fit(BoringModel())
    assert seen == [0, 1, 3, 6]  # the trial, after the second and the fourth step, at the end
