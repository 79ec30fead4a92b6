"""StyleSpace's discovery against its definitions, computed another way from the same stream."""

import csv
import json
import os
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import SingleDeviceStrategy as Strategy
from PIL import Image
from torch.nn import functional as F

from sat3d.callbacks import ChannelFigures
from sat3d.data import StyleCodeDataModule
from sat3d.generators import load_generator
from sat3d.methods import StyleSpaceDiscovery, load_editor
from sat3d.methods.stylespace import Examples
from sat3d.methods.stylespace.module import spread
from sat3d.methods.sweeps import SweepGrades
from sat3d.perception import ParsingNetwork, RegionSource, load_observer, save_observer

DATA = {"batch": "codes", "batch_size": 5, "epoch_size": 40, "val_size": 4, "test_size": 4, "truncation": 1.0}
NAMES = ["hat/cap", "-smile"]


class Colours(torch.nn.Module):
    """In the place of CLIP: a picture's mean colour, as a unit vector."""

    def encode_image(self, images):
        return F.normalize(images.mean((2, 3)) + 1e-3, dim=1)


def module(toys, **changes):
    settings = {
        "regions": RegionSource(parser=toys.parser),
        "grid": 8,
        "pictures": 6,
        "scorer": toys.scorer,
        "attributes": NAMES,
        "scored": 30,
        "positives": 4,
        "examples": {"mine": Examples(indices=(1, 5, 9)), "shown": Examples(seeds=(0, 2))},
        "ranked": 3,
        "graded_codes": 4,
        "strengths": (5.0, 20.0),
        "render_batch": 3,
    }
    return StyleSpaceDiscovery(toys.generator, **{**settings, **changes})


def fit(model, folder, ckpt=None, **options):
    data = StyleCodeDataModule(model.hparams["generator"], **DATA)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    trainer = Trainer(accelerator="cpu", max_epochs=1, logger=False, default_root_dir=folder, **{**quiet, **options})
    trainer.fit(model, datamodule=data, ckpt_path=ckpt)
    return trainer, data


@pytest.fixture(scope="module")
def toys(toys):
    """Shift the parser so that each of its two parts is about half of what the generator draws."""
    parser, generator = deepcopy(load_observer(toys.parser)), load_generator(toys.generator)
    z = torch.randn(8, generator.z_dim, generator=torch.Generator().manual_seed(1))
    logits = parser(generator.synthesize(generator.styles(generator.map(z)), camera=generator.cameras.frontal()).image)
    with torch.no_grad():
        parser.head.bias[1] += (logits[:, 0] - logits[:, 1]).median()
    file = str(toys.folder / "halves.safetensors")
    save_observer(parser, file)
    return replace(toys, parser=file)


