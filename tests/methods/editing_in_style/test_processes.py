"""Several processes find what one finds."""

import json
import os
import subprocess
import sys

import pytest
import torch

from sat3d.methods import load_editor
from tests.methods.editing_in_style.catalogue import DATA

SCRIPT = """
import json, sys
from lightning.pytorch import Trainer
from sat3d.data import StyleCodeDataModule
from sat3d.methods import EditingInStyle
from sat3d.perception import RegionSource

generator, parser, scorer, folder, memberships = sys.argv[1:6]
devices, data = int(sys.argv[6]), json.loads(sys.argv[7])
clusters = RegionSource(clusters=3, layer="renderer", codes=4)
model = EditingInStyle(generator, regions=clusters, attributes={"hat": ["head"]}, named_by=parser, labeller=scorer,
                       memberships=memberships, render_batch=3)
data = StyleCodeDataModule(generator, **data)
trainer = Trainer(
    accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", max_epochs=1, logger=False,
    default_root_dir=folder, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
)
trainer.fit(model, datamodule=data)
if trainer.is_global_zero:
    with open(f"{folder}/out.json", "w") as file:
        json.dump({k: float(v) for k, v in trainer.callback_metrics.items()}, file)
"""


@pytest.mark.slow
@pytest.mark.parametrize("memberships", ["planes", "gradients"])
def test_two_processes_find_what_one_finds(toys, tmp_path, memberships):
    tables, editors, told = [], [], []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        folder.mkdir()
        (folder / "run.py").write_text(SCRIPT)
        data = {**DATA, "val_size": 2 * devices, "batch_size": 4}
        words = [toys.generator, toys.parser, toys.scorer, str(folder), memberships, str(devices), json.dumps(data)]
        command = [sys.executable, str(folder / "run.py"), *words]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=250)
        tables.append((folder / "catalogue.csv").read_text())
        editors.append(load_editor(folder / "editor").contribution)
        told.append(json.loads((folder / "out.json").read_text()))
    assert tables[0] == tables[1]
    torch.testing.assert_close(editors[0], editors[1], rtol=1e-4, atol=1e-5)
    assert told[0].keys() == told[1].keys()
