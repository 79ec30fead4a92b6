"""The module against its definitions, computed another way from the same stream."""

import csv

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import SingleDeviceStrategy as Strategy

from sat3d.generators import load_generator
from sat3d.methods import EditingInStyle, load_editor
from sat3d.methods.editing_in_style.memberships import resized_labels
from sat3d.perception import RegionSource, load_observer
from tests.methods.editing_in_style.catalogue import CLUSTERS, fit, module, same

FLAT = RegionSource(clusters=3, layer="synthesis.b16.conv1", codes=4)


@pytest.fixture(scope="module")
def run(toys, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    model = module(toys, generator=toys.flat, regions=FLAT)
    trainer, data = fit(model, folder)
    return model, data, trainer, folder


def test_contributions_are_those_of_two_passes_over_all_codes(run):
    model, data, *_ = run
    codes, layers = data.codes("train", range(12)), ("synthesis.b16.conv0", "synthesis.b16.conv1")
    out = model.generator.synthesize(codes.styles, features=layers)
    labels = model.regions.segment(out.image, out.features)
    scaled = {
        "synthesis.b16.conv1": out.features["synthesis.b16.conv0"],
        "synthesis.b32.conv0": out.features[layers[1]],
    }
    for name, a in scaled.items():
        a = a.double().numpy()
        cells = resized_labels(labels, a.shape[-1]).numpy()
        a = (a - a.mean((0, 2, 3), keepdims=True)) / a.std((0, 2, 3), keepdims=True)
        expected = np.stack([(a**2 * (cells == k)[:, None]).mean((0, 2, 3)) for k in range(3)])
        found = model.found[:, model.generator.style_space.layer(name).slice]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        model.found[:, model.participates].sum(0), torch.ones(int(model.participates.sum())).double()
    )
    assert model.found[:, ~model.participates].count_nonzero() == 0


def test_clusters_are_named_by_the_parser(run, toys):
    model, data, _, folder = run
    codes = data.codes("train", range(12))
    out = model.generator.synthesize(codes.styles, features=model.regions.features)
    parts = load_observer(toys.parser).segment(out.image)
    labels = resized_labels(model.regions.segment(out.image, out.features), parts.shape[-1])
    counts = torch.tensor([[int(((labels == k) & (parts == p)).sum()) for p in range(2)] for k in range(3)])
    assert torch.equal(model.counts, counts)
    rows = list(csv.DictReader((folder / "catalogue.csv").open()))
    names = [("background", "head")[int(row.argmax())] for row in counts]
    assert [row["name"] for row in rows] == names and [row["cluster"] for row in rows] == [
        f"cluster{k}" for k in range(3)
    ]
    for row, count in zip(rows, counts, strict=True):
        assert float(row["purity"]) == pytest.approx(float(count.max() / count.sum()), abs=1e-5)
        assert float(row["share"]) == pytest.approx(float(count.sum() / counts.sum()), abs=1e-5)
    members = model.editor().members
    for attribute, part in {"hat": "head", "smile": "background"}.items():
        called = [f"cluster{k}" for k, name in enumerate(names) if name == part]
        overlap = counts[:, ("background", "head").index(part)].argmax()
        assert members[attribute] == called or (not called and members[attribute] == [f"cluster{overlap}"])


def test_groups_by_hand_come_before_the_parsers_names(toys, tmp_path):
    source = RegionSource(**{**FLAT.__dict__, "groups": {"mine": ["cluster2", "cluster0"]}})
    model = module(toys, generator=toys.flat, regions=source, attributes={"hat": ["mine"], "smile": ["cluster1"]})
    fit(model, tmp_path)
    assert model.editor().members == {"hat": ["cluster0", "cluster2"], "smile": ["cluster1"]}
    assert [row["name"] for row in model.catalogue.rows()][::2] == ["mine", "mine"]


def test_edits_reach_the_editor_and_are_graded(run):
    model, data, trainer, folder = run
    told = trainer.callback_metrics
    assert {"val/in_mse", "val/out_mse", "val/in_mse/hat"} <= told.keys()
    editor = load_editor(folder / "editor", load_generator(model.hparams["generator"]))
    source, reference = data.codes("val", range(2)).styles, data.codes("val", range(2, 4)).styles
    edited = editor.edit(source, "hat", 1.0, reference=reference)
    assert torch.equal(edited, model.editor().edit(source, "hat", 1.0, reference=reference))
    trainer.test(model, datamodule=data, verbose=False)
    assert "test/in_mse" in trainer.callback_metrics
    (pictures,) = trainer.predict(model, datamodule=data)
    assert pictures["hat"].shape == (4, 3, 32, 32)


