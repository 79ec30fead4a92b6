"""The bytes of a checkpoint: read where they are needed, copied once."""

from __future__ import annotations

import io
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from sat3d.generators.pickles.values import CheckpointError

WINDOW = 4096


class Source:
    """Read parts of a file in any order; small reads are served from a window.

    Args:
        file: binary and seekable.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._window, self._start = b"", 0
        self.size = file.seek(0, io.SEEK_END)

    @classmethod
    def open(cls, path: Path) -> Source:
        """Open a file; it is closed with the last part of it that is in use."""
        file = path.open("rb")
        source = cls(file)
        weakref.finalize(source, file.close)
        return source

    def read(self, start: int, count: int) -> bytes:
        """Return `count` bytes."""
        skip = start - self._start
        if skip < 0 or skip + count > len(self._window):
            self._file.seek(start)
            self._window, self._start, skip = self._file.read(max(count, WINDOW)), start, 0
        return self._window[skip : skip + count]

    def fill(self, start: int, target: Tensor) -> None:
        """Read into a flat uint8 tensor, without a copy in between."""
        self._file.seek(start)
        view, done = memoryview(target.numpy()), 0  # type: ignore[arg-type]
        while done < len(view):
            count = self._file.readinto(view[done:])  # type: ignore[attr-defined]
            if not count:
                raise CheckpointError("the file became shorter while it was read")
            done += count


@dataclass(frozen=True, slots=True)
class Span:
    """Name a part of a source.

    Args:
        source: where the bytes are.
        start: first byte.
        stop: one past the last.
    """

    source: Source
    start: int
    stop: int

    @classmethod
    def of(cls, data: bytes) -> Span:
        """Span bytes in memory."""
        return cls(Source(io.BytesIO(data)), 0, len(data))

    @classmethod
    def open(cls, path: Path) -> Span:
        """Span a whole file."""
        source = Source.open(path)
        return cls(source, 0, source.size)

    def __len__(self) -> int:
        return self.stop - self.start

    def part(self, start: int, count: int) -> Span:
        """Span `count` bytes from `start` on.

        Raises:
            CheckpointError: if they are not all there.
        """
        if start < 0 or count < 0 or start + count > len(self):
            raise CheckpointError(f"damaged or truncated: {count} bytes are announced, {len(self) - start} are there")
        return Span(self.source, self.start + start, self.start + start + count)

    def bytes(self) -> bytes:
        """Return the content."""
        return self.source.read(self.start, len(self))

    def tensor(self) -> Tensor:
        """Return the content as a flat uint8 tensor that owns it."""
        target = torch.empty(len(self), dtype=torch.uint8)
        self.source.fill(self.start, target)
        return target


class SpanFile(io.RawIOBase):
    """Serve a span as a read-only file."""

    def __init__(self, span: Span) -> None:
        super().__init__()
        self._span, self._at = span, 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._span)}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, count: int | None = -1) -> bytes:
        """Return up to `count` bytes."""
        left = max(0, len(self._span) - self._at)
        count = left if count is None or count < 0 else min(count, left)
        data = self._span.part(min(self._at, len(self._span)), count).bytes()
        self._at += count
        return data
