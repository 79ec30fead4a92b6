"""The shipped sweeps as W&B's own agent runs them, and a sweep of real trainings without an account."""

import csv
import json
import os
import struct
import sys
from pathlib import Path

import pytest
import yaml
from wandb.proto import wandb_internal_pb2
from wandb.wandb_agent import Agent

from sat3d.cli import main
from sat3d.configs import experiments_folder
from sat3d.shipped import manifest
from sat3d.sweeps.plan import read_sweep
from sat3d.sweeps.space import space_of

SHIPPED = {"toyfaces64", "toyfaces-clip", "toyfaces-labeller", "toyfaces-judge", "toyfaces-parser"}
QUICK = {"trainer.accelerator": "cpu", "trainer.enable_progress_bar": False, "trainer.log_every_n_steps": 1}
EDITS = {"labeller": "toyfaces-labeller", "attributes": ["smile"], "codes": 2, "strengths": [1.0]}
SMALL = {
    "sat3d_loss_weights": {
        "trainer": {"max_steps": 2, "val_check_interval": 2},
        "model.init_args": {"probe_codes": 8},
        "data.init_args": {"num_codes": 8, "num_cameras": 1, "batch_size": 4, "epoch_size": 8, "val_size": 4},
    },
    "styleae_lambda": {
        "trainer": {
            "max_epochs": 1,
            "check_val_every_n_epoch": 1,
            "callbacks": [{"class_path": "sat3d.callbacks.EditGrades", "init_args": EDITS}],
        },
        "model.init_args": {"hidden": [8]},
        "data.init_args": {"source.init_args.count": 16, "val": 4, "test": 4},
    },
    "stylespace_thresholds": {
        "trainer": {"callbacks": None},
        "model.init_args": {"grid": 8, "pictures": 1, "scored": 10, "positives": 3, "graded_codes": 4},
        "data.init_args": {"batch_size": 5, "epoch_size": 10, "val_size": 2},
    },
}


