"""Who grades a discovery, when, and on what."""

import pytest
import torch
from lightning.pytorch import Trainer

from sat3d.data import StyleCodeDataModule
from sat3d.methods import load_editor
from sat3d.methods.sweeps import SweepGrades
from tests.methods.stylespace.discovery import DATA, differing, module


def test_a_checkpoint_is_an_editor_and_can_be_tested(run, toys, tmp_path):
    model, data, trainer, _ = run
    trainer.save_checkpoint(tmp_path / "whole.ckpt")
    editor = load_editor(tmp_path / "whole.ckpt", model.generator)
    assert torch.equal(editor.channels, model.editor().channels)
    other = module(toys, judge=toys.judge)
    tester = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path)
    (told,) = tester.test(other, datamodule=data, ckpt_path=tmp_path / "whole.ckpt", verbose=False)
    assert 0 <= told["test/reach"] <= 1 and "test/reach/hat/cap" in told and "test/reach/mine" not in told
    assert differing(model, other) == []


def test_grading_is_in_float32_whatever_the_precision(run, toys, tmp_path, monkeypatch):
    _, data, trainer, _ = run
    trainer.save_checkpoint(tmp_path / "whole.ckpt")
    mixed, update = [], SweepGrades.update
    graded = lambda *args: mixed.append(torch.is_autocast_enabled("cpu")) or update(*args)  # noqa: E731
    monkeypatch.setattr(SweepGrades, "update", graded)
    quiet = {"logger": False, "enable_progress_bar": False, "default_root_dir": tmp_path}
    judge = Trainer(accelerator="cpu", precision="bf16-mixed", **quiet)
    model = module(toys, labeller=toys.judge)
    judge.validate(model, datamodule=data, ckpt_path=tmp_path / "whole.ckpt", verbose=False)
    assert mixed and not any(mixed)


def test_nothing_is_graded_or_shown_before_a_fit(toys, tmp_path):
    data = StyleCodeDataModule(toys.generator, **DATA)
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path)
    model = module(toys, labeller=toys.scorer, judge=toys.judge)
    for verb in (trainer.validate, trainer.test, trainer.predict):
        with pytest.raises(RuntimeError, match="StyleSpaceDiscovery is not fitted yet"):
            verb(model, datamodule=data)
    with pytest.raises(ValueError, match="labeller: grading needs"):
        trainer.validate(module(toys), datamodule=data)
