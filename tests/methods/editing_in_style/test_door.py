"""Editing in Style through the door, on the project's own experiments."""

import csv
import json
from pathlib import Path

import pytest

from sat3d.cli import main
from sat3d.generators import load_generator
from sat3d.methods import load_editor
from sat3d.shipped import manifest

SHIPPED = {"toyfaces64", "toyfaces-labeller", "toyfaces-judge", "toyfaces-parser"}
SMALL = {"batch_size": 4, "epoch_size": 8, "val_size": 2, "test_size": 2}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def _run(verb: str, config: str, **settings: object) -> None:
        options = {f"data.init_args.{k}": v for k, v in SMALL.items()} | settings
        args = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
        main([verb, "--config", f"experiments/{config}", *args, *(f"--{k}={v}" for k, v in options.items())])

    return _run


def test_fit_test_edit_and_predict(toys, run):
    tiny = {f"model.init_args.{k}": v for k, v in {"generator": toys.generator, "labeller": toys.scorer}.items()}
    tiny |= {"model.init_args.judge": toys.judge, "data.init_args.generator": toys.generator}
    tiny |= {"model.init_args.regions.parser": toys.parser, "model.init_args.attributes": "{hat: [head]}"}
    run("fit", "toyfaces/editing-in-style.yaml", **tiny)
    folder = Path("runs/editing-in-style/0")
    for name in ("catalogue.csv", "editor/card.json", "fit.json", "pictures/catalogue.png"):
        assert (folder / name).is_file(), name
    assert "val/out_mse" in json.loads((folder / "fit.json").read_text())["metrics"]
    for verb in ("test", "predict"):
        run(verb, "toyfaces/editing-in-style.yaml", ckpt_path="last", **tiny)
    assert "test/out_mse" in json.loads((folder / "test" / "test.json").read_text())["metrics"]
    chosen = ["--editor", str(folder / "editor"), "--generator", toys.generator, "--source=1", "--reference=2"]
    main(["edit", *chosen, "--attribute=hat", "--frames=2"])
    assert Path("out/edit.png").is_file()


@pytest.mark.skipif(not manifest().keys() >= SHIPPED, reason=f"checkpoints lack one of {sorted(SHIPPED)}")
def test_experiment_runs(run):
    run("fit", "toyfaces/editing-in-style.yaml", **{"trainer.callbacks": "null"})
    editor = load_editor("runs/editing-in-style/0/editor")
    assert editor.attributes[:2] == ("hair_length", "hair_colour") and editor.members["glasses"] == ["eyes", "glasses"]


def test_experiment_for_the_released_network_runs_on_a_tiny_one(toys, run):
    own = {"model.init_args.generator": toys.flat, "data.init_args.generator": toys.flat}
    regions = {"model.init_args.regions.clusters": 2, "model.init_args.regions.codes": 4}
    run("fit", "stylegan2-ffhq/editing-in-style.yaml", **own, **regions)
    folder = Path("runs/editing-in-style/0")
    assert [row["cluster"] for row in csv.DictReader((folder / "catalogue.csv").open())] == ["cluster0", "cluster1"]
    editor = load_editor(folder / "checkpoints" / "last.ckpt", load_generator(toys.flat))
    assert editor.query.rho == 0.1 and editor.query.first_budget == 5 and "cluster1" in editor.attributes
