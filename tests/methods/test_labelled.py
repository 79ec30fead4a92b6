"""What the labelled methods share, shown on the flows."""

import json
import warnings

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from sat3d.generators import load_generator
from sat3d.methods import PluGeN, StyleAE, StyleFlow, load_editor
from tests.methods.planted import COLUMNS, WIDTH, Losses, PlantedCodes, planted_files, samples, trainer

pytest.importorskip("torchdiffeq")

MAKE = {
    "plugen": lambda **kw: PluGeN(hidden=16, lr=1e-3, sigma_decay=0.7, **kw),
    "styleflow": lambda **kw: StyleFlow(hidden=(16,), regressor=(16,), tolerance=1e-3, **kw),
}
SIZED = {"columns": COLUMNS, "code_width": WIDTH}


def styleae():
    return StyleAE(reconstruction="code", lr=1e-3, ramp=2)


both = pytest.mark.parametrize("name", MAKE)


def small(**kwargs):
    return PlantedCodes(**{"count": 64, "batch_size": 16, **kwargs})


@both
def test_strength_zero_is_bitwise_and_per_code(name):
    editor = MAKE[name](**SIZED).editor()
    ws = torch.randn(3, 4, WIDTH, generator=torch.Generator().manual_seed(0))
    for codes in (ws, ws[:, 0]):
        assert torch.equal(editor.edit(codes, ["smile", "hat/yes"], 0.0).view(torch.int32), codes.view(torch.int32))
        edited = editor.edit(codes, "hat/yes", torch.tensor([0.0, 1.0, 0.0]))
        assert torch.equal(edited[::2], codes[::2]) and not torch.equal(edited[1], codes[1])


@both
def test_checkpoint_and_export_open_as_the_same_editor(name, tmp_path):
    module = MAKE[name]()
    run = trainer(tmp_path, max_epochs=2)
    run.fit(module, datamodule=small())
    run.save_checkpoint(tmp_path / "last.ckpt")
    card = json.loads((tmp_path / "editor" / "card.json").read_text())
    assert card["generator"] is None and card["method"] == type(module).__name__
    assert card["training"]["columns"] == COLUMNS and card["training"]["steps"] == 8
    assert {"val/loss", "val/label_error", "val/label_error/smile", "val/label_error/hat"} <= card["metrics"].keys()
    w, labels = samples(5, 3)
    wanted = module.editor().edit(w, ["smile", "hat/no"], 0.8, values=labels)
    assert not torch.equal(wanted, w) and not wanted.requires_grad
    for path in (tmp_path / "last.ckpt", tmp_path / "editor"):
        editor = load_editor(path)
        assert torch.equal(editor.edit(w, ["smile", "hat/no"], 0.8, values=labels), wanted)
    # without the datamodule, and without the trust that unpickling needs
    again = type(module).load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert torch.equal(again.editor().edit(w, ["smile", "hat/no"], 0.8, values=labels), wanted)
    loader = small().val_dataloader()
    told = trainer(tmp_path).validate(again, loader, verbose=False)[0]
    assert told["val/loss"] == pytest.approx(float(run.callback_metrics["val/loss"]), abs=1e-5)


@pytest.mark.parametrize("stop, saved", [(6, "last"), (6, "during"), (6, "after"), (8, "last")])
@pytest.mark.parametrize("name", ["plugen", "styleflow", "styleae"])
def test_resumed_run_equals_the_uninterrupted_one(name, stop, saved, tmp_path):
    # 4 batches an epoch: the run stops within its second epoch, or behind it
    whole, first, second = Losses(), Losses(), Losses()
    straight, stopped, resumed = ({**MAKE, "styleae": styleae}[name]() for _ in range(3))
    trainer(tmp_path, max_epochs=3, callbacks=[whole]).fit(straight, datamodule=planted_files(tmp_path, 76))
    callbacks = [first, ModelCheckpoint(tmp_path, save_last=True)]
    if saved == "during":
        callbacks.append(ModelCheckpoint(tmp_path, filename="during", every_n_train_steps=stop))
    run = trainer(tmp_path, max_epochs=3, max_steps=stop, callbacks=callbacks, enable_checkpointing=True)
    run.fit(stopped, datamodule=planted_files(tmp_path, 76))
    run.save_checkpoint(tmp_path / "after.ckpt")
    torch.manual_seed(99)  # what is drawn elsewhere does not matter
    again = trainer(tmp_path, max_epochs=3, callbacks=[second])
    data = planted_files(tmp_path, 76)
    again.fit(resumed, datamodule=data, ckpt_path=tmp_path / f"{saved}.ckpt", weights_only=True)
    assert len(whole.values) == 12 and first.values + second.values == whole.values
    assert again.current_epoch == 3 and again.global_step == 12
    for (key, a), (_, b) in zip(straight.state_dict().items(), resumed.state_dict().items(), strict=True):
        assert torch.equal(a, b), key