@pytest.fixture(scope="module")
def run(toys, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    model = module(toys)
    trainer, data = fit(model, folder)
    return model, data, trainer, folder


def test_population_is_that_of_all_codes(run):
    model, data, *_ = run
    s = data.codes("train", range(40)).styles.double().numpy()
    for found, expected in zip(model.population, (s.mean(0), s.std(0), s.min(0), s.max(0)), strict=True):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_relevance_is_taken_from_the_codes_that_score_highest(run, toys):
    model, data, *_ = run
    scorer, chosen = load_observer(toys.scorer), spread(30, 40)
    codes = data.codes("train", chosen)
    p = scorer.logits(model.generator.synthesize(codes.styles, camera=codes.camera).image).double().exp()
    scores = {"hat/cap": p[:, 1] / (p[:, 0] + p[:, 2]), "-smile": 1 / p[:, 3]}
    everyone = data.codes("train", range(40)).styles
    mean, std = everyone.mean(0), everyone.std(0, correction=0)
    sets = {name: codes.styles[value.topk(4).indices] for name, value in scores.items()}
    sets["mine"] = everyone[[1, 5, 9]]
    for name, styles in sets.items():
        delta = ((styles - mean) / std)[:, model.channels]
        a = model.attributes.index(name)
        torch.testing.assert_close(model.theta[a].float(), delta.mean(0).abs() / delta.std(0), rtol=1e-3, atol=1e-3)
        assert torch.equal(model.direction[a], delta.mean(0).sign())


def test_regions_win_where_the_strongest_cells_lie_most(run, toys):
    """Counted once more in plain Python from gradient maps of plain backward passes."""
    model, data, *_ = run
    parser, grid, wins, present = load_observer(toys.parser), 8, np.zeros((len(model.channels), 2)), np.zeros(2)
    for i in spread(6, 40).tolist():
        code = data.codes("train", [i])
        s = code.styles.requires_grad_()
        image = model.generator.synthesize(s, camera=code.camera).image
        cells = F.adaptive_avg_pool2d(image, grid).flatten()
        rows = [torch.autograd.grad(cell, s, retain_graph=True)[0][0] for cell in cells]
        maps = torch.stack(rows).reshape(3, grid * grid, -1).abs().mean(0).T[model.channels]
        labels = parser.segment(image)[0].reshape(grid, 8, grid, 8).permute(0, 2, 1, 3).reshape(grid * grid, -1)
        part = (labels.float().mean(1) > 0.5).long()  # of two parts
        areas = [int((part == k).sum()) for k in range(2)]
        for u, values in enumerate(maps):
            score = []
            for k, area in enumerate(areas):
                strongest = values.argsort(descending=True)[:area]
                score.append(int((part[strongest] == k).sum()) / area**2 if area else 0.0)
            if max(score) > 0:
                wins[u, int(np.argmax(score))] += 1
        present += np.array(areas) > 0
    expected, found = wins / np.maximum(present, 1), model.rate.nan_to_num(0).numpy()
    assert present.sum() > 6  # both parts are seen
    # Where two cells are all but equal, rounding may put either first.
    assert (np.abs(found - expected) < 1e-9).mean() > 0.97


def test_channels_without_maps_take_part_in_relevance_only(run, toys, tmp_path):
    model = module(toys, kinds=("conv", "torgb"), local=False)
    fit(model, tmp_path)
    conv = model.generator.style_space.mask(("conv",), ("backbone", "superresolution"))[model.channels]
    assert torch.equal(model.rate[conv].nan_to_num(-1.0), run[0].rate.nan_to_num(-1.0))
    assert model.rate[~conv].isnan().all() and (model.table.region[~conv] == -1).all()
    assert torch.equal(model.theta[:, conv], run[0].theta) and (model.theta[:, ~conv] > 0).any()
    rows = list(csv.DictReader((tmp_path / "channels.csv").open()))
    assert {row["region"] for row in rows if row["kind"] == "torgb"} == {""}
    assert model.editor().channels[0, 0] == model.channels[model.theta[0].argmax()]
    with pytest.raises(ValueError, match="would get a region"):
        module(toys, mapped=("torgb",))


def test_leaves_an_editor_and_a_table(run):
    model, _, _, folder = run
    editor = load_editor(folder / "editor", model.generator)
    assert editor.attributes == (*NAMES, "mine", "shown")
    rows = list(csv.DictReader((folder / "channels.csv").open()))
    assert len(rows) == len(model.channels) and {row["kind"] for row in rows} == {"conv"}
    theta = model.theta[0]
    if not (model.table.region >= 0).any():
        assert editor.channels[0, 0] == model.channels[theta.argmax()]
    row = rows[int(theta.argmax())]
    assert float(row["theta:hat/cap"]) == pytest.approx(float(theta.max()), rel=1e-5)
    layer, channel = model.generator.style_space.locate(int(row["flat"]))
    assert (row["layer"], int(row["channel"])) == (layer, channel)
    assert float(row["std"]) == pytest.approx(float(model.population[1, int(row["flat"])]), rel=1e-5)
    best = max([*NAMES, "mine", "shown"], key=lambda name: float(row[f"theta:{name}"]))
    assert row["attribute"] == best
    share = max(model.rate[int(theta.argmax())].nan_to_num(0).tolist())
    assert float(row["share"]) == pytest.approx(share, rel=1e-5)


def test_parquet_holds_the_same(run):
    parquet = pytest.importorskip("pyarrow.parquet")
    _, _, _, folder = run
    table = parquet.read_table(folder / "channels.parquet").to_pylist()
    rows = list(csv.DictReader((folder / "channels.csv").open()))
    assert [{k: str(v) for k, v in row.items()} for row in table] == rows


def results(model):
    return {name: getattr(model, name).double() for name in ("population", "rate", "theta", "direction")}


def same(one, other):
    for name, value in results(one).items():
        assert torch.equal(results(other)[name].nan_to_num(-1.0), value.nan_to_num(-1.0)), name


@pytest.mark.parametrize("stop", [1, 5])
def test_a_stopped_run_goes_on_to_the_same_result(run, toys, tmp_path, stop):
    part = module(toys)
    save = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_last=True)
    fit(part, tmp_path, max_steps=stop, callbacks=[save], limit_val_batches=0)
    assert not part.is_fitted
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert set(state["state_dict"]) >= {"moments.moments", "overlap.wins", "ranking.ranking"}
    assert not any(key.startswith(("generator.", "regions.", "likeness.")) for key in state["state_dict"])
    again = module(toys)
    fit(again, tmp_path, ckpt=tmp_path / "last.ckpt")
    same(run[0], again)