@pytest.mark.parametrize("memberships", ["picture", "planes", "gradients"])
def test_shares_add_up_to_one_whoever_tells_memberships(toys, tmp_path, memberships):
    model = module(toys, memberships=memberships, kinds=("conv", "torgb"))
    fit(model, tmp_path, limit_val_batches=0)
    shares = model.found.sum(0)
    live = shares > 0
    torch.testing.assert_close(shares[live], torch.ones(int(live.sum())).double())
    assert live.float().mean() > 0.8  # ReLU networks of four channels have dead ones


def test_clusters_that_were_planted_come_back_with_their_channels(toys, tmp_path):
    """Where channel 1 is what the left half is made of, and 2 the right half, both are told apart."""
    model = module(toys, generator=toys.flat, regions=FLAT, named_by=None, attributes=None)
    layer = model.generator.style_space.layer("synthesis.b32.conv0")
    source = model.generator.get_submodule("synthesis.b16.conv1")
    kept = source.forward

    def halves(*args, **kwargs):
        x = torch.zeros_like(kept(*args, **kwargs))
        x[:, 1, :, :8], x[:, 2, :, 8:] = 1 + torch.rand(len(x), 16, 8), 1 + torch.rand(len(x), 16, 8)
        return x

    source.forward = halves
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            fit(model, tmp_path, limit_val_batches=0)
    finally:
        del source.forward
    first, second = model.found[:, layer.start + 1], model.found[:, layer.start + 2]
    assert model.catalogue.rows()[0]["share"] == pytest.approx(0.5) and model.catalogue.rows()[2]["share"] == 0
    left, right = model.regions.centres[:, 1].argmax(), model.regions.centres[:, 2].argmax()
    assert left != right and first[left] == pytest.approx(0.5, abs=0.05) and model.found[:, layer.start].sum() == 0
    assert second[right] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("stop", [1, 2])
@pytest.mark.parametrize("memberships", ["planes", "gradients"])
def test_a_stopped_run_goes_on_to_the_same_result(toys, tmp_path, stop, memberships):
    whole, part, again = (module(toys, memberships=memberships) for _ in range(3))
    fit(whole, tmp_path, limit_val_batches=0)
    save = ModelCheckpoint(tmp_path / "part", every_n_train_steps=1, save_last=True)
    fit(part, tmp_path, max_steps=stop, callbacks=[save], limit_val_batches=0)
    assert not part.is_fitted
    state = torch.load(tmp_path / "part" / "last.ckpt", weights_only=True)["state_dict"]
    assert set(state) >= {"regions.centres", "named.counts"} and not any(k.startswith("generator.") for k in state)
    fit(again, tmp_path, ckpt=tmp_path / "part" / "last.ckpt", limit_val_batches=0)
    assert same(whole, again) and torch.equal(whole.regions.centres, again.regions.centres)


def test_a_checkpoint_holds_the_editor_and_that_of_something_else_is_refused(run, toys, tmp_path):
    model, _, trainer, _ = run
    trainer.save_checkpoint(tmp_path / "whole.ckpt")
    assert torch.equal(load_editor(tmp_path / "whole.ckpt").contribution, model.editor().contribution)
    assert same(model, EditingInStyle.load_from_checkpoint(tmp_path / "whole.ckpt"))
    other = module(toys, generator=toys.flat, regions=FLAT, kinds=("conv", "torgb"))
    with pytest.raises(ValueError, match=r"kinds=\['conv'\], not of \['conv', 'torgb'\]"):
        fit(other, tmp_path, ckpt=tmp_path / "whole.ckpt")


def test_devices_take_the_clusters_of_the_first(toys, tmp_path, monkeypatch):
    def first(self, state, src=0):
        return {"centres": state["centres"].flip(0)} if isinstance(state, dict) else state

    found = []
    for patched in (False, True):
        if patched:
            monkeypatch.setattr(Strategy, "broadcast", first)
        model = module(toys, memberships="picture")
        fit(model, tmp_path, limit_val_batches=0)
        found.append(model.regions.centres)
    assert torch.equal(found[0].flip(0), found[1])


def test_settings_that_cannot_be(toys):
    for changes, message in (
        ({"attributes": {"hat": ["hut"]}}, r"hat is made of unknown parts \['hut'\]; there are background, head, clu"),
        ({"generator": toys.flat, "regions": FLAT, "memberships": "planes"}, "is for tri-plane generators"),
        ({"kinds": ("conf",)}, "no such channels"),
        ({"queries": {"hut": {"rho": 1.0}}}, r"queries: \['hut'\] are no attributes"),
        ({"query": {"rho": -1.0}}, "must not be negative"),
    ):
        with pytest.raises(ValueError, match=message):
            module(toys, **changes)
    with pytest.raises(RuntimeError, match="not fitted yet"):
        module(toys).editor()
    assert CLUSTERS.clusters == 3
