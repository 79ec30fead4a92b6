"""The shipped weights: what `checkpoints/manifest.json` promises is what is read."""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sat3d.replacing import replacing

Entry = dict[str, Any]
"""One weight's record: file, sha256, bytes, kind, licence, command, seconds, metrics."""


@dataclass(frozen=True)
class ExportConfig:
    """Where a training of shipped weights leaves its result.

    Args:
        folder: Folder for the file and its manifest; ``checkpoints`` replaces what is shipped. ``export`` in the run's
            folder if not given.
        enabled: Whether to export at all; a ``fast_dev_run`` never does.
    """

    folder: str | None = None
    enabled: bool = True

    def written(self, run: str | Path) -> Path:
        """Return the folder in which a run's result goes."""
        return Path(run) / "export" if self.folder is None else Path(self.folder)

    def read(self) -> Path:
        """Return the folder of the weights that are graded where no checkpoint is given: the shipped ones."""
        return checkpoints_folder() if self.folder is None else Path(self.folder)


def checkpoints_folder() -> Path:
    """Return the folder of the shipped weights: inside the package in a wheel, beside it in a source tree."""
    package = Path(__file__).resolve().parent
    carried = package / "checkpoints"
    return carried if carried.is_dir() else package.parent / "checkpoints"


def manifest(folder: Path | None = None) -> dict[str, Entry]:
    """Read the records of all shipped weights by name.

    Raises:
        ValueError: the manifest is damaged.
    """
    path = (folder or checkpoints_folder()) / "manifest.json"
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text()))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); restore it from the repository") from error


def shipped_path(name: str, folder: Path | None = None) -> Path:
    """Return the file of a shipped weight after comparing it with its record.

    Args:
        name: name in the manifest, such as `toyfaces64`.
        folder: another folder of weights with a manifest.

    Raises:
        FileNotFoundError: the name is unknown, or its file is missing.
        ValueError: the file is truncated or not the one that was recorded.
    """
    folder = folder or checkpoints_folder()
    known = manifest(folder)
    if name not in known:
        names = ", ".join(sorted(known)) or "none"
        raise FileNotFoundError(f"no shipped weights named {name!r} in {folder}; there are: {names}")
    path, entry = folder / known[name]["file"], known[name]
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; restore it, or make it with: {entry['command']}")
    size = path.stat().st_size
    if size != entry["bytes"]:
        raise ValueError(
            f"{path} has {size} bytes where the manifest says {entry['bytes']}: it is truncated or damaged"
        )
    if sha256_of(path) != entry["sha256"]:
        raise ValueError(f"{path} is not the file that the manifest describes (sha256 differs); restore it")
    return path


def companion(generator: str, role: str, folder: Path | None = None) -> str | None:
    """Return the shipped network that goes with an embedded world's generator: `toycars-judge` for `toycars64`.

    Args:
        generator: its name, whose letters up to the first other sign name the family.
        role: `labeller`, `judge`, `parser`, `identity` or `clip`.
        folder: another folder of weights with a manifest.

    Returns:
        The name in the manifest, or `None` if there is no such network.
    """
    family = re.match("[a-z]*", generator)
    name = f"{family[0] if family else ''}-{role}"
    return name if name in manifest(folder) else None


def register(
    name: str,
    file: str | Path,
    *,
    kind: str,
    command: str,
    seconds: float,
    metrics: Mapping[str, Any],
    licence: str = "Apache-2.0",
    folder: Path | None = None,
    **extra: Any,
) -> Path:
    """Ship a weight: copy it into the folder, then record it. Each is replaced whole; a failure leaves no partial file.

    Args:
        name: name under which it is loaded.
        file: the finished file; its suffix is kept.
        kind: what it is, such as `generator`, `clip` or `labeller`.
        command: the exact command that made it.
        seconds: how long that took.
        metrics: measured quality.
        licence: SPDX name.
        folder: another folder than the shipped one.
        **extra: further fields of the record.

    Returns:
        The shipped file.
    """
    file, folder = Path(file), folder or checkpoints_folder()
    if not file.is_file():
        raise FileNotFoundError(f"cannot register {name!r}: no file {file}")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}{file.suffix}"
    entry: Entry = {
        "file": target.name,
        "sha256": sha256_of(file),
        "bytes": file.stat().st_size,
        "kind": kind,
        "licence": licence,
        "command": command,
        "seconds": round(seconds, 1),
        "metrics": dict(metrics),
        **extra,
    }
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)  # others may ship at the same time
        records = json.dumps({**manifest(folder), name: entry}, indent=2, sort_keys=True, allow_nan=False) + "\n"
        if not (target.exists() and target.samefile(file)):
            with replacing(target) as partial:
                shutil.copyfile(file, partial)
        with replacing(folder / "manifest.json") as partial:
            partial.write_text(records)
    finally:
        os.close(held)
    return target


def sha256_of(path: Path) -> str:
    """Return a file's sha256, computed once per process, size and modification time."""
    found = path.stat()
    return _sha256(path, found.st_size, found.st_mtime_ns)


@cache
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