def test_clusters_are_found_once_and_kept(toys, tmp_path):
    clusters = {"regions": RegionSource(clusters=3, layer="renderer", codes=4)}
    whole = module(toys, **clusters)
    fit(whole, tmp_path)
    assert whole.region_names == ("cluster0", "cluster1", "cluster2") and whole.rate.nansum() > 0
    save = ModelCheckpoint(tmp_path / "part", every_n_train_steps=1, save_last=True)
    fit(module(toys, **clusters), tmp_path, max_steps=3, callbacks=[save], limit_val_batches=0)
    again = module(toys, **clusters, seed=1)  # would find other clusters
    fit(again, tmp_path, ckpt=tmp_path / "part" / "last.ckpt")
    same(whole, again)
    assert torch.equal(whole.regions.centres, again.regions.centres)


def test_a_checkpoint_is_an_editor_and_can_be_tested(run, toys, tmp_path):
    model, data, trainer, _ = run
    trainer.save_checkpoint(tmp_path / "whole.ckpt")
    editor = load_editor(tmp_path / "whole.ckpt", model.generator)
    assert torch.equal(editor.channels, model.editor().channels)
    other = module(toys, judge=toys.judge)
    tester = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path)
    (told,) = tester.test(other, datamodule=data, ckpt_path=tmp_path / "whole.ckpt", verbose=False)
    assert 0 <= told["test/reach"] <= 1 and "test/reach/hat/cap" in told and "test/reach/mine" not in told
    same(model, other)


def test_mixed_precision_changes_nothing(run, toys, tmp_path):
    model = module(toys)
    fit(model, tmp_path, precision="bf16-mixed")
    same(run[0], model)


def test_grading_is_in_float32_whatever_the_precision(run, toys, tmp_path, monkeypatch):
    _, data, trainer, _ = run
    trainer.save_checkpoint(tmp_path / "whole.ckpt")
    mixed, update = [], SweepGrades.update
    graded = lambda *args: mixed.append(torch.is_autocast_enabled("cpu")) or update(*args)  # noqa: E731
    monkeypatch.setattr(SweepGrades, "update", graded)
    quiet = {"logger": False, "enable_progress_bar": False, "default_root_dir": tmp_path}
    judge = Trainer(accelerator="cpu", precision="bf16-mixed", **quiet)
    model = module(toys, labeller=toys.judge)
    judge.validate(model, datamodule=data, ckpt_path=tmp_path / "whole.ckpt", verbose=False)
    assert mixed and not any(mixed)


def test_precisions_that_would_convert_the_shared_generator_are_refused(toys, tmp_path):
    with pytest.raises(ValueError, match="precision=64-true: frozen networks are float32"):
        fit(module(toys), tmp_path, precision="64-true")
    assert next(load_generator(toys.generator).parameters()).dtype == torch.float32


def test_fitting_again_starts_without_statistics(run, toys, tmp_path):
    model = module(toys)
    fit(model, tmp_path)
    with pytest.warns(UserWarning, match="so that nothing was fitted"):
        fit(model, tmp_path, max_steps=1)
    assert not model.is_fitted
    fit(model, tmp_path)
    same(run[0], model)


