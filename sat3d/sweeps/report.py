"""What a sweep leaves: a table of trials, the best settings as a config, and a summary in words."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import FrozenTrial, TrialState

from sat3d.replacing import replacing
from sat3d.sweeps.study import SweepStudy

_STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}
Row = dict[str, Any]


def rows_of(study: SweepStudy, place: Callable[[int], Path]) -> list[Row]:
    """Return a row for each trial: number, state, last value of the metric, settings, seconds, run folder.

    States are `finished`, `pruned`, `failed`, `running`, and `interrupted` for trials that are run again.
    """
    again, metric = study.repeated, study.sweep.metric
    return [
        {
            "trial": trial.number,
            "state": "interrupted" if trial.number in again else _STATES[trial.state],
            metric: _value(trial),
            **study.space.searched(trial.params),
            "seconds": trial.user_attrs.get("seconds"),
            "run": str(place(trial.number)),
        }
        for trial in study.trials
    ]


def write_table(rows: list[Row], path: Path) -> None:
    """Write the rows as CSV."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_best(study: SweepStudy, path: Path, source: str) -> None:
    """Write the best trial's settings as a config that stacks behind the experiment."""
    if (best := study.best) is None:
        return
    experiment = Path(study.sweep.configs[0]).stem if study.sweep.configs else "sweep"
    settings = study.space.settings(best.params)
    settings.setdefault("run", {}).setdefault("name", f"{experiment}-best")
    about = [
        f"# The best of {study.done} trials of {source}: trial {best.number}, {study.sweep.metric} {best.value:.5g}."
    ]
    about.append(f"# {experiment_command(study, path)}")
    with replacing(path) as temporary:
        temporary.write_text("\n".join(about) + "\n" + yaml.safe_dump(settings, sort_keys=False))


def experiment_command(study: SweepStudy, best: Path) -> str:
    """Return the command that trains the experiment with the best settings."""
    configs = [name for name in study.sweep.configs if "logger/" not in name]
    return " ".join(["lightning fit", *(f"--config {shlex.quote(name)}" for name in [*configs, str(best)])])


def summary(study: SweepStudy, folder: Path, rows: list[Row]) -> str:
    """Tell in words what came out."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["state"]] = counts.get(row["state"], 0) + 1
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    lines = [f"{len(rows)} trials: {told}" if rows else "no trial yet"]
    if best := study.best:
        found = ", ".join(f"{name}={_short(value)}" for name, value in study.space.searched(best.params).items())
        lines.append(f"best {study.sweep.metric}: {best.value:.5g}, trial {best.number}: {found}")
    if shares := study.importances():
        lines.append("importance: " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    names = (path.name for path in folder.iterdir() if path.is_file() and path.name not in ("lock", "sweep.yaml"))
    lines.append(f"{folder}: {', '.join(sorted(names))}, trials/")
    if best:
        lines.append(experiment_command(study, folder / "best.yaml"))
    return "\n".join(lines)


def _value(trial: FrozenTrial) -> float | None:
    """Return a trial's result, or the last value that it logged."""
    if trial.state == TrialState.COMPLETE:
        return trial.value
    steps = trial.intermediate_values
    return steps[max(steps)] if steps else None


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
