"""Files of arrays: `.npy`, `.npz`, `.safetensors`, `.csv`, and pickles of plain data."""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sat3d.data.plain_pickles import Plain, read_plain
from sat3d.generators import CheckpointError


def read_entry(file: str, option: str) -> Plain:
    """Read a file, and go down to the entry that is named, or through entries that are the only ones.

    Args:
        file: its name, with `#entry` behind it where it holds several (`#a/b` for nested ones).
        option: what asked for it, for messages.

    Returns:
        An array, or arrays by name.

    Raises:
        ValueError: for a file that is damaged, of another kind, or lacks the entry.
        FileNotFoundError: if it does not exist.
    """
    name, _, wanted = file.partition("#")
    path = Path(name)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{option}={file!r}: files of codes and labels end in {', '.join(_READERS)}")
    if not path.is_file():
        raise FileNotFoundError(f"{option}={file!r}: there is no such file")
    try:
        found = reader(path)
    except CheckpointError as error:
        raise ValueError(f"{option}={file!r} is not read: {error}") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, csv.Error) as error:
        raise ValueError(f"{option}={file!r} is damaged, truncated or holds no plain numbers: {error}") from error
    for step in filter(None, wanted.split("/")):
        if not isinstance(found, Mapping) or step not in found:
            raise ValueError(f"{option}={file!r}: no entry {step!r}; there is {listing(found)}")
        found = found[step]
    while isinstance(found, Mapping) and len(found) == 1 and path.suffix.lower() != ".csv":
        found = next(iter(found.values()))
    return found


def listing(found: Plain) -> str:
    """Name the arrays that a file holds, with their shapes, for messages."""
    if not isinstance(found, Mapping):
        return f"one array {found.shape}"
    return ", ".join(f"{k} {v.shape if isinstance(v, np.ndarray) else '{…}'}" for k, v in found.items()) or "nothing"


def _read_npy(path: Path) -> Plain:
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _read_npz(path: Path) -> Plain:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _read_safetensors(path: Path) -> Plain:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise ValueError(error) from error
    # numpy has no bfloat16 and nothing narrower
    return {n: (t.float() if t.is_floating_point() and t.itemsize < 4 else t).numpy() for n, t in tensors.items()}


def _read_csv(path: Path) -> Plain:
    """Read columns by name, or one array where the first line holds a number and so is no header."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        lines = [[cell.strip() for cell in line] for line in reader if line]
    if not lines:
        raise ValueError("it is empty")
    for number, line in enumerate(lines, start=1):
        if len(line) != len(lines[0]):
            raise ValueError(f"line {number} has {len(line)} cells, the first has {len(lines[0])}")
    if any(_numbers([cell]) is not None for cell in lines[0] if cell):
        return np.stack([_column(list(cells)) for cells in zip(*lines, strict=True)], axis=1)
    if len(set(lines[0])) != len(lines[0]):
        raise ValueError("two columns have the same name")
    columns = zip(*lines[1:], strict=True) if len(lines) > 1 else [() for _ in lines[0]]
    return {name: _column(list(cells)) for name, cells in zip(lines[0], columns, strict=True)}


def _column(cells: list[str]) -> np.ndarray:
    numbers = _numbers(cells)
    return np.array(cells) if numbers is None else numbers


def _numbers(cells: list[str]) -> np.ndarray | None:
    try:
        return np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        return None


_READERS: dict[str, Callable[[Path], Any]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    ".csv": _read_csv,
    **dict.fromkeys((".pickle", ".pkl", ".pt", ".pth"), read_plain),
}
