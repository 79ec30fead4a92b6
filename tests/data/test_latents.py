"""Labelled codes as a LightningDataModule: parts, loaders, labels, processes."""

import json
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from sat3d.commands.trainer import SatCLI
from sat3d.data import Label, LabelledLatentDataModule, LatentFiles, SampledLatents
from sat3d.data.splits import split_rows
from sat3d.data.streams import IndexLoader, ShufflePlan
from sat3d.perception import load_observer

CPU = torch.device("cpu")
CODES = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
LABELS = np.random.default_rng(1).standard_normal((40, 2))


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "w.npy", CODES)
    np.save(tmp_path / "a.npy", LABELS)
    return {"codes": str(tmp_path / "w.npy"), "labels": str(tmp_path / "a.npy"), "columns": ["age", "yaw"]}


def module(files, **options):
    data = LabelledLatentDataModule(LatentFiles(**files), **{"val": 5, "test": 7, "batch_size": 8, **options})
    data.prepare_data()
    data.setup()
    return data


def flat(batches):
    return list(chain.from_iterable(batches))


def batches(data, loader):
    return [data.on_after_batch_transfer(data.transfer_batch_to_device(batch, CPU, 0), 0) for batch in loader]


def numbers(data, loader):
    return [batch.index.tolist() for batch in batches(data, loader)]


def test_the_labels_of_a_stream(toys, tmp_path):
    source = SampledLatents(toys.generator, toys.scorer, count=30, root=str(tmp_path))
    plan = ["smile", Label("hat", repeat=2)]
    data = LabelledLatentDataModule(source, plan, val=5, test=5, batch_size=4)
    assert data.label_width == 7 and data.attributes == ("smile", "hat")  # known before anything is labelled
    assert data.columns == {"smile": {"value": [0]}, "hat": {"none": [1, 2], "cap": [3, 4], "beanie": [5, 6]}}
    with pytest.raises(RuntimeError, match="setup"):
        data.latents([0])
    data.prepare_data()
    data.setup("fit")
    scorer = load_observer(toys.scorer)
    codes = source.stream.codes("train", range(30))
    scores = scorer(source.stream.generator.synthesize(codes.styles, camera=codes.camera).image)
    smile, hat = scores[:, scorer.column("smile")], scores[:, scorer.slices["hat"][0]].argmax(1)
    low, high = smile[:20].min(), smile[:20].max()
    for batch in batches(data, data.train_dataloader()):
        assert torch.allclose(batch.codes, codes.ws[batch.index, 0], atol=1e-5)
        assert torch.allclose(batch.labels[:, 0], 2 * (smile[batch.index] - low) / (high - low) - 1, atol=1e-3)
        assert torch.equal(batch.labels[:, 1:].view(-1, 3, 2).mean(2).argmax(1), hat[batch.index])
        assert torch.equal(batch.camera.label(), codes.camera[batch.index].label())
        values = torch.stack([smile[batch.index], hat[batch.index].float()], 1)
        assert torch.allclose(data.unscale(batch.labels), values, atol=1e-4)
    assert data.ranges == {"smile": (pytest.approx(float(low), abs=1e-4), pytest.approx(float(high), abs=1e-4))}


def test_parts_are_disjoint_and_in_order(files):
    data = module(files)
    train, val, test = (numbers(data, getattr(data, f"{k}_dataloader")()) for k in ("train", "val", "test"))
    assert val == [list(range(28, 33))] and test == [list(range(33, 40))] == numbers(data, data.predict_dataloader())
    assert sorted(flat(train)) == list(range(28)) and [len(b) for b in train] == [8, 8, 8, 4]
    assert flat(train) != list(range(28))
    assert np.allclose(data.ranges["age"], (LABELS[:28, 0].min(), LABELS[:28, 0].max()))
    assert module(files, val=0, test=0).val_dataloader() == []


def test_epochs_are_functions_of_seed_and_epoch(files):
    data = module(files)
    loader = data.train_dataloader()
    first, second = numbers(data, loader), numbers(data, loader)
    assert first != second and sorted(flat(first)) == sorted(flat(second))
    again = module(files)
    loader = again.train_dataloader()
    assert [numbers(again, loader), numbers(again, loader)] == [first, second]
    other = module(files, seed=1)
    assert numbers(other, other.train_dataloader()) != first


