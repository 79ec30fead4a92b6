"""`doctor`: whether this machine is ready, and what to type where it is not."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

from sat3d.commands.checks.finding import Finding

# In the order in which they are told. The others take seconds: they import torch, in child processes that may crash.
AT_ONCE = ("versions", "machine", "launcher", "folders", "checkpoints", "tracking")
# What stands in one row shares a process; precision is last, so that nothing runs beside what it times.
APART = (("devices", "networks", "clips", "renderer"), ("imports", "precision"))
SHOWN_AFTER = 2.0  # seconds, after which a terminal is told what takes so long


def main(quick: bool = False, json: bool = False) -> None:
    """Tell whether this machine is ready for sat3d, and what to type where it is not. Nothing is changed or sent.

    It ends with one line, and with exit code 1 if a problem stops work, else 0, also where it warns. In the output no
    key or token appears, and the home folder is ~.

    Args:
        quick: Leave out what takes seconds: imports, devices, precisions, the renderer, clips, released networks.
        json: Print everything as JSON instead, for a bug report.
    """
    from sat3d.commands.checks.report import as_json, lines, plain, problems, verdict

    start, groups = time.monotonic(), {}
    for group, findings in examine(quick, _progress(start)):
        groups[group] = findings
        if not json:
            print(lines(group, findings, sys.stdout), flush=True)
    if json:
        print(plain(as_json(groups, quick, time.monotonic() - start), sys.stdout))
    else:
        print(plain(verdict(groups), sys.stdout))
    if problems(groups):
        sys.exit(1)


def examine(quick: bool, progress: Callable[[str], None] = lambda text: None) -> Iterator[tuple[str, list[Finding]]]:
    """Run the checks; yield what each group found as soon as those before it are told.

    Args:
        quick: only those that take no time.
        progress: told from time to time what is being looked at; empty before something is yielded.
    """
    from sat3d.commands.checks.lanes import Lanes
    from sat3d.commands.checks.running import guarded

    lanes = Lanes([] if quick else APART)
    for check in AT_ONCE:
        progress(check)
        findings = list(guarded(check))
        progress("")
        yield check, findings
    for row in [] if quick else APART:
        for check in row:
            for text in lanes.until(check):
                progress(text)
            progress("")
            yield check, lanes.found(check)


def _progress(start: float) -> Callable[[str], None]:
    """Keep a line about what is being looked at on a terminal, once it takes long."""

    def progress(text: str) -> None:
        if sys.stderr.isatty() and time.monotonic() - start > SHOWN_AFTER:
            line = f"... {text}, {time.monotonic() - start:.0f} s" if text else ""
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    return progress
