"""One step of a Trainer, of a network so small that only the precision matters."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def step(device: torch.device, precision: str) -> None:
    """Train one step of a tiny network with a Trainer.

    Raises:
        RuntimeError: it computes in another precision than it was told, or the step is not finite, or changes nothing.
    """
    import torch
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]

    class Tiny(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 8, 3)
            self.seen: torch.dtype | None = None

        def training_step(self, batch: torch.Tensor) -> torch.Tensor:
            pictures = self.layer(batch)
            self.seen = pictures.dtype
            return pictures.float().square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

    wanted = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}[precision]
    module = Tiny()
    before = module.layer.weight.detach().clone()
    with _quietly():
        trainer = Trainer(
            accelerator={"cuda": "gpu"}.get(device.type, device.type),
            devices=1 if device.index is None else [device.index],
            precision=precision,  # type: ignore[arg-type]
            plugins=[LightningEnvironment()],  # whatever launcher the variables speak of
            max_steps=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, torch.randn(1, 2, 3, 16, 16))  # type: ignore[arg-type]
    after = module.layer.weight.detach().cpu()
    if module.seen is not wanted:
        raise RuntimeError(f"it computes in {module.seen}")
    if not bool(after.isfinite().all()) or torch.equal(before, after):
        raise RuntimeError("a step leaves weights that are not finite, or as they were")


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence the Trainer's news and warnings, which are about real training."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
