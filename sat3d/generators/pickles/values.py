"""What a checkpoint file can hold besides numbers and text: references and records, all of them inert."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class CheckpointError(ValueError):
    """Say why a checkpoint file is not read: it is damaged, no generator, or asks for something that is refused."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Hold a name that the file mentions. Nothing is looked up under it.

    Args:
        module: as the file gives it.
        name: as the file gives it.
    """

    module: str
    name: str

    @property
    def dotted(self) -> str:
        """The name as Python writes it."""
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Record:
    """Hold what the file says about an object of an unknown class: stored, never made.

    Args:
        cls: name of the class.
        args: constructor's arguments.
        kwargs: constructor's named arguments.
        state: attributes.
        items: elements, if the class is a list or a set.
        pairs: entries, if the class is a mapping.
    """

    cls: Reference
    args: tuple[Any, ...] = ()
    kwargs: dict[Any, Any] = field(default_factory=dict)
    state: Any = None
    items: list[Any] = field(default_factory=list)
    pairs: list[tuple[Any, Any]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Persistent:
    """Hold a network of a released pickle. The Python source that stands beside it in the file is dropped unread.

    Args:
        class_name: as the file gives it.
        state: the module's attributes: `_parameters`, `_buffers`, `_modules`, `_init_kwargs` and others.
    """

    class_name: str
    state: dict[Any, Any]


@dataclass(slots=True)
class Budget:
    """Bound what reading one file may cost, whatever the file says.

    Args:
        opcodes: instructions left. A released file needs about 100 for each tensor.
        depth: pickles that may still lie inside pickles.
    """

    opcodes: int = 500_000
    depth: int = 3

    def spend(self, count: int = 1) -> None:
        """Count instructions, or what costs as much."""
        self.opcodes -= count
        if self.opcodes < 0:
            raise CheckpointError("more instructions than any checkpoint needs: refused")


_SCALARS = (str, bytes, bool, type(None))
_INTEGER_KEYS = 2**60


def checked_key(key: Any) -> Any:
    """Return a dictionary key or set element that is safe to hash: a scalar, or a flat tuple of scalars.

    Hashing is native recursion, which a deeply nested key would drive into the end of the stack; and integers beyond a
    machine word can be chosen to collide.

    Raises:
        CheckpointError: for anything else.
    """
    for part in key if type(key) is tuple else (key,):
        if not (type(part) in _SCALARS or (type(part) is int and abs(part) < _INTEGER_KEYS)):
            raise CheckpointError(f"a {type(part).__name__} as dictionary key or set element: refused")
    return key