def test_a_stopped_epoch_is_gone_on_with(files):
    data = module(files)
    loader = data.train_dataloader()
    whole = numbers(data, loader) + numbers(data, loader)
    resumed = module(files)
    loader = resumed.train_dataloader()
    loader.load_state_dict({"batches": 6})
    assert numbers(resumed, loader) == whole[6:]


@pytest.mark.parametrize("count", [28, 27])
def test_ranks_share_an_epoch(count):
    for epoch in range(3):
        size, seen = count // 2 * 2, []
        for rank in range(2):
            loader = IndexLoader(size, 4, rank=rank, world_size=2)
            loader.load_state_dict({"batches": epoch * len(loader)})
            samples = torch.cat([batch for _, batch in loader])
            assert len(samples) == size // 2
            seen += ShufflePlan(3, count, size)(samples).tolist()
        single = ShufflePlan(3, count, size)(torch.arange(epoch * size, (epoch + 1) * size)).tolist()
        assert len(set(seen)) == size and sorted(seen) == sorted(single)


def test_what_an_uneven_epoch_leaves_out_changes():
    left = [set(range(27)) - set(ShufflePlan(0, 27, 26)(torch.arange(26) + 26 * e).tolist()) for e in range(5)]
    assert all(len(rows) == 1 for rows in left) and len(set.union(*left)) > 1
    across = ShufflePlan(0, 27, 26)(torch.arange(20, 40))
    assert across.tolist() == [int(ShufflePlan(0, 27, 26)(torch.tensor([i]))) for i in range(20, 40)]


class Recorder(LightningModule):
    """Write down what it is fed."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen, self.held_out = [], []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch.index.tolist())
        return self.weight * batch.labels.sum()

    def validation_step(self, batch, batch_idx):
        self.held_out.append(batch.index.tolist())

    def configure_optimizers(self):
        return torch.optim.SGD([self.weight], lr=0.0)


def fit(files, folder, checkpoint=None, **length):
    model = Recorder()
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, **length,
        enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(model, datamodule=module(files), ckpt_path=checkpoint)
    trainer.save_checkpoint(folder / "stopped.ckpt", weights_only=False)
    return model


# 4 batches an epoch
@pytest.mark.parametrize("length, first, whole", [("max_steps", 6, 10), ("max_steps", 8, 10), ("max_epochs", 2, 3)])
def test_a_run_that_was_stopped_sees_what_the_uninterrupted_one_does(files, tmp_path, length, first, whole):
    straight, part = fit(files, tmp_path, **{length: whole}), fit(files, tmp_path, **{length: first})
    assert sorted(flat(straight.seen[:4])) == list(range(28)) and straight.held_out[0] == list(range(28, 33))
    resumed = fit(files, tmp_path, tmp_path / "stopped.ckpt", **{length: whole})
    assert part.seen + resumed.seen == straight.seen and len(straight.seen) == whole * (4 if "epoch" in length else 1)


@pytest.mark.parametrize(
    "parts, message",
    [
        ((None, 30, 20), "val=30 and test=20 are more than the 40 rows"),
        ((30, 5, 6), r"test=6 takes the rows \[35, 41\) of 40"),
        ((30, -5, 6), "val=-5"),
        (([0, 30], 5, 5), "train: give train, val and test all as counts, or all as"),
        ((None, [0, 5], [5, 9]), "all as"),
        (([0, 30], [29, 33], [33, 40]), r"train=\[0, 30\] and val=\[29, 33\] have rows in common"),
        (([0, 30], [30, 33], [33, 41]), r"test=\[33, 41\] takes the rows \[33, 41\) of 40"),
        (([30, 20], [0, 5], [5, 9]), r"train=\[30, 20\]"),
        ((0, 5, 5), "train=0 leaves nothing to train on"),
        ((None, 20, 20), "nothing to train on"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit(parts, message, files):
    with pytest.raises(ValueError, match=message):
        split_rows(40, *parts)
    with pytest.raises(ValueError, match=message):
        module(files, **dict(zip(("train", "val", "test"), parts, strict=True)))


def test_ranges():
    assert split_rows(40, [10, 40], [0, 5], [5, 5]) == {
        "train": range(10, 40), "val": range(5), "test": range(5, 5),
    }  # fmt: skip
    assert split_rows(40, 10, 5, 2)["test"] == range(15, 17)


def test_what_does_not_fit_is_told_before_anything_is_labelled(toys, tmp_path, monkeypatch):
    monkeypatch.setattr(SampledLatents, "_label", lambda *_: pytest.fail("a picture was made"))
    source = SampledLatents(toys.generator, toys.scorer, count=30, root=str(tmp_path))
    with pytest.raises(ValueError, match="val=100 and test=100 are more than the 30 rows"):
        LabelledLatentDataModule(source).prepare_data()
    with pytest.raises(ValueError, match="labels: hair: not known; there are hat, smile, beard"):
        LabelledLatentDataModule(source, ["hair"], val=1, test=1).prepare_data()


def test_numbers_that_there_are_not(files):
    with pytest.raises(IndexError, match="codes 3 to 40 of 40"):
        module(files).latents([3, 40])
    with pytest.raises(ValueError, match="batch_size=0"):
        module(files, batch_size=0)


CONFIG = """
model: {{class_path: tests.data.test_latents.Recorder}}
data:
  class_path: sat3d.data.LabelledLatentDataModule
  init_args:
    source: {source}
    labels:
      - smile
      - {hat}
      - {{name: capped, columns: [hat/cap], threshold: 0.5}}
    train: [0, 20]
    val: [20, 25]
    test: [25, 30]
    batch_size: 4
