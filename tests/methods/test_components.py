"""GANSpace and SeFa: directions beside dense linear algebra, and names beside what was planted."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from sat3d.cli import main
from sat3d.data import StyleCodeDataModule
from sat3d.generators import load_generator
from sat3d.methods import GANSpace, SeFa, load_editor
from sat3d.methods.components import most_selective, principal_components
from sat3d.methods.sefa import style_weights
from tests.methods.test_sweeps import Reads

DATA = {"batch": "codes", "batch_size": 5, "epoch_size": 40, "val_size": 4, "test_size": 4, "truncation": 1.0}
QUICK = {"named": 3, "named_codes": 4, "graded_codes": 4, "render_batch": 3}


def fit(model, folder, ckpt=None, **options):
    data = StyleCodeDataModule(model.hparams["generator"], **DATA)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    trainer = Trainer(accelerator="cpu", max_epochs=1, logger=False, default_root_dir=folder, **{**quiet, **options})
    trainer.fit(model, datamodule=data, ckpt_path=ckpt)
    return data


@pytest.mark.parametrize("space", ["w", "s"])
def test_components_are_those_of_a_dense_decomposition(toys, tmp_path, space):
    model = GANSpace(toys.generator, space=space, **QUICK)
    codes = fit(model, tmp_path).codes("train", range(40))
    rows = (codes.ws[:, 0] if space == "w" else codes.styles).double().numpy()
    _, sizes, vectors = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    sigma = sizes / len(rows) ** 0.5
    for k in range(3):
        found = model.directions[k].double().numpy()
        assert np.linalg.norm(found) == pytest.approx(sigma[k], rel=1e-5)
        assert abs(found @ vectors[k]) == pytest.approx(sigma[k], rel=1e-5)  # the same line
        assert found[np.abs(found).argmax()] > 0
        assert float(model.share[k]) == pytest.approx(sigma[k] ** 2 / (sigma**2).sum(), rel=1e-5)
    editor, x = model.editor(), codes.ws if space == "w" else codes.styles
    moved = editor.edit(x, "component/0", 2.0) - x
    torch.testing.assert_close(moved, (2 * model.directions[0]).expand_as(moved), atol=1e-5, rtol=0)


def test_style_weights_are_the_affine_layers_own(toys):
    net = load_generator(toys.generator)
    weights, zero = style_weights(net), torch.zeros(1, net.num_ws, net.w_dim)
    ws = torch.randn(4, 1, net.w_dim).expand(-1, net.num_ws, -1)
    torch.testing.assert_close(net.styles(ws), net.styles(zero) + ws[:, 0] @ weights.T, atol=1e-5, rtol=1e-4)


def test_directions_of_sefa_are_those_of_a_general_eigensolver(toys, tmp_path):
    model = SeFa(toys.generator, unit="length", ranges=[(0, 1), (2, 3)], **QUICK)
    fit(model, tmp_path)
    net = load_generator(toys.generator)
    weights = style_weights(net).double().numpy()
    for row, span in enumerate([(0, 1), (2, 3)]):
        layers = [x for x in net.style_space.layers if x.kind == "conv" and span[0] <= x.ws_index <= span[1]]
        a = np.concatenate([weights[x.slice].T for x in layers], axis=1)  # (D, channels), as the paper writes it
        a = a / np.linalg.norm(a, axis=0, keepdims=True)
        values, vectors = np.linalg.eig(a @ a.T)
        order = values.real.argsort()[::-1]
        for k in range(3):
            found = model.directions[3 * row + k].double().numpy()
            assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)
            assert abs(found @ vectors[:, order[k]].real) == pytest.approx(1, abs=1e-5)
            assert float(model.share[3 * row + k]) == pytest.approx(values[order[k]].real / a.shape[1], rel=1e-5)
    moved = model.editor().edit(torch.zeros(1, net.num_ws, net.w_dim), "component/1/2-3", 1.0)[0]
    assert not moved[:2].any() and torch.equal(moved[2], moved[3]) and moved[2].any()


def test_strengths_in_sigma_are_the_spread_of_the_codes(toys, tmp_path):
    length, sigma = (SeFa(toys.generator, unit=unit, **QUICK) for unit in ("length", "sigma"))
    fit(length, tmp_path)
    codes = fit(sigma, tmp_path).codes("train", range(40))
    spread = (codes.ws[:, 0] @ length.directions.T).std(0, correction=0)
    torch.testing.assert_close(sigma.directions, spread[:, None] * length.directions, rtol=1e-4, atol=1e-6)


def test_equal_eigenvalues_and_signs():
    vectors, values = principal_components(torch.diag(torch.tensor([1.0, 4.0, 0.0])), 3)
    assert values.tolist() == [4.0, 1.0, 0.0]
    torch.testing.assert_close(vectors, torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64))


def test_an_attribute_is_the_direction_that_moves_little_else():
    scorer = Reads()  # smile, age, hat/no, hat/yes
    effect = torch.tensor([[2.0, 0.0, 0.0, 0.0], [-1.5, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.0]])
    change = torch.tensor([[2.0, 3.0, 0.1, 0.1], [1.5, 0.3, 0.1, 0.1], [0.5, 0.0, 0.0, 0.0]])
    assert most_selective(effect, change, scorer, 0) == 1  # the first moves age too, the third hardly smiles
    siblings = torch.tensor([[0.0, 0.0, -2.0, 2.0], [0.5, 0.5, -2.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    assert most_selective(siblings, siblings.abs(), scorer, 3) == 0  # the other class of a hat may change with it


def test_named_after_the_scorers_own_look(toys, tmp_path):
    quick = {**QUICK, "graded_codes": 7}
    model = GANSpace(toys.generator, scorer=toys.scorer, attributes=["hat/cap", "-smile"], **quick)
    data = fit(model, tmp_path)
    editor, net, scorer = model.editor(), load_generator(toys.generator), model.scorer
    assert editor.attributes == ("hat/cap", "-smile", "component/0", "component/1", "component/2")
    codes = data.probe(4)

    def read(name, strength):
        styles = net.styles(editor.edit(codes.ws, name, strength))
        return scorer.log_odds(net.synthesize(styles, camera=codes.camera).image)

    many = data.probe(7)
    std = scorer.log_odds(net.synthesize(many.styles, camera=many.camera).image).std(0, correction=0)
    effect = (read("component/1", 2.0) - read("component/1", -2.0)).mean(0) / 2 / std
    torch.testing.assert_close(model.effect[1], effect, rtol=1e-3, atol=1e-4)
    low = (read("-smile", 2.0) - read("-smile", -2.0)).mean(0)[scorer.column("smile")]
    high = (read("hat/cap", 2.0) - read("hat/cap", -2.0)).mean(0)[scorer.column("hat/cap")]
    assert low < 0 < high
    rows = list(csv.reader((tmp_path / "directions.csv").open()))
    assert [row[0] for row in rows] == ["direction", "component/0", "component/1", "component/2"]
    assert sorted(" ".join(row[-1] for row in rows[1:]).split()) == ["-smile", "hat/cap"]


@pytest.mark.parametrize("make", [GANSpace, SeFa])
def test_a_run_that_ended_within_its_epoch_goes_on_with_it(toys, tmp_path, make):
    whole, again = (make(toys.generator, scorer=toys.scorer, **QUICK) for _ in range(2))
    fit(whole, tmp_path)
    save = ModelCheckpoint(tmp_path, save_last=True, save_on_train_epoch_end=True)
    fit(make(toys.generator, scorer=toys.scorer, **QUICK), tmp_path, max_steps=3, callbacks=[save])
    fit(again, tmp_path, ckpt=tmp_path / "last.ckpt")
    assert bool(again.is_fitted) and torch.equal(whole.directions, again.directions)


@pytest.mark.parametrize("make", [GANSpace, SeFa])
def test_a_stopped_run_goes_on_to_the_same_result(toys, tmp_path, make):
    whole, again = (make(toys.generator, scorer=toys.scorer, **QUICK) for _ in range(2))
    fit(whole, tmp_path)
    save = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_last=True)
    fit(make(toys.generator, scorer=toys.scorer, **QUICK), tmp_path, max_steps=3, callbacks=[save])
    fit(again, tmp_path, ckpt=tmp_path / "last.ckpt")
    for name in ("directions", "effect", "change", "share"):
        assert torch.equal(getattr(whole, name), getattr(again, name)), name


@pytest.mark.parametrize("name", ["ganspace", "sefa"])
def test_through_the_door(toys, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    own = {"generator": toys.generator, "scorer": toys.scorer, "labeller": toys.scorer, "judge": toys.judge, **QUICK}
    settings = {f"model.init_args.{k}": v for k, v in {**own, "ranges": "[[0,1],[2,3]]"}.items()}
    small = {"batch_size": 5, "epoch_size": 10, "val_size": 2, "test_size": 2, "generator": toys.generator}
    settings |= {f"data.init_args.{k}": v for k, v in small.items()}
    words = ["--config", f"experiments/toyfaces/{name}.yaml", *(f"--{k}={v}" for k, v in settings.items())]
    words += ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    main(["fit", *words])
    folder = Path(f"runs/{name}/0")
    assert load_editor(folder / "editor", load_generator(toys.generator)).knows("hat/cap")
    assert (folder / "pictures/strips.png").is_file() and (folder / "directions.csv").is_file()
    assert "val/reach" in json.loads((folder / "fit.json").read_text())["metrics"]
    main(["test", *words, "--ckpt_path", "last"])
    assert 0 <= json.loads((folder / "test/test.json").read_text())["metrics"]["test/reach/smile"] <= 1
    assert load_editor(folder / "checkpoints/last.ckpt").attributes[0] == "hat/none"


@pytest.mark.parametrize("name", ["ganspace", "sefa"])
def test_experiments_for_released_networks_run_on_tiny_ones(toys, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    own = {"model.init_args.generator": toys.flat, "data.init_args.generator": toys.flat, "model.init_args.named": 2}
    own |= {"model.init_args.ranges": "[[0,1],[2,3]]", "data.init_args.batch_size": 5, "data.init_args.epoch_size": 10}
    words = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    words += [f"--{k}={v}" for k, v in own.items()]
    main(["fit", "--config", f"experiments/stylegan2-ffhq/{name}.yaml", *words])
    assert load_editor(f"runs/{name}/0/editor", load_generator(toys.flat)).knows("component/1/2-3")


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (GANSpace, {"space": "s", "ranges": [(0, 1)]}, "ranges: styles have no ws"),
        (GANSpace, {"ranges": [(0, 9)]}, r"each is the first and the last of ws 0 to"),
        (GANSpace, {"named": 0}, "named=0 must be between 1 and"),
        (GANSpace, {"attributes": ["smile"]}, "Give a scorer"),
        (SeFa, {"kinds": ("torgb",), "ranges": [(0, 0)]}, "no layer of kinds=.'torgb'. reads ws 0 to 0"),
        (SeFa, {"shift": 0.0}, "shift=0.0 must be positive"),
    ],
)
def test_arguments(toys, make, options, message):
    with pytest.raises(ValueError, match=message):
        make(toys.generator, **{**QUICK, **options})