def test_nothing_is_graded_or_shown_before_a_fit(toys, tmp_path):
    data = StyleCodeDataModule(toys.generator, **DATA)
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path)
    model = module(toys, labeller=toys.scorer, judge=toys.judge)
    for verb in (trainer.validate, trainer.test, trainer.predict):
        with pytest.raises(RuntimeError, match="StyleSpaceDiscovery is not fitted yet"):
            verb(model, datamodule=data)
    with pytest.raises(ValueError, match="labeller: grading needs"):
        trainer.validate(module(toys), datamodule=data)


def test_what_would_fail_after_the_epoch_fails_before(toys, tmp_path):
    for changes, error, message in (
        ({"labeller": toys.scorer, "graded_as": {"mine": "hat/none of them"}}, ValueError, "hat/none of them"),
        ({"examples": {"mine": Examples(codes="none.npy")}}, FileNotFoundError, "no file none.npy"),
        ({"positives": 41, "scored": 50}, ValueError, "positives=41: the epoch has only epoch_size=40"),
    ):
        model = module(toys, **changes)
        with pytest.raises(error, match=message):
            fit(model, tmp_path)
        assert float(model.moments.moments[0, 0]) == 0
    with pytest.raises(ValueError, match="hat/cap has 1 scored codes by the last batch"):
        fit(module(toys, scored=4), tmp_path, limit_train_batches=2)


def test_a_checkpoint_of_something_else_is_refused(run, toys, tmp_path):
    _, _, trainer, _ = run
    trainer.save_checkpoint(tmp_path / "whole.ckpt")
    for changes, message in (
        ({"attributes": NAMES[::-1]}, r"attributes=\['hat/cap', '-smile', .* not of \['-smile', 'hat/cap'"),
        ({"positives": 5}, "positives=4, not of 5"),
    ):
        with pytest.raises(ValueError, match=message):
            fit(module(toys, **changes), tmp_path, ckpt=tmp_path / "whole.ckpt")


def test_a_network_of_regions_comes_back_from_a_checkpoint(toys, tmp_path):
    options = {"in_channels": 3, "out_channels": 2, "kernel_size": 1}
    network = ParsingNetwork(("a", "b"), "torch.nn.Conv2d", options, size=16)
    trainer, _ = fit(model := module(toys, regions=RegionSource(network=network)), tmp_path)
    trainer.save_checkpoint(tmp_path / "whole.ckpt")
    same(model, StyleSpaceDiscovery.load_from_checkpoint(tmp_path / "whole.ckpt"))


def test_example_pictures_beside_a_predictor(toys, tmp_path, monkeypatch):
    monkeypatch.setattr("sat3d.methods.stylespace.module.load_clip", lambda *_: Colours())
    (tmp_path / "red").mkdir()
    for i in range(3):
        page = np.full((8, 8, 3), (150 + 30 * i, 60, 60), dtype=np.uint8)
        Image.fromarray(page).save(tmp_path / "red" / f"{i}.png")
    changes = {"clip": "colours", "examples": {"red": Examples(pictures=str(tmp_path / "red"))}, "regions": None}
    model = module(toys, **changes)
    trainer, data = fit(model, tmp_path)
    codes = data.codes("train", spread(30, 40))
    image = model.generator.synthesize(codes.styles, camera=codes.camera).image
    best = codes.index[model.likeness(image)[:, -1].topk(4).indices]
    assert model.attributes == (*NAMES, "red") and set(model.ranking.compute().rows[2].tolist()) == set(best.tolist())
    assert "likeness.directions" in dict(model.named_buffers())  # and so moves with the module

    # A fit that was complete leaves everything again, and needs no pictures any more.
    trainer.save_checkpoint(tmp_path / "whole.ckpt")
    for file in (tmp_path / "red").iterdir():
        file.unlink()
    again, figures = module(toys, **changes), ChannelFigures(candidates=2, clip_frames=0)
    fit(again, tmp_path / "again", ckpt=tmp_path / "whole.ckpt", callbacks=[figures])
    same(model, again)
    assert (tmp_path / "again" / "channels.csv").is_file()
    assert (tmp_path / "again" / "pictures" / "strips-attributes.png").is_file()


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


