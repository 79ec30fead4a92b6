"""Codes and columns of labels, read from files of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sat3d.data.array_files import listing, read_entry

_CHUNK = 256  # rows of W+ that are compared at a time


@dataclass(frozen=True)
class Table:
    """Hold columns of numbers.

    Args:
        values: (N, P), float64; NaN where something is missing.
        names: of the columns; `None` where the file has none.
        classes: by column, where it holds the numbers of these texts.
    """

    values: np.ndarray
    names: tuple[str, ...] | None
    classes: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


def read_codes(file: str, option: str = "codes") -> np.ndarray:
    """Read codes (N, D), float32.

    Axes of length 1 are dropped, and W+ codes (N, layers, D) whose layers are all the same become w.

    Args:
        file: see `read_entry`.
        option: what asked for it, for messages.

    Raises:
        ValueError: for a file that is damaged or holds something else, and for codes that are not finite.
        FileNotFoundError: if it does not exist.
    """
    found = read_entry(file, option)
    array = found if isinstance(found, np.ndarray) else _together(found, file, option)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{option}={file!r} holds text where numbers are expected")
    array = _squeezed(array, 2)
    if array.ndim == 3:
        array = _one_layer(array, f"{option}={file!r}")
    if array.ndim != 2:
        raise ValueError(f"{option}={file!r} has the shape {array.shape}; (N, D) or (N, layers, D) is expected")
    codes = np.array(array, np.float32)
    finite = np.isfinite(codes).all(1)
    if not finite.all():
        raise ValueError(f"{option}={file!r}: row {int(finite.argmin())} is not finite")
    return codes


def _one_layer(codes: np.ndarray, where: str) -> np.ndarray:
    for start in range(0, len(codes), _CHUNK):
        part = codes[start : start + _CHUNK]
        differ = (part != part[:, :1]).any((1, 2)) & np.isfinite(part).all((1, 2))
        if differ.any():
            row = start + int(differ.argmax())
            raise ValueError(
                f"{where}: the {codes.shape[1]} layers of row {row} differ; W+ is read where all are one w"
            )
    return codes[:, 0]


def read_table(file: str, option: str = "labels") -> Table:
    """Read columns of labels; arguments and errors are those of `read_codes`.

    A column of text becomes class numbers, in the order of its sorted texts.
    """
    found = read_entry(file, option)
    names: tuple[str, ...] | None = None
    if isinstance(found, Mapping):
        names, array = tuple(found), _together(found, file, option)
    else:
        array = _squeezed(found, 2)
        array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.dtype.kind not in "fiubUO":
        raise ValueError(f"{option}={file!r} has the shape {array.shape}; (N,) or (N, P) is expected")
    values, classes = np.empty(array.shape), {}
    for k in range(array.shape[1]):
        column = array[:, k]
        if any(isinstance(cell, str) for cell in column[:1]) or column.dtype.kind == "O":
            name = names[k] if names else k
            values[:, k], classes[k] = _read_text(column.tolist(), f"{option}={file!r}, column {name}")
        else:
            values[:, k] = column
    return Table(values, names, {k: texts for k, texts in classes.items() if texts})


def _together(found: Mapping[str, Any], file: str, option: str) -> np.ndarray:
    """Put columns side by side; of dtype object if some hold text."""
    columns = [_squeezed(array, 1) for array in found.values() if isinstance(array, np.ndarray)]
    if len(columns) != len(found) or not columns or any(column.ndim != 1 for column in columns):
        name = file.partition("#")[0]
        raise ValueError(f"{option}={file!r} holds {listing(found)}: choose one by {option}: {name}#NAME")
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise ValueError(f"{option}={file!r}: columns of unequal lengths: {listing(found)}")
    text = any(column.dtype.kind == "U" for column in columns)
    return np.stack([column.astype(object) if text else column for column in columns], axis=1)


def _read_text(cells: list[Any], where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read cells that are all numbers, or all names of classes; empty ones are missing."""
    values, words = np.full(len(cells), np.nan), {}
    for row, cell in enumerate(cells):
        try:
            values[row] = float(cell) if cell != "" else np.nan
        except ValueError:
            words[row] = cell
    numbers = np.flatnonzero(~np.isnan(values))
    if words and len(numbers):
        row, word = next(iter(words.items()))
        raise ValueError(f"{where}: {word!r} in row {row} is no number, though others are")
    classes = tuple(sorted(set(words.values())))
    for row, word in words.items():
        values[row] = classes.index(word)
    return values, classes


def _squeezed(array: np.ndarray, most: int) -> np.ndarray:
    """Drop axes of length 1 while there are more than `most`, the first of all axes last."""
    for axis in [*range(array.ndim - 1, 0, -1), 0]:
        if array.ndim > most and array.shape[axis] == 1:
            array = array.squeeze(axis)
    return array
