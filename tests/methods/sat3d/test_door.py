"""SAT3D through the door, on the project's own experiments."""

import json
from pathlib import Path

import pytest
import yaml

from sat3d.cli import main
from sat3d.configs import experiments_folder
from sat3d.methods import load_editor
from sat3d.perception.descriptor_groups import DescriptorGroups
from sat3d.shipped import manifest

SHIPPED = {"toyfaces64", "toyfaces-clip", "toyfaces-labeller", "toyfaces-judge", "toyfaces-parser"}
needs_weights = pytest.mark.skipif(
    not manifest().keys() >= SHIPPED, reason=f"checkpoints lack one of {sorted(SHIPPED)}"
)
SMALL = {"num_codes": 8, "num_cameras": 1, "batch_size": 4, "epoch_size": 8, "val_size": 4, "test_size": 4}
WHOLE = ("sat3d", "sat3d-oracle", "demo")
ABLATIONS = sorted(path.stem for path in (experiments_folder() / "toyfaces" / "ablations").glob("*.yaml"))


@pytest.fixture
def run(tmp_path, monkeypatch):
    experiments = experiments_folder()
    monkeypatch.chdir(tmp_path)

    def _run(verb: str, *configs: str, **settings: object) -> None:
        options = {f"data.init_args.{k}": v for k, v in SMALL.items()} | settings
        args = [word for c in configs for word in ("--config", str(experiments / "toyfaces" / f"{c}.yaml"))]
        fast = ["--trainer.max_steps=2", "--trainer.val_check_interval=2", "--trainer.accelerator=cpu"]
        fast += ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
        quick = ["--model.init_args.probe_codes=8", "--trainer.log_every_n_steps=1"]
        if verb != "fit":
            fast, quick = fast[2:], quick[:1]
        main([verb, *args, *fast, *quick, *(f"--{k}={v}" for k, v in options.items())])

    return _run


def tiny(toys, **more):
    """Settings that put tiny networks in the place of the shipped ones."""
    named = {"generator": toys.generator, "scorer": toys.scorer, "labeller": toys.scorer, "judge": toys.judge}
    model = {f"model.init_args.{k}": v for k, v in {**named, "attributes": "[hat, beard]", **more}.items()}
    background = json.dumps({"region": "parser", "parser": toys.parser, "parts": ["background"], "spare": {}})
    return {**model, "model.init_args.background": background, "data.init_args.generator": toys.generator}


def test_fit_leaves_an_editor_pictures_and_a_checkpoint_that_test_and_predict_take(toys, run):
    settings = tiny(toys)
    run("fit", "sat3d-oracle", **settings)
    folder = Path("runs/sat3d-oracle/0")
    card = json.loads((folder / "editor" / "card.json").read_text())
    assert card["method"] == "SAT3D" and card["attributes"] == ["hat", "beard"] and card["training"]["steps"] == 2
    assert yaml.safe_load((folder / "config.yaml").read_text())["model"]["init_args"]["loss_weights"]["ref"] == 1.0
    for name in ("pictures/edits.png", "metrics.csv", "fit.json", "checkpoints/last.ckpt"):
        assert (folder / name).is_file(), name
    assert load_editor(folder / "checkpoints" / "last.ckpt").attributes == ("hat", "beard")
    for verb in ("validate", "test", "predict"):
        run(verb, "sat3d-oracle", ckpt_path="last", **settings)
    told = json.loads((folder / "test" / "test.json").read_text())
    assert told["curves"]["attributes"].keys() == {"hat", "beard"}
    assert {"test/view_spread", "test/view_spread_unedited"} <= told["metrics"].keys()


def test_same_seed_gives_the_same_losses(toys, run):
    for _ in range(2):
        run("fit", "sat3d-oracle", **tiny(toys))
    first, second = (Path(f"runs/sat3d-oracle/{n}/metrics.csv").read_text() for n in (0, 1))
    assert first == second and "train/loss" in first


@needs_weights
@pytest.mark.parametrize("name", WHOLE)
def test_experiment_runs(run, name):
    run("fit", name)
    assert Path(f"runs/{name}/0/editor/card.json").is_file()


@needs_weights
@pytest.mark.parametrize("name", ABLATIONS)
def test_ablation_runs_on_top_of_the_experiment(run, name):
    run("fit", "sat3d", f"ablations/{name}")
    assert Path(f"runs/{name}/0/editor/card.json").is_file()


@needs_weights
@pytest.mark.parametrize("name", ["eg3d-ffhq", "eg3d-cats", "eg3d-cars", "stylegan2-ffhq"])
def test_experiments_for_released_networks_run_on_tiny_ones(toys, run, name):
    net = toys.flat if name.startswith("stylegan2") else toys.generator
    own = {"generator": net, "clip": "toyfaces-clip", "clip_pretrained": "null"}
    cameras = {} if name.startswith("stylegan2") else {"data.init_args.num_cameras": 2}
    run(
        "fit",
        f"../{name}/sat3d",
        **{f"model.init_args.{k}": v for k, v in own.items()},
        **{"data.init_args.generator": net},
        **cameras,
    )
    editor = load_editor(f"runs/{name}-sat3d/0/editor")
    assert editor.attributes == bundled(name) and 0 < float(editor.masks.max()) < 1


def bundled(name):
    kind = {"eg3d-cats": "cats", "eg3d-cars": "cars"}.get(name, "faces")
    return DescriptorGroups.from_yaml(kind).attributes
