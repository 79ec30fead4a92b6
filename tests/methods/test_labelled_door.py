"""StyleAE and the flows through the door, on the project's own experiments."""

import json
from pathlib import Path

import pytest

from sat3d.cli import main
from sat3d.generators import load_generator
from sat3d.methods import load_editor

METHODS = {"styleae": {}, "plugen": {"hidden": 8}, "styleflow": {"hidden": "[8]", "regressor": "[8]"}}


@pytest.mark.parametrize("name", METHODS)
def test_experiment_fits_tests_and_leaves_an_editor(toys, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAT3D_CACHE", str(tmp_path / "cache"))
    if name == "styleflow":
        pytest.importorskip("torchdiffeq")
    source = {"generator": toys.generator, "scorer": toys.scorer, "count": 16}
    settings = {"model.init_args.generator": toys.generator}
    settings |= {f"data.init_args.source.init_args.{k}": v for k, v in source.items()}
    settings |= {f"model.init_args.{k}": v for k, v in METHODS[name].items()}
    settings |= {"data.init_args.val": 4, "data.init_args.test": 4, "data.init_args.batch_size": 4}
    if name == "styleae":
        settings["model.init_args.hidden"] = "[8]"
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
    main(["test", *words, "--ckpt_path", "last"])
    assert "test/label_error" in json.loads((folder / "test" / "test.json").read_text())["metrics"]
