"""StyleCLIP's directions through the door, on the project's own experiments."""

import json
from pathlib import Path

import pytest
import yaml

from sat3d.cli import main
from sat3d.configs import find_config
from sat3d.methods import load_editor
from sat3d.perception import load_observer
from sat3d.shipped import manifest

SHIPPED = {"toyfaces-clip", "toyfaces-labeller"}
SMALL = {"batch_size": 5, "epoch_size": 10, "val_size": 2, "test_size": 2}
QUICK = {
    "clip": "eyes",
    "clip_pretrained": "null",
    "pictures": 1,
    "population": 20,
    "threshold": 0.0,
    "graded_codes": 4,
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def _run(verb: str, config: str, generator: str, **settings: object) -> None:
        options = {f"data.init_args.{k}": v for k, v in (SMALL | {"generator": generator}).items()}
        options |= {f"model.init_args.{k}": v for k, v in (QUICK | {"generator": generator} | settings).items()}
        args = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
        main([verb, "--config", f"experiments/{config}", *args, *(f"--{k}={v}" for k, v in options.items())])

    return _run


def test_fit_test_and_edit(toys, run):
    texts = '{"hat/cap": [a cap, no cap], smile: [[a smile, a grin], a frown]}'
    tiny = {"labeller": toys.scorer, "judge": toys.judge, "strengths": "[5.0]", "texts": texts, "thresholds": "null"}
    run("fit", "toyfaces/styleclip.yaml", toys.generator, **tiny)
    folder = Path("runs/styleclip/0")
    for name in ("channel_directions.safetensors", "channel_directions.json", "editor/card.json", "fit.json"):
        assert (folder / name).is_file(), name
    assert "val/reach" in json.loads((folder / "fit.json").read_text())["metrics"]
    run("fit", "toyfaces/styleclip.yaml", toys.generator, **tiny, table=str(folder))
    assert load_editor("runs/styleclip/1/editor").attributes == ("hat/cap", "smile")
    chosen = ["--editor", str(folder / "editor"), "--generator", toys.generator, "--source=1"]
    main(["edit", *chosen, "--attribute=hat/cap", "--strength=8", "--frames=2"])
    assert Path("out/edit.png").is_file()


def test_experiment_for_a_released_network_runs_on_a_tiny_one(toys, run):
    run("fit", "stylegan2-ffhq/styleclip.yaml", toys.flat)
    assert "bowl cut" in load_editor("runs/styleclip/0/checkpoints/last.ckpt").attributes


@pytest.mark.skipif(not manifest().keys() >= SHIPPED, reason=f"checkpoints lack one of {sorted(SHIPPED)}")
def test_experiment_knows_every_editable_column(toys, run):
    run("fit", "toyfaces/styleclip.yaml", toys.generator, clip="toyfaces-clip", strengths="[5.0]", graded_codes=2)
    columns = [name.removesuffix("/value") for name in load_observer("toyfaces-labeller").columns]
    texts = yaml.safe_load(find_config("experiments/toyfaces/styleclip.yaml").read_text())["model"]["init_args"][
        "texts"
    ]
    assert list(load_editor("runs/styleclip/0/editor").attributes) == list(texts) == columns[: len(texts)]
