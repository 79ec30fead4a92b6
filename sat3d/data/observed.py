"""What observers learn from: world pictures, and a generator's pictures of the same heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sat3d.data.generated import GeneratedPictures
from sat3d.data.shuffled import ShuffledLoader
from sat3d.data.world import PictureBatch, WorldDataModule, WorldPictures
from sat3d.ops.camera import Camera
from sat3d.world import World, load_world

SOURCES = ("world", "generator")
"""Names of the validation and test loaders, in their order; without a generator there is only the first."""

PARTNER_SEED = 500_009
"""Added to a seed for the guise of second pictures, so that they meet no other set."""


class MixedPictures(Dataset[PictureBatch]):
    """World pictures at the numbers 0..N-1, the generator's pictures at N..N+M-1."""

    def __init__(self, world: WorldPictures, generated: GeneratedPictures) -> None:
        self.world, self.generated = world, generated

    def __len__(self) -> int:
        return len(self.world) + len(self.generated)

    def __getitems__(self, indices: list[int]) -> PictureBatch:
        count = len(self.world)
        batch = self.world.batch([i if i < count else i - count for i in indices])
        drawn = [k for k, i in enumerate(indices) if i >= count]
        if drawn:
            batch.rgb[drawn] = self.generated.batch([indices[k] - count for k in drawn]).rgb
        return batch

    def __getitem__(self, index: int) -> PictureBatch:
        return self.__getitems__([index])


class ObserverDataModule(WorldDataModule):
    """Feed world pictures, with a generator's pictures of the same heads among them.

    Validation and test have one loader for each source (``SOURCES``), over the same held-out heads and cameras.

    Args:
        generator: Name of the generator, ``own`` for the one that is shipped for the world (``toycars64`` for cars);
            ``None`` for world pictures alone.
        generator_fraction: How much of a training batch the generator draws, in [0, 1].
        generated_count: How many different pictures it draws for training, once.
        first_seed: Seed of the training pictures; validation and test take the next two.
        shuffle_seed: Of the order of training pictures.
        every: Train on one picture in this many...
        offset: ...starting at this one. Two observers that should not share their mistakes take the even and the odd.
        count: Training pictures of the world.
        batch_size: Pictures a batch.
        root: Folder that holds pictures.
        val_count: Validation pictures, of each source.
        test_count: Test pictures, of each source.
        render_workers: Threads that render the world; by default one a core.
        world: Name of the world: heads, animals or cars.

    Raises:
        ValueError: If ``generator_fraction`` or ``offset`` is out of range.
    """

    def __init__(
        self,
        generator: str | None = "own",
        generator_fraction: float = 0.4,
        generated_count: int = 8_000,
        first_seed: int = 0,
        shuffle_seed: int = 0,
        every: int = 1,
        offset: int = 0,
        count: int = 40_000,
        batch_size: int = 128,
        root: str | None = None,
        val_count: int = 1_000,
        test_count: int = 1_000,
        render_workers: int | None = None,
        world: str = "heads",
    ) -> None:
        if not 0 <= generator_fraction <= 1:
            raise ValueError(f"generator_fraction must lie in [0, 1], not {generator_fraction}")
        if not 0 <= offset < every:
            raise ValueError(f"offset must lie in 0..{every - 1} (below every), not {offset}")
        super().__init__(
            count, first_seed, batch_size, root, val_count, test_count, render_workers=render_workers, world=world
        )
        self.generator = f"{load_world(world).domain.generator}64" if generator == "own" else generator
        self.generator_fraction = generator_fraction
        self.generated_count, self.shuffle_seed = min(generated_count, count), shuffle_seed
        self.every, self.offset = every, offset

    def _generated(self, pictures: WorldPictures, count: int | None = None) -> GeneratedPictures:
        assert self.generator is not None
        return GeneratedPictures(self.generator, pictures, count)

    def prepare_data(self) -> None:
        """Render what is missing on disk: the world's pictures, then the generator's."""
        super().prepare_data()
        if self.generator is not None:
            for pictures, count in ((self.val, None), (self.test, None), (self.train, self.generated_count)):
                self._generated(pictures, count).render()

    def train_dataloader(self) -> ShuffledLoader:
        source: MixedPictures | WorldPictures = self.train
        world, drawn = torch.arange(self.offset, len(self.train), self.every), None
        if self.generator is not None and self.generator_fraction > 0:
            generated = self._generated(self.train, self.generated_count)
            source = MixedPictures(self.train, generated)
            drawn = len(self.train) + torch.arange(self.offset, len(generated), self.every)
        fraction = self.generator_fraction
        return self.resumed(ShuffledLoader(source, world, self.batch_size, self.shuffle_seed, drawn, fraction))

    def val_dataloader(self) -> list[DataLoader[PictureBatch]]:  # type: ignore[override]
        return self._by_source(self.val)

    def test_dataloader(self) -> list[DataLoader[PictureBatch]]:  # type: ignore[override]
        return self._by_source(self.test)

    def _by_source(self, pictures: WorldPictures) -> list[DataLoader[PictureBatch]]:
        sources: list[Dataset[PictureBatch]] = [pictures]
        if self.generator is not None:
            sources.append(self._generated(pictures))
        return [self._held_out(source) for source in sources]

    def _held_out(self, source: Dataset[PictureBatch]) -> DataLoader[PictureBatch]:
        return DataLoader(source, self.batch_size, num_workers=self.num_workers, collate_fn=_as_it_is)


