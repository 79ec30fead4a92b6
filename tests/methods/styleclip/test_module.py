"""The fit: settings, grading, going on after a stop, several processes."""

import json
import os
import subprocess
import sys

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from safetensors.torch import load_file

from sat3d.methods import StyleCLIPDirections, load_editor
from sat3d.shipped import manifest
from tests.methods.styleclip.planted import DATA, fit, module


@pytest.mark.parametrize("stop", [1, 5])
def test_a_stopped_run_goes_on_to_the_same_result(toys, tmp_path, stop):
    whole, part, again = (module(toys.flat) for _ in range(3))
    fit(whole, tmp_path / "whole")
    save = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_last=True)
    fit(part, tmp_path, max_steps=stop, callbacks=[save])
    assert not part.is_fitted and int(part.mean_direction.pictures) in (1, 2)
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert not any(key.startswith(("generator.", "clip.")) for key in kept)
    fit(again, tmp_path / "again", ckpt=tmp_path / "last.ckpt")
    assert torch.equal(again.directions, whole.directions) and int(again.mean_direction.pictures) == 3
    with pytest.raises(ValueError, match=r"shift=5\.0, not of 2\.0"):
        fit(module(toys.flat, shift=2.0), tmp_path, ckpt=tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match="of another stream of codes"):
        fit(module(toys.flat), tmp_path, ckpt=tmp_path / "last.ckpt", data={"seed": 7})


def test_a_checkpoint_serves_other_texts(planted, tmp_path):
    planted.trainer.save_checkpoint(tmp_path / "whole.ckpt")
    path = tmp_path / "whole.ckpt"
    assert torch.equal(load_editor(path).direction("wanted"), planted.editor().direction("wanted"))
    other = StyleCLIPDirections.load_from_checkpoint(path, texts={"x": ["channel 3", "channel 4"]})
    assert {channel for _, channel, _ in other.editor().channels_of("x")[:2]} == {3, 4}


def test_attributes_without_channels_are_told_of_and_not_graded(toys, tmp_path):
    texts = {"hat/cap": ["a", "b"], "smile": ["c", "d"]}
    model = module(toys.flat, texts=texts, thresholds={"smile": 0.999}, labeller=toys.scorer)
    with pytest.warns(UserWarning, match="leaves no channel for smile, whose most relevant one has 0"):
        fit(model, tmp_path)
    told = model.trainer.callback_metrics
    assert "val/reach/hat/cap" in told and "val/reach/smile" not in told and told["train/seconds_per_picture"] > 0
    assert (tmp_path / "channel_directions.safetensors").is_file()


def test_settings_out_of_range_are_refused(toys):
    for changes, message in (
        ({"texts": {}}, "texts: name target and neutral"),
        ({"texts": {"a": ["only one"]}}, "a: .* must be a list of two"),
        ({"texts": {"a": ["x", []]}}, "must be a phrase"),
        ({"templates": ["no place"]}, "with one {} each"),
        ({"max_resolution": 2}, "no such channels"),
        ({"pictures": 0}, "pictures=0 must be at least 1"),
        ({"shift": 0.0}, "must be above 0"),
        ({"strengths": (2.0, 1.0)}, "must rise"),
        ({"thresholds": {"nothing": 0.1}}, "are no attributes"),
    ):
        with pytest.raises(ValueError, match=message):
            module(toys.flat, **changes)


def test_descriptors_name_attributes_by_their_phrases(toys):
    model = module(toys.flat, texts={"extra": ["x", "y"]}, descriptors="toyfaces", templates=None)
    assert model.attributes[:2] == ("black hair", "brown hair") and model.attributes[-1] == "extra"
    assert model.templates == ("a head with {}",)


SCRIPT = """
import json, sys
from lightning.pytorch import Trainer
from sat3d.data import StyleCodeDataModule
from sat3d.methods import StyleCLIPDirections

generator, folder, devices, data = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
model = StyleCLIPDirections(
    generator, texts={"smile": ["a smile", "a frown"]}, pictures=4, population=30, max_resolution=8, threshold=0.0
)
data = StyleCodeDataModule(generator, **{**data, "batch_size": 8 // devices})
trainer = Trainer(
    accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", max_epochs=1, logger=False,
    default_root_dir=folder, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
)
trainer.fit(model, datamodule=data)
"""


@pytest.mark.slow
@pytest.mark.skipif("toyfaces-clip" not in manifest(), reason="checkpoints lack toyfaces-clip")
def test_two_processes_find_what_one_finds(toys, tmp_path):
    tables = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        folder.mkdir()
        (folder / "run.py").write_text(SCRIPT)
        words = [toys.generator, str(folder), str(devices), json.dumps(DATA)]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, str(folder / "run.py"), *words], check=True, env=env, timeout=250)
        tables.append(load_file(folder / "channel_directions.safetensors"))
    for name, value in tables[0].items():
        torch.testing.assert_close(tables[1][name], value, rtol=1e-3, atol=1e-3, msg=name)