def run_by_agent(name, **settings):
    """Give a shipped sweep's first point, and small settings behind it, to W&B's agent, which runs its command."""
    sweep = yaml.safe_load((experiments_folder() / "sweeps" / f"{name}.yaml").read_text())
    plan = read_sweep(experiments_folder() / "sweeps" / f"{name}.yaml")
    space = space_of(plan.parameters)
    draws = {p.name: p.grid[0] if p.grid else p.distribution.high for p in space.parameters}
    small = {f"{part}.{key}": value for part, told in SMALL[name].items() for key, value in told.items()}
    options = {**QUICK, **small, **settings}
    words = [f"--{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in options.items()]
    agent = Agent(api=None, queue=None, sweep_id="abcd1234")
    agent._sweep_command = [*sweep["command"], *words]
    values = space.values(draws)
    told = {name: {"value": value} for name, value in values.items()}
    command = {"type": "run", "run_id": "trial123", "program": sweep["program"], "args": told}
    response = agent._process_command(command)
    assert "exception" not in response, response
    process = agent._run_processes["trial123"]
    assert process.wait(timeout=280) == 0
    return plan, values


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """A folder from which an agent starts, with what it sets in the environment undone afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("SAT3D_CACHE", str(tmp_path / "cache"))
    for name in ("WANDB_DIR", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.setenv(name, str(tmp_path) if name == "WANDB_DIR" else "")
    monkeypatch.setenv("WANDB_SWEEP_ID", "abcd1234")
    return tmp_path


def records(folder):
    """Read what an offline run keeps: a log in LevelDB's format, of W&B's own messages."""
    (path,) = Path(folder).glob("wandb/offline-run-*/*.wandb")
    data, place, parts = path.read_bytes(), 7, []
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # the rest of a block is padding
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        parts.append(data[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(b"".join(parts))
            parts = []
            yield record


def kept(folder):
    """Return an offline run's settings, what it logged by key, and the pictures."""
    config, logged = {}, {}
    for record in records(folder):
        kind = record.WhichOneof("record_type")
        updates = {"run": record.run.config.update, "config": record.config.update}.get(kind, [])
        config |= {".".join([u.key, *u.nested_key]).strip("."): json.loads(u.value_json) for u in updates}
        for item in record.history.item if kind == "history" else []:
            logged.setdefault(item.key or ".".join(item.nested_key), []).append(json.loads(item.value_json))
    return config, logged, list(Path(folder).glob("wandb/offline-run-*/files/media/images/*.png"))


def tiny(toys):
    named = {"generator": toys.generator, "scorer": toys.scorer, "labeller": toys.scorer, "judge": toys.judge}
    model = {f"model.init_args.{k}": v for k, v in {**named, "clip": None, "descriptors": None}.items()}
    background = {"region": "parser", "parser": toys.parser, "parts": ["background"], "spare": {}}
    model |= {"model.init_args.attributes": ["hat", "beard"], "model.init_args.background": background}
    return {**model, "data.init_args.generator": toys.generator}


def test_the_agents_trial_logs_losses_a_picture_the_metric_and_the_config(toys, shell):
    plan, values = run_by_agent("sat3d_loss_weights", **tiny(toys))
    folder = Path("runs/sat3d/0")
    config, logged, pictures = kept(folder)
    weights = config["model"]["init_args"]["loss_weights"]
    for name, value in values.items():
        assert config[name] == value  # as the sweep's server shows it
        assert weights[name.rpartition(".")[2]] == pytest.approx(value)  # and as the run had it
    recorded = yaml.safe_load((folder / "config.yaml").read_text())
    assert {key: config[key] for key in ("model", "data", "seed_everything")} == {
        key: recorded[key] for key in ("model", "data", "seed_everything")
    }
    assert {"train/loss", "train/ref", "train/src", "train/prob", plan.metric} <= logged.keys()
    assert pictures and any(key.startswith("edits") for key in logged)
    with (folder / "metrics.csv").open(newline="") as file:
        written = [float(row[plan.metric]) for row in csv.DictReader(file) if row[plan.metric]]
    assert logged[plan.metric] == pytest.approx(written)


@pytest.mark.slow
@pytest.mark.skipif(not manifest().keys() >= SHIPPED, reason=f"checkpoints lack one of {sorted(SHIPPED)}")
@pytest.mark.parametrize("name", SMALL)
def test_every_shipped_sweep_runs_by_the_agent_on_the_shipped_networks(shell, name):
    plan, values = run_by_agent(name)
    (folder,) = Path("runs").glob("*/0/config.yaml")
    config, logged, _ = kept(folder.parent)
    assert plan.metric in logged and plan.metric.startswith("val/")
    assert {key: config[key] for key in values} == values


BORING = """
model: {class_path: bowl.Bowl}
data: {class_path: lightning.pytorch.demos.boring_classes.BoringDataModule}
trainer: {accelerator: cpu, max_steps: 4, val_check_interval: 2, limit_val_batches: 1, num_sanity_val_steps: 0}
"""
BOWL = """
from lightning.pytorch.demos.boring_classes import BoringModel

class Bowl(BoringModel):
    def __init__(self, x: float = 0.0):
        super().__init__()
        self.x = x

    def validation_step(self, batch, batch_idx):
        self.log("val/score", -abs(self.x - 0.3) + 0.01 * self.global_step)
"""


def test_real_trainings_are_swept_and_the_best_goes_through_the_door(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("bowl.py").write_text(BOWL)
    Path("bowl.yaml").write_text(BORING)
    sweep = {
        "program": "lightning",
        "command": ["${env}", "${program}", "fit", "--config", "bowl.yaml", "${args}"],
        "method": "grid",
        "metric": {"name": "val/score", "goal": "maximize"},
        "parameters": {"model.init_args.x": {"values": [0.25]}},
    }
    Path("sweep.yaml").write_text(yaml.safe_dump(sweep))
    main(["sweep", "sweep.yaml"])
    folder = Path("runs/sweeps/sweep/0")
    with (folder / "trials.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["state"] == "finished" and float(row["val/score"]) == pytest.approx(-0.01)
    recorded = yaml.safe_load(Path(row["run"], "config.yaml").read_text())
    assert recorded["model"]["init_args"]["x"] == float(row["model.init_args.x"]) == 0.25
    command = capsys.readouterr().out.strip().splitlines()[-1]
    assert command == f"lightning fit --config bowl.yaml --config {folder}/best.yaml"
    main(command.split()[1:])
    assert yaml.safe_load(Path("runs/bowl-best/0/config.yaml").read_text())["model"]["init_args"]["x"] == 0.25