@pytest.mark.parametrize("name", ["plugen", "styleflow", "styleae"])
def test_prediction_edits_the_codes_of_the_test(name, tmp_path):
    module, data = {**MAKE, "styleae": styleae}[name](), planted_files(tmp_path, 40, batch_size=5)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(module, datamodule=data)
    batches = run.predict(module, datamodule=data)
    assert torch.cat([told["index"] for told in batches]).tolist() == list(range(32, 40))
    w, editor = data.latents(range(32, 40)), module.editor()
    for attribute in ("smile", "hat/no", "hat/yes"):
        edited = torch.cat([told["edits"][attribute] for told in batches])
        torch.testing.assert_close(edited, editor.edit(w.codes, attribute, 1.0, values=w.labels), atol=1e-5, rtol=0)
        assert not torch.equal(edited, w.codes)
    torch.testing.assert_close(torch.cat([told["read"] for told in batches]), module.read_labels(w.codes))
    assert torch.equal(torch.cat([told["labels"] for told in batches]), w.labels)


@both
def test_initial_weights_follow_the_seed_alone(name):
    torch.manual_seed(1)
    a = MAKE[name](**SIZED, seed=3).state_dict()
    torch.manual_seed(2)
    drawn = torch.rand(1)
    b, c = MAKE[name](**SIZED, seed=3).state_dict(), MAKE[name](**SIZED, seed=4).state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a) and any(not torch.equal(a[key], c[key]) for key in a)
    torch.manual_seed(2)
    MAKE[name](**SIZED).editor()
    assert torch.equal(torch.rand(1), drawn)


def test_the_generator_gives_its_hash_and_stays_out_of_checkpoints(toys, tmp_path):
    generator = load_generator(toys.flat)
    module = PluGeN(toys.flat, columns=COLUMNS, code_width=generator.w_dim, hidden=8)
    run = Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path)
    run.strategy.connect(module)
    run.save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert not any(key.startswith("generator.") for key in saved["state_dict"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_editor(tmp_path / "last.ckpt", generator).card["generator"]["hash"] == generator.hash
    again = PluGeN.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert again.generator is generator and not again.train().generator.training
    assert all(torch.equal(a, b) for a, b in zip(again.flow.parameters(), module.flow.parameters(), strict=True))
    with pytest.raises(ValueError, match="the codes have 8"):
        PluGeN(toys.flat, columns=COLUMNS, code_width=8)


def test_what_does_not_fit_the_data_is_named(tmp_path):
    with pytest.raises(ValueError, match="columns: give them, or a datamodule"):
        trainer(tmp_path).fit(PluGeN(), small().train_dataloader())
    with pytest.raises(ValueError, match="code_width: give it, or a datamodule"):
        trainer(tmp_path).fit(PluGeN(columns=COLUMNS), small().train_dataloader())
    other = {"smile": {"value": [0]}, "hat": {"yes": [1], "no": [2]}}
    with pytest.raises(ValueError, match="are not the model's"):
        trainer(tmp_path).fit(PluGeN(columns=other), datamodule=small())
    wide = small()
    wide.label_width = 4
    with pytest.raises(ValueError, match="they tell of 3 labels, the data have 4"):
        trainer(tmp_path).fit(PluGeN(), datamodule=wide)
    with pytest.raises(ValueError, match=r"layers: unknown attributes \['hut'\]"):
        PluGeN(**SIZED, layers={"hut": (0, 1)})
