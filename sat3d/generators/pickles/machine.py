"""The state of an interpreter of pickle's opcodes, which imports nothing: what a name means, its rules decide.

`pickle.Unpickler` is not used, subclassed or not: it calls whatever stands on its stack, copies all bytes and sizes its
memo as the file says. Here every instruction is counted, every length is compared with the bytes present, and long byte
strings stay where they are in the file, as spans.
"""

from __future__ import annotations

from typing import Any, Protocol

from sat3d.generators.pickles.sources import Span
from sat3d.generators.pickles.values import Budget, CheckpointError, Record, checked_key

LINE = 4096


class Rules(Protocol):
    """Decide what the names in a file mean."""

    def find(self, module: str, name: str) -> Any:
        """Return what stands for a name."""

    def call(self, function: Any, args: Any) -> Any:
        """Return what stands for a call."""

    def new(self, cls: Any, args: Any, kwargs: Any) -> Any:
        """Return what stands for a new object."""

    def build(self, target: Any, state: Any) -> None:
        """Give an object its state."""

    def persistent(self, identity: Any) -> Any:
        """Return what the file keeps elsewhere."""


class Machine:
    """Hold what reading one pickle needs: position, stack, marks and memo.

    Args:
        data: its bytes; there may be more behind it.
        rules: what names mean.
        budget: bounds the instructions.
    """

    def __init__(self, data: Span, rules: Rules, budget: Budget) -> None:
        self.data, self.rules, self.budget = data, rules, budget
        self.source, self.start, self.end = data.source, data.start, len(data)
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def read(self, count: int) -> bytes:
        """Take bytes."""
        if count > self.end - self.at:
            return self.span(count).bytes()  # says what is wrong
        start = self.start + self.at
        self.at += count
        return self.source.read(start, count)

    def span(self, count: int) -> Span:
        """Take bytes and leave them where they are."""
        found = self.data.part(self.at, count)
        self.at += count
        return found

    def number(self, width: int) -> int:
        """Take an unsigned number."""
        return int.from_bytes(self.read(width), "little")

    def line(self) -> bytes:
        """Take what stands before the next line feed."""
        ahead = self.data.part(self.at, min(LINE, len(self.data) - self.at)).bytes()
        line, feed, _ = ahead.partition(b"\n")
        if not feed:
            raise CheckpointError("damaged pickle: a line without an end")
        self.at += len(line) + 1
        return line

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Take the value on top; never across a mark."""
        self.top()
        return self.stack.pop()

    def top(self) -> Any:
        """Look at the value on top."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise CheckpointError("damaged pickle: a value is used that is not there")
        return self.stack[-1]

    def pop_marked(self) -> list[Any]:
        """Take all values above the last mark."""
        if not self.marks:
            raise CheckpointError("damaged pickle: a mark is used that is not there")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def extend(self, values: list[Any]) -> None:
        """Add elements to the list, set or record on top."""
        target = self.top()
        if isinstance(target, set):
            target.update(map(checked_key, values))
        elif isinstance(target, list):
            target.extend(values)
        elif isinstance(target, Record):
            target.items.extend(values)
        else:
            raise CheckpointError(f"damaged pickle: elements are added to a {type(target).__name__}")

    def update(self, values: list[Any]) -> None:
        """Add entries, given as key, value, key, value, …, to the dictionary or record on top."""
        target, pairs = self.top(), pairs_of(values)
        if isinstance(target, dict):
            target.update(pairs)
        elif isinstance(target, Record):
            target.pairs.extend(pairs)
        else:
            raise CheckpointError(f"damaged pickle: entries are added to a {type(target).__name__}")


def pairs_of(values: list[Any]) -> list[tuple[Any, Any]]:
    """Pair keys and values that stand in one row."""
    return [(checked_key(key), value) for key, value in zip(values[::2], values[1::2], strict=True)]
