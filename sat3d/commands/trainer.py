"""The Trainer's verbs: a LightningCLI in subclass mode whose runs each have a folder of their own."""

import contextlib
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only

from sat3d.commands import runs

_CSV = Namespace(class_path="sat3d.callbacks.MetricsCSV", init_args=Namespace(save_dir="{run}"))
_ALWAYS = ("RunCheckpoints", "NonFiniteSteps")  # callbacks of every fit; a config that names them sets their options
_WRITER = Namespace(class_path="sat3d.callbacks.AtomicCheckpointIO", init_args=Namespace())
_EXPECTED = (  # warnings of what is meant here, or of what Lightning and torch owe each other
    "The dirpath has changed",
    "Experiment logs directory .* exists",
    "Be aware that when using `ckpt_path`",  # callbacks of the fit that are none of the test
    ".*isinstance.treespec, LeafSpec.. is deprecated",
)
_FOLDERS = {"save_dir": "{run}", "dirpath": "{run}/checkpoints"}  # what a folder left out means


@dataclass
class RunFolder:
    """Where a run leaves its files.

    Args:
        root: Folder of all runs.
        name: Folder of this experiment's runs; by default the stem of the last config that holds a model.
        dir: The run folder itself, in place of the next number in root/name.
        resume: Go on with the run in `dir`, or else with the newest in root/name, from its newest whole checkpoint;
            where there is none, start it. So the same command line starts a run and goes on with it, as schedulers
            that requeue jobs want it.
    """

    root: str = "runs"
    name: str | None = None
    dir: str | None = None
    resume: bool = False


class ShareConfig(SaveConfigCallback):
    """Write `config.yaml`, and give the same settings to loggers that show them (W&B, TensorBoard)."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Tell the loggers; Lightning calls this in the first process only."""
        settings = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        for logger in trainer.loggers:
            if not isinstance(logger, CSVLogger):  # it would write hparams.yaml beside config.yaml
                logger.log_hyperparams(settings)


