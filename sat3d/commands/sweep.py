"""`sweep`: the settings of a config searched by a file in W&B's format, without an account."""

import json
import shlex
import sys
from pathlib import Path

import yaml

from sat3d.commands.runs import next_numbered
from sat3d.configs import find_config

ROOT = Path("runs/sweeps")

Plain = None | bool | int | float | str | list | dict  # type: ignore[type-arg]
"""A setting as YAML has it. (jsonargparse would make an object of an `Any` with a class path.)"""


def main(
    file: str,
    trials: int | None = None,
    jobs: int = 1,
    seed: int = 0,
    options: dict[str, Plain] = {},  # noqa: B006 - never changed
    out: str | None = None,
) -> None:
    """Search settings by a W&B sweep's file: the trials that its agents would run, chosen here by Optuna.

    Each trial is the file's own command line in a process and run folder of its own; what the run writes to its
    metrics.csv is followed, and hopeless trials are ended where the file has early_terminate. The same command with
    --out goes on with a sweep, after Ctrl-C, a crash, or with more --trials. Writes study.db, trials.csv, trials.png,
    and best.yaml, which stacks behind the experiment.

    The same file on W&B: wandb sweep FILE, and then the command that it prints. More in docs/sweeps.md.

    Args:
        file: Sweep in W&B's format; a bare word as well. Those that come with the package lie in experiments/sweeps.
        trials: How many in all, with those that a stopped sweep has; by default the file's run_cap, all points of a
            grid, or 20.
        jobs: Trials at a time; they share the cores.
        seed: Of the points that are drawn.
        options: Settings of all trials, by dotted name, behind those of the file: shorter trainings, say.
        out: Folder of the sweep; of one that is there to go on with it. runs/sweeps/NAME/NUMBER if not given.
    """
    for name, value in {"trials": trials, "jobs": jobs}.items():
        if value is not None and value < 1:
            raise ValueError(f"--{name}={value} must be at least 1")
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise ImportError("sweep needs Optuna: pip install 'sat3d[sweep]'; W&B's own agents do not") from error
    from sat3d.sweeps.plan import read_sweep
    from sat3d.sweeps.space import space_of
    from sat3d.sweeps.study import pruner_of

    path = _found(file)
    sweep = read_sweep(path).with_options(options)
    space = space_of(sweep.parameters)
    pruner_of(sweep.early_terminate)  # what it does not know is told before anything is made
    points = sum(1 for _ in space.grid()) if sweep.method == "grid" else None
    count = min(trials or sweep.run_cap or points or 20, points or sys.maxsize)
    folder = _folder(out, path)
    _same_sweep(folder, sweep.content)

    from sat3d.sweeps.figure import write_parallel
    from sat3d.sweeps.report import rows_of, summary, write_best, write_table
    from sat3d.sweeps.runner import Runner, locked
    from sat3d.sweeps.study import SweepStudy

    with locked(folder):
        study = SweepStudy(folder, sweep, space, seed)

        def report() -> None:
            rows = rows_of(study, runner.place)
            write_table(rows, folder / "trials.csv")
            write_best(study, folder / "best.yaml", file)
            names, log = [p.name for p in space.parameters], [p.log for p in space.parameters]
            write_parallel(rows, names, log, sweep.metric, sweep.maximize, folder / "trials.png")

        runner = Runner(study, folder, jobs, report)
        print(f"{folder}: {count} trials of {file}, {jobs} at a time")
        try:
            runner.run(count)
        except KeyboardInterrupt:
            again = ["sat3d", "sweep", file, f"--trials={count}", f"--jobs={jobs}", f"--seed={seed}", f"--out={folder}"]
            again += [f"--options={json.dumps(options)}"] if options else []
            print(f"\nstopped; to go on, with the trials that ran anew:\n  {shlex.join(again)}", file=sys.stderr)
            sys.exit(130)
        report()
        print(summary(study, folder, rows_of(study, runner.place)))


def _found(file: str) -> Path:
    try:
        return find_config(file)
    except FileNotFoundError as error:
        raise FileNotFoundError(str(error).replace("--config", "--file")) from error


def _folder(out: str | None, path: Path) -> Path:
    if out is None:
        return next_numbered(ROOT / path.stem)
    folder = Path(out)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "sweep.yaml").is_file():
        raise FileExistsError(f"--out: {folder} holds something else than a sweep; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _same_sweep(folder: Path, content: object) -> None:
    """Remember what is searched, and refuse to go on with something else."""
    record = folder / "sweep.yaml"
    if record.is_file() and yaml.safe_load(record.read_text()) != content:
        raise ValueError(f"--out: {folder} is a sweep of another file, see its sweep.yaml; name another folder")
    record.write_text(yaml.safe_dump(content, sort_keys=False))