class _Partners(World):
    """A world whose i-th individual is that of the other, with other editable attributes and cameras."""

    def sample(self, seed: int, indices: Sequence[int] | Tensor) -> tuple[Tensor, Camera]:
        person, _ = super().sample(seed, indices)
        guise, camera = super().sample(seed + PARTNER_SEED, indices)
        kept = torch.tensor([attribute.role == "identity" for attribute in self.attributes])
        return self.codes(torch.where(kept, self.coordinates(person), self.coordinates(guise))), camera


class PartnerPictures(WorldPictures):
    """Second pictures of the persons of a set of world pictures: other cameras, accessories and expressions."""

    def __init__(self, pictures: WorldPictures) -> None:
        partners = _Partners(pictures.world.domain)
        super().__init__(pictures.folder.parent, pictures.count, pictures.seed, pictures.resolution, partners)
        self.folder = pictures.folder.with_name(pictures.folder.name + "-partners")


class PairedPictures(Dataset[PictureBatch]):
    """Pictures, followed in the same batch by second pictures of the same persons."""

    def __init__(self, first: WorldPictures | GeneratedPictures, second: WorldPictures | GeneratedPictures) -> None:
        self.first, self.second = first, second

    def __len__(self) -> int:
        return len(self.first)

    def __getitems__(self, indices: list[int]) -> PictureBatch:
        a, b = self.first.batch(indices), self.second.batch(indices)
        return PictureBatch(**{f.name: torch.cat([getattr(a, f.name), getattr(b, f.name)]) for f in fields(a)})

    def __getitem__(self, index: int) -> PictureBatch:
        return self.__getitems__([index])


class IdentityDataModule(ObserverDataModule):
    """Feed the same training pictures; validation and test hold pairs of pictures of one person.

    In a batch of 2B pictures, B + i shows the person of i again. Arguments are those of ``ObserverDataModule``.
    """

    def prepare_data(self) -> None:
        """Render what is missing on disk, second pictures of the held-out persons included."""
        super().prepare_data()
        for pictures in (self.val, self.test):
            partners = PartnerPictures(pictures)
            partners.render(self.render_workers)
            if self.generator is not None:
                self._generated(partners).render()

    def _by_source(self, pictures: WorldPictures) -> list[DataLoader[PictureBatch]]:
        partners = PartnerPictures(pictures)
        sources = [PairedPictures(pictures, partners)]
        if self.generator is not None:
            sources.append(PairedPictures(self._generated(pictures), self._generated(partners)))
        return [self._held_out(source) for source in sources]


def _as_it_is(batch: Any) -> Any:
    return batch
