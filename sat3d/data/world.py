"""Pictures of the embedded world, rendered once and kept on disk."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sat3d.data.shuffled import ShuffledLoader
from sat3d.data.streams import ResumedStream
from sat3d.folders import cache_folder
from sat3d.ops.camera import LABEL_SIZE
from sat3d.world import World, load_world

BLOCK = 128  # pictures that are rendered, and checked, together
SUPERSAMPLING = 2


@dataclass(frozen=True)
class PictureBatch:
    """Hold pictures and all that is known of them.

    Args:
        rgb: in [-1, 1], (B, 3, H, W).
        segmentation: part numbers (`World.parts`), (B, H, W).
        depth: distance along the ray, world units, inf for background, (B, H, W).
        z: codes, (B, z_dim).
        u: coordinates, (B, A).
        camera_label: (B, 25).
        index: the pictures' numbers, (B,).
    """

    rgb: Float[Tensor, "b 3 h w"]
    segmentation: UInt8[Tensor, "b h w"]
    depth: Float[Tensor, "b h w"]
    z: Float[Tensor, "b z"]
    u: Float[Tensor, "b a"]
    camera_label: Float[Tensor, "b 25"]
    index: Int[Tensor, " b"]

    def __len__(self) -> int:
        return len(self.index)

    def to(self, *args: object, **kwargs: object) -> PictureBatch:
        """Move every tensor to a device, as `Tensor.to` does."""
        moved = {f.name: getattr(self, f.name).to(*args, **kwargs) for f in fields(self)}
        return PictureBatch(**moved)

    def pin_memory(self) -> PictureBatch:
        """Pin every tensor, for loaders that ask for it."""
        return PictureBatch(**{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})


class WorldPictures(Dataset[PictureBatch]):
    """Keep the first `count` pictures of a seed in memory-mapped files.

    Picture i depends on (seed, i) alone, so that a set can be continued, enlarged, or read only in part: files
    of a smaller set are the beginning of those of a larger one. Pictures are rendered in blocks; a block counts once
    its checksum is written, after its bytes.

    Args:
        root: folder that holds sets; by default `cache_folder()`.
        count: pictures.
        seed: of codes and cameras.
        resolution: pixels a side.
        world: the world, or its name.

    Example:
        >>> pictures = WorldPictures(count=1000, seed=1)
        >>> pictures.render(workers=2)
        >>> batch = pictures.batch([0, 5, 7])
        >>> captions = pictures.captions([0, 5, 7])
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        count: int = 40_000,
        seed: int = 0,
        resolution: int = 64,
        world: World | str = "heads",
    ) -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count}")
        self.world = load_world(world) if isinstance(world, str) else world
        self.count, self.seed, self.resolution = count, seed, resolution
        kind = f"{self.world.name}{self.world.domain.version}"
        self.folder = Path(root or cache_folder() / "world") / f"{kind}-{resolution}px-seed{seed}"
        self._blocks = -(-count // BLOCK)
        n, r = self._blocks * BLOCK, resolution  # whole blocks, whose checksums serve smaller and larger sets
        self._layout: dict[str, tuple[type, tuple[int, ...]]] = {
            "rgb": (np.uint8, (n, 3, r, r)),
            "segmentation": (np.uint8, (n, r, r)),
            "depth": (np.float16, (n, r, r)),
            "z": (np.float32, (n, self.world.z_dim)),
            "u": (np.float32, (n, len(self.world.attributes))),
            "camera_label": (np.float32, (n, LABEL_SIZE)),
        }
        self._arrays: dict[str, np.ndarray] | None = None

    def __len__(self) -> int:
        return self.count

    # -- making -----------------------------------------------------------------------------------------------------

    def render(self, workers: int | None = None, progress: bool = True) -> None:
        """Render what is missing or damaged; an interrupted rendering continues where it stopped.

        Args:
            workers: threads (the renderer runs without the interpreter's lock); by default one a core. Bytes do not
                depend on it.
            progress: show a bar.

        Raises:
            OSError: if the folder cannot be written.
        """
        self._allocate()
        arrays, marks = self._open("r+"), self._marks("r+")
        missing = [b for b in range(len(marks)) if marks[b] == 0 or marks[b] != _checksum(arrays, b)]
        if missing:
            from tqdm import tqdm  # type: ignore[import-untyped]

            # numba compiles on the first call: once, not in every thread
            self._render_block(missing[0], arrays, marks)
            with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
                done = pool.map(lambda block: self._render_block(block, arrays, marks), missing[1:])
                bar = tqdm(done, total=len(missing) - 1, desc=f"rendering {self.folder.name}", disable=not progress)
                for _ in bar:
                    pass
        self._arrays = None

    def _render_block(self, block: int, arrays: dict[str, np.memmap], marks: np.memmap) -> None:
        rows = np.arange(block * BLOCK, (block + 1) * BLOCK)
        z, camera = self.world.sample(self.seed, torch.from_numpy(rows))
        u = self.world.coordinates(z)
        rgb, segmentation, depth = self.world.draw(u.numpy(), camera, self.resolution, SUPERSAMPLING)
        made = {
            "rgb": np.clip(np.rint(rgb * 255), 0, 255),
            "segmentation": segmentation,
            "depth": depth,
            "z": z.numpy(),
            "u": u.numpy(),
            "camera_label": camera.label().numpy(),
        }
        for name, array in made.items():
            arrays[name][rows[0] : rows[-1] + 1] = array
            arrays[name].flush()
        marks[block] = _checksum(arrays, block)
        marks.flush()

    def _allocate(self) -> None:
        """Make files large enough; a set that is larger already stays as it is."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path, size in self._sizes().items():
                with path.open("ab") as file:
                    if file.tell() < size:
                        file.truncate(size)
        except OSError as error:
            message = (
                f"pictures of the world cannot be kept in {self.folder} ({error}): choose another root, or SAT3D_CACHE"
            )
            raise OSError(message) from error

    def _sizes(self) -> dict[Path, int]:
        sizes = {
            self._path(name): np.dtype(dtype).itemsize * int(np.prod(shape))
            for name, (dtype, shape) in self._layout.items()
        }
        return {**sizes, self._path("blocks"): 4 * self._blocks}

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.bin"

    def _marks(self, mode: str) -> np.memmap:
        return np.memmap(self._path("blocks"), np.uint32, mode, shape=(self._blocks,))  # type: ignore[call-overload]

    def _open(self, mode: str) -> dict[str, np.memmap]:
        return {
            name: np.memmap(self._path(name), dtype, mode, shape=shape)  # type: ignore[call-overload]
            for name, (dtype, shape) in self._layout.items()
        }

    # -- reading ----------------------------------------------------------------------------------------------------

    def is_complete(self) -> bool:
        """Tell whether all pictures have been rendered (checksums are compared by `render` alone)."""
        if any(not path.exists() or path.stat().st_size < size for path, size in self._sizes().items()):
            return False
        return bool((self._marks("r") != 0).all())

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The memory maps by field: rgb uint8, segmentation uint8, depth float16, z, u and camera_label float32.

        Raises:
            FileNotFoundError: if pictures are missing.
        """
        if self._arrays is None:
            if not self.is_complete():
                raise FileNotFoundError(f"{self.folder} lacks some of {self.count} pictures: call render() first")
            self._arrays = {name: array[: self.count] for name, array in self._open("r").items()}
        return self._arrays

    def batch(self, indices: Sequence[int] | Tensor) -> PictureBatch:
        """Read pictures by their numbers."""
        rows = np.asarray(indices, dtype=np.int64)
        read = {name: torch.from_numpy(array[rows]) for name, array in self.arrays.items()}
        read["rgb"] = read["rgb"].float().mul_(2 / 255).sub_(1)
        read["depth"] = read["depth"].float()
        return PictureBatch(**read, index=torch.from_numpy(rows))

    def captions(self, indices: Sequence[int] | Tensor, seed: int | None = None) -> list[str]:
        """Describe pictures in English; another `seed` words them otherwise."""
        rows = np.asarray(indices, dtype=np.int64)
        u = torch.from_numpy(self.arrays["u"][rows])
        return self.world.captions(u, torch.from_numpy(rows), self.seed if seed is None else seed)

    def __getitem__(self, index: int) -> PictureBatch:
        return self.batch([index])

    def __getitems__(self, indices: list[int]) -> PictureBatch:
        return self.batch(indices)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_arrays": None}  # a worker process opens its own memory maps


def _checksum(arrays: dict[str, np.memmap], block: int) -> int:
    """Sum up a block's bytes; never 0, which means missing."""
    value = 0
    for array in arrays.values():
        value = zlib.crc32(array[block * BLOCK : (block + 1) * BLOCK].data, value)
    return value or 1


class WorldDataModule(ResumedStream, LightningDataModule):
    """Feed pictures of the world, rendering on first use what is missing on disk.

    Args:
        count: training pictures.
        seed: of the training pictures; validation and test take the next two seeds, so that no picture is shared.
        batch_size: pictures a batch.
        root: folder that holds pictures; by default `cache_folder()`.
        val_count: validation pictures.
        test_count: test pictures.
        resolution: pixels a side.
        num_workers: of the loaders; reading memory maps is quick enough without.
        render_workers: threads that render; by default one a core.
        world: name of the world: heads, animals or cars.
    """

    def __init__(
        self,
        count: int = 40_000,
        seed: int = 0,
        batch_size: int = 16,
        root: str | None = None,
        val_count: int = 1_000,
        test_count: int = 1_000,
        resolution: int = 64,
        num_workers: int = 0,
        render_workers: int | None = None,
        world: str = "heads",
    ) -> None:
        super().__init__()
        self.batch_size, self.num_workers, self.render_workers = batch_size, num_workers, render_workers
        self.seed = seed
        self.train = WorldPictures(root, count, seed, resolution, world)
        self.val = WorldPictures(root, val_count, seed + 1, resolution, world)
        self.test = WorldPictures(root, test_count, seed + 2, resolution, world)

    def prepare_data(self) -> None:
        """Render what is missing."""
        for pictures in (self.val, self.test, self.train):
            pictures.render(self.render_workers)

    def train_dataloader(self) -> ShuffledLoader:
        return self.resumed(ShuffledLoader(self.train, torch.arange(len(self.train)), self.batch_size, self.seed))

    def val_dataloader(self) -> DataLoader[PictureBatch]:
        return self._loader(self.val)

    def test_dataloader(self) -> DataLoader[PictureBatch]:
        return self._loader(self.test)

    def predict_dataloader(self) -> DataLoader[PictureBatch]:
        return self._loader(self.test)

    def _loader(self, pictures: WorldPictures) -> DataLoader[PictureBatch]:
        return DataLoader(pictures, self.batch_size, num_workers=self.num_workers, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch  # `__getitems__` has joined the pictures already
