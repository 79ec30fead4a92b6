"""How the renderer's kernels are compiled (needs numba)."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

_FOLDER = Path(__file__).parent
_SOURCES = sorted([*_FOLDER.rglob("*.py"), *_FOLDER.rglob("*.yaml")])
_STAMP = tuple(zlib.crc32(file.read_bytes()) for file in _SOURCES)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function for the renderer: kept on disk, fast maths, without the interpreter's lock.

    Numba recompiles a kept function when its own file changes, but kernels contain those of other files; so what is
    kept is stamped with all sources' checksums instead.
    """
    compiled = njit(cache=True, fastmath=True, nogil=True, error_model="numpy")(function)
    index: Any = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if hasattr(index, "_source_stamp"):
        index._source_stamp = _STAMP
    return compiled
