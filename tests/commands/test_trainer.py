import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from sat3d.callbacks import AtomicCheckpointIO, NonFiniteSteps, RunCheckpoints
from sat3d.cli import main
from sat3d.commands.trainer import SatCLI
from sat3d.configs import experiments_folder, resolve_configs

BORING_CLASS = "lightning.pytorch.demos.boring_classes.BoringModel"
BORING = """
model: {class_path: lightning.pytorch.demos.boring_classes.BoringModel}
data: {class_path: lightning.pytorch.demos.boring_classes.BoringDataModule}
trainer: {accelerator: cpu, max_steps: 3, limit_val_batches: 1, limit_test_batches: 2, enable_progress_bar: false}
"""


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty working directory with one small experiment, `boring.yaml`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "boring.yaml").write_text(BORING)
    return tmp_path


def weights(checkpoint):
    return torch.load(checkpoint, weights_only=True)["state_dict"]["layer.weight"]


def test_every_run_has_its_own_numbered_folder(workplace):
    main(["fit", "--config", "boring.yaml"])
    main(["fit", "--config=boring.yaml", "--seed_everything=1"])
    for number in ("0", "1"):
        assert yaml.safe_load(Path("runs/boring", number, "config.yaml").read_text())["seed_everything"] == int(number)
    first, second = (weights(f"runs/boring/{number}/checkpoints/last.ckpt") for number in (0, 1))
    assert not torch.equal(first, second)


def test_the_recorded_config_repeats_the_run_in_a_new_folder(workplace):
    main(["fit", "--config", "boring.yaml", "--trainer.max_steps=2"])
    main(["fit", "--config", "runs/boring/0/config.yaml"])
    first, second = (weights(f"runs/boring/{number}/checkpoints/last.ckpt") for number in (0, 1))
    assert torch.equal(first, second)


def test_last_means_the_newest_run_and_results_lie_beside_its_checkpoint(workplace):
    for _ in range(2):
        main(["fit", "--config", "boring.yaml"])
    main(["test", "--config", "boring.yaml", "--ckpt_path", "last"])
    main(["test", "--ckpt_path", "runs/boring/0/checkpoints/last.ckpt"])  # the run's own config
    main(["test", "--ckpt_path", "runs/boring/0/checkpoints/last.ckpt"])
    made = {str(path.parent) for path in Path("runs").rglob("config.yaml")}
    assert made == {f"runs/boring/{tail}" for tail in ("0", "1", "1/test", "0/test", "0/test-2")}


def test_last_without_a_run_says_where_it_looked(workplace):
    with pytest.raises(FileNotFoundError, match="--ckpt_path last: no run under runs/boring"):
        main(["test", "--config", "boring.yaml", "--ckpt_path", "last"])


def test_a_missing_or_truncated_checkpoint_is_refused_before_anything_is_made(workplace):
    with pytest.raises(FileNotFoundError, match=r"--ckpt_path: no file gone\.ckpt"):
        main(["fit", "--config", "boring.yaml", "--ckpt_path", "gone.ckpt"])
    torch.save({"state_dict": {"weight": torch.zeros(1000)}}, "half.ckpt")
    os.truncate("half.ckpt", 2000)
    with pytest.raises(ValueError, match=r"--ckpt_path: half\.ckpt is truncated"):
        main(["test", "--config", "boring.yaml", "--ckpt_path", "half.ckpt"])
    assert not Path("runs").exists()


def test_settings_typed_with_a_checkpoint_win_over_those_it_was_trained_with(workplace):
    code = """
    from lightning.pytorch.demos.boring_classes import BoringModel
    class Gained(BoringModel):
        def __init__(self, gain: float = 1.0):
            super().__init__()
            self.save_hyperparameters()
            self.gain = gain
    """
    (workplace / "gained.py").write_text("\n".join(line[4:] for line in code.splitlines()))
    (workplace / "gained.yaml").write_text(
        BORING.replace("lightning.pytorch.demos.boring_classes.BoringModel", "gained.Gained")
    )
    sys.path.insert(0, str(workplace))
    try:
        main(["fit", "--config", "gained.yaml"])
        cli = SatCLI.open(["test", "--config", "gained.yaml", "--ckpt_path", "last", "--model.init_args.gain=2"])
    finally:
        sys.path.remove(str(workplace))
    assert cli.model.gain == 2


@pytest.mark.parametrize("option", ["--run.root", "--run.dir", "--trainer.default_root_dir"])
def test_an_unwritable_run_folder_is_refused_before_training(workplace, option):
    (workplace / "file").write_text("not a folder")
    with pytest.raises(OSError, match=r"--run\."):
        main(["fit", "--config", "boring.yaml", f"{option}=file"])
    assert {path.name for path in workplace.iterdir()} == {"file", "boring.yaml"}


def test_a_folder_that_holds_a_run_is_not_written_over(workplace):
    main(["fit", "--config", "boring.yaml", "--run.dir", "here"])
    before = Path("here/config.yaml").read_text()
    with pytest.raises(FileExistsError, match=r"--run.dir: here holds a run already"):
        main(["fit", "--config", "boring.yaml", "--run.dir", "here", "--seed_everything=5"])
    assert Path("here/config.yaml").read_text() == before


def test_a_run_that_cannot_be_set_up_leaves_no_folder(workplace):
    with pytest.raises(MisconfigurationException, match="max_steps"):
        main(["fit", "--config", "boring.yaml", "--trainer.max_steps=-5"])
    assert not list(Path("runs").glob("*/*"))


