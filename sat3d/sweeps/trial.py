"""One trial: a process with a run folder of its own, whose metric is read as it is written."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

LOG, PID = "trial.log", "trial.pid"
GRACE_S = 60.0
"""How long a process may take to end after SIGTERM, seconds: Lightning ends the step and may write a checkpoint."""


def read_metric(path: Path, name: str) -> list[float]:
    """Return the values of a metric in a run's `metrics.csv`, in order; of a file that is being written what is whole.

    The file may be missing, end within a line, or for a moment be shorter than before (a new column has it written
    anew): whoever follows it counts the values that were seen.
    """
    try:
        whole = path.read_text().split("\n")[:-1]  # what follows the last newline is not yet all there
    except (OSError, UnicodeDecodeError):
        return []
    header, *rows = list(csv.reader(whole)) or [[]]
    if name not in header:
        return []
    place = header.index(name)
    values = []
    for row in rows:
        if len(row) == len(header) and row[place]:
            with suppress(ValueError):
                values.append(float(row[place]))
    return values


def metrics_in(path: Path) -> list[str]:
    """Return the metrics that a run's `metrics.csv` has."""
    with suppress(OSError):
        return [name for name in path.read_text().partition("\n")[0].strip().split(",") if name not in ("", "step")]
    return []


class TrialProcess:
    """Run a command in the trial's folder-to-be, its output into a file there.

    It is the leader of a session of its own, so that Ctrl-C reaches it only through `stop`.

    Args:
        words: the command.
        folder: of the run.
        threads: that torch may take.

    Raises:
        FileNotFoundError: there is no such program.
    """

    def __init__(self, words: Sequence[str], folder: Path, threads: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.started = folder, time.monotonic()
        self._kill_at: float | None = None
        with (folder / LOG).open("w") as log:
            log.write(" ".join(words) + "\n")
            log.flush()
            pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            try:
                self._process = subprocess.Popen(words, env=_environment(threads), start_new_session=True, **pipes)
            except FileNotFoundError as error:
                raise FileNotFoundError(f"command: there is no program {words[0]!r}") from error
        (folder / PID).write_text(str(self._process.pid))

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    @property
    def was_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._kill_at is not None

    def poll(self) -> int | None:
        """Return the exit status, or nothing while it runs; what does not end when told to is killed."""
        code = self._process.poll()
        if code is None and self._kill_at is not None and time.monotonic() > self._kill_at:
            self.kill()
        if code is not None:
            (self.folder / PID).unlink(missing_ok=True)
        return code

    def stop(self) -> None:
        """Ask it to end."""
        if self._kill_at is None:
            self._kill_at = time.monotonic() + GRACE_S
            with suppress(ProcessLookupError):
                self._process.terminate()

    def kill(self) -> None:
        """End it, and what it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        (self.folder / PID).unlink(missing_ok=True)

    def tail(self, lines: int = 5) -> str:
        """Return the last lines of its output."""
        return "\n".join((self.folder / LOG).read_text(errors="replace").rstrip().splitlines()[-lines:])


def end_orphan(folder: Path) -> bool:
    """End the process of a trial whose sweep was killed, if it still runs; return whether there was one."""
    with suppress(OSError, ValueError):
        pid = int((folder / PID).read_text())
        (folder / PID).unlink()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        if f"--run.dir={folder}" in command:  # and no other that got its number
            os.killpg(pid, signal.SIGKILL)
            return True
    return False


def _environment(threads: int) -> dict[str, str]:
    own = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}
    defaults = {"WANDB_MODE": "offline", "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    return {**defaults, **os.environ, **own, "PYTHONUNBUFFERED": "1"}
