"""Tensors and arrays as a file declares them: checked when declared, read when asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sat3d.generators.pickles.sources import Span
from sat3d.generators.pickles.values import CheckpointError

MAX_DIMENSIONS = 32
LARGEST = 2**48


@dataclass(frozen=True, slots=True)
class StorageType:
    """Name what a storage holds.

    Args:
        dtype: of its elements; uint8 for an untyped storage.
    """

    dtype: torch.dtype


@dataclass(eq=False, slots=True)
class Storage:
    """Hold the numbers of one or more tensors, in the file until they are asked for.

    Args:
        dtype: of the elements.
        count: number of elements.
        span: where the bytes are; `None` until the file says so.
    """

    dtype: torch.dtype
    count: int
    span: Span | None = None
    _read: Tensor | None = field(default=None, repr=False)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.count * self.dtype.itemsize

    def locate(self, span: Span) -> None:
        """Say where the bytes are.

        Raises:
            CheckpointError: if there are fewer or more than declared.
        """
        if len(span) != self.nbytes:
            raise CheckpointError(f"a storage of {self.nbytes} bytes is declared where {len(span)} bytes are")
        self.span = span

    def tensor(self) -> Tensor:
        """Return the bytes, flat and on the CPU; every call gives the same memory."""
        if self.span is None:
            raise CheckpointError("a storage is declared whose bytes are not in the file")
        if self._read is None:
            self._read = self.span.tensor()
        return self._read


@dataclass(eq=False, slots=True)
class TensorRecord:
    """Declare a tensor: a view of a storage, inside its bounds.

    Args:
        storage: where the numbers are.
        offset: of the first element.
        shape: sizes.
        stride: steps in elements, none negative.
        dtype: of the elements; the storage's if it is typed.

    Raises:
        CheckpointError: if it reaches beyond its storage, or has more elements than that.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.shape, *self.stride)
        if len(self.shape) != len(self.stride) or len(self.shape) > MAX_DIMENSIONS:
            raise CheckpointError("damaged: a tensor's sizes and strides do not fit each other")
        if not all(type(n) is int and 0 <= n < LARGEST for n in numbers):
            raise CheckpointError("damaged: a tensor's sizes, strides or offset are no such numbers")
        held = self.storage.nbytes // self.dtype.itemsize
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True))
        if self.numel > held or (self.numel and last >= held) or self.offset > held:
            raise CheckpointError(
                f"a tensor of shape {self.shape}, stride {self.stride} and offset {self.offset} is declared over a "
                f"storage of {held} elements"
            )

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def tensor(self) -> Tensor:
        """Return the tensor. Tensors that share their storage in the file share it here, but for booleans: copies."""
        data = self.storage.tensor()
        if self.dtype is torch.bool:
            return data.as_strided(self.shape, self.stride, self.offset).ne(0)
        whole = data[: len(data) // self.dtype.itemsize * self.dtype.itemsize].view(self.dtype)
        return whole.as_strided(self.shape, self.stride, self.offset)


DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int8, torch.int16, torch.int32,
        torch.int64, torch.bool, torch.complex64, torch.complex128, torch.uint16, torch.uint32, torch.uint64,
        torch.float8_e4m3fn, torch.float8_e5m2,
    )
}  # fmt: skip
_NAMES = {
    "Float": torch.float32, "Double": torch.float64, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Byte": torch.uint8, "Char": torch.int8, "Short": torch.int16, "Int": torch.int32, "Long": torch.int64,
    "Bool": torch.bool, "ComplexFloat": torch.complex64, "ComplexDouble": torch.complex128,
    "Untyped": torch.uint8, "_Untyped": torch.uint8,
}  # fmt: skip
STORAGE_TYPES = {
    f"{module}.{name}Storage": StorageType(dtype)
    for module in ("torch", "torch.cuda", "torch.storage")
    for name, dtype in _NAMES.items()
}


@dataclass(eq=False, slots=True)
class ArrayRecord:
    """Declare a numpy array, in the file until it is asked for.

    Args:
        shape: sizes.
        dtype: of the elements.
        data: the bytes.
        order: `C` or `F`.
    """

    shape: tuple[int, ...] = (0,)
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype("u1"))
    data: bytes | Span = b""
    order: str = "C"

    def build(self, shape: Any, dtype: Any, order: str, data: Any) -> None:
        """Take the state that the file gives.

        Raises:
            CheckpointError: if the bytes are not as many as the shape needs.
        """
        if not (isinstance(dtype, np.dtype) and isinstance(data, bytes | Span) and type(shape) is tuple):
            raise CheckpointError("damaged: a numpy array's state is none")
        if len(shape) > MAX_DIMENSIONS or not all(type(n) is int and 0 <= n < LARGEST for n in shape):
            raise CheckpointError("damaged: a numpy array's sizes are no such numbers")
        if math.prod(shape) * dtype.itemsize != len(data):
            raise CheckpointError(f"a numpy array of shape {shape} is declared over {len(data)} bytes")
        self.shape, self.dtype, self.order, self.data = shape, dtype, order, data

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def array(self) -> np.ndarray[Any, Any]:
        """Return the array."""
        data = self.data if isinstance(self.data, bytes) else self.data.bytes()
        return np.frombuffer(data, self.dtype).reshape(self.shape, order=self.order)  # type: ignore[call-overload]


_NUMPY = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"}


def numpy_dtype(code: Any) -> np.dtype[Any]:
    """Return the dtype of a plain number.

    Raises:
        CheckpointError: for any other: objects, text, structures, big-endian numbers.
    """
    if type(code) is not str or code.lstrip("<|=") not in _NUMPY:
        raise CheckpointError(f"numpy dtype {str(code)[:20] if isinstance(code, str) else '?'}: refused")
    return np.dtype(code)


def numpy_scalar(dtype: Any, data: Any) -> Any:
    """Return a number from its bytes, as Python's.

    Raises:
        CheckpointError: if they do not fit.
    """
    if not isinstance(dtype, np.dtype) or not isinstance(data, bytes) or len(data) != dtype.itemsize:
        raise CheckpointError("damaged: a numpy number whose bytes do not fit")
    return np.frombuffer(data, dtype)[0].item()


def read_tensors(records: Mapping[str, TensorRecord]) -> dict[str, Tensor]:
    """Read tensors by name.

    Raises:
        CheckpointError: if far more of them are declared than the file holds.
    """
    storages = {id(record.storage): record.storage for record in records.values()}.values()
    held = sum({id(s.span.source): s.span.source.size for s in storages if s.span is not None}.values())
    viewed = sum(record.numel * record.dtype.itemsize for record in records.values())
    if max(viewed, sum(storage.nbytes for storage in storages)) > 2 * held + 2**20:
        raise CheckpointError(f"{viewed} bytes of parameters are declared in a file of {held}: refused")
    return {name: record.tensor() for name, record in records.items()}
