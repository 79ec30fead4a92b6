"""Codes and cameras of a generator as a LightningDataModule."""

from __future__ import annotations

from typing import Any, Literal

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from sat3d.data.streams import IndexLoader, PairPlan, ResumedStream
from sat3d.generators import CameraDistribution, CodeStream, Generator, load_generator
from sat3d.generators.batches import CodeBatch, PairBatch
from sat3d.ops.camera import Camera, Range

Split = Literal["train", "val", "test"]


class StyleCodeDataModule(ResumedStream, LightningDataModule):
    """Stream codes and cameras of a frozen generator, as pairs or one by one.

    Sample *i* of a split is a pure function of `(seed, i)`; the splits are disjoint streams. Only sample numbers pass
    through the loaders: z → w → s happens on the device, after transfer. Training pairs come from a finite pool of
    codes and camera bins, so that what depends on (code, camera) only can be remembered; validation and test pairs
    are fresh, with cameras of their own.

    Args:
        generator: name or file for `load_generator`.
        batch: `pairs` yields `PairBatch` (source and reference), `codes` yields `CodeBatch`.
        seed: of codes, cameras and pairs.
        batch_size: pairs or codes in a batch of one process.
        epoch_size: training samples in an epoch, all processes together; a choice, the streams have no end.
        num_codes: codes in the pool of training pairs.
        num_cameras: camera bins of training pairs, spread evenly over the camera distribution.
        block_size: codes of the pool that are always seen together (see `PairPlan`).
        val_size: samples of the validation stream.
        test_size: samples of the test stream.
        truncation: ψ of the mapping; 0.7 is a choice, the paper's value is unknown.
        yaw: camera range in radians; `null` takes the generator's own, `near` what lies within ±0.35 of its view (a
            choice, the paper's is unknown), or all where cameras stand on all sides.
        pitch: camera range in radians; likewise, within ±0.25.

    Raises:
        ValueError: for sizes that do not fit each other, or camera ranges with a 2-D generator that are not `null`.

    Example:
        >>> data = StyleCodeDataModule("toyfaces64", num_codes=64, num_cameras=4)
        >>> pairs = data.pairs("val", range(4))
        >>> pairs.source.shape, len(pairs.camera)
    """

    def __init__(
        self,
        generator: str,
        *,
        batch: Literal["pairs", "codes"] = "pairs",
        seed: int = 0,
        batch_size: int = 8,
        epoch_size: int = 4000,
        num_codes: int = 2048,
        num_cameras: int = 16,
        block_size: int = 8,
        val_size: int = 64,
        test_size: int = 200,
        truncation: float = 0.7,
        yaw: Range = "near",
        pitch: Range = "near",
    ) -> None:
        super().__init__()
        for name, value in {"batch_size": batch_size, "epoch_size": epoch_size}.items():
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        if seed < 0:
            raise ValueError(f"seed={seed} must not be negative")
        self.generator_name, self.batch, self.seed = generator, batch, seed
        self.batch_size, self.epoch_size = batch_size, epoch_size
        self.sizes = {"val": val_size, "test": test_size}
        self.truncation = truncation
        self.yaw, self.pitch = yaw, pitch
        self.num_codes, self.num_cameras = num_codes, num_cameras
        self.plan = PairPlan(seed, num_codes, num_cameras, block_size)
        self._pool: Tensor | None = None
        self._mapped = torch.zeros(self.plan.blocks, dtype=torch.bool)

    @property
    def generator(self) -> Generator:
        """The shared instance of the generator."""
        return load_generator(self.generator_name)

    @property
    def cameras(self) -> CameraDistribution | None:
        """The generator's cameras, with the ranges that were asked for."""
        own = self.generator.cameras
        if own is None:
            return None
        return own.within(self.yaw, self.pitch)

    def stream(self, split: Split) -> CodeStream:
        """Return the pure sampler of a split."""
        return CodeStream(self.seed, self.generator.z_dim, self.cameras, stream=split)

    def camera_bins(self) -> Camera | None:
        """Return the camera bins of training pairs, (num_cameras,).

        An additive recurrence with the plastic number spreads any number of them evenly; the seed shifts it.
        """
        cameras = self.cameras
        if cameras is None:
            return None
        step = torch.tensor([0.7548776662466927, 0.5698402909980532], dtype=torch.float64)
        shift = torch.rand(2, generator=torch.Generator().manual_seed(self.seed), dtype=torch.float64)
        return cameras.sample(((torch.arange(self.num_cameras)[:, None] * step + shift) % 1).float())

    # Loaders ----------------------------------------------------------------------------------------------------------

    def _loader(self, split: Split) -> IndexLoader:
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        if split == "train":
            unit = self.plan.pairs if self.batch == "pairs" else 1
            return IndexLoader(self.epoch_size, self.batch_size, split, unit=unit, rank=rank, world_size=world_size)
        return IndexLoader(self.sizes[split], self.batch_size, split, rank=rank, world_size=world_size, endless=False)

    def train_dataloader(self) -> IndexLoader:
        """Return the training stream."""
        return self.resumed(self._loader("train"))

    def val_dataloader(self) -> IndexLoader:
        """Return the validation samples, the same every time."""
        return self._loader("val")

    def test_dataloader(self) -> IndexLoader:
        """Return the test samples, the same every time."""
        return self._loader("test")

    def predict_dataloader(self) -> IndexLoader:
        """Return the test samples."""
        return self._loader("test")

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Name the device; the codes are made there."""
        return (*batch, device)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> PairBatch | CodeBatch:
        """Turn sample numbers into codes: z → w → s."""
        split, samples, device = batch
        if self.batch == "codes":
            return self.codes(split, samples, device)
        return self.pairs(split, samples, device)

    # Codes ------------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def codes(self, split: Split, samples: Any, device: torch.device | str | None = None) -> CodeBatch:
        """Return codes of a stream by number, one camera each."""
        index, stream = torch.as_tensor(list(samples)), self.stream(split)
        generator, device = self._on(device)
        z = stream.z(index).to(device)
        ws = generator.map(z, truncation=self.truncation)
        camera = stream.camera(index)
        return CodeBatch(index.to(device), z, ws, generator.styles(ws), None if camera is None else camera.to(device))

    @torch.no_grad()
    def pairs(self, split: Split, samples: Any, device: torch.device | str | None = None) -> PairBatch:
        """Return pairs of a stream by number."""
        samples, stream = torch.as_tensor(list(samples)), self.stream(split)
        u = stream.uniform(samples)[:, 0].double()
        if split == "train":
            source, reference, bins, block = self.plan(samples)
            cameras = self.camera_bins()
            camera = None if cameras is None else cameras[bins]
            styles = self._pool_styles(torch.cat([source, reference]), device)
        else:
            source, reference = 2 * samples, 2 * samples + 1
            bins = block = torch.full_like(samples, -1)
            camera = stream.camera(source)
            generator, device = self._on(device)
            z = stream.z(torch.cat([source, reference])).to(device)
            styles = generator.styles(generator.map(z, truncation=self.truncation))
        from_source, from_reference = styles.chunk(2)
        return PairBatch(
            source_index=source,
            reference_index=reference,
            camera_index=bins,
            block=block,
            source_z=stream.z(source),
            reference_z=stream.z(reference),
            source=from_source,
            reference=from_reference,
            camera=camera,
            u=u,
        ).to(styles.device)

    def probe(self, count: int, device: torch.device | str | None = None) -> CodeBatch:
        """Return the first `count` codes of the training stream, for statistics taken before training."""
        return self.codes("train", range(count), device)

    def _pool_styles(self, codes: Tensor, device: torch.device | str | None) -> Tensor:
        """Look styles up in the pool; blocks are mapped at first use, always whole."""
        generator, device = self._on(device)
        if self._pool is None or self._pool.device != device:
            self._pool = torch.empty(self.num_codes, generator.style_space.size, device=device)
            self._mapped.zero_()
        size, stream = self.plan.block_size, self.stream("train")
        for block in torch.unique(codes // size).tolist():
            if not self._mapped[block]:
                z = stream.z(range(block * size, (block + 1) * size)).to(device)
                mapped = generator.styles(generator.map(z, truncation=self.truncation))
                self._pool[block * size : (block + 1) * size] = mapped
                self._mapped[block] = True
        return self._pool[codes.to(device)]

    def _on(self, device: torch.device | str | None) -> tuple[Generator, torch.device]:
        generator = self.generator
        device = generator.device if device is None else torch.device(device)
        return (generator if generator.device == device else generator.to(device)), device
