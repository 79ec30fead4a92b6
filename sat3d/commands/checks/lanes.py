"""Checks in child processes side by side: one row of checks in each."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from sat3d.commands.checks.finding import REPORT, Finding, one_line
from sat3d.commands.checks.running import Unit, apart

GLANCE = 0.25  # seconds between two words on what is going on


class Lanes:
    """Start rows of checks at once, and hand out what each check found.

    Args:
        rows: the checks of each child process, in order.

    Example:
        >>> lanes = Lanes([("devices", "renderer"), ("imports",)])
        >>> for text in lanes.until("devices"):
        ...     print(text)
        >>> lanes.found("devices")
    """

    def __init__(self, rows: Sequence[Sequence[str]]) -> None:
        self._found: dict[str, list[Finding]] = {check: [] for row in rows for check in row}
        self._done = {check: threading.Event() for check in self._found}
        self._now: dict[int, str] = {}
        for i, row in enumerate(rows):
            threading.Thread(target=self._run, args=(i, row), daemon=True).start()

    def until(self, check: str) -> Iterator[str]:
        """Wait for a check, and say from time to time what is being looked at."""
        while not self._done[check].wait(GLANCE):
            yield ", ".join(self._now.values())

    def found(self, check: str) -> list[Finding]:
        """Return what a check found."""
        if check == "imports":
            from sat3d.commands.checks.imports import summary

            return summary(self._found[check])
        return self._found[check]

    def _run(self, i: int, row: Sequence[str]) -> None:
        try:
            units = [unit for check in row for unit in _units(check)]

            def begin(unit: Unit) -> None:
                self._now[i] = " ".join(filter(None, unit))
                for check in row[: row.index(unit[0])]:
                    self._done[check].set()

            for (check, _), finding in apart(units, begin):
                self._found[check].append(finding)
        except Exception as error:
            told = f"the check itself failed: {one_line(error)}"
            self._found[row[-1]].append(Finding(row[-1], told, "problem", REPORT))
        finally:
            self._now.pop(i, None)
            for check in row:
                self._done[check].set()


def _units(check: str) -> list[Unit]:
    if check != "imports":
        return [(check, "")]
    from sat3d.commands.checks.imports import parts

    return [(check, part) for part in parts()]
