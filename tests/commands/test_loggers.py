"""Loggers get the parsed config."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from lightning.pytorch.loggers import CSVLogger

from sat3d.commands.trainer import SatCLI, ShareConfig
from sat3d.configs import resolve_configs

BORING = """
model: {class_path: lightning.pytorch.demos.boring_classes.BoringModel}
data: {class_path: lightning.pytorch.demos.boring_classes.BoringDataModule}
trainer: {accelerator: cpu, max_steps: 1, limit_val_batches: 0, enable_progress_bar: false}
"""


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "boring.yaml").write_text(BORING)
    return tmp_path


def test_tensorboard_gets_the_config_that_is_written(workplace):
    SatCLI.open(resolve_configs(["fit", "--config", "boring.yaml", "--config", "experiments/logger/tensorboard.yaml"]))
    told = yaml.safe_load(Path("runs/boring/0/tensorboard/hparams.yaml").read_text())
    assert told["model"]["class_path"].endswith("BoringModel") and told["trainer"]["max_steps"] == 1
    assert told == yaml.safe_load(Path("runs/boring/0/config.yaml").read_text())


def test_every_logger_is_told_but_that_of_the_run_folder(workplace):
    cli = SatCLI.open(["fit", "--config", "boring.yaml", "--seed_everything=7"])
    (callback,) = (c for c in cli.trainer.callbacks if isinstance(c, ShareConfig))
    told = []
    others = [SimpleNamespace(log_hyperparams=told.append) for _ in range(2)]
    callback.save_config(SimpleNamespace(loggers=[CSVLogger(workplace / "csv"), *others]), cli.model, "fit")
    assert len(told) == 2 and told[0] == told[1] and told[0]["seed_everything"] == 7
    assert not (workplace / "csv").exists()