trainer: {{accelerator: cpu, max_epochs: 1, enable_progress_bar: false, num_sanity_val_steps: 0}}
"""


def run_config(folder, source, hat=None):
    hat = hat or {"name": "hat", "repeat": 3}
    (folder / "config.yaml").write_text(CONFIG.format(source=json.dumps(source), hat=json.dumps(hat)))
    return SatCLI.open(["fit", "--config", "config.yaml"])


def test_through_the_door(toys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    init = {"generator": toys.generator, "scorer": toys.scorer, "count": 30, "root": str(tmp_path / "cache")}
    cli = run_config(tmp_path, {"class_path": "sat3d.data.SampledLatents", "init_args": init})
    assert sorted(flat(cli.model.seen)) == list(range(20)) and cli.datamodule.label_width == 11
    rows = np.random.default_rng(0).random((30, 4)) * [1, 1, 1, 0.999]
    np.save(tmp_path / "w.npy", CODES[:30])
    np.save(tmp_path / "a.npy", np.column_stack([rows[:, 0], rows[:, 1:].argmax(1), rows[:, 2]]))
    init = {"codes": "w.npy", "labels": "a.npy", "columns": ["smile", "hat", "hat/cap"]}
    plan = {"name": "hat", "repeat": 3, "classes": ["none", "cap", "beanie"]}
    cli = run_config(tmp_path, {"class_path": "sat3d.data.LatentFiles", "init_args": init}, hat=plan)
    assert sorted(flat(cli.model.seen)) == list(range(20)) and cli.datamodule.label_width == 11


SCRIPT = """
import json, sys
import torch
from lightning.pytorch import Trainer
from sat3d.data import LabelledLatentDataModule, SampledLatents
from sat3d.perception import AttributePredictor
from tests.data.test_latents import Recorder

generator, scorer, folder = sys.argv[1:]
looked, logits = [], AttributePredictor.logits
AttributePredictor.logits = lambda self, x: (looked.append(len(x)), logits(self, x))[1]
source = SampledLatents(generator, scorer, count=600, root=folder, render_batch=10)
data = LabelledLatentDataModule(source, ["smile"], val=100, test=0, batch_size=50)
model = Recorder()
trainer = Trainer(
    accelerator="cpu", devices=2, strategy="ddp", max_epochs=2, logger=False, enable_progress_bar=False,
    default_root_dir=folder, enable_model_summary=False, num_sanity_val_steps=0, enable_checkpointing=False,
)
trainer.fit(model, datamodule=data)
with open(f"{folder}/{trainer.global_rank}.json", "w") as file:
    json.dump({"looked": sum(looked), "seen": model.seen, "ranges": data.ranges}, file)
"""


@pytest.mark.slow
def test_two_ranks_label_together_and_share_the_epochs(toys, tmp_path):
    (tmp_path / "run.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "run.py"), toys.generator, toys.scorer, str(tmp_path)]
    path = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}, timeout=250)
    out = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert sum(result["looked"] for result in out) == 600 and all(result["looked"] for result in out)
    assert out[0]["ranges"] == out[1]["ranges"]
    for epoch in range(2):
        seen = [number for result in out for batch in result["seen"][5 * epoch : 5 * epoch + 5] for number in batch]
        assert sorted(seen) == list(range(500))
