"""StyleAE and the flows through the door, on the project's own experiments."""

import json
from pathlib import Path

import pytest
import yaml

from sat3d.cli import main
from sat3d.configs import find_config
from sat3d.generators import load_generator
from sat3d.methods import load_editor
from sat3d.shipped import manifest, shipped_path

METHODS = {"styleae": {"hidden": "[8]"}, "plugen": {"hidden": 8}, "styleflow": {"hidden": "[8]", "regressor": "[8]"}}


@pytest.mark.parametrize("name", METHODS)
def test_experiment_fits_tests_predicts_and_leaves_an_editor(toys, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAT3D_CACHE", str(tmp_path / "cache"))
    if name == "styleflow":
        pytest.importorskip("torchdiffeq")
    source = {"generator": toys.generator, "scorer": toys.scorer, "count": 16}
    settings = {"model.init_args.generator": toys.generator}
    settings |= {f"data.init_args.source.init_args.{k}": v for k, v in source.items()}
    settings |= {f"model.init_args.{k}": v for k, v in METHODS[name].items()}
    settings |= {"data.init_args.val": 4, "data.init_args.test": 4, "data.init_args.batch_size": 4}
    settings |= {"trainer.accelerator": "cpu", "trainer.enable_progress_bar": "false"}
    words = ["--config", f"experiments/toyfaces/{name}.yaml", *(f"--{k}={v}" for k, v in settings.items())]
    main(["fit", *words, "--trainer.max_epochs=1", "--trainer.log_every_n_steps=1"])
    folder = Path(f"runs/{name}/0")
    net = load_generator(toys.generator)
    for place in (folder / "editor", folder / "checkpoints" / "last.ckpt"):
        assert load_editor(place, net).attributes == (
            "hat/none",
            "hat/cap",
            "hat/beanie",
            "smile",
            "beard/no",
            "beard/yes",
        )
    for verb in ("test", "predict"):
        main([verb, *words, "--ckpt_path", "last"])
    assert "test/label_error" in json.loads((folder / "test" / "test.json").read_text())["metrics"]


FACES = ["gender", "glasses/worn", "glasses/none", "beard", "baldness", "expression", "age", "mouth", "lipstick"]
RELEASED = {f"stylegan2-ffhq/{name}": FACES for name in METHODS}
RELEASED["stylegan2-afhqv2/styleae"] = ["animal/cat", "animal/dog", "animal/wild"]


@pytest.mark.skipif("toyfaces-clip" not in manifest(), reason="checkpoints lack toyfaces-clip")
@pytest.mark.parametrize("name", RELEASED)
def test_experiments_for_released_networks_run_on_tiny_ones(toys, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    method = name.partition("/")[2]
    if method == "styleflow":
        pytest.importorskip("torchdiffeq")
    config = f"experiments/{name}.yaml"
    labels = yaml.safe_load(find_config(config).read_text())["data"]["init_args"]["labels"]
    for line in labels:
        line["repeat"] = min(2, line.get("repeat", 1))  # 150 labels do not fit into small codes
    clip = {"clip": "toyfaces-clip", "clip_pretrained": shipped_path("toyfaces-clip")}
    source = {"generator": toys.flat, **clip, "count": 16, "root": "codes"}
    data = {"labels": json.dumps(labels), "val": 4, "test": 4, "batch_size": 4}
    settings = {f"data.init_args.source.init_args.{k}": v for k, v in source.items()}
    settings |= {f"data.init_args.{k}": v for k, v in data.items()}
    settings |= {f"model.init_args.{k}": v for k, v in {"generator": toys.flat, **METHODS[method]}.items()}
    quick = {"accelerator": "cpu", "enable_progress_bar": "false", "max_epochs": 1, "log_every_n_steps": 1}
    settings |= {f"trainer.{k}": v for k, v in quick.items()}
    main(["fit", "--config", config, *(f"--{k}={v}" for k, v in settings.items())])
    editor = load_editor(f"runs/{method}/0/editor", load_generator(toys.flat))
    assert list(editor.attributes) == RELEASED[name]
    assert "val/label_error" in editor.card["metrics"]
