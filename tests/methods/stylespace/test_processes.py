"""Several processes find what one finds."""

import csv
import json
import os
import subprocess
import sys

import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy as Strategy

from sat3d.methods.shares import spread
from sat3d.perception import RegionSource
from tests.methods.stylespace.discovery import DATA, fit, module


def test_devices_take_the_clusters_of_the_first(toys, tmp_path, monkeypatch):
    def first(self, state, src=0):
        return {"centres": state["centres"].flip(0)} if isinstance(state, dict) else state

    found = []
    for patched in (False, True):
        if patched:
            monkeypatch.setattr(Strategy, "broadcast", first)
        model = module(toys, regions=RegionSource(clusters=3, layer="renderer", codes=4))
        fit(model, tmp_path, limit_val_batches=0)
        found.append(model.regions.centres)
    assert torch.equal(found[0].flip(0), found[1])


SCRIPT = """
import json, sys
from lightning.pytorch import Trainer
from sat3d.data import StyleCodeDataModule
from sat3d.methods import StyleSpaceDiscovery
from sat3d.perception import RegionSource

generator, scorer, parser, folder, devices, data = *sys.argv[1:5], int(sys.argv[5]), json.loads(sys.argv[6])
model = StyleSpaceDiscovery(
    generator, regions=RegionSource(parser=parser), grid=8, pictures=6, scorer=scorer, scored=30, positives=4,
    labeller=scorer, graded_codes=4, strengths=(5.0, 20.0),
)
data = StyleCodeDataModule(generator, **{**data, "batch_size": 4})
trainer = Trainer(
    accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", max_epochs=1, logger=False,
    default_root_dir=folder, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
)
trainer.fit(model, datamodule=data)
if trainer.is_global_zero:
    with open(f"{folder}/out.json", "w") as file:
        json.dump({k: float(v) for k, v in trainer.callback_metrics.items() if "seconds" not in k}, file)
"""


@pytest.mark.slow
def test_two_processes_find_what_one_finds(toys, tmp_path):
    tables, told = [], []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        folder.mkdir()
        (folder / "run.py").write_text(SCRIPT)
        words = [toys.generator, toys.scorer, toys.parser, str(folder), str(devices), json.dumps(DATA)]
        command = [sys.executable, str(folder / "run.py"), *words]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=250)
        tables.append(list(csv.DictReader((folder / "channels.csv").open())))
        told.append(json.loads((folder / "out.json").read_text()))
    for one, two in zip(*tables, strict=True):
        for key, value in one.items():
            if key in ("layer", "channel", "flat", "kind", "region", "attribute", "local"):
                assert two[key] == value
            else:
                assert float(two[key]) == pytest.approx(float(value), rel=1e-4, abs=1e-6), key
    assert told[0] == pytest.approx(told[1], rel=1e-3, nan_ok=True)


def test_spread_is_even_whoever_shares():
    for count, total in ((100, 20000), (7, 40), (33, 33), (99, 3000)):
        numbers = spread(count, total)
        assert len(numbers.unique()) == count and int(numbers.min()) >= 0 and int(numbers.max()) < total
        edges = [j * total // count for j in range(count + 1)]
        assert all(low <= n < high for n, low, high in zip(numbers.tolist(), edges, edges[1:], strict=False))
        for world in (2, 8) if total >= 8 * count else (2,) if total >= 2 * count else ():
            shares = (numbers % world).bincount(minlength=world)
            assert shares.max() - shares.min() <= 1