def test_pictures_are_made_a_few_at_a_time(run, toys, tmp_path, monkeypatch):
    model, data, trainer, _ = run
    sizes, synthesize = [], model.generator.synthesize
    monkeypatch.setattr(
        model.generator, "synthesize", lambda s, *a, **k: sizes.append(len(s)) or synthesize(s, *a, **k)
    )
    (told,) = trainer.predict(model, datamodule=data)
    assert max(sizes) == 3 and told["mine"].shape == (4, 3, 64, 64)


def test_statistics_go_on_after_a_checkpoint_during_validation(toys, monkeypatch):
    monkeypatch.setattr("torchmetrics.metric.gather_all_tensors", lambda state, group=None: [state])
    model = module(toys)
    model.overlap.distributed_available_fn = lambda: True
    with torch.inference_mode():  # as Trainers validate on several GPUs
        model.on_save_checkpoint({"state_dict": {}})
    model.overlap.update(torch.rand(1, len(model.channels), 8, 8), torch.ones(1, 2, 8, 8, dtype=torch.bool))
    assert int(model.overlap.present.sum()) == 2


def test_kept_maps_are_read_again(run, toys, tmp_path):
    for _ in range(2):
        model = module(toys, maps_folder=str(tmp_path / "maps"))
        fit(model, tmp_path)
        same(run[0], model)
    assert len(list((tmp_path / "maps").iterdir())) == 6


def test_spread_is_even_whoever_shares():
    for count, total in ((100, 20000), (7, 40), (33, 33), (99, 3000)):
        numbers = spread(count, total)
        assert len(numbers.unique()) == count and int(numbers.min()) >= 0 and int(numbers.max()) < total
        edges = [j * total // count for j in range(count + 1)]
        assert all(low <= n < high for n, low, high in zip(numbers.tolist(), edges, edges[1:], strict=False))
        for world in (2, 8) if total >= 8 * count else (2,) if total >= 2 * count else ():
            shares = (numbers % world).bincount(minlength=world)
            assert shares.max() - shares.min() <= 1


def test_settings_that_cannot_be(toys):
    for changes, message in (
        ({"strengths": (5.0, 2.0)}, r"strengths=\[5.0, 2.0\] must rise from above 0"),
        ({"strengths": ()}, "must rise"),
        ({"graded_codes": 1}, "graded_codes=1 must be at least 2"),
        ({"graded_as": {"hat": "hat/cap"}}, r"graded_as: \['hat'\] are no attributes"),
        ({"examples": {"-smile": Examples(seeds=(1, 2))}}, r"\['-smile'\] are named twice"),
        ({"attributes": ["smile", "smile"]}, "named twice"),
        ({"clip": "toyfaces-clip"}, "give either clip and descriptors, or scorer"),
        ({"top": 4}, "top=4 must be between 1 and ranked=3"),
        ({"scored": 3}, "positives=4 must be at least 2, and at most scored=3"),
        ({"kinds": ("conf",)}, "no such channels"),
        ({"attributes": ["hatt"]}, "nothing scored here is named 'hatt'"),
        ({"scorer": None}, "name a scorer"),
    ):
        with pytest.raises(ValueError, match=message):
            module(toys, **changes)
    with pytest.raises(RuntimeError, match="not fitted yet"):
        module(toys).editor()


def test_pairs_are_refused(toys, tmp_path):
    data = StyleCodeDataModule(toys.generator, num_codes=8, block_size=4)
    trainer = Trainer(accelerator="cpu", logger=False, max_epochs=1, default_root_dir=tmp_path)
    with pytest.raises(ValueError, match="batch: codes"):
        trainer.fit(module(toys), datamodule=data)


def test_two_dimensional_generators_need_no_camera(toys, tmp_path):
    model = StyleSpaceDiscovery(toys.flat, regions=RegionSource(parser=toys.parser), grid=8, pictures=2)
    fit(model, tmp_path)
    editor = load_editor(tmp_path / "editor", load_generator(toys.flat))
    assert model.table.rate.nansum() > 0 and editor.attributes == ()


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
