import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
import torch
from lightning.pytorch import Trainer
from sat3d.data import StyleCodeDataModule
from sat3d.methods import SAT3D
from sat3d.methods.sat3d import LossWeights

generator, scorer, folder, devices = *sys.argv[1:4], int(sys.argv[4])
model = SAT3D(generator, scorer=scorer, labeller=scorer, preselect=0.5, probe_codes=8, min_distance=0.0)
data = StyleCodeDataModule(
    generator, num_codes=16, num_cameras=2, block_size=4, batch_size=8 // devices, epoch_size=24, val_size=6
)
trainer = Trainer(
    accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", max_steps=3, logger=False,
    default_root_dir=folder, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
)
trainer.fit(model, datamodule=data)
metrics = trainer.validate(model, datamodule=data, verbose=False)[0]
if trainer.is_global_zero:
    with open(f"{folder}/out.json", "w") as file:
        json.dump({"logits": model.mask.logits.tolist(), **metrics}, file)
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(toys, tmp_path):
    out = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        folder.mkdir()
        (folder / "run.py").write_text(SCRIPT)
        command = [sys.executable, str(folder / "run.py"), toys.generator, toys.scorer, str(folder), str(devices)]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=250)
        out.append(json.loads((folder / "out.json").read_text()))
    one, two = (sum(result["logits"], []) for result in out)  # noqa: RUF017
    # Adam divides by the gradient's size: where that is next to nothing, rounding decides the sign of a step.
    close = sum(abs(a - b) < 1e-3 for a, b in zip(one, two, strict=True))
    assert close > 0.97 * len(one)
    assert out[0]["val/gain"] == pytest.approx(out[1]["val/gain"], abs=2e-2)
