import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from sat3d.cli import main
from sat3d.data import LabelledLatentDataModule, LatentFiles, SampledLatents, StyleCodeDataModule
from sat3d.generators import load_generator
from sat3d.methods import BoundaryEditor, InterFaceGAN, load_editor
from sat3d.methods.interfacegan import boundary_effects, read_boundaries
from sat3d.methods.interfacegan.boundary import fit_boundary
from sat3d.perception import load_observer
from sat3d.shipped import manifest, shipped_path

pytest.importorskip("sklearn")


def fit(model, data, folder, **options):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    ckpt = options.pop("ckpt", None)
    trainer = Trainer(accelerator="cpu", max_epochs=1, logger=False, default_root_dir=folder, **{**quiet, **options})
    trainer.fit(model, datamodule=data, ckpt_path=ckpt)
    return trainer


@pytest.fixture
def planted(toys, tmp_path):
    """Codes whose labels are known directions: b leans on a by 0.6."""
    width = load_generator(toys.generator).w_dim
    random = np.random.default_rng(0)
    normals = np.linalg.qr(random.normal(size=(width, 2)))[0].T
    normals[1] = 0.6 * normals[0] + 0.8 * normals[1]
    codes = random.normal(size=(3000, width)).astype(np.float32)
    np.save(tmp_path / "codes.npy", codes)
    np.savez(tmp_path / "labels.npz", a=codes @ normals[0] + 0.5, b=codes @ normals[1])
    source = LatentFiles(str(tmp_path / "codes.npy"), [str(tmp_path / "labels.npz")], generator=toys.generator)
    return LabelledLatentDataModule(source, val=200, test=200, batch_size=500), torch.from_numpy(normals).float()


