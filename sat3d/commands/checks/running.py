"""Running checks so that none can stop the others: guarded in this process, or in a child process that may crash."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from sat3d.commands.checks.finding import REPORT, Finding, one_line

Unit = tuple[str, str]
"""A check, the name of its file, and which part of it is meant: empty for all of it."""
PATIENCE = 120.0  # seconds without news after which a child is given up
CHILD = "import sys; sys.path[:] = sys.argv[2:]; from sat3d.commands.checks.child import main; main()"


def guarded(check: str, part: str = "") -> Iterator[Finding]:
    """Run a check in this process; if it breaks, that is a finding too."""
    try:
        module = import_module(f"sat3d.commands.checks.{check}")
        missing = next(filter(None, map(_missing, getattr(module, "NEEDS", ()))), None)
        if missing:
            yield Finding(check, f"not looked at, since {missing} does not import", "note")
        else:
            yield from module.check(part) if part else module.check()
    except (Exception, SystemExit) as error:
        yield Finding(part or check, f"the check itself failed: {one_line(error)}", "problem", REPORT)


def _missing(module: str) -> str | None:
    try:
        import_module(module)
    except (Exception, SystemExit):
        return module
    return None


def apart(
    units: Sequence[Unit], begin: Callable[[Unit], None] = lambda unit: None, patience: float = PATIENCE
) -> Iterator[tuple[Unit, Finding]]:
    """Run checks in a child process, and those after one that crashes in another.

    Args:
        units: the checks, in order; a child imports things once for all of them.
        begin: told of each unit when it begins.
        patience: seconds without news after which a child is killed.
    """
    left, crashed = list(units), list[str]()
    while left:
        with _complaints() as complaints:
            command = [sys.executable, "-c", CHILD, json.dumps(left), *sys.path]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, stdin=subprocess.DEVNULL)
            started = False
            try:
                for message in _messages(child, patience):
                    if "begin" in message:
                        started = True
                        begin(left[0])
                    elif "end" in message:
                        del left[0]
                    else:
                        yield left[0], Finding(**message)
            finally:
                child.kill()
                child.wait()
            if left:
                death = _death(left[0], child.returncode, complaints, patience, crashed)
                yield left[0], death
                if not started:  # it is not the check's fault, and the next child would do no better
                    return
                crashed += [left[0][1]] * (death.state == "problem")
                del left[0]


def _complaints() -> IO[bytes]:
    """Open where a child's stderr goes; a machine without a usable folder for it is what the doctor is asked about."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return Path(os.devnull).open("w+b")


def _messages(child: subprocess.Popen[bytes], patience: float) -> Iterator[dict[str, Any]]:
    """Read what a child says, until it ends or has been silent for too long."""
    assert child.stdout is not None
    while True:
        watchdog = threading.Timer(patience, child.terminate)
        watchdog.daemon = True
        watchdog.start()
        line = child.stdout.readline()
        watchdog.cancel()
        if not line.endswith(b"\n"):
            child.wait()
            return
        yield json.loads(line)


def _death(unit: Unit, code: int, complaints: IO[bytes], patience: float, crashed: Sequence[str]) -> Finding:
    """Say how a child ended in the middle of a check, and blame a module that crashed another one before."""
    complaints.seek(0)
    lines = [line.strip() for line in complaints.read().decode(errors="replace").split("\n") if line.strip()]
    last = next((line for line in lines if line.startswith("Fatal Python error")), lines[-1] if lines else "")
    if code == -signal.SIGTERM:
        how = f"no answer for {patience:g} s"
    elif code == -signal.SIGKILL:
        how = "killed by the system, as it does where memory runs out"
    elif code < 0:
        how = f"crashed with {signal.Signals(-code).name}" + (f": {last[:240]}" if last else "")
    else:
        how = f"ended its process with code {code}" + (f": {last[:240]}" if last else "")
    check, part = unit
    if check != "imports":
        if any(line.endswith("in _missing") for line in lines):  # the import itself is tried by another check
            return Finding(check, f"not looked at, since importing what it needs {how}", "warning")
        return Finding(check, how, "problem", REPORT)
    files = [Path(found[1]) for line in lines if (found := re.match(r'File "([^"]+)"', line))]
    blamed = next((name for name in crashed if any(name in (*file.parts, file.stem) for file in files)), None)
    if blamed:
        return Finding(part, f"does not import because {blamed} does not", "note", facts={"because": blamed})
    from sat3d.commands.checks.imports import failure

    return failure(part, how)
