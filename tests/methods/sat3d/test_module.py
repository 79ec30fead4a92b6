import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from sat3d.data import StyleCodeDataModule
from sat3d.generators import load_generator
from sat3d.methods import SAT3D, load_editor
from sat3d.methods.sat3d import Background, LossWeights
from sat3d.methods.sat3d.background import region_labels, region_of
from sat3d.perception import RegionSource, load_observer


def module(toys, **kwargs):
    settings = {
        "scorer": toys.scorer,
        "labeller": toys.scorer,
        "judge": toys.judge,
        "preselect": None,
        "probe_codes": 8,
    }
    return SAT3D(toys.generator, **{**settings, **kwargs})


def data(toys, **kwargs):
    sizes = {"num_codes": 16, "num_cameras": 2, "block_size": 4, "batch_size": 4, "epoch_size": 24}
    return StyleCodeDataModule(toys.generator, **{**sizes, "val_size": 4, "test_size": 4, **kwargs})


def trainer(folder, **kwargs):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "devices": 1}
    settings = {"logger": False, "limit_val_batches": 0, "num_sanity_val_steps": 0, "max_epochs": -1}
    return Trainer(default_root_dir=folder, **{**quiet, **settings, **kwargs})


class Losses(Callback):
    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.values.append(float(outputs["loss"]))


@pytest.mark.parametrize("stop, saved", [(9, "after"), (9, "during"), (6, "during")])
def test_resumed_run_equals_the_uninterrupted_one(toys, tmp_path, stop, saved):
    # 6 batches an epoch: the run stops in the middle of its second epoch, or between two
    settings = {"preselect": 0.5, "loss_weights": LossWeights(ramp_steps=14), "min_distance": 0.0}
    whole, first, second = Losses(), Losses(), Losses()
    straight = module(toys, **settings)
    trainer(tmp_path / "a", max_steps=14, callbacks=[whole]).fit(straight, datamodule=data(toys))
    stopped = module(toys, **settings)
    saving = ModelCheckpoint(tmp_path, filename="during", every_n_train_steps=stop)
    run = trainer(tmp_path / "b", max_steps=stop, callbacks=[first, saving])
    run.fit(stopped, datamodule=data(toys))
    run.save_checkpoint(tmp_path / "after.ckpt")
    resumed = module(toys, **settings)
    again = trainer(tmp_path / "b", max_steps=14, callbacks=[second])
    again.fit(resumed, datamodule=data(toys), ckpt_path=tmp_path / f"{saved}.ckpt", weights_only=True)
    assert first.values + second.values == whole.values
    assert torch.equal(resumed.mask.logits, straight.mask.logits)
    assert torch.equal(resumed.mask.allowed, straight.mask.allowed)


def test_checkpoint_holds_the_mask_only_and_opens_as_an_editor(toys, tmp_path):
    model = module(toys)
    run = trainer(tmp_path, max_steps=2)
    run.fit(model, datamodule=data(toys))
    run.save_checkpoint(tmp_path / "last.ckpt")
    stored = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert set(stored) == {"mask.logits", "mask.participates", "mask.allowed", "frequency", "probed"}
    generator = load_generator(toys.generator)
    for path in (tmp_path / "last.ckpt", tmp_path / "editor"):
        editor = load_editor(path, generator)
        assert torch.equal(editor.masks, model.editor().masks)
        assert editor.card["training"]["steps"] == 2
    assert torch.equal(SAT3D.load_from_checkpoint(tmp_path / "last.ckpt").mask.logits, model.mask.logits)


def test_clusters_tell_the_uninterested_region_without_labels(toys, tmp_path):
    clusters = RegionSource(clusters=3, layer="renderer", codes=4)
    background = Background("regions", regions=clusters, parts=("cluster0",))
    model = module(toys, background=background)
    run = trainer(tmp_path, max_steps=2, callbacks=[losses := Losses()])
    stream = data(toys)
    run.fit(model, datamodule=stream)
    assert model.regions.is_fitted and "train/bg" in run.callback_metrics and len(losses.values) == 2
    codes = stream.probe(2)
    out = model.generator.synthesize(codes.styles, camera=codes.camera, features=("renderer",))
    labels = model.regions.segment(out.image, out.features)
    expected = labels.repeat_interleave(4, 1).repeat_interleave(4, 2)  # 16 px to 64
    assert torch.equal(region_labels(out, model.regions).long(), expected)
    targets = torch.ones(2, len(model.attributes), dtype=torch.bool)
    assert torch.equal(region_of(expected, model.uninterested, targets), expected == 0)
    run.save_checkpoint(tmp_path / "last.ckpt")
    again = SAT3D.load_from_checkpoint(tmp_path / "last.ckpt")
    assert torch.equal(again.regions.centres, model.regions.centres) and again.background == background


def test_pixels_of_no_region_are_never_uninterested(toys):
    groups = RegionSource(parser=toys.parser, groups={"head": ["head"]})
    model = module(toys, background=Background("regions", regions=groups, parts=("head",)))
    assert not model.uninterested[:, -1].any() and model.uninterested[:, 0].all()
    for wrong in ({"region": "regions"}, {"region": "opacity", "regions": groups}):
        with pytest.raises(ValueError, match=r"background\.regions"):
            Background(**wrong)


