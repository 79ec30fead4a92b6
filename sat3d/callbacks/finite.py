"""Losses and gradients that are no numbers: which codes gave them, and what becomes of the training."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.optim import Optimizer

from sat3d.callbacks.pictures import run_folder


@dataclass
class _Step:
    """What is remembered of a step until somebody looks."""

    number: int
    bad: Tensor  # whether any process had no number, ()
    loss: Tensor
    indices: dict[str, Tensor]


class NonFiniteSteps(Callback):
    """Keep steps whose loss or gradient is inf or nan from changing anything, and report the codes that gave them.

    No such step reaches the weights: its gradients are dropped, on all processes alike. `<run>/nonfinite.jsonl` gets a
    line for each: step, process, loss, and the numbers of the batch's codes, with which `datamodule.codes` or
    `datamodule.pairs` makes the batch again. Under `16-mixed` infinite gradients are the loss scaling's business, and
    only the loss is looked at.

    On a GPU the host does not wait for the answer: fused optimizers skip the step on the device, and the report, or
    the stop, comes with the next logging step. Other optimizers make every step wait.

    Args:
        action: `stop` the training, or `skip` the step.
        most: steps in a row that are skipped before the training stops all the same.

    Raises:
        ValueError: for an unknown action.
        FloatingPointError: in training, where it stops.
    """

    def __init__(self, action: Literal["stop", "skip"] = "stop", most: int = 20) -> None:
        if action not in ("stop", "skip") or most < 1:
            raise ValueError(f"action={action!r} must be stop or skip, most={most} at least 1")
        self.action, self.most = action, most
        self.in_a_row = 0
        self.immediate: bool | None = None  # whether the host waits for each answer; None: on a CPU alone
        self._batch: Any = None
        self._loss = torch.zeros(())
        self._pending: list[_Step] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Remember what the step is made of."""
        self._batch = batch

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Remember the loss."""
        self._loss = loss.detach()

    @torch.no_grad()
    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Keep the step from the weights if it is none."""
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        looked_at = [self._loss.float().reshape(())]
        if grads and scaler is None:
            looked_at += torch._foreach_norm(grads)
        bad = ~torch.stack([value.float() for value in looked_at]).isfinite().all()
        if trainer.world_size > 1:
            bad = trainer.strategy.reduce(bad.float(), reduce_op="sum") > 0
        self._pending.append(_Step(trainer.global_step, bad, self._loss, _indices(self._batch)))
        immediate = bad.device.type == "cpu" if self.immediate is None else self.immediate
        if not immediate and scaler is None and getattr(optimizer, "_step_supports_amp_scaling", False):
            optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
        elif bool(bad):
            if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
                torch._foreach_add_(grads, math.inf)  # the scaler looks at them after this, and leaves the step out
            else:
                optimizer.zero_grad(set_to_none=True)  # what has no gradient is left alone, momenta included
            self._read(trainer)
        else:
            self._pending.clear()
            self.in_a_row = 0

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Read what the device found, where it is waited for anyway."""
        if self._pending and trainer.global_step % trainer.log_every_n_steps == 0:
            self._read(trainer)

    def on_validation_start(self, trainer: Trainer, *_: Any) -> None:
        """Read what the device found before the validation."""
        self._read(trainer)

    def on_train_end(self, trainer: Trainer, *_: Any) -> None:
        """Read what the device found in the last steps."""
        self._read(trainer)

    def _read(self, trainer: Trainer) -> None:
        pending, self._pending = self._pending, []
        for step in pending:
            if not bool(step.bad):
                self.in_a_row = 0
                continue
            self.in_a_row += 1
            told = {name: value.tolist() for name, value in step.indices.items()}
            line = {"step": step.number, "rank": trainer.global_rank, "loss": str(float(step.loss)), **told}
            folder = run_folder(trainer)
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "nonfinite.jsonl").open("a") as file:  # one write: lines stay whole
                file.write(json.dumps(line) + "\n")
            message = (
                f"step {step.number}: the loss ({float(step.loss):g} here) or its gradient is not finite; "
                f"codes of this process: {told or 'unknown'}; see nonfinite.jsonl in the run folder"
            )
            if self.action == "stop" or self.in_a_row >= self.most:
                raise FloatingPointError(f"{message}. The weights are those of before the step. {self._advice()}")
            rank_zero_warn(f"{message}. The step is skipped")

    def _advice(self) -> str:
        if self.action == "skip":
            return f"{self.in_a_row} steps in a row were skipped: lower the learning rate, or take precision=32-true"
        return "Lower the learning rate, take precision=32-true, or skip such steps: NonFiniteSteps with action=skip"


def _indices(batch: Any) -> dict[str, Tensor]:
    """Return the numbers of a batch's codes: its fields that are named so."""
    if not is_dataclass(batch):
        return {}
    named = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {name: value for name, value in named.items() if name.endswith("index") and isinstance(value, Tensor)}