class SatCLI(LightningCLI):
    """Read configs, make the run folder, and let the Trainer do the verb.

    `trainer.default_root_dir` is the run folder; `metrics.csv`, `config.yaml` and `checkpoints/` lie in it. In the
    arguments of loggers and callbacks `{run}` stands for it, and a `save_dir` or `dirpath` left out lies in it.
    """

    folder: Path

    @classmethod
    def open(cls, args: Sequence[str]) -> "SatCLI":
        """Run one verb of the Trainer, `args[0]`, and return the CLI with its trainer, model and datamodule."""
        for message in _EXPECTED:
            warnings.filterwarnings("ignore", message=message)
        logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_news)
        cli = cls(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=ShareConfig,
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},  # of a run that is gone on with; no other folder holds one
            parser_kwargs={"prog": "lightning", args[0]: {"usage": f"lightning {args[0]} [OPTIONS]"}},
            args=list(args),
        )
        if cli.trainer.is_global_zero:
            print(f"{args[0]} wrote to {cli.folder}: {', '.join(sorted(path.name for path in cli.folder.iterdir()))}")
        return cli

    @property
    def settings(self) -> Namespace:
        """The parsed settings of the verb."""
        return cast(Namespace, self.config[self.config.subcommand])

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of the run folder, and the key by which a config names the one that it changes."""
        parser.add_argument(
            "--base", type=str | None, help="In a config: the config that it changes, which is read first."
        )
        parser.add_class_arguments(RunFolder, "run")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse, name the experiment, and find the checkpoint that `--ckpt_path` means."""
        self.config = parser.parse_args(cast(list[str], args))
        settings = self.settings
        settings.run.name = settings.run.name or _experiment(settings)
        experiment = Path(settings.run.root) / settings.run.name
        if settings.weights_only is None:
            settings.weights_only = True  # a checkpoint may come from anywhere, and shall not run code
        if settings.run.resume:
            self._resume(experiment)
        elif settings.get("ckpt_path"):
            settings.ckpt_path = runs.find_checkpoint(settings.ckpt_path, experiment)

    def _resume(self, experiment: Path) -> None:
        """Point the settings to the run that is gone on with, if there is one."""
        settings = self.settings
        if self.config.subcommand != "fit" or settings.get("ckpt_path"):
            raise ValueError("--run.resume: goes on with a fit, from the run's own checkpoint; leave out --ckpt_path")
        folder = Path(settings.run.dir) if settings.run.dir else runs.newest(experiment)
        if folder is not None:
            settings.run.dir = str(folder)
            found = runs.newest_checkpoint(folder)
            settings.ckpt_path = None if found is None else str(found)

    def _parse_ckpt_path(self) -> None:
        """Take from a checkpoint its weights only: what the user typed is what the model is made with."""

    def before_instantiate_classes(self) -> None:
        """Make the run folder and place loggers and checkpoints in it; the config that is saved names no folder."""
        self.folder = self._run_folder()
        recorded = self.config.clone()
        placed = self.settings.trainer
        placed.default_root_dir = str(self.folder)
        loggers = placed.logger if isinstance(placed.logger, list) else [placed.logger]
        if loggers != [False]:
            placed.logger = [_CSV, *(logger for logger in loggers if isinstance(logger, Namespace))]
        callbacks = placed.callbacks or []
        placed.callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
        if self.subcommand == "fit":
            named = {callback.class_path.rpartition(".")[2] for callback in placed.callbacks}
            wanted = _ALWAYS if placed.enable_checkpointing is not False else _ALWAYS[1:]
            placed.callbacks += [
                Namespace(class_path=f"sat3d.callbacks.{name}", init_args=Namespace())
                for name in wanted
                if name not in named
            ]
            placed.plugins = _with_writer(placed.plugins)
        for part in ("logger", "callbacks"):
            placed[part] = _placed(placed[part], str(self.folder))
        self.recorded = recorded

    def instantiate_classes(self) -> None:
        """Make the objects; where that fails, leave no empty run folder behind."""
        try:
            super().instantiate_classes()
        except BaseException:
            with contextlib.suppress(OSError):
                self.folder.rmdir()
            raise

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Make the Trainer, which is also what saves the config."""
        self.config = self.recorded
        self.settings.base = None  # what it brought is among the settings
        self.settings.run.dir = self.settings.trainer.default_root_dir = None
        return super().instantiate_trainer(**kwargs)

    def _run_folder(self) -> Path:
        settings, verb = self.settings, str(self.config.subcommand)
        first = getattr(rank_zero_only, "rank", 0) == 0
        if wanted := settings.run.dir or settings.trainer.default_root_dir:
            return runs.take(Path(wanted), again=settings.run.resume) if first else Path(wanted)
        if not first or runs.launched_from_outside():
            return runs.shared()
        checkpoint = settings.get("ckpt_path")
        folder = runs.beside(Path(checkpoint), verb) if checkpoint and verb != "fit" else None
        folder = folder or runs.next_numbered(Path(settings.run.root) / settings.run.name)
        runs.share(folder)
        return folder


def _with_writer(plugins: Any) -> Any:
    """Add our way of writing checkpoints, unless the settings bring another."""
    listed = plugins if isinstance(plugins, list) else [plugins] if plugins is not None else []
    if any("CheckpointIO" in str(getattr(plugin, "class_path", plugin)) for plugin in listed):
        return plugins
    return [*listed, _WRITER]


def _is_news(record: logging.LogRecord) -> bool:
    """Drop Lightning's recommendations of other products from the log."""
    return "Tip: For seamless" not in record.getMessage()


def _experiment(settings: Namespace) -> str:
    """Name the experiment: the stem of the last config that holds a model, else the model's class."""
    for config in reversed([path for path in settings.get("config") or [] if path is not None]):
        content = yaml.safe_load(Path(config.absolute).read_text())
        if isinstance(content, dict) and "model" in content:
            return Path(config.absolute).stem
    return str(settings.model.class_path).rpartition(".")[2].lower()


def _placed(value: Any, folder: str) -> Any:
    """Return settings in which `{run}`, and a folder left out, is the run folder."""
    if isinstance(value, str):
        return value.replace("{run}", folder)
    if isinstance(value, list):
        return [_placed(item, folder) for item in value]
    if isinstance(value, Namespace):
        return Namespace(
            {key: _placed(_FOLDERS.get(key) if item is None else item, folder) for key, item in vars(value).items()}
        )
    return value
