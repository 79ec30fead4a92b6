"""StyleSpace's discovery against its definitions, computed another way from the same stream."""

import csv

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch.nn import functional as F

from sat3d.data import StyleCodeDataModule
from sat3d.generators import load_generator
from sat3d.methods import StyleSpaceDiscovery, load_editor
from sat3d.methods.shares import spread
from sat3d.methods.stylespace import Examples
from sat3d.perception import RegionSource, load_observer
from tests.methods.stylespace.discovery import NAMES, differing, fit, module


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
    local = [i for i, row in enumerate(rows) if row["local"] == "1"]
    assert 0 < len(local) < len(rows)
    assert editor.channels[0, 0] == model.channels[max(local, key=lambda i: float(theta[i]))]
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


def test_mixed_precision_changes_nothing(run, toys, tmp_path):
    model = module(toys)
    fit(model, tmp_path, precision="bf16-mixed")
    assert differing(run[0], model) == []


def test_precisions_that_would_convert_the_shared_generator_are_refused(toys, tmp_path):
    with pytest.raises(ValueError, match="precision=64-true: frozen networks are float32"):
        fit(module(toys), tmp_path, precision="64-true")
    assert next(load_generator(toys.generator).parameters()).dtype == torch.float32


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


def test_pictures_are_made_a_few_at_a_time(run, toys, tmp_path, monkeypatch):
    model, data, trainer, _ = run
    sizes, synthesize = [], model.generator.synthesize
    monkeypatch.setattr(
        model.generator, "synthesize", lambda s, *a, **k: sizes.append(len(s)) or synthesize(s, *a, **k)
    )
    (told,) = trainer.predict(model, datamodule=data)
    assert max(sizes) == 3 and told["mine"].shape == (4, 3, 64, 64)


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
