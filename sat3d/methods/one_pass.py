"""Methods that are fitted in closed form from one pass over the codes, as LightningModules."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torchmetrics import Metric

from sat3d.generators import Generator
from sat3d.methods.base import Editor
from sat3d.methods.precision import float32
from sat3d.methods.resume import reopen_epoch


class OnePass(LightningModule, ABC):
    """Collect statistics of streamed codes, and fit an editor from them after the epoch's last batch.

    Statistics are `torchmetrics` states among the module's attributes: devices add up, and a checkpoint in the middle
    of the epoch holds what all of them have seen. Subclasses write `collect`, `solve`, `editor` and `basis`, keep what
    `solve` finds in buffers, and call `super().__init__()` first.

    Nothing is trained by gradient. One parameter without effect lets Lightning count steps, and with them save
    checkpoints, under every strategy and precision: `DistributedDataParallel` refuses modules without parameters, and
    manual optimisation counts optimizer steps only.

    Attributes:
        generator: the frozen generator.
        is_fitted: whether `solve` has run.
    """

    generator: Generator
    is_fitted: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.strict_loading = False
        self.clock = nn.Parameter(torch.zeros(()))
        self.register_buffer("is_fitted", torch.tensor(False))

    @abstractmethod
    def collect(self, batch: Any) -> None:
        """Add a batch to the statistics."""

    @abstractmethod
    def solve(self) -> None:
        """Compute the results from the statistics of all devices; every device does."""

    @abstractmethod
    def editor(self) -> Editor:
        """Return the editor that was fitted."""

    @abstractmethod
    def basis(self) -> dict[str, Any]:
        """Return what the statistics are of, as plain data: a checkpoint with another basis is refused."""

    def facts(self) -> dict[str, Any]:
        """Return what the editor's card tells beside the generator: method and training."""
        return {"method": type(self).__name__, "training": dict(self.hparams)}

    # Lightning --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Collect, and fit after the last batch; in float32, whatever the Trainer's precision."""
        with torch.no_grad(), float32(self.device):
            self.collect(batch)
            # Here and not at the epoch's end, so that the validation of the epoch finds an editor.
            if self.trainer.is_last_batch:
                self.solve()
                self.is_fitted.fill_(True)
        return 0.0 * self.clock

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return an optimizer that changes nothing; its steps are counted."""
        return torch.optim.SGD([self.clock], lr=0.0)

    def train(self, mode: bool = True) -> OnePass:
        """Keep everything in eval(): all of it is frozen."""
        return super().train(False)

    def setup(self, stage: str) -> None:
        """Make the statistics part of checkpoints; a fit starts without any, unless a checkpoint brings them.

        Raises:
            ValueError: for a precision that would convert what is frozen, for good.
        """
        if self.trainer.precision not in ("32-true", "16-mixed", "bf16-mixed"):
            raise ValueError(f"precision={self.trainer.precision}: frozen networks are float32; take 32-true")
        warnings.filterwarnings("ignore", r".*module\(s\) in eval mode")  # frozen on purpose
        for _, metric in self._statistics():
            metric.persistent(True)
            if stage == "fit":
                metric.reset()
        if stage == "fit":
            self.is_fitted.fill_(False)

    def require_fit(self) -> None:
        """Refuse to go on before `solve` has run.

        Raises:
            RuntimeError: it has not.
        """
        if not bool(self.is_fitted):
            name = type(self).__name__
            raise RuntimeError(f"{name} is not fitted yet: its results come after the epoch's last batch")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep results, the statistics of all devices, and the editor in the form that `load_editor` reads."""
        own = set(dict(self.named_buffers(recurse=False))) | {"clock"}
        kept = {key: value for key, value in checkpoint["state_dict"].items() if key in own}
        share = {f"{name}.{k}": v for name, metric in self._statistics() for k, v in metric.state_dict().items()}
        if self._processes > 1:
            checkpoint["shares"] = _of_everybody(share)
        for name, metric in self._statistics():
            # Adding up leaves copies behind, which a checkpoint during validation must not make in inference mode.
            with torch.inference_mode(False), metric.sync_context():
                kept |= {f"{name}.{key}": value.clone() for key, value in metric.state_dict().items()}
        checkpoint["state_dict"], checkpoint["basis"] = kept, self.basis()
        if bool(self.is_fitted):
            editor = self.editor()
            card = editor.describe(self.generator, **self.facts())
            checkpoint["editor"] = {"card": card, "tensors": {k: v.cpu() for k, v in editor.state_dict().items()}}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Give each device what it had counted; where there are more or fewer now, everything to the first one.

        Raises:
            ValueError: they are of something else.
        """
        reopen_epoch(checkpoint)
        basis = self.basis()
        for key, value in checkpoint.get("basis", {}).items():
            if value != basis.get(key):
                raise ValueError(f"checkpoint: its statistics are of {key}={value}, not of {basis.get(key)}")
        shares = checkpoint.get("shares", [])
        if len(shares) == self._processes:  # sums in another order would not be the same to the last digit
            checkpoint["state_dict"] |= shares[self.global_rank]
        elif self.global_rank:
            state = checkpoint["state_dict"]
            names = tuple(f"{name}." for name, _ in self._statistics())
            checkpoint["state_dict"] = {k: v for k, v in state.items() if not k.startswith(names)}

    def on_fit_end(self) -> None:
        """Export the editor to the run folder."""
        folder = Path(self.trainer.log_dir or self.trainer.default_root_dir)
        if not bool(self.is_fitted):
            rank_zero_warn("the run stopped before the epoch's last batch, so that nothing was fitted")
        elif self.trainer.is_global_zero:
            self.export(folder)

    def export(self, folder: Path) -> None:
        """Write what the fit leaves behind: the editor, and what subclasses add."""
        self.editor().save(folder / "editor", self.generator, **self.facts())

    @property
    def _processes(self) -> int:
        return self._trainer.world_size if self._trainer is not None else 1

    def _statistics(self) -> Iterator[tuple[str, Metric]]:
        for name, module in self.named_children():
            if isinstance(module, Metric):
                yield name, module


def _of_everybody(state: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Return every process's tensors, in the order of their ranks."""
    found: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, {key: value.cpu() for key, value in state.items()})
    return found