def test_frozen_parts_stay_frozen(toys, tmp_path):
    model = module(toys, background=Background("parser", toys.parser))
    before = {name: part.hash for name, part in (("g", model.generator), ("s", model.scorer), ("p", model.parser))}
    trainer(tmp_path, max_steps=2).fit(model, datamodule=data(toys))
    model.train()
    assert not (model.generator.training or model.scorer.training or model.parser.training) and model.mask.training
    assert before == {
        name: part.hash for name, part in (("g", model.generator), ("s", model.scorer), ("p", model.parser))
    }
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["mask.logits"]


def test_pictures_are_looked_at_once(toys, tmp_path):
    model, codes = module(toys, balance=False), data(toys, epoch_size=16 * 2 // 2)
    trainer(tmp_path, max_steps=12).fit(model, datamodule=codes)  # three passes through 16 codes × 2 cameras
    assert model.bank.looks == len(model.bank) == 32
    pairs = codes.pairs("train", range(4))
    source, reference = model.bank.lookup(pairs)
    out = model.generator.synthesize(pairs.reference, camera=pairs.camera).image
    assert torch.allclose(reference.scores, model.scorer(out), atol=1e-4)
    assert model.bank.looks == 32 and source.image.shape == out.shape


def test_bank_within_no_memory_gives_the_same_pictures(toys):
    model, pairs = module(toys), data(toys).pairs("train", range(4))
    kept = model.bank.lookup(pairs)
    model.bank.__init__(model._look, max_bytes=0)
    for _ in range(2):
        again = model.bank.lookup(pairs)
        assert all(
            torch.equal(a.image, b.image) and torch.equal(a.scores, b.scores) for a, b in zip(kept, again, strict=True)
        )


def test_gradient_of_the_loss_is_the_numerical_one(toys):
    model = module(toys, masks="softmax", balance=False, min_distance=0.0)
    model.weights = LossWeights(ramp_steps=1)
    model.log = model.log_dict = lambda *args, **kwargs: None
    model._trainer = type("T", (), {"estimated_stepping_batches": 1, "global_step": 0})()
    pairs = data(toys).pairs("train", range(4))
    model.training_step(pairs, 0).backward()
    gradient = model.mask.logits.grad
    place = divmod(int(gradient.abs().argmax()), gradient.shape[1])
    losses = []
    for step in (0.05, -0.05):
        with torch.no_grad():
            model.mask.logits[place] += step
            losses.append(float(model.training_step(pairs, 0)))
            model.mask.logits[place] -= step
    assert (losses[0] - losses[1]) / 0.1 == pytest.approx(float(gradient[place]), rel=0.1)


def test_labeller_validates_and_judge_tests(toys, tmp_path):
    model = module(toys)
    run = trainer(tmp_path, limit_val_batches=1)
    validated = run.validate(model, datamodule=data(toys), verbose=False)[0]
    assert {"val/gain", "val/drift", "val/gain_at_drift"} <= set(validated) and model.judge is None
    tested = trainer(tmp_path).test(model, datamodule=data(toys), verbose=False)[0]
    assert {"test/gain", "test/drift", "test/view_spread"} <= set(tested)
    assert model.judge.hash == load_observer(toys.judge).hash
    assert model.curves.strengths == (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)


@pytest.mark.parametrize("variant", [{"masks": "sigmoid"}, {"rest": False}, {"kinds": ("conv", "torgb")}])
def test_variants_train(toys, tmp_path, variant):
    model = module(toys, **variant)
    start = model.mask.logits.detach().clone()
    trainer(tmp_path, max_steps=2).fit(model, datamodule=data(toys))
    assert not torch.equal(start, model.mask.logits) and bool(model.mask.logits.isfinite().all())


def test_a_training_that_time_ends_needs_the_length_of_the_ramp(toys, tmp_path):
    class Stop(Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.should_stop = trainer.global_step >= 2

    model = module(toys, loss_weights=LossWeights(ramp_steps=10))
    run = trainer(tmp_path, callbacks=[Stop()])
    run.fit(model, datamodule=data(toys))
    assert 2 <= run.global_step < 10
    with pytest.raises(ValueError, match=r"give trainer\.max_steps or max_epochs"):
        trainer(tmp_path).fit(module(toys), datamodule=data(toys))


def test_two_dimensional_generator(toys, tmp_path):
    model = SAT3D(toys.flat, scorer=toys.scorer, background=Background("none"), preselect=None, balance=False)
    flat = StyleCodeDataModule(toys.flat, num_codes=8, num_cameras=1, block_size=4, batch_size=4, epoch_size=8)
    start = model.mask.logits.detach().clone()
    trainer(tmp_path, max_steps=2).fit(model, datamodule=flat)
    assert not torch.equal(start, model.mask.logits) and bool(model.mask.logits.isfinite().all())


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"attributes": ["hut"]}, "unknown hut; the scorer knows hat, smile, beard"),
        ({"clip": "toyfaces-clip"}, "either clip and descriptors, or scorer"),
        ({"scorer": None}, "either clip and descriptors, or scorer"),
        ({"kinds": ("dense",)}, "kinds, parts"),
        ({"background": Background("parser")}, r"background\.parser"),
        ({"background": Background(parts=("sea",))}, "unknown parts"),
        ({"val_strengths": (0.5,)}, "val_strengths"),
    ],
)
def test_bad_settings_are_named(toys, bad, message):
    with pytest.raises(ValueError, match=message):
        module(toys, **bad)


def test_opacity_needs_three_dimensions(toys):
    with pytest.raises(ValueError, match="needs a 3-D generator"):
        SAT3D(toys.flat, scorer=toys.scorer)
