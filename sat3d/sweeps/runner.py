"""Running a sweep's trials: several at a time, followed, pruned, and ended together."""

from __future__ import annotations

import fcntl
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState
from tqdm.auto import tqdm

from sat3d.sweeps.study import SweepStudy
from sat3d.sweeps.trial import TrialProcess, end_orphan, metrics_in, read_metric

POLL_S = 0.5
TRIALS = "trials"


class _Trial:
    """A trial that runs: Optuna's handle, the process, and what is known of its metric."""

    def __init__(self, handle: optuna.Trial, process: TrialProcess, metric: str) -> None:
        self.handle, self.process, self.metric = handle, process, metric
        self.values: list[float] = []
        self._seen: tuple[int, int] | None = None

    def news(self) -> bool:
        """Report what the run has logged since; tell whether it is hopeless.

        The pruner is asked after every value, also of a run that has ended: from the answers it remembers what others
        are held against.
        """
        path = self.process.folder / "metrics.csv"
        if not path.is_file() or (now := (path.stat().st_mtime_ns, path.stat().st_size)) == self._seen:
            return False
        self._seen, hopeless = now, False
        for value in read_metric(path, self.metric)[len(self.values) :]:
            self.values.append(value)
            if math.isfinite(value) and not hopeless:
                self.handle.report(value, step=len(self.values))
                hopeless = self.handle.should_prune()
        return hopeless


class Runner:
    """Run trials until there are as many as wanted.

    Args:
        study: says what is tried.
        folder: of the sweep; trial n runs in `trials/n`.
        jobs: trials at a time.
        after_each: called after every trial.
    """

    def __init__(self, study: SweepStudy, folder: Path, jobs: int, after_each: Callable[[], None]) -> None:
        self.study, self.folder, self.jobs, self.after_each = study, folder, jobs, after_each
        self.running: list[_Trial] = []
        self.done = study.done  # asking the study at every look would read its file each time

    def run(self, count: int) -> None:
        """Go on until `count` trials have ended.

        Raises:
            KeyboardInterrupt: after Ctrl-C or SIGTERM, when all processes have ended and the study says so.
        """
        for begun in self.study.trials:
            if end_orphan(self.place(begun.number)):
                tqdm.write(f"trial {begun.number}: its process outlived the sweep, and was ended")
        with _terminated_as_interrupted(), self._bar(count) as bar:
            try:
                while self.done < count:
                    self._start(count)
                    if not self.running:
                        break  # the grid is at its end
                    time.sleep(POLL_S)
                    for trial in list(self.running):
                        if self._follow(trial):
                            self._show(bar)
            except BaseException:
                self._end_all()
                raise

    def place(self, number: int) -> Path:
        """Return a trial's run folder."""
        return self.folder / TRIALS / str(number)

    def _start(self, count: int) -> None:
        while len(self.running) < self.jobs and self.done + len(self.running) < count:
            handle = self.study.ask()
            if handle is None:
                return
            folder = self.place(handle.number)
            words = self.study.sweep.command_line(self.study.space.values(handle.params))
            threads = max(1, (os.cpu_count() or 1) // self.jobs)
            process = TrialProcess([*words, f"--run.dir={folder}"], folder, threads)
            self.running.append(_Trial(handle, process, self.study.sweep.metric))

    def _follow(self, trial: _Trial) -> bool:
        """Look at a trial; tell whether it has ended."""
        code = trial.process.poll()  # before the file is read: what it wrote last is then there
        if trial.news() and code is None:
            trial.process.stop()
        if code is not None:
            self._finish(trial, code)
        return code is not None

    def _finish(self, trial: _Trial, code: int) -> None:
        self.running.remove(trial)
        trial.handle.set_user_attr("seconds", round(trial.process.seconds, 1))
        number, metric, study = trial.handle.number, trial.metric, self.study.study
        if trial.process.was_stopped:
            study.tell(trial.handle, state=TrialState.PRUNED)
        elif code == 0 and trial.values and math.isfinite(trial.values[-1]):
            study.tell(trial.handle, trial.values[-1])
        else:
            study.tell(trial.handle, state=TrialState.FAIL)
            if code:
                tqdm.write(f"trial {number} failed (exit status {code}):\n{trial.process.tail()}")
            elif trial.values:
                tqdm.write(f"trial {number} failed: its {metric} is {trial.values[-1]}")
            else:
                known = ", ".join(metrics_in(trial.process.folder / "metrics.csv")) or "nothing"
                tqdm.write(f"trial {number} failed: it logged no {metric}, the metric of the sweep, but {known}")
        self.done += 1
        self.after_each()

    def _end_all(self) -> None:
        """End all processes, at a second Ctrl-C at once, and set their trials down to be run again."""
        try:
            for trial in self.running:
                trial.process.stop()
            while any(trial.process.poll() is None for trial in self.running):
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            for trial in self.running:
                trial.process.kill()
        self.running.clear()
        self.study.give_up()
        self.after_each()

    def _bar(self, count: int) -> tqdm[Any]:
        return tqdm(total=count, initial=min(self.done, count), desc="Trials", unit="trial")

    def _show(self, bar: tqdm[Any]) -> None:
        if best := self.study.best:
            bar.set_postfix_str(f"best {best.value:.4g} (trial {best.number})", refresh=False)
        bar.update(self.done - bar.n)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a sweep's folder to one process.

    Raises:
        BlockingIOError: another one is at work there.
    """
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(
                f"--out: a sweep is running in {folder}; wait for it, or name another folder"
            ) from None
        yield


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end a sweep as Ctrl-C does."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: whoever runs it has its own ways
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
