"""What methods that learn from labelled codes share: nets sized by the data, checkpoints, editors, label errors."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from lightning.pytorch import LightningModule
from torch import Tensor

from sat3d.generators import CodeStream, Generator, load_generator
from sat3d.generators.batches import LatentBatch
from sat3d.methods.coordinates import CoordinateEditor, label_width
from sat3d.methods.precision import as_it_is, float32
from sat3d.methods.resume import reopen_epoch

FROZEN = "generator."


class LabelledMethod(LightningModule, ABC):
    """Train networks on codes with labels, and leave a `CoordinateEditor`.

    The labels' columns and the codes' width come from the datamodule (`columns`, `code_width`, or its first batch) at
    the first `setup`, and from the checkpoint afterwards. The frozen generator, where there is one, stays out of
    checkpoints; the editor is in them as `load_editor` reads it, and is exported when a fit ends.

    Subclasses write `build`, `losses`, `blank_editor` and `read_labels`, and take at least the arguments below beside
    `lr` and `seed`. Initial weights depend on `seed` alone; noise on `seed`, the epoch and the code's number, so that
    neither the batch nor the process that a code is in matters to its loss.

    Args:
        settings: the subclass's arguments; they become its hyperparameters.

    Under mixed precision losses and what is trained are float32; what subclasses render within `self.rendering` is not.

    Attributes:
        generator: the frozen generator, or `None`.
        rendering: context in which the generator computes in the Trainer's precision.

    Raises:
        ValueError: for codes that do not fit the generator, or data that do not fit the checkpoint.
    """

    generator: Generator | None

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        # Plain data only: a checkpoint must load with weights_only=True.
        self.save_hyperparameters({k: _plain(v) for k, v in settings.items() if k not in ("self", "__class__")})
        name = self.hparams["generator"]
        self.generator = None if name is None else load_generator(name)
        self.rendering: AbstractContextManager[Any] = nullcontext()
        self.is_built = False
        if self.hparams["columns"] is not None and self.hparams["code_width"] is not None:
            self._build()

    # Subclasses write -------------------------------------------------------------------------------------------------

    @abstractmethod
    def build(self, code_width: int, label_width: int) -> None:
        """Make the networks."""

    @abstractmethod
    def losses(self, batch: LatentBatch, noise: CodeStream) -> dict[str, Tensor]:
        """Return the weighted losses, means over the codes; their sum is minimised.

        Args:
            batch: codes with labels.
            noise: for the codes' numbers, normal and as wide as a code; of the epoch in training, else always the same.
        """

    @abstractmethod
    def blank_editor(self) -> CoordinateEditor:
        """Return an editor whose tensors are named as the module's own, which are copied into it."""

    @abstractmethod
    def read_labels(self, codes: Float[Tensor, "b d"]) -> Float[Tensor, "b k"] | None:
        """Return the labels that the networks read from codes; `None` if they read none."""

    # Lightning --------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Make the networks, if the data had to be seen first."""
        warnings.filterwarnings("ignore", r".*module\(s\) in eval mode")  # frozen on purpose
        data = getattr(self.trainer, "datamodule", None)
        columns = getattr(data, "columns", None)
        if self.hparams["columns"] is None:
            if columns is None:
                raise ValueError("columns: give them, or a datamodule that has them")
            self.hparams["columns"] = _plain(columns)
        elif columns is not None and _plain(columns) != self.hparams["columns"]:
            raise ValueError(f"columns: the data's, {_plain(columns)}, are not the model's, {self.hparams['columns']}")
        width = label_width(self.hparams["columns"])
        if (told := getattr(data, "label_width", width)) != width:
            raise ValueError(f"columns: they tell of {width} labels, the data have {told}")
        if self.hparams["code_width"] is None:
            self.hparams["code_width"] = _code_width(data, stage)
        if not self.is_built:
            self._build()

    def _build(self) -> None:
        width, hp = self.hparams["code_width"], self.hparams
        if self.generator is not None and self.generator.w_dim != width:
            raise ValueError(f"generator={hp['generator']!r} has w of {self.generator.w_dim}; the codes have {width}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(hp["seed"])
            self.build(width, label_width(hp["columns"]))
        self.is_built = True

    def train(self, mode: bool = True) -> LabelledMethod:
        """Set the mode of what is trained; the generator stays in eval()."""
        super().train(mode)
        if self.generator is not None:
            self.generator.eval()
        return self

    def training_step(self, batch: LatentBatch, batch_idx: int) -> Tensor:
        """Return the loss of labelled codes."""
        return self._step("train", batch, self._noise(f"train/{self.current_epoch}"))

    def validation_step(self, batch: LatentBatch, batch_idx: int) -> None:
        """Log the loss, and how far labels read from codes are from the truth."""
        self._grade("val", batch)

    def test_step(self, batch: LatentBatch, batch_idx: int) -> None:
        """Log the same on the codes kept for the test."""
        self._grade("test", batch)

    def predict_step(self, batch: LatentBatch, batch_idx: int) -> dict[str, Any]:
        """Return the codes' numbers and edits: for each attribute the codes at strength 1, (B, D).

        With them come `labels`, those of the data, and `read`, those that the networks read from the codes, or `None`.
        """
        editor, codes = self.editor(), batch.codes
        edits = {name: editor.edit(codes, name, 1.0, values=batch.labels) for name in editor.attributes}
        read = self.read_labels(codes)
        return {"index": batch.index, "labels": batch.labels, "read": read, "edits": edits}

    def _step(self, stage: str, batch: LatentBatch, noise: CodeStream) -> Tensor:
        self.rendering = as_it_is(self.device)
        with float32(self.device):
            losses = self.losses(batch, noise)
            loss = torch.stack(list(losses.values())).sum()
        told: dict[str, Any] = {"batch_size": len(batch), "sync_dist": stage != "train"}
        self.log(f"{stage}/loss", loss, prog_bar=True, **told)
        if len(losses) > 1:
            self.log_dict({f"{stage}/{name}": value for name, value in losses.items()}, **told)
        return loss

    def _grade(self, stage: str, batch: LatentBatch) -> None:
        self._step(stage, batch, self._noise("held out"))
        with float32(self.device):
            read = self.read_labels(batch.codes)
        if read is None:
            return
        error = (read - batch.labels).abs().mean(0)
        each = {
            f"{stage}/label_error/{name}": error[[c for columns in classes.values() for c in columns]].mean()
            for name, classes in self.hparams["columns"].items()
        }
        told: dict[str, Any] = {"batch_size": len(batch), "sync_dist": True}
        self.log(f"{stage}/label_error", error.mean(), prog_bar=True, **told)
        self.log_dict(each, **told)

    def _noise(self, name: str) -> CodeStream:
        return CodeStream(self.hparams["seed"], self.hparams["code_width"], stream=f"noise/{name}")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam on what is trained."""
        return torch.optim.Adam((p for p in self.parameters() if p.requires_grad), lr=self.hparams["lr"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what is trained, and the editor in the form that `load_editor` reads."""
        kept = {k: v for k, v in checkpoint["state_dict"].items() if not k.startswith(FROZEN)}
        checkpoint["state_dict"] = kept
        editor = self.editor()
        card = editor.describe(self.generator, **self.facts())
        checkpoint["editor"] = {"card": card, "tensors": {k: v.cpu() for k, v in editor.state_dict().items()}}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is frozen: it comes from its own file; and go on with an epoch that was cut short."""
        reopen_epoch(checkpoint)
        checkpoint["state_dict"] = {**self.state_dict(), **checkpoint["state_dict"]}

    def on_fit_end(self) -> None:
        """Export the editor to the run folder."""
        folder = Path(self.trainer.log_dir or self.trainer.default_root_dir)
        if self.trainer.is_global_zero:
            self.editor().save(folder / "editor", self.generator, **self.facts())

    # What is left -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def editor(self) -> CoordinateEditor:
        """Return the editor of the present weights, which are copied."""
        with torch.random.fork_rng(devices=[]):  # its initial weights are thrown away
            editor = self.blank_editor()
        own = self.state_dict()
        editor.load_state_dict({name: own[name].cpu() for name in editor.state_dict()})
        return editor.requires_grad_(False).to(self.device).eval()

    def facts(self) -> dict[str, Any]:
        """Return what the editor's card tells beside the generator: method, training, metrics."""
        trainer = self._trainer
        metrics = {} if trainer is None else trainer.callback_metrics
        finite = {k: round(float(v), 6) for k, v in metrics.items() if bool(torch.isfinite(torch.as_tensor(v)))}
        steps = 0 if trainer is None else trainer.global_step
        training = {k: v for k, v in self.hparams.items() if not k.startswith("_")}
        return {"method": type(self).__name__, "training": {**training, "steps": steps}, "metrics": finite}


def _code_width(data: Any, stage: str) -> int:
    if (known := getattr(data, "code_width", None)) is not None:
        return int(known)
    loader = getattr(data, {"fit": "train", "validate": "val"}.get(stage, stage) + "_dataloader", None)
    if loader is None:
        raise ValueError("code_width: give it, or a datamodule")
    with torch.random.fork_rng(devices=[]):
        batch = data.transfer_batch_to_device(next(iter(loader())), torch.device("cpu"), 0)
        batch = data.on_after_batch_transfer(batch, 0)
    return int(batch.codes.shape[-1])


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
