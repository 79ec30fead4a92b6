"""Classes of a user's own, in a file beside the configs: trained and used through the installed scripts."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sat3d.cli import main
from sat3d.generators import save_generator, tiny_generator

SCRIPTS = Path(sys.executable).parent
OWN = """
import torch
from sat3d.generators import load_generator
from sat3d.methods.base import Editor
from sat3d.methods.one_pass import OnePass
from torchmetrics import MeanMetric


class Scale(Editor):
    def __init__(self, attributes, size=0.0):
        super().__init__(attributes)
        self.register_buffer("size", torch.tensor(size))

    def config(self):
        return {**super().config(), "size": float(self.size)}

    def _edit(self, codes, attributes, strength, reference, values):
        return codes + strength * self.size


class MeanSize(OnePass):
    def __init__(self, generator):
        super().__init__()
        self.save_hyperparameters()
        self.generator = load_generator(generator)
        self.mean = MeanMetric()
        self.register_buffer("found", torch.tensor(0.0))

    def collect(self, batch):
        self.mean.update(batch.styles.abs())

    def solve(self):
        self.found.copy_(self.mean.compute())

    def editor(self):
        return Scale(("smile",), float(self.found))

    def basis(self):
        return {"generator": self.generator.hash}
"""
EDIT = ["edit", "--editor=run/editor", "--generator=tiny.safetensors", "--source=3", "--attribute=smile", "--frames=0"]


def run(script, *words, where):
    return subprocess.run([SCRIPTS / script, *words], capture_output=True, text=True, cwd=where, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the module, and a run of it by the installed script, which Python starts elsewhere."""
    root = tmp_path_factory.mktemp("mine")
    (root / "mine.py").write_text(OWN)
    save_generator(tiny_generator(0), root / "tiny.safetensors")
    model = {"class_path": "mine.MeanSize", "init_args": {"generator": "tiny.safetensors"}}
    codes = {"generator": "tiny.safetensors", "batch": "codes", "epoch_size": 8, "batch_size": 4}
    data = {"class_path": "sat3d.data.StyleCodeDataModule", "init_args": codes}
    trainer = {"accelerator": "cpu", "max_epochs": 1, "limit_val_batches": 0, "logger": False}
    callbacks = [{"class_path": "sat3d.callbacks.Summary"}]
    told = {"model": model, "data": data, "trainer": {**trainer, "callbacks": callbacks}}
    (root / "mine.yaml").write_text(yaml.safe_dump(told))
    done = run("lightning", "fit", "--config=mine.yaml", "--run.dir=run", where=root)
    assert done.returncode == 0, done.stderr
    return root


def test_a_method_beside_its_config_trains_and_edits(place):
    done = run("sat3d", *EDIT, "--modules=[mine]", where=place)
    assert done.returncode == 0, done.stderr
    assert (place / "out/edit.png").read_bytes() != (place / "out/source.png").read_bytes()


def test_a_card_makes_nothing_be_imported(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(ValueError, match=r"the card names mine\.Scale, .* import its module first \(--modules\)"):
        main(EDIT)
    assert "mine" not in sys.modules
    for verb in (EDIT, ["transfer", "--editors=[run/editor]"], ["success", "--runs=[run]"], ["app"]):
        with pytest.raises(ImportError, match="modules: 'nowhere_to_be' cannot be imported"):
            main([*verb, "--modules=[nowhere_to_be]"])
