"""Loaders that count instead of reading: a batch is a range of sample numbers, and a loader knows where it stands."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor


class IndexLoader:
    """Iterate over the sample numbers of endless epochs, and resume in the middle of one.

    Epoch *e* holds the numbers e·epoch_size … (e+1)·epoch_size − 1. Lightning stores `state_dict` in its checkpoints,
    and an epoch that was cut short is gone on with, so a stopped run sees what the uninterrupted one would. Several
    processes share an epoch in units of `unit` consecutive numbers: together they have the single process's, each once.

    Args:
        epoch_size: sample numbers in an epoch, all processes together.
        batch_size: sample numbers in a batch of one process.
        split: name carried with every batch.
        unit: how many consecutive numbers stay together in one process.
        rank: of this process.
        world_size: number of processes.
        endless: whether epochs go on through the stream; otherwise every epoch is the first.

    Raises:
        ValueError: if the processes would get unequal shares of a training epoch.

    Example:
        >>> loader = IndexLoader(6, batch_size=4)
        >>> [batch.tolist() for _, batch in loader]
        [[0, 1, 2, 3], [4, 5]]
    """

    def __init__(
        self,
        epoch_size: int,
        batch_size: int,
        split: str = "train",
        *,
        unit: int = 1,
        rank: int = 0,
        world_size: int = 1,
        endless: bool = True,
    ) -> None:
        if endless and epoch_size % (unit * world_size):
            raise ValueError(
                f"epoch_size={epoch_size} cannot be shared evenly: make it a multiple of {unit * world_size} "
                f"({world_size} processes, {unit} samples that stay together)"
            )
        numbers = torch.arange(epoch_size)
        self.numbers = numbers[(numbers // unit) % world_size == rank]
        self.epoch_size, self.batch_size, self.split, self.endless = epoch_size, batch_size, split, endless
        self.batches, self.world_size = 0, world_size

    def state_dict(self) -> dict[str, int]:
        """Return the place in the stream: the batches handed out so far, and how they are cut."""
        return {"batches": self.batches, "of": len(self), **self._cut()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the batches that were handed out.

        Raises:
            ValueError: in the middle of an epoch that was cut in other batches: some numbers would be lost or repeated.
        """
        epochs, rest = divmod(int(state["batches"]), int(state.get("of", len(self))))
        if rest and (other := {k: state[k] for k, v in self._cut().items() if state.get(k, v) != v}):
            said = ", ".join(f"{key}={value}" for key, value in other.items())
            raise ValueError(f"the run stopped within an epoch that was shared with {said}: go on with the same")
        self.batches = epochs * len(self) + rest

    def _cut(self) -> dict[str, int]:
        return {"epoch_size": self.epoch_size, "batch_size": self.batch_size, "world_size": self.world_size}

    def __len__(self) -> int:
        return math.ceil(len(self.numbers) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        # Evaluated at the first batch, not at iter(): Lightning restores the state in between.
        if not self.endless:
            self.batches = 0
        epoch = self.batches // len(self)
        while self.batches < (epoch + 1) * len(self):
            start = (self.batches - epoch * len(self)) * self.batch_size
            self.batches += 1
            yield self.split, self.numbers[start : start + self.batch_size] + epoch * self.epoch_size


class Stateful(Protocol):
    """What knows where it stands, and can be put elsewhere."""

    def state_dict(self) -> dict[str, Any]:
        """Return the place."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a place."""


Loader = TypeVar("Loader", bound=Stateful)


class ResumedStream:
    """Make a datamodule keep the place in its training stream in checkpoints.

    Lightning restores loaders only where a run stopped within an epoch; one that ended with an epoch would start the
    stream anew. Stands before `LightningDataModule` among the bases.
    """

    _train: Stateful | None = None
    _place: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the training stream."""
        return {} if self._train is None else {"train": self._train.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next training loader go on from a place."""
        self._place = state.get("train")

    def resumed(self, loader: Loader) -> Loader:
        """Return the training loader, at the place that a checkpoint told."""
        if self._place is not None:
            loader.load_state_dict(self._place)
        self._train, self._place = loader, None
        return loader


class ShufflePlan:
    """Say which row of a finite set training sample *i* is: every epoch passes through the rows in a new order.

    Args:
        seed: of the orders.
        count: rows.
        epoch_size: samples in an epoch, at most `count`; the rows left out change from epoch to epoch.

    Example:
        >>> ShufflePlan(0, count=3, epoch_size=3)(torch.arange(6)).tolist()
        [1, 2, 0, 1, 0, 2]
    """

    def __init__(self, seed: int, count: int, epoch_size: int) -> None:
        self.seed, self.count, self.epoch_size = seed, count, epoch_size
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def __call__(self, samples: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
        """Return the rows of samples, (B,)."""
        first, last = (int(k) // self.epoch_size for k in samples.aminmax()) if len(samples) else (0, 0)
        if first == last:  # as a rule, and steps on codes alone last milliseconds
            return self._epoch(first)[samples - first * self.epoch_size]
        epochs, places = samples // self.epoch_size, samples % self.epoch_size
        rows = torch.empty_like(samples)
        for epoch in epochs.unique().tolist():
            rows[epochs == epoch] = self._epoch(epoch)[places[epochs == epoch]]
        return rows

    def _epoch(self, epoch: int) -> Tensor:
        if self._order[0] != epoch:
            self._order = epoch, torch.randperm(self.count, generator=_rng(self.seed, 3, epoch))
        return self._order[1]


class PairPlan:
    """Say which two codes of a finite pool, and which camera bin, training pair *i* is made of.

    The pool is cut into blocks of `block_size` codes. Half a block of consecutive samples forms one block's codes into
    pairs, in one camera bin; blocks and bins are passed through in a new order each time. So every code of a block is
    needed at the same time: whoever remembers pictures by (code, camera) renders whole blocks, always alike, and a
    run that is resumed remembers the same numbers.

    Args:
        seed: of the orders.
        num_codes: codes in the pool, a multiple of `block_size`.
        num_cameras: camera bins.
        block_size: codes in a block, even.

    Raises:
        ValueError: if `block_size` is odd or does not divide `num_codes`.
    """

    def __init__(self, seed: int, num_codes: int, num_cameras: int, block_size: int) -> None:
        if block_size < 2 or block_size % 2:
            raise ValueError(f"block_size={block_size} must be even: its codes are paired")
        if num_codes < block_size or num_codes % block_size:
            raise ValueError(f"num_codes={num_codes} must be a multiple of block_size={block_size}")
        if num_cameras < 1:
            raise ValueError(f"num_cameras={num_cameras} must be at least 1")
        self.seed, self.block_size, self.pairs = seed, block_size, block_size // 2
        self.blocks, self.cameras = num_codes // block_size, num_cameras
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def __call__(self, samples: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return source codes, reference codes, camera bins and block numbers of samples, each (B,)."""
        rows = []
        for sample in samples.tolist():
            visit, slot = divmod(sample, self.pairs)
            cell = self._cell(visit)
            block, camera = divmod(cell, self.cameras)
            order = torch.randperm(self.block_size, generator=_rng(self.seed, 1, visit)) + block * self.block_size
            rows.append((int(order[2 * slot]), int(order[2 * slot + 1]), camera, cell))
        columns = torch.tensor(rows, dtype=torch.long).reshape(-1, 4).T
        return columns[0], columns[1], columns[2], columns[3]

    def _cell(self, visit: int) -> int:
        cells = self.blocks * self.cameras
        turn, place = divmod(visit, cells)
        if self._order[0] != turn:
            self._order = turn, torch.randperm(cells, generator=_rng(self.seed, 2, turn))
        return int(self._order[1][place])


def _rng(seed: int, purpose: int, number: int) -> torch.Generator:
    # The three numbers are spread over 64 bits by odd multipliers; what matters is that they do not collide.
    mixed = (seed * 0x9E3779B97F4A7C15 + purpose * 0xC2B2AE3D27D4EB4F + number * 0x165667B19E3779F9) % 2**63
    return torch.Generator().manual_seed(mixed)
