"""Pictures in random order, for ever, from any place on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sat3d.data.world import PictureBatch


class Pictures(Protocol):
    """What gives batches of pictures by their numbers."""

    def __getitems__(self, indices: list[int]) -> PictureBatch:
        """Return the pictures of these numbers."""


class ShuffledLoader:
    """Visit pictures in random order, for ever, a fraction of the visits going to a generator's pictures.

    The order of an epoch depends on (seed, epoch) alone. Lightning stores ``state_dict`` in its checkpoints, so that a
    run that was stopped within an epoch goes on with the next batch. Several processes share each epoch.

    Args:
        source: The pictures.
        world: Numbers of the pictures to visit.
        batch_size: Pictures a batch.
        seed: Of the order.
        generated: Numbers of a generator's pictures to choose from; may be empty.
        fraction: Chance that a visit goes to one of these.

    Raises:
        ValueError: If there are not enough pictures for a batch.
    """

    def __init__(
        self,
        source: Pictures,
        world: Tensor,
        batch_size: int,
        seed: int,
        generated: Tensor | None = None,
        fraction: float = 0.0,
    ) -> None:
        generated = torch.empty(0, dtype=torch.long) if generated is None else generated
        self.source, self.world, self.generated, self.fraction = source, world, generated, fraction
        self.batch_size, self.seed, self.batches = batch_size, seed, 0
        parallel = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.rank = torch.distributed.get_rank() if parallel else 0
        self.ranks = torch.distributed.get_world_size() if parallel else 1
        if not len(self):
            raise ValueError(f"batch_size={batch_size} is more than there are pictures to train on: {len(world)}")

    def state_dict(self) -> dict[str, int]:
        """Return how many batches have been handed out."""
        return {"batches": self.batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the batches that were handed out."""
        self.batches = int(state["batches"])

    def order(self, epoch: int) -> Tensor:
        """Return the numbers that an epoch visits."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = self.world[torch.randperm(len(self.world), generator=random)]
        if len(self.generated):
            swap = torch.rand(len(order), generator=random) < self.fraction
            chosen = torch.randint(len(self.generated), (int(swap.sum()),), generator=random)
            order[swap] = self.generated[chosen]
        return order

    def __len__(self) -> int:
        return len(self.world) // (self.batch_size * self.ranks)

    def __iter__(self) -> Iterator[PictureBatch]:
        epoch = self.batches // len(self)
        order = self.order(epoch)[self.rank :: self.ranks]
        while self.batches < (epoch + 1) * len(self):
            start = (self.batches - epoch * len(self)) * self.batch_size
            self.batches += 1
            yield self.source.__getitems__(order[start : start + self.batch_size].tolist())
