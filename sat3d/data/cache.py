"""How several processes share the making of what is kept in the cache."""

from __future__ import annotations

import fcntl
from pathlib import Path
from types import TracebackType
from typing import IO, Self


class Claims:
    """Claim numbered pieces of work, so that no two processes do the same one.

    A claim is a lock on one byte of a file. The system drops it when its process ends, however that happens, so that a
    killed process leaves nothing behind that others would wait for. Threads of one process share their claims.

    Args:
        path: the file; it stays empty.

    Example:
        >>> with Claims(folder / "claims") as claims:
        ...     if claims.take(3):
        ...         work(3)
        ...         claims.release(3)
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("ab")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()  # which drops all claims

    def take(self, number: int, wait: bool = False) -> bool:
        """Claim a piece; tell whether it is ours.

        Args:
            number: of the piece, from 0.
            wait: until whoever has it lets go.
        """
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, number)
        except (BlockingIOError, PermissionError):  # the standard leaves open which
            return False
        return True

    def release(self, number: int) -> None:
        """Let go of a piece."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
