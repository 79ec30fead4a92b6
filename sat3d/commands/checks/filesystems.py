"""What a filesystem can do: tried with a small file that is gone afterwards."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

NETWORK = (
    "nfs",
    "cifs",
    "smb",
    "lustre",
    "gpfs",
    "beegfs",
    "ceph",
    "9p",
    "afs",
    "panfs",
    "wekafs",
    "fuse.",
    "virtiofs",
)
MOUNTS = Path("/proc/self/mountinfo")
# Another process must not get the lock; one and the same process would.
RIVAL = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'ab'), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)"


@dataclass(frozen=True)
class Space:
    """Hold what is free on a filesystem.

    Args:
        free: bytes that this user may still write, or nothing where the system does not tell.
        files: files that may still be made, or nothing where there is no such limit.
    """

    free: int | None
    files: int | None


def nearest(folder: Path) -> Path:
    """Return the folder itself, or the nearest one above it that is there."""
    folder = folder.absolute()
    return next(each for each in (folder, *folder.parents) if os.path.lexists(each))


def space(folder: Path) -> Space:
    """Measure what is free."""
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize if found.f_blocks else None
    return Space(free, found.f_favail if found.f_files else None)


def kind(folder: Path) -> str:
    """Return the type of the filesystem that a folder is on, e.g. `ext4`; empty where the system does not tell."""
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return ""
    resolved, best = folder.resolve(), (-1, "")
    for line in lines:
        fields, _, rest = line.partition(" - ")
        point = Path(fields.split()[4].encode().decode("unicode_escape"))
        if resolved.is_relative_to(point) and len(point.parts) >= best[0]:
            best = len(point.parts), rest.split()[0]
    return best[1]


def is_network(name: str) -> bool:
    """Tell whether files of such a filesystem may be on another machine."""
    return name.startswith(NETWORK) and "overlay" not in name


def try_writing(folder: Path) -> None:
    """Write a small file, bring it to the disk, rename it and remove it, as checkpoints are written.

    Raises:
        OSError: one of these does not work; its message begins with which.
    """
    told, path, moved = "a file cannot be made", "", ""
    try:
        descriptor, path = tempfile.mkstemp(dir=folder, prefix=".sat3d-doctor-")
        try:
            told = "writing fails"
            os.write(descriptor, bytes(4096))
            told = "fsync fails"
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        told, moved = "renaming fails", f"{path}.moved"
        Path(path).replace(moved)
        told = "removing fails"
        Path(moved).unlink()
    except OSError as error:
        raise OSError(error.errno, f"{told} ({error.strerror})") from error
    finally:
        for left in filter(None, (path, moved)):
            Path(left).unlink(missing_ok=True)


def lock_holds(folder: Path) -> bool:
    """Tell whether a lock on one byte of a file keeps another process out, as shared caches need it.

    Raises:
        OSError: there are no locks at all.
    """
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".sat3d-doctor-") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
        command = [sys.executable, "-I", "-S", "-c", RIVAL, file.name]
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode != 0
