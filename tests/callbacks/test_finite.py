"""Steps without a finite loss change nothing, and tell which codes they were made of."""

import json
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn

from sat3d.callbacks import NonFiniteSteps
from sat3d.data import StyleCodeDataModule


class Wandering(LightningModule):
    """Move one number; at some steps the loss, or its gradient alone, is no number."""

    def __init__(self, losses=(), gradients=(), fused=False):
        super().__init__()
        self.x = nn.Parameter(torch.tensor([2.0, -1.0]))
        self.losses, self.gradients, self.fused = losses, gradients, fused
        self.seen = []

    def training_step(self, batch, batch_idx):
        step = len(self.seen)
        self.seen.append(batch.index.tolist())
        loss = (self.x - batch.z.mean()).square().sum()
        if step in self.losses:
            loss = loss * torch.nan
        if step in self.gradients:
            loss = loss + (self.x - self.x.detach()).abs().sum().sqrt()  # 0, with an infinite slope
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.1, fused=self.fused)


def fit(toys, folder, model, callback, **options):
    data = StyleCodeDataModule(toys.generator, batch="codes", batch_size=4, epoch_size=40, val_size=4)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "logger": False}
    settings = {"max_steps": 8, "limit_val_batches": 0, "enable_checkpointing": False, **quiet, **options}
    Trainer(default_root_dir=folder, callbacks=[callback], **settings).fit(model, datamodule=data)
    return model


def lines(folder):
    return [json.loads(line) for line in (folder / "nonfinite.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("bad", [{"losses": (3,)}, {"gradients": (3,)}])
def test_a_skipped_step_leaves_weights_and_momenta_as_if_it_had_not_been(toys, tmp_path, bad):
    """Adam over the other batches, written here, is where the run ends."""
    model = Wandering(**bad)
    with pytest.warns(
        UserWarning, match=r"step 3: .* not finite; codes of this process: {'index': \[12, 13, 14, 15\]}"
    ):
        fit(toys, tmp_path, model, NonFiniteSteps("skip"))
    data = StyleCodeDataModule(toys.generator, batch="codes")
    x = nn.Parameter(torch.tensor([2.0, -1.0]))
    adam = torch.optim.Adam([x], lr=0.1)
    for step, index in enumerate(model.seen):
        if step != 3:
            adam.zero_grad()
            (x - data.codes("train", index).z.mean()).square().sum().backward()
            adam.step()
    assert torch.equal(model.x, x) and len(model.seen) == 8
    (line,) = lines(tmp_path)
    assert (line["step"], line["rank"], line["index"]) == (3, 0, [12, 13, 14, 15])


def test_a_training_stops_before_such_a_step_and_says_what_to_change(toys, tmp_path):
    model = Wandering(losses=(3,))
    with pytest.raises(FloatingPointError, match=r"step 3: .* precision=32-true, or skip such steps"):
        fit(toys, tmp_path, model, NonFiniteSteps())
    assert bool(model.x.isfinite().all()) and len(model.seen) == 4
    assert lines(tmp_path)[0]["loss"] == "nan"


def test_skipping_ends_where_nothing_else_happens(toys, tmp_path):
    with pytest.warns(UserWarning, match="skipped"), pytest.raises(FloatingPointError, match="3 steps in a row"):
        fit(toys, tmp_path, Wandering(losses=(1, 3, 4, 5)), NonFiniteSteps("skip", most=3))
    assert [line["step"] for line in lines(tmp_path)] == [1, 3, 4, 5]


class OnDevice(NonFiniteSteps):
    """Believe that the device is a GPU, and count how often the host waits for it."""

    waits = 0

    def _read(self, trainer):
        self.waits += bool(self._pending)
        super()._read(trainer)


@pytest.mark.parametrize("action", ["skip", "stop"])
def test_on_a_device_the_step_is_skipped_there_and_read_at_logging_steps(toys, tmp_path, action):
    straight = fit(toys, tmp_path / "a", Wandering(losses=(3,), fused=True), NonFiniteSteps("skip"))
    model, callback = Wandering(losses=(3,), fused=True), OnDevice(action)
    callback.immediate = False
    if action == "stop":
        with pytest.raises(FloatingPointError, match="step 3"):
            fit(toys, tmp_path / "b", model, callback, log_every_n_steps=5)
        assert len(model.seen) == 5 and callback.waits == 1
        return
    with pytest.warns(UserWarning, match="step 3"):
        fit(toys, tmp_path / "b", model, callback, log_every_n_steps=5)
    assert callback.waits == 2  # steps 5 and 8, the end
    torch.testing.assert_close(model.x, straight.x, rtol=0, atol=0)
    assert lines(tmp_path / "b") == lines(tmp_path / "a")


@pytest.mark.parametrize("bad", [{"action": "ignore"}, {"most": 0}])
def test_unknown_actions_are_refused(bad):
    with pytest.raises(ValueError, match="action="):
        NonFiniteSteps(**bad)


def test_a_scaler_of_a_fused_optimizer_leaves_the_step_out(tmp_path):
    x = nn.Parameter(torch.tensor([2.0, -1.0]))
    adam, scaler = torch.optim.Adam([x], lr=0.1, fused=True), torch.amp.GradScaler("cpu")
    callback = NonFiniteSteps("skip")
    run = SimpleNamespace(
        precision_plugin=SimpleNamespace(scaler=scaler), world_size=1, global_step=0, global_rank=0,
        is_global_zero=True, log_dir=str(tmp_path), default_root_dir=str(tmp_path), log_every_n_steps=1,
    )  # fmt: skip
    for bad in (False, True):
        before = x.detach().clone()
        loss = x.square().sum() + (torch.nan if bad else 0.0)  # the gradient itself is a number
        adam.zero_grad()
        scaler.scale(loss).backward()
        callback.on_train_batch_start(run, None, SimpleNamespace(index=torch.arange(4)), 0)
        callback.on_before_backward(run, None, loss)
        with pytest.warns(UserWarning, match="not finite") if bad else nullcontext():
            callback.on_before_optimizer_step(run, None, adam)
        scaler.step(adam)
        scaler.update()
        assert torch.equal(x, before) == bad
