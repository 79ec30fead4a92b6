"""Rows of numbers that are dear to make: kept on disk, gone on with after a stop, shared by processes."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from sat3d.data.cache import Claims

BLOCK = 50  # rows that are made, and written, together
POLL = 0.2  # seconds between looks at the blocks of other processes
_JOIN, _FIRST = 0, 1  # numbers of claims: joining the blocks, and block 0

Rows = Mapping[str, np.ndarray]


class RowStore:
    """Keep the first rows of arrays in which row *i* depends on *i* alone.

    Rows are made in blocks, and a block is one file that appears whole or not at all. When all are there they are
    joined to one `.npy` for each array, which is then read as a memory map. A store of fewer rows is the beginning of
    one of more. Processes that make rows at the same time take blocks from each other's work, and all come back when
    the last block is there; blocks of one that was killed are taken by the others, or by the next run.

    Args:
        folder: where the arrays are kept.
        widths: names of the arrays and their numbers a row; all are float32.
        about: what the rows are, written beside them for people, as JSON.
    """

    def __init__(self, folder: Path, widths: Mapping[str, int], about: Mapping[str, Any] | None = None) -> None:
        self.folder, self.widths, self.about = folder, dict(widths), dict(about or {})

    def __len__(self) -> int:
        """Return how many rows can be read."""
        try:
            return min(len(array) for array in self._open().values())
        except (FileNotFoundError, NotADirectoryError):
            return 0
        except (ValueError, EOFError) as error:
            warnings.warn(f"{self.folder} is damaged ({error}): its rows are made again")
            return 0

    def read(self, count: int) -> dict[str, np.ndarray]:
        """Return memory maps of the first rows, each (count, width).

        Raises:
            FileNotFoundError: if some of them have not been made.
        """
        if len(self) < count:
            raise FileNotFoundError(f"{self.folder} has {len(self)} of {count} rows: make the others first")
        return {name: array[:count] for name, array in self._open().items()}

    def make(self, count: int, compute: Callable[[range], Rows], title: str = "", progress: bool = True) -> int:
        """Make the rows that are missing, and return how many of them this process made.

        Args:
            count: rows wanted; whole blocks are made.
            compute: makes the rows of a range, by name of the array.
            title: of the progress bar.
            progress: show it.

        Raises:
            OSError: if the folder cannot be written.
        """
        if len(self) >= count:
            return 0
        try:
            self._blocks.mkdir(parents=True, exist_ok=True)
            claims = Claims(self.folder / "claims")
        except OSError as error:
            message = f"nothing can be kept in {self.folder} ({error}): choose another root, or SAT3D_CACHE"
            raise OSError(message) from error
        with claims:
            if claims.take(_JOIN):
                (self.folder / "about.json").write_text(json.dumps(self.about, indent=1), encoding="utf-8")
                claims.release(_JOIN)
            made = self._make(range(-(-count // BLOCK)), compute, claims, title, progress)
            claims.take(_JOIN, wait=True)
            if len(self) < count:
                self._join(-(-count // BLOCK))
        return made

    def _make(self, blocks: range, compute: Callable[[range], Rows], claims: Claims, title: str, progress: bool) -> int:
        from tqdm import tqdm

        missing, made = [block for block in blocks if not self._has(block)], 0
        done = BLOCK * (len(blocks) - len(missing))
        with tqdm(total=BLOCK * len(blocks), initial=done, desc=title, unit="code", disable=not progress) as bar:
            while missing:
                others = []  # blocks that other processes are at
                for block in missing:
                    if claims.take(_FIRST + block):
                        if not self._has(block):
                            self._write(block, compute(range(block * BLOCK, (block + 1) * BLOCK)))
                            made += BLOCK
                        claims.release(_FIRST + block)
                    elif not self._has(block):
                        others.append(block)
                        continue
                    bar.update(BLOCK)
                if others:
                    time.sleep(POLL)
                missing = others
        return made

    # -- files ------------------------------------------------------------------------------------------------------

    @property
    def _blocks(self) -> Path:
        return self.folder / "blocks"

    def _path(self, block: int) -> Path:
        return self._blocks / f"{block:08d}.npy"

    def _open(self) -> dict[str, np.ndarray]:
        return {name: np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in self.widths}

    def _has(self, block: int) -> bool:
        # In this order: whoever joins removes blocks only once the joined arrays are in their place.
        return self._path(block).is_file() or len(self) >= (block + 1) * BLOCK

    def _write(self, block: int, rows: Rows) -> None:
        joined = np.concatenate([np.asarray(rows[name], np.float32) for name in self.widths], axis=1)
        partial = self._path(block).with_suffix(".part")  # of nobody else: the block is claimed
        with partial.open("wb") as file:
            np.save(file, joined)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path(block))

    def _join(self, blocks: int) -> None:
        known = len(self)
        old = self._open() if known else {}
        first = known // BLOCK
        paths = {name: self.folder / f"{name}.npy" for name in self.widths}
        new = {
            name: open_memmap(paths[name].with_suffix(".part"), "w+", np.float32, (blocks * BLOCK, width))
            for name, width in self.widths.items()
        }
        for name, array in old.items():
            new[name][: first * BLOCK] = array[: first * BLOCK]
        ends = np.cumsum([0, *self.widths.values()])
        for block in range(first, blocks):
            joined = np.load(self._path(block))
            for k, array in enumerate(new.values()):
                array[block * BLOCK : (block + 1) * BLOCK] = joined[:, ends[k] : ends[k + 1]]
        for name, array in new.items():
            array.flush()
            paths[name].with_suffix(".part").replace(paths[name])
        for block in range(first, blocks):
            self._path(block).unlink()
