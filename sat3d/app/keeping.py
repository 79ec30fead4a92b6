"""What visitors share: the generator in turn, and results that are kept until newer ones need their place."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Condition, Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Turn:
    """Let threads in one after the other, in the order in which they came.

    Long work calls `pass_on` between its steps, so that others wait for one step and not for all of it.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._given = self._called = 0

    def __enter__(self) -> None:
        with self._changed:
            mine = self._given
            self._given += 1
            self._changed.wait_for(lambda: self._called == mine)

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._called += 1
            self._changed.notify_all()

    def pass_on(self) -> None:
        """Let those in that wait, and come back behind them."""
        self.__exit__()
        self.__enter__()


class Kept(Generic[T]):
    """Keep the results that were asked for last.

    Args:
        most: how many.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = Lock()
        self._kept: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable) -> T | None:
        """Return what is kept under a key, if anything is."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Hashable, value: T) -> T:
        """Keep a result, and forget the oldest if there are too many."""
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)
        return value

    def get_or_make(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is kept, or make and keep it; two at a time may make it twice."""
        found = self.get(key)
        return self.put(key, make()) if found is None else found
