"""Labelled codes as a LightningDataModule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from lightning.pytorch import LightningDataModule
from torch import Tensor

from sat3d.data.codes import Split
from sat3d.data.label_coder import LabelCoder
from sat3d.data.labels import Label
from sat3d.data.latent_sources import LatentSource
from sat3d.data.splits import Rows, split_rows
from sat3d.data.streams import IndexLoader, ResumedStream, ShufflePlan
from sat3d.generators.batches import LatentBatch


class LabelledLatentDataModule(ResumedStream, LightningDataModule):
    """Feed codes with labels to methods that learn from both.

    Labels are scaled to [-1, 1], by the ranges of the training rows alone; categories are one-hot in {-1, 1}. Training
    rows come in a new order each epoch, which depends on (seed, epoch) alone; processes share an epoch, and a run that
    was stopped within one goes on with the next batch. Other rows come in order. Batches are `LatentBatch`.

    Args:
        source: `SampledLatents` or `LatentFiles`.
        labels: names of attributes, or lines of a plan (`Label`); `null` for all that the source knows.
        train: training rows: how many, [first, end), or `null` for what the others leave.
        val: validation rows, behind those of training, or [first, end).
        test: test rows, behind those of validation, or [first, end).
        batch_size: codes in a batch of one process.
        seed: of the order.

    Raises:
        ValueError: for parts that do not fit the rows, and labels that the source does not have.

    Example:
        >>> source = SampledLatents("toyfaces64", scorer="toyfaces-labeller", count=200)
        >>> data = LabelledLatentDataModule(source, labels=["smile", Label("hat")], val=20, test=20)
        >>> data.prepare_data(); data.setup()
        >>> data.columns["smile"], data.latents(range(3)).labels
    """

    def __init__(
        self,
        source: LatentSource,
        labels: list[Label | str] | None = None,
        train: Rows | None = None,
        val: Rows = 100,
        test: Rows = 100,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} must be at least 1")
        self.source, self.plan, self.batch_size, self.seed = source, labels, batch_size, seed
        self._parts = (train, val, test)
        self._values: Tensor | None = None
        self._shuffle: ShufflePlan | None = None

    # What methods ask for ---------------------------------------------------------------------------------------------

    @cached_property
    def coder(self) -> LabelCoder:
        """What turns values into labels and back; it knows its columns before anything is labelled."""
        return LabelCoder(self.plan, self.source.schema)

    @cached_property
    def rows(self) -> dict[str, range]:
        """The code numbers of `train`, `val` and `test`."""
        return split_rows(len(self.source), *self._parts)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the labels' attributes."""
        return self.coder.attributes

    @property
    def columns(self) -> Mapping[str, Mapping[str, Sequence[int]]]:
        """For each attribute its columns among the labels, by class; a continuous one has the class `value`."""
        return self.coder.columns

    @property
    def label_width(self) -> int:
        """K, the number of label columns."""
        return self.coder.width

    @property
    def code_width(self) -> int:
        """D, the width of a code.

        Raises:
            RuntimeError: before `setup`.
        """
        if self._values is None:
            raise RuntimeError("call prepare_data() and setup() before codes are asked for")
        return int(self._codes.shape[-1])

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Least and most value of each continuous attribute in the training rows: where −1 and 1 are."""
        return self.coder.ranges

    def unscale(self, labels: Float[Tensor, "n k"]) -> Float[Tensor, "n a"]:
        """Turn labels into values in the source's units, by attribute; of categories the class's number."""
        return self.coder.unscale(labels)

    def latents(self, index: Sequence[int] | Tensor, device: torch.device | str = "cpu") -> LatentBatch:
        """Return codes with labels by their numbers.

        Raises:
            RuntimeError: before `setup`.
            IndexError: for numbers that there are not.
        """
        numbers = self._asked(index)
        assert self._values is not None
        codes = torch.from_numpy(self._codes[numbers.numpy()])
        return LatentBatch(numbers, codes, self._labels[numbers], self.source.camera(numbers)).to(device)

    def _asked(self, index: Sequence[int] | Tensor) -> Tensor:
        if self._values is None:
            raise RuntimeError("call prepare_data() and setup() before codes are asked for")
        numbers = torch.as_tensor(index if isinstance(index, Tensor) else list(index), dtype=torch.long).cpu()
        first, last = map(int, numbers.aminmax()) if len(numbers) else (0, 0)
        if not 0 <= first <= last < len(self.source):
            raise IndexError(f"codes {first} to {last} of {len(self.source)} are asked for")
        return numbers

    def scores(self, index: Sequence[int] | Tensor) -> Float[Tensor, "n k"]:
        """Return by what codes are ranked, see `LabelCoder.scores`; NaN where that is missing."""
        numbers = self._asked(index)
        assert self._values is not None
        values = self._values[numbers]
        return self.coder.scores(np.asarray(self.source.values[numbers.numpy()]), values)

    # Lightning --------------------------------------------------------------------------------------------------------

    def prepare_data(self) -> None:
        """Label what is not yet labelled; with several processes `setup` does, in all of them."""
        if self.trainer is None or self.trainer.world_size == 1:
            self._prepare()

    def setup(self, stage: str | None = None) -> None:
        """Label what is not yet labelled, take ranges from the training rows, and open the codes."""
        if self._values is None:
            self._prepare()
            self._values, self._codes = self.coder.values(self.source.values), self.source.codes
            part = self.rows["train"]
            self.coder.fit(self._values[part.start : part.stop])
            self._labels = self.coder.scale(self._values)  # once: steps on codes alone last milliseconds

    def _prepare(self) -> None:
        split_rows(len(self.source), *self._parts)  # what does not fit is told before hours are spent on labels
        LabelCoder(self.plan, self.source.schema)
        trainer = self.trainer
        self.source.prepare(trainer.strategy.root_device if trainer else None, not trainer or trainer.is_global_zero)

    def train_dataloader(self) -> IndexLoader:
        """Return the training rows, shuffled; those that processes cannot share evenly are left out of an epoch."""
        rank, world_size = self._ranks()
        size = self._epoch_size(world_size)
        return self.resumed(IndexLoader(size, self.batch_size, "train", rank=rank, world_size=world_size))

    def val_dataloader(self) -> IndexLoader | list[IndexLoader]:
        """Return the validation rows, in order."""
        return self._in_order("val")

    def test_dataloader(self) -> IndexLoader | list[IndexLoader]:
        """Return the test rows, in order."""
        return self._in_order("test")

    def predict_dataloader(self) -> IndexLoader | list[IndexLoader]:
        """Return the test rows, in order."""
        return self._in_order("test")

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Name the device."""
        return (*batch, device)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> LatentBatch:
        """Turn sample numbers into codes and labels."""
        split, samples, device = batch
        return self.latents(self._numbers(split, samples), device)

    def _numbers(self, split: Split, samples: Tensor) -> Tensor:
        part = self.rows[split]
        if split != "train":
            return samples + part.start
        size = self._epoch_size(self._ranks()[1])
        if self._shuffle is None or self._shuffle.epoch_size != size:
            self._shuffle = ShufflePlan(self.seed, len(part), size)
        return self._shuffle(samples) + part.start

    def _in_order(self, split: Split) -> IndexLoader | list[IndexLoader]:
        rank, world_size = self._ranks()
        size = len(self.rows[split])
        if not size:
            return []
        return IndexLoader(size, self.batch_size, split, rank=rank, world_size=world_size, endless=False)

    def _ranks(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _epoch_size(self, world_size: int) -> int:
        size = len(self.rows["train"]) // world_size * world_size
        if not size:
            raise ValueError(f"train has {len(self.rows['train'])} rows for {world_size} processes")
        return size
