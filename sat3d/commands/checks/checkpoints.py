"""The shipped weights: whether each is the file that the manifest promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sat3d.commands.checks.finding import Finding, counted, size
from sat3d.commands.checks.requirements import reinstall, typed
from sat3d.shipped import Entry, checkpoints_folder, manifest, sha256_of

POINTER = b"version https://git-lfs.github.com/spec/"  # how a file begins that Git LFS has not fetched


def check(folder: Path | None = None) -> Iterator[Finding]:
    """Compare each file with its record.

    Args:
        folder: another one than that of the shipped weights.
    """
    folder = folder or checkpoints_folder()
    known = manifest(folder)
    if not known:
        yield Finding("manifest", f"no {folder / 'manifest.json'}", "problem", _restore(folder, "manifest.json"))
        return
    good = []
    for name, entry in known.items():
        if wrong := _wrong(folder / entry["file"], entry):
            advice = "git lfs pull" if "LFS" in wrong else _restore(folder, entry["file"])
            yield Finding(name, f"{entry['file']} {wrong}", "problem", advice, {"expected": entry["sha256"]})
        else:
            good.append(name)
    if good:
        total = sum(known[name]["bytes"] for name in good)
        told = f"{size(total)}, each with the sha256 of the manifest: {', '.join(good)}"
        yield Finding(counted(len(good), "file"), told, facts={name: known[name]["sha256"] for name in good})


def _wrong(path: Path, entry: Entry) -> str:
    """Say what is wrong with a file; empty if nothing is."""
    if not path.is_file():
        return "is missing"
    with path.open("rb") as stream:
        if stream.read(len(POINTER)) == POINTER:
            return "is a pointer of Git LFS, whose content was not fetched"
    found = path.stat().st_size
    if found != entry["bytes"]:
        return f"is truncated or damaged: {found} bytes where the manifest says {entry['bytes']}"
    return "" if sha256_of(path) == entry["sha256"] else "is damaged: its sha256 is not that of the manifest"


def _restore(folder: Path, file: str) -> str:
    """Write the command that brings a file back."""
    if (folder.parent / ".git").exists():
        return f"git -C {typed(folder.parent)} checkout -- {folder.name}/{file}"
    return reinstall(["sat3d"])
