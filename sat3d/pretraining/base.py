"""What the trainings of all observers share: the optimiser, the pictures' changes, figures, and the export."""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule
from safetensors.torch import load_file
from torch import Tensor, nn

from sat3d import shipped
from sat3d.data.observed import SOURCES
from sat3d.data.world import PictureBatch
from sat3d.ops.augment import Augmentation
from sat3d.ops.schedules import known_steps, one_cycle
from sat3d.perception import Observer, save_weights
from sat3d.pretraining.truth import Grader
from sat3d.shipped import ExportConfig
from sat3d.world import load_world


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with one cycle of the learning rate over the whole run (a linear warm-up, then half a cosine to zero).

    Args:
        lr: Largest learning rate.
        weight_decay: Decay of matrices and kernels; biases and norms have none.
        warmup: Share of the run in which the rate rises.
        betas: Of Adam.
    """

    lr: float = 3e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    betas: tuple[float, float] = (0.9, 0.98)


@dataclass
class TrainingClock:
    """Count the seconds spent in fitting, over all resumptions."""

    seconds: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        """Begin to count."""
        self.started = time.monotonic()

    def read(self) -> float:
        """Return the seconds so far."""
        return self.seconds + time.monotonic() - self.started


class ObserverPretraining(LightningModule, ABC):
    """Train one observer on pictures whose truth is known, grade it, and export it in half precision.

    Subclasses make ``self.observer``, return a loss from ``loss`` and update ``self.meter(source, name)`` in ``grade``.
    ``lightning validate`` and ``lightning test`` without ``--ckpt_path`` grade the shipped file, or that in
    ``export.folder``; ``--ckpt_path last`` is the newest run.

    Args:
        name: Name of the result, of its file and of its entry in the manifest; ``None`` for the world's own
            (``toycars-judge``).
        optimizer: The optimiser.
        augmentation: Changes to training pictures.
        export: Where the result goes.
        seed: Of initial weights and of changes to pictures.
        world: Name of the world whose pictures it learns to read; the data module's must be the same.
        init: Shipped observer of another world, of the same architecture, to start from: its weights are taken where
            they fit.
    """

    observer: nn.Module
    role: str

    def __init__(
        self,
        name: str | None = None,
        optimizer: OptimizerConfig | None = None,
        augmentation: Augmentation | None = None,
        export: ExportConfig | None = None,
        seed: int = 0,
        world: str = "heads",
        init: str | None = None,
    ) -> None:
        super().__init__()
        self.world = load_world(world)
        self.name = name or f"{self.world.domain.generator}-{self.role}"
        self.optimizer_config = optimizer or OptimizerConfig()
        self.augmentation = augmentation or Augmentation()
        self.export = export or ExportConfig()
        self.seed = seed
        self.grader = Grader(self.world)
        self.figures: dict[str, float] = {}
        self._clock = TrainingClock()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.observer = self.make_observer()
        if init is not None:
            self._take_weights(init)
        self.meters = nn.ModuleDict({source: self.make_meters() for source in SOURCES})
        self._meter_names = tuple(self.make_meters())

    def _take_weights(self, init: str) -> None:
        stored = load_file(shipped.shipped_path(init))
        state = self.exported_state({k: t.float() if t.is_floating_point() else t for k, t in stored.items()})
        own = self.observer.state_dict()
        fitting = {name: t for name, t in state.items() if name in own and own[name].shape == t.shape}
        if not fitting:
            raise ValueError(f"init={init!r}: no weight of it fits {self.name}; name an observer of the same kind")
        self.observer.load_state_dict({**own, **fitting})

    # -- for subclasses -----------------------------------------------------------------------------------------------

    @abstractmethod
    def make_observer(self) -> nn.Module:
        """Build the network to train."""

    @abstractmethod
    def make_meters(self) -> nn.ModuleDict:
        """Build the metrics of one source of pictures."""

    @abstractmethod
    def loss(self, batch: PictureBatch, rgb: Tensor, segmentation: Tensor) -> Tensor:
        """Return the loss of a batch; ``rgb`` and ``segmentation`` are its changed pictures."""

    @abstractmethod
    def grade(self, batch: PictureBatch, source: str) -> None:
        """Add a held-out batch to the metrics of its source."""

    @abstractmethod
    def summary(self, source: str) -> dict[str, float]:
        """Return the figures of one source, after all its batches."""

    def state_to_export(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the tensors and the configuration to store."""
        assert isinstance(self.observer, Observer)
        return self.observer.state_dict(), self.observer.describe()

    def exported_state(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the observer's own state, from what was stored."""
        return state

    def meter(self, source: str, name: str) -> Any:
        """Return a metric of one source."""
        return self.meters.get_submodule(f"{source}.{name}")

    # -- training -----------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        config = self.optimizer_config
        weights = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in weights if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in weights if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas)
        steps = known_steps(self.trainer.estimated_stepping_batches)

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(step, steps, config.warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def training_step(self, batch: PictureBatch, batch_idx: int) -> Tensor:
        # keyed by the step, so that a resumed run changes the same pictures in the same way
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        rgb, segmentation = self.augmentation(batch.rgb, batch.segmentation, random)
        assert segmentation is not None
        loss = self.loss(batch, rgb.contiguous(memory_format=torch.channels_last), segmentation)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        return loss

    def on_fit_start(self) -> None:
        self._clock.start()
        self.observer.to(memory_format=torch.channels_last)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["seconds"] = self._clock.read()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._clock.seconds = float(checkpoint.get("seconds", 0.0))

    def on_fit_end(self) -> None:
        if self.export.enabled and self.trainer.is_global_zero and not getattr(self.trainer, "fast_dev_run", False):
            self.export_observer()

    # -- grading ------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        check_world(self)
        if stage in ("validate", "test") and not self.trainer.ckpt_path:
            self.load_exported()

    def validation_step(self, batch: PictureBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        with torch.autocast(self.device.type, enabled=False):  # graded as it will be used, in float32
            self.grade(batch, SOURCES[dataloader_idx])

    def test_step(self, batch: PictureBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.validation_step(batch, batch_idx, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        self._close("val")

    def on_test_epoch_end(self) -> None:
        self._close("test")

    def _close(self, stage: str) -> None:
        figures: dict[str, float] = {}
        for source in SOURCES:
            if any(self.meter(source, name).update_called for name in self._meter_names):
                figures.update({f"{source}/{key}": value for key, value in self.summary(source).items()})
            for name in self._meter_names:
                self.meter(source, name).reset()
        self.log_dict({f"{stage}/{key}": value for key, value in figures.items()})
        self.figures = figures

    # -- the result ---------------------------------------------------------------------------------------------------

    def export_observer(self) -> Path:
        """Write the observer in half precision, with its entry in the folder's manifest.

        Returns:
            The file.
        """
        state, config = self.state_to_export()
        with tempfile.TemporaryDirectory() as scratch:
            return shipped.register(
                self.name,
                save_weights(state, config, Path(scratch) / f"{self.name}.safetensors"),
                kind=config["kind"],
                command=typed_command(self.role, self.world.name),
                seconds=self._clock.read(),
                metrics={key: round(value, 4) for key, value in self.figures.items()},
                folder=self.export.written(self.trainer.default_root_dir),
            )

    def load_exported(self) -> None:
        """Take the weights of the exported file.

        Raises:
            FileNotFoundError: If there is none yet.
        """
        state = load_file(shipped.shipped_path(self.name, self.export.read()))
        weights = {k: t.float() if t.is_floating_point() else t for k, t in state.items()}
        self.observer.load_state_dict(self.exported_state(weights))


def check_world(module: Any) -> None:
    """Hold the world of a training against that of its pictures.

    Raises:
        ValueError: If they differ.
    """
    pictures = getattr(getattr(module.trainer, "datamodule", None), "train", None)
    world = getattr(pictures, "world", module.world)
    if world.name != module.world.name:
        raise ValueError(
            f"model world={module.world.name!r} and data world={world.name!r} differ: "
            f"set both, --model.init_args.world and --data.init_args.world"
        )


def typed_command(recipe: str, world: str) -> str:
    """Return the command line of this run, or the one that would start it."""
    if "fit" in sys.argv[1:2]:
        return shlex.join(["lightning", *sys.argv[1:]])
    words = "" if world == "heads" else f" --model.init_args.world={world} --data.init_args.world={world}"
    return f"lightning fit --config experiments/pretraining/{recipe}.yaml{words}"