def test_a_misspelt_option_is_named(workplace, capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--config", "boring.yaml", "--trainer.max_stepz=3"])
    message = capsys.readouterr().err
    assert "max_stepz" in message
    assert len(message.splitlines()) < 15  # the message, not the list of all options


@pytest.mark.parametrize(
    ("name", "logger"), [("csv", None), ("tensorboard", TensorBoardLogger), ("wandb", WandbLogger)]
)
def test_loggers_stack_beside_metrics_csv_in_the_run_folder(workplace, name, logger):
    args = [
        "fit",
        "--config",
        "boring.yaml",
        "--config",
        f"experiments/logger/{name}.yaml",
        "--config",
        "experiments/trainer/cpu.yaml",
    ]
    cli = SatCLI.open(resolve_configs(args))
    first, *others = cli.trainer.loggers
    assert isinstance(first, CSVLogger)
    assert Path(first.log_dir).samefile("runs/boring/0")
    assert [type(other) for other in others] == ([logger] if logger else [])
    assert {path.name for path in workplace.iterdir()} == {"boring.yaml", "runs"}


@pytest.mark.parametrize("path", sorted(experiments_folder().glob("trainer/*.yaml")), ids=lambda path: path.stem)
def test_trainer_configs_are_read_behind_an_experiment(workplace, path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["fit", "--config", "boring.yaml", "--config", str(path), "--print_config"])
    assert exit_.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)["trainer"]
    for key, value in yaml.safe_load(path.read_text())["trainer"].items():
        if isinstance(value, dict):  # a class: the options that it was not given are printed, too
            assert value["init_args"].items() <= printed[key].pop("init_args").items()
            value = {"class_path": value["class_path"]}
        assert printed[key] == value


def test_processes_that_lightning_starts_share_one_run_folder(workplace):
    args = ["fit", "--config", "boring.yaml", "--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.max_steps=2"]
    command = [Path(sys.executable).parent / "lightning", *args]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, timeout=200)
    assert [path.name for path in Path("runs/boring").iterdir()] == ["0"]
    assert Path("runs/boring/0/checkpoints/last.ckpt").is_file()


class Logged(BoringModel):
    def training_step(self, batch, batch_idx):
        out = super().training_step(batch, batch_idx)
        self.log("train/loss", out["loss"])
        return out


def test_the_same_command_starts_a_run_and_goes_on_with_it(workplace, capsys):
    # Stopped at the ends of epochs: within one, these loaders do not know where they stand.
    logged = ["--trainer.log_every_n_steps=1", "--trainer.limit_train_batches=2"]
    (workplace / "boring.yaml").write_text(BORING.replace(BORING_CLASS, f"{__name__}.Logged"))
    main(["fit", "--config", "boring.yaml", *logged, "--trainer.max_steps=6"])
    again = ["fit", "--config", "boring.yaml", *logged, "--run.resume=true", "--run.name=again"]
    for steps in (2, 4, 6, 6):  # the last one has nothing left to do
        main([*again, f"--trainer.max_steps={steps}"])
    assert [path.name for path in Path("runs/again").iterdir()] == ["0"]
    assert torch.equal(*(weights(f"runs/{run}/0/checkpoints/last.ckpt") for run in ("boring", "again")))
    one, other = (Path("runs", run, "0", "metrics.csv").read_text() for run in ("boring", "again"))
    assert [row for row in other.splitlines() if row] == [row for row in one.splitlines() if row]
    assert yaml.safe_load(Path("runs/again/0/config.yaml").read_text())["trainer"]["max_steps"] == 6


def test_going_on_is_for_fits_and_finds_its_own_checkpoint(workplace):
    for args in (["fit", "--ckpt_path=last"], ["test"]):
        with pytest.raises(ValueError, match=r"--run\.resume: goes on with a fit"):
            main([*args, "--config", "boring.yaml", "--run.resume=true"])


def test_callbacks_of_every_fit_take_their_options_from_a_config(workplace):
    args = ["fit", "--config", "boring.yaml", "--trainer.callbacks+=sat3d.callbacks.NonFiniteSteps"]
    cli = SatCLI.open([*args, "--trainer.callbacks.action=skip", "--trainer.callbacks+=sat3d.callbacks.RunCheckpoints"])
    (finite,) = (c for c in cli.trainer.callbacks if isinstance(c, NonFiniteSteps))
    assert finite.action == "skip"
    assert len([c for c in cli.trainer.callbacks if isinstance(c, RunCheckpoints)]) == 1
    assert isinstance(cli.trainer.strategy.checkpoint_io, AtomicCheckpointIO)
    recorded = yaml.safe_load(Path("runs/boring/0/config.yaml").read_text())["trainer"]
    assert [c["class_path"] for c in recorded["callbacks"]] == [
        "sat3d.callbacks.NonFiniteSteps", "sat3d.callbacks.RunCheckpoints"
    ] and recorded["plugins"] is None  # fmt: skip


def test_processes_of_an_outer_launcher_must_be_told_the_folder(workplace, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("SAT3D_RUN_FOLDER", raising=False)
    with pytest.raises(ValueError, match="under torchrun or SLURM name the run folder"):
        main(["fit", "--config", "boring.yaml"])
    assert not Path("runs").exists()
