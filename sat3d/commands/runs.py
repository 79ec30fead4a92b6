"""Run folders: every run has its own, and no run writes over another."""

import os
import tempfile
from collections.abc import Iterable
from itertools import count
from pathlib import Path

_SHARED = "SAT3D_RUN_FOLDER"  # how the first process tells the others that Lightning starts which folder it took


def next_numbered(experiment: Path) -> Path:
    """Make and return the first free `experiment/<number>`; safe where several runs start at once."""
    return _make_free(experiment / str(number) for number in count(_highest(experiment) + 1))


def newest(experiment: Path) -> Path | None:
    """Return the newest numbered run of an experiment, if there is one."""
    number = _highest(experiment)
    return None if number < 0 else experiment / str(number)


def take(folder: Path, *, again: bool = False) -> Path:
    """Make and return the folder that was asked for.

    Args:
        folder: of the run.
        again: it may hold a run, which is gone on with.

    Raises:
        FileExistsError: another run is recorded there.
    """
    if not again and (folder / "config.yaml").exists():
        raise FileExistsError(
            f"--run.dir: {folder} holds a run already (config.yaml); go on with it by --run.resume true, name another "
            "folder, or remove it"
        )
    return _make(folder, exist_ok=True)


def beside(checkpoint: Path, verb: str) -> Path | None:
    """Make and return `<run>/<verb>` for a checkpoint of one of our runs (then `<verb>-2`, …), else nothing."""
    if checkpoint.parent.name != "checkpoints" or not checkpoint.is_file():
        return None
    run = checkpoint.parent.parent
    return _make_free(run / (verb if i == 1 else f"{verb}-{i}") for i in count(1))


def newest_checkpoint(run: Path) -> Path | None:
    """Return a run's newest checkpoint that is whole, if there is one; newer ones that are damaged are warned of."""
    from sat3d.callbacks.checkpoints import newest_readable

    return newest_readable(run / "checkpoints")


def find_checkpoint(wanted: str, experiment: Path) -> str:
    """Return the checkpoint that `--ckpt_path` means: a file, or `last` for the newest whole one of the newest run.

    Raises:
        FileNotFoundError: there is no such file, or no run of the experiment left one.
        ValueError: the file is damaged or no checkpoint.
    """
    from sat3d.callbacks.checkpoints import is_readable

    if wanted in ("best", "hpc", "registry") or "://" in wanted:
        return wanted  # Lightning's own words and places
    if wanted == "last":
        runs = {path.parent.parent for path in experiment.glob("*/checkpoints/*.ckpt")}
        for run in sorted(runs, key=lambda run: (run / "checkpoints").stat().st_mtime, reverse=True):
            if found := newest_checkpoint(run):
                return str(found)
        raise FileNotFoundError(
            f"--ckpt_path last: no run under {experiment} left a checkpoint that can be read; give a path"
        )
    if Path(wanted).is_file() and not is_readable(wanted):
        other = newest_checkpoint(Path(wanted).parent.parent)
        hint = f"; {other} can be read" if other else ""
        raise ValueError(
            f"--ckpt_path: {wanted} is truncated or damaged, or not a checkpoint that Lightning wrote{hint}"
        )
    if not Path(wanted).exists():  # a folder is a sharded checkpoint
        raise FileNotFoundError(
            f"--ckpt_path: no file {wanted}; give a path, or `last` for the newest run of {experiment}"
        )
    return wanted


def launched_from_outside() -> bool:
    """Tell whether torchrun, SLURM or the like started this process as one of several."""
    started = any(name in os.environ for name in ("TORCHELASTIC_RUN_ID", "SLURM_PROCID", "PMI_RANK"))
    size = os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or os.environ.get("PMI_SIZE") or "1"
    return started and int(size) > 1


def share(folder: Path) -> None:
    """Tell the processes that Lightning starts from this one which folder it took."""
    os.environ[_SHARED] = str(folder.resolve())


def shared() -> Path:
    """Return the folder that the first process took.

    Raises:
        ValueError: an outer launcher started this process, so there was nobody to tell.
    """
    if _SHARED not in os.environ:
        raise ValueError("--run.dir: under torchrun or SLURM name the run folder, so that all processes share it")
    return Path(os.environ[_SHARED])


def _highest(experiment: Path) -> int:
    return max((int(path.name) for path in experiment.glob("*") if path.name.isdecimal()), default=-1)


def _make_free(candidates: Iterable[Path]) -> Path:
    for folder in candidates:
        try:
            return _make(folder, exist_ok=False)
        except FileExistsError:
            continue
    raise AssertionError("candidates are endless")


def _make(folder: Path, *, exist_ok: bool) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except FileExistsError:
        if not exist_ok and folder.is_dir():
            raise
        raise NotADirectoryError(f"--run.dir: {folder} is a file, not a folder") from None
    except OSError as error:
        raise OSError(f"--run.root, --run.dir: cannot write to the run folder {folder}: {error.strerror}") from error
    return folder
