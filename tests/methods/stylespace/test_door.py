"""StyleSpace's discovery through the door, on the project's own experiments."""

import json
from pathlib import Path

import pytest

from sat3d.cli import main
from sat3d.generators import load_generator
from sat3d.methods import load_editor
from sat3d.shipped import manifest

SHIPPED = {"toyfaces64", "toyfaces-labeller", "toyfaces-judge", "toyfaces-parser"}
SMALL = {"batch_size": 5, "epoch_size": 10, "val_size": 2, "test_size": 2}
QUICK = {"grid": 8, "pictures": 1, "scored": 10, "positives": 3, "graded_codes": 4, "strengths": "[5.0,20.0]"}
RELEASED = ("stylegan2-ffhq", "eg3d-ffhq", "eg3d-cats")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def _run(verb: str, config: str, **settings: object) -> None:
        options = {f"data.init_args.{k}": v for k, v in SMALL.items()}
        options |= {f"model.init_args.{k}": v for k, v in QUICK.items()} | settings
        args = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
        main([verb, "--config", f"experiments/{config}", *args, *(f"--{k}={v}" for k, v in options.items())])

    return _run


def named(**files):
    return {f"model.init_args.{k}": v for k, v in files.items()} | {"data.init_args.generator": files["generator"]}


def test_fit_test_and_predict(toys, run):
    tiny = named(generator=toys.generator, scorer=toys.scorer, labeller=toys.scorer, judge=toys.judge)
    tiny |= {"model.init_args.regions.parser": toys.parser, "model.init_args.attributes": "[hat/cap,-smile]"}
    run("fit", "toyfaces/stylespace.yaml", **tiny)
    folder = Path("runs/stylespace/0")
    for name in ("channels.csv", "editor/card.json", "fit.json", "pictures/strips-attributes.png"):
        assert (folder / name).is_file(), name
    assert "val/reach" in json.loads((folder / "fit.json").read_text())["metrics"]
    for verb in ("test", "predict"):
        run(verb, "toyfaces/stylespace.yaml", ckpt_path="last", **tiny)
    told = json.loads((folder / "test" / "test.json").read_text())["metrics"]
    assert 0 <= told["test/reach/hat/cap"] <= 1
    chosen = ["--editor", str(folder / "editor"), "--generator", toys.generator, "--source=1"]
    main(["edit", *chosen, "--attribute=hat/cap", "--strength=8", "--frames=2"])
    assert Path("out/edit.png").is_file() and not Path("out/reference.png").exists()


@pytest.mark.skipif(not manifest().keys() >= SHIPPED, reason=f"checkpoints lack one of {sorted(SHIPPED)}")
def test_experiment_runs(run):
    run("fit", "toyfaces/stylespace.yaml", **{"trainer.callbacks": "null"})
    assert load_editor("runs/stylespace/0/editor").attributes[:2] == ("hair_colour/black", "hair_colour/brown")


@pytest.mark.parametrize("name", RELEASED)
def test_experiments_for_released_networks_run_on_tiny_ones(toys, run, name):
    net = toys.flat if name.startswith("stylegan2") else toys.generator
    own = {"generator": net, "clip": "null", "clip_pretrained": "null", "descriptors": "null", "scorer": toys.scorer}
    regions = {"model.init_args.regions.clusters": 2, "model.init_args.regions.codes": 4}
    many = {"data.init_args.batch_size": 1, "data.init_args.epoch_size": 52}  # steps are no multiple of what is saved
    run("fit", f"{name}/stylespace.yaml", **named(**own), **regions, **many)
    assert Path("runs/stylespace/0/pictures/regions.png").is_file()
    assert load_editor("runs/stylespace/0/checkpoints/last.ckpt", load_generator(net)).attributes
