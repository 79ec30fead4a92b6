"""Pictures that a generator draws at the codes and cameras of world pictures, kept on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from sat3d.data.world import PictureBatch, WorldPictures
from sat3d.folders import cache_folder
from sat3d.generators import Generator, load_generator
from sat3d.ops.camera import Camera

BLOCK = 64  # pictures drawn, and marked as done, together


class GeneratedPictures(Dataset[PictureBatch]):
    """Keep a generator's pictures of the first heads of a set of world pictures.

    Picture i is drawn at the code and camera of world picture i, so what it ought to show (attributes, segmentation,
    depth) is known: everything but ``rgb`` is the world's. Files are keyed by the generator's hash; an interrupted
    rendering continues where it stopped.

    Args:
        generator: A generator, or its name for ``load_generator``.
        pictures: World pictures, rendered already.
        count: How many of them; ``None`` for all.
        root: Folder that holds sets; by default within ``cache_folder()``.

    Raises:
        ValueError: If the generator's codes are not those of the world, or ``count`` is out of range.

    Example:
        >>> generated = GeneratedPictures("toyfaces64", WorldPictures(count=1000, seed=1))
        >>> generated.render()
        >>> batch = generated.batch([0, 5, 7])
    """

    def __init__(
        self,
        generator: Generator | str,
        pictures: WorldPictures,
        count: int | None = None,
        root: str | os.PathLike[str] | None = None,
    ) -> None:
        self.generator = load_generator(generator) if isinstance(generator, str) else generator
        self.pictures = pictures
        self.count = len(pictures) if count is None else count
        if not 1 <= self.count <= len(pictures):
            raise ValueError(f"generated count must lie in 1..{len(pictures)} (the world pictures), not {count}")
        if self.generator.z_dim != pictures.world.z_dim:
            raise ValueError(
                f"generator draws from {self.generator.z_dim} latent numbers, the world's codes have "
                f"{pictures.world.z_dim}: choose a generator that was trained on the world, or generator: null"
            )
        name = f"{self.generator.hash[:16]}-{pictures.folder.name}"
        self.folder = Path(root or cache_folder() / "generated") / name
        side = self.generator.resolution
        self._shape = (len(pictures), 3, side, side)
        self._rgb: np.memmap | None = None

    def __len__(self) -> int:
        return self.count

    def render(self, progress: bool = True) -> None:
        """Draw what is missing.

        Raises:
            OSError: If the folder cannot be written.
        """
        blocks = -(-self._shape[0] // BLOCK)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, size in (("rgb.bin", int(np.prod(self._shape))), ("blocks.bin", blocks)):
                with (self.folder / name).open("ab") as file:
                    if file.tell() < size:
                        file.truncate(size)
        except OSError as error:
            message = f"generated pictures cannot be kept in {self.folder}: {error}; set root or SAT3D_CACHE"
            raise OSError(message) from error
        rgb, marks = self._map("rgb.bin", self._shape, "r+"), self._map("blocks.bin", (blocks,), "r+")
        missing = [block for block in range(-(-self.count // BLOCK)) if not marks[block]]
        if not missing:
            return
        from tqdm import tqdm

        for block in tqdm(missing, desc=f"drawing {self.folder.name}", disable=not progress):
            rows = np.arange(block * BLOCK, min((block + 1) * BLOCK, len(self.pictures)))
            rgb[rows] = self._draw(rows)
            rgb.flush()
            marks[block] = 1  # after its bytes
            marks.flush()

    @torch.no_grad()
    def _draw(self, rows: np.ndarray) -> np.ndarray:
        generator = self.generator
        device = next(generator.parameters()).device
        z = torch.from_numpy(self.pictures.arrays["z"][rows]).to(device)
        label = torch.from_numpy(self.pictures.arrays["camera_label"][rows]).to(device)
        camera = Camera.from_label(label) if generator.is_3d else None
        image = generator.synthesize(generator.styles(generator.map(z)), camera=camera).image
        drawn: np.ndarray = image.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8).cpu().numpy()
        return drawn

    def batch(self, indices: Sequence[int] | torch.Tensor) -> PictureBatch:
        """Read pictures by their numbers.

        Raises:
            FileNotFoundError: If :meth:`render` has not been called.
        """
        if self._rgb is None:
            if not (self.folder / "rgb.bin").is_file():
                raise FileNotFoundError(f"{self.folder} has no pictures: call render() first")
            self._rgb = self._map("rgb.bin", self._shape, "r")
        rows = np.asarray(indices, dtype=np.int64)
        rgb = torch.from_numpy(self._rgb[rows]).float().mul_(2 / 255).sub_(1)
        return replace(self.pictures.batch(rows.tolist()), rgb=rgb)

    def __getitem__(self, index: int) -> PictureBatch:
        return self.batch([index])

    def __getitems__(self, indices: list[int]) -> PictureBatch:
        return self.batch(indices)

    def _map(self, name: str, shape: tuple[int, ...], mode: str) -> np.memmap:
        return np.memmap(self.folder / name, np.uint8, mode, shape=shape)  # type: ignore[call-overload]
