"""Plain data in pickles: lists, dictionaries, numbers, text, arrays and tensors. Nothing in the file is executed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sat3d.generators.pickles import ArrayRecord, Budget, CheckpointError, Span, TensorRecord, read_span

OPCODES = 20_000_000  # 10,000 rows of 512 numbers, each written on its own, need a quarter of it
DEEPEST = 8

Plain = Mapping[str, Any] | np.ndarray
"""An array, or arrays and further dictionaries by name."""


def read_plain(path: Path) -> Plain:
    """Read a pickle, or a file of `torch.save`, that holds plain data.

    Lists of numbers or of equal arrays become arrays; lists of records (dictionaries, each perhaps in a list of its
    own, as the Microsoft Face API answers) become one array for each entry that all lie under, `a/b` for nested ones,
    with NaN where a record lacks it.

    Raises:
        CheckpointError: it is damaged, names anything but plain data, or is no such data.
        OSError: it cannot be read.
    """
    span = Span.open(path)
    limit = _Limit(len(span))
    return _plain(read_span(span, Budget(opcodes=OPCODES)), limit, 0)


class _Limit:
    """Count elements: each takes at least a byte of an honest file, but a file can name one value many times."""

    def __init__(self, most: int) -> None:
        self.most = self.left = most

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise CheckpointError(f"more numbers are declared than a file of {self.most} bytes can hold: refused")


def _plain(value: Any, limit: _Limit, depth: int) -> Any:
    if depth > DEEPEST:
        raise CheckpointError(f"lists or dictionaries {depth} deep: no plain data")
    limit.spend(1)
    if isinstance(value, ArrayRecord | TensorRecord):
        limit.spend(value.numel)
        if isinstance(value, ArrayRecord):
            return value.array()
        tensor = value.tensor()
        return (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).detach().numpy()
    if isinstance(value, dict):
        return {str(key): _plain(entry, limit, depth + 1) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return _list(value, limit, depth)
    if value is None or isinstance(value, bool | int | float | str):
        return _scalars([value])[0]
    what = getattr(getattr(value, "cls", value), "dotted", type(value).__name__)
    raise CheckpointError(f"it holds {what}, which is no plain data")


def _list(values: list[Any] | tuple[Any, ...], limit: _Limit, depth: int) -> Any:
    if len(values) == 1 and isinstance(values[0], list | tuple | dict):
        return _plain(values[0], limit, depth + 1)
    if all(value is None or isinstance(value, bool | int | float | str) for value in values):
        limit.spend(len(values))
        return _scalars(values)
    if any(isinstance(_record(value), dict) for value in values):
        return _records(values, limit)
    parts = [np.asarray(_plain(value, limit, depth + 1)) for value in values]
    for row, part in enumerate(parts):
        if part.shape != parts[0].shape or part.dtype.kind == "O":
            raise CheckpointError(f"row {row} has the shape {part.shape}, row 0 has {parts[0].shape}")
    return np.stack(parts)


def _scalars(values: list[Any] | tuple[Any, ...]) -> np.ndarray:
    """Join numbers and what is missing to an array of numbers; where there is text, to one of text."""
    if any(isinstance(value, str) for value in values):
        return np.array(["" if value is None else str(value) for value in values])
    try:
        return np.array([np.nan if value is None else float(value) for value in values])
    except OverflowError as error:
        raise CheckpointError(f"a number beyond all bounds: {error}") from error


def _record(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _records(values: list[Any] | tuple[Any, ...], limit: _Limit) -> dict[str, np.ndarray]:
    """Turn rows of records into columns; an empty list, or nothing, is a row without entries."""
    columns: dict[str, list[Any]] = {}
    for row, value in enumerate(map(_record, values)):
        if not isinstance(value, dict) and value not in (None, []):
            raise CheckpointError(f"row {row} is no record as others are")
        for name, entry in _entries(value or {}, limit, ""):
            column = columns.setdefault(name, [])
            column += [None] * (row - len(column)) + [entry]
            limit.spend(1)
    for column in columns.values():
        column += [None] * (len(values) - len(column))
    return {name: _scalars(column) for name, column in columns.items()}


def _entries(record: dict[Any, Any], limit: _Limit, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield a record's numbers and texts by name; lists in it are passed over."""
    if prefix.count("/") > DEEPEST:
        raise CheckpointError(f"records {DEEPEST} deep: no plain data")
    for key, entry in record.items():
        limit.spend(1)
        if isinstance(entry, dict):
            yield from _entries(entry, limit, f"{prefix}{key}/")
        elif entry is None or isinstance(entry, bool | int | float | str):
            yield f"{prefix}{key}", entry