def test_finds_planted_directions(toys, planted, tmp_path):
    data, normals = planted
    model = InterFaceGAN(toys.generator, ratio=0.1)
    trainer = fit(model, data, tmp_path)
    cosine = torch.nn.functional.cosine_similarity(model.normals, normals)
    assert float(cosine.min()) > 0.97, cosine
    torch.testing.assert_close(model.sigma, torch.ones(2), atol=0.1, rtol=0)
    assert float(trainer.callback_metrics["val/spearman"]) > 0.95
    assert float(trainer.callback_metrics["train/accuracy/a"]) > 0.95
    editor, ws = model.editor(), torch.randn(4, 5, normals.shape[1])
    moved = editor.edit(ws, "a", 2.0) - ws
    torch.testing.assert_close(moved.norm(dim=-1), 2 * model.sigma[0].expand(4, 5), rtol=1e-4, atol=0)
    placed = editor.place(ws, "a", torch.tensor([0.0, 1.0, -2.0, 3.0]))
    expected = torch.tensor([0.0, 1.0, -2.0, 3.0])[:, None].expand(4, 5)
    torch.testing.assert_close(editor.distance(placed, "a"), expected, atol=1e-4, rtol=0)
    off = placed - ws
    along = off @ model.normals[0]
    torch.testing.assert_close(off, along[..., None] * model.normals[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("keep", [{"a": ["b"]}, "everything"])
def test_what_is_kept_does_not_change(toys, planted, tmp_path, keep):
    data, normals = planted
    model = InterFaceGAN(toys.generator, ratio=0.1, keep=keep)
    fit(model, data, tmp_path)
    w = torch.zeros(1, normals.shape[1])
    moved = model.editor().edit(w, "a", 1.0)[0]
    assert abs(float(moved @ model.normals[1])) < 1e-5 < 0.5 < float(moved @ normals[0])
    other = float(model.editor().edit(w, "b", 1.0)[0] @ model.normals[0])
    assert abs(other) < 1e-5 if keep == "everything" else other > 0.4


def test_the_boundary_is_scikit_learns_on_the_tails(toys, planted, tmp_path):
    from sklearn.svm import SVC

    data, _ = planted
    model = InterFaceGAN(toys.generator, ratio=0.05, share=0.7)
    fit(model, data, tmp_path)
    train = data.rows["train"]
    order = data.latents(train).labels[:, 0].argsort() + train.start
    tails = [order[-130:], order[:130]]
    shown, hidden = (data.latents(t.sort().values).codes for t in tails)
    found = fit_boundary(shown, hidden, 0.7, 0)
    torch.testing.assert_close(model.normals[0], found.normal)
    whole = SVC(kernel="linear").fit(np.concatenate([shown, hidden]), [1] * 130 + [0] * 130)
    cosine = float(torch.from_numpy(whole.coef_[0]).float() @ found.normal / np.linalg.norm(whole.coef_[0]))
    assert cosine > 0.8  # of all, where the method takes 70 %: not the same, but near


def test_separable_codes_in_closed_form():
    points = torch.tensor([[1.0, 0.0], [1.0, 5.0], [3.0, 1.0]])
    found = fit_boundary(points, points * torch.tensor([-1.0, 1.0]), share=0.99)
    torch.testing.assert_close(found.normal, torch.tensor([1.0, 0.0]), atol=1e-3, rtol=0)
    assert found.bias == pytest.approx(0, abs=1e-3) and np.isnan(found.accuracy)


def sampled(toys, folder, space="w", count=60):
    source = SampledLatents(toys.generator, toys.scorer, count=count, truncation=1.0, space=space, root=str(folder))
    return LabelledLatentDataModule(source, val=10, test=10, batch_size=8)


@pytest.mark.parametrize("space", ["w", "s"])
def test_classes_are_ranked_by_their_log_odds(toys, tmp_path, space):
    model, data = InterFaceGAN(toys.generator, space=space, ratio=0.1), sampled(toys, tmp_path, space)
    fit(model, data, tmp_path)
    assert model.names == ("hat/none", "hat/cap", "hat/beanie", "smile", "beard/no", "beard/yes")
    odds = torch.from_numpy(np.array(data.source.values))[:40]
    assert set(model.ranking.compute().rows[1].tolist()) == set(odds[:, 1].topk(4).indices.tolist())
    assert set(model.ranking.compute().rows[6 + 3].tolist()) == set((-odds[:, 3]).topk(4).indices.tolist())
    assert model.editor().space == space


def test_a_stopped_run_goes_on_to_the_same_result(toys, tmp_path):
    whole, again = (InterFaceGAN(toys.generator, ratio=0.1) for _ in range(2))
    fit(whole, sampled(toys, tmp_path), tmp_path)
    save = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_last=True)
    part = InterFaceGAN(toys.generator, ratio=0.1)
    fit(part, sampled(toys, tmp_path), tmp_path, max_steps=2, callbacks=[save])
    assert not part.is_fitted
    fit(again, sampled(toys, tmp_path), tmp_path, ckpt=tmp_path / "last.ckpt")
    assert torch.equal(whole.normals, again.normals) and torch.equal(whole.biases, again.biases)


@pytest.mark.parametrize("name", ["interfacegan", "interfacegan-s"])
def test_through_the_door(toys, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    settings = {"model.init_args.generator": toys.generator, "model.init_args.ratio": 0.1}
    source = {"generator": toys.generator, "scorer": toys.scorer, "count": 60, "root": "codes"}
    settings |= {f"data.init_args.source.init_args.{k}": v for k, v in source.items()}
    settings |= {"data.init_args.val": 10, "data.init_args.test": 10, "data.init_args.batch_size": 8}
    words = ["--config", f"experiments/toyfaces/{name}.yaml", *(f"--{k}={v}" for k, v in settings.items())]
    words += ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    main(["fit", *words])
    folder = Path(f"runs/{name}/0")
    net = load_generator(toys.generator)
    assert load_editor(folder / "editor", net).knows("hat/cap")
    assert "val/spearman" in json.loads((folder / "fit.json").read_text())["metrics"]
    for verb in ("test", "predict"):
        main([verb, *words, "--ckpt_path", "last"])
    assert -1 <= json.loads((folder / "test/test.json").read_text())["metrics"]["test/spearman/smile"] <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": 0.0}, "ratio=0.0 must be in"),
        ({"share": 1.0}, "share=1.0 in"),
        ({"keep": {"hat/cap": ["nose"]}}, "keep, layers: unknown nose; there are hat/none"),
        ({"layers": {"nose": [0, 1]}}, "keep, layers: unknown nose"),
        ({"space": "s"}, "the source's space must be the same"),
        ({"ratio": 0.5}, "codes are positive and negative"),
    ],
)
def test_refusals(toys, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        fit(InterFaceGAN(toys.generator, **options), sampled(toys, tmp_path, count=23), tmp_path)


def test_needs_labelled_codes(toys, tmp_path):
    data = StyleCodeDataModule(toys.generator, batch="codes", epoch_size=8)
    with pytest.raises(ValueError, match="InterFaceGAN needs LabelledLatentDataModule"):
        fit(InterFaceGAN(toys.generator), data, tmp_path)


def test_boundaries_that_belong_are_told_from_those_that_do_not(toys, tmp_path):
    net, scorer = load_generator(toys.generator), load_observer(toys.scorer)
    codes = StyleCodeDataModule(toys.generator, batch="codes", truncation=1.0).codes("train", range(24))
    w = codes.ws[:, :1].clone().requires_grad_()
    image = net.synthesize(net.styles(w.expand_as(codes.ws)), camera=codes.camera).image
    (gradient,) = torch.autograd.grad(scorer.log_odds(image)[:, scorer.column("smile")].sum(), w)
    own = gradient.sum((0, 1))
    other = torch.randn(net.w_dim, generator=torch.Generator().manual_seed(5))
    other = other - own * (own @ other) / (own @ own)  # what another generator's would be: nothing to do with it
    for name, normal in {"smile": own, "strange": other, "wrong": -own}.items():
        np.save(tmp_path / f"{name}.npy", (normal / normal.norm())[None].numpy())
    files = {name: tmp_path / f"{name}.npy" for name in ("smile", "strange", "wrong")}
    editor = read_boundaries(files, net, codes)
    assert isinstance(editor, BoundaryEditor)
    spread = (codes.ws[:, 0] @ (own / own.norm())).std(correction=0)
    torch.testing.assert_close(editor.direction("smile"), spread * own / own.norm())
    effects = boundary_effects(editor, dict.fromkeys(files, "smile"), net, scorer, codes, shift=1.0, controls=6)
    assert effects["smile"].belongs and not effects["strange"].belongs and not effects["wrong"].belongs
    assert effects["wrong"].change == pytest.approx(-effects["smile"].change, rel=1e-4)


def test_the_verb_writes_what_belongs_and_refuses_the_rest(toys, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("smile.npy", np.eye(1, load_generator(toys.generator).w_dim, dtype=np.float32))
    words = ["boundaries", "--generator", toys.generator, "--scorer", toys.scorer, "--count=4", "--controls=3"]
    words += ["--files={smile: smile.npy}"]
    found = {}

    def effects(*args, **options):
        from sat3d.methods.interfacegan import Effect

        return {"smile": Effect(found["change"], 1.0)}

    monkeypatch.setattr("sat3d.methods.interfacegan.boundary_effects", effects)
    found["change"] = 2.0
    main([*words, "--out", "own"])
    assert load_editor("own", load_generator(toys.generator)).attributes == ("smile",)
    found["change"] = 0.3
    with pytest.raises(ValueError, match=r"smile of another generator.*--unchecked true writes them"):
        main([*words, "--out", "strange"])
    assert "does NOT belong" in capsys.readouterr().out
    assert not Path("strange/card.json").exists()
    main([*words, "--out", "strange", "--unchecked=true"])
    assert json.loads(Path("strange/card.json").read_text())["metrics"]["effects"]["smile"]["change"] == 0.3


@pytest.mark.parametrize("content", ["text", "width", "objects", "zeros", "nan", "integers", "missing"])
def test_files_that_are_no_boundaries(toys, tmp_path, content):
    net = load_generator(toys.generator)
    file, d = tmp_path / "b.npy", net.w_dim
    arrays = {
        "width": np.ones((1, d + 1)),
        "zeros": np.zeros((1, d)),
        "nan": np.full((1, d), np.nan),
        "integers": np.ones((1, d), dtype=int),
    }
    if content == "objects":
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif content == "text":
        file.write_text("not an array")
    elif content in arrays:
        np.save(file, arrays[content])
    codes = StyleCodeDataModule(toys.generator, batch="codes").codes("train", range(2))
    error = FileNotFoundError if content == "missing" else ValueError
    with pytest.raises(error, match=r"files: smile: .*b\.npy"):
        read_boundaries({"smile": file}, net, codes)


@pytest.mark.skipif("toyfaces-clip" not in manifest(), reason="checkpoints lack toyfaces-clip")
def test_the_experiment_for_a_released_network_runs_on_a_tiny_one(toys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clip = {"clip": "toyfaces-clip", "clip_pretrained": shipped_path("toyfaces-clip")}
    source = {"generator": toys.flat, **clip, "count": 30, "root": "codes"}
    settings = {f"data.init_args.source.init_args.{k}": v for k, v in source.items()}
    settings |= {"data.init_args.val": 4, "data.init_args.test": 4, "data.init_args.batch_size": 4}
    settings |= {"model.init_args.generator": toys.flat, "model.init_args.ratio": 0.1}
    settings |= {"trainer.accelerator": "cpu", "trainer.enable_progress_bar": "false"}
    main(
        [
            "fit",
            "--config",
            "experiments/stylegan2-ffhq/interfacegan.yaml",
            *(f"--{k}={v}" for k, v in settings.items()),
        ]
    )
    assert load_editor("runs/interfacegan/0/editor", load_generator(toys.flat)).attributes[0] == "gender"
