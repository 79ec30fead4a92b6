"""Editors by seconds, with a clock that the tests wind."""

import json

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from sat3d.callbacks import TimedEditors
from tests.methods.test_sweeps import Line


class Known(Line):
    def config(self):
        return {}


class Module(LightningModule):
    """Each step takes a second by the clock, each validation a hundred."""

    generator = None

    def __init__(self, clock):
        super().__init__()
        self.weight, self.clock = torch.nn.Parameter(torch.zeros(())), clock

    def training_step(self, batch, batch_idx):
        self.clock[0] += 1
        return self.weight * 0

    def validation_step(self, batch, batch_idx):
        self.clock[0] += 100

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def editor(self):
        return Known(("smile",))

    def facts(self):
        return {"training": {"steps": self.trainer.global_step}}


def trainer(folder, callback, **settings):
    return Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        callbacks=[callback],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=2,
        **settings,
    )


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setitem(TimedEditors.__init__.__globals__["CLOCKS"], "wall", lambda: now[0])
    return now


def steps_of(folder):
    cards = sorted(folder.glob("editors/*/card.json"))
    return {
        p.parent.name: (json.loads(p.read_text())["seconds"], json.loads(p.read_text())["training"]["steps"])
        for p in cards
    }


def test_exports_by_share_of_the_budget_and_stops(tmp_path, clock):
    batches = DataLoader(torch.zeros(3, 1))
    work = trainer(tmp_path, TimedEditors(8.0, editors=4), max_epochs=-1)
    work.fit(Module(clock), batches, batches)  # a validation after every third step
    # the first step, which prepares, is not counted
    assert steps_of(tmp_path) == {"025": (2.0, 3), "050": (4.0, 5), "075": (6.0, 7), "100": (8.0, 9)}
    assert work.global_step == 9


def test_a_stopped_run_goes_on_with_what_is_left(tmp_path, clock):
    batches = DataLoader(torch.zeros(3, 1))
    first = TimedEditors(6.0, editors=2)
    trainer(tmp_path, first, max_steps=5).fit(Module(clock), batches)
    assert first.spent == 4.0 and list(steps_of(tmp_path)) == ["050"]
    second = TimedEditors(6.0, editors=2)
    second.load_state_dict(first.state_dict())
    trainer(tmp_path, second, max_epochs=-1).fit(Module(clock), batches)
    assert second.spent == 6.0 and list(steps_of(tmp_path)) == ["050", "100"]


@pytest.mark.parametrize("wrong", [{"budget_s": 0}, {"budget_s": 1, "editors": 0}, {"budget_s": 1, "clock": "sun"}])
def test_refuses_what_makes_no_sense(wrong):
    with pytest.raises(ValueError, match="budget_s"):
        TimedEditors(**wrong)
