"""Folders that are written to: whether they can be, whether there is space, and whether locks hold."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sat3d.commands.checks.filesystems import is_network, kind, lock_holds, nearest, space, try_writing
from sat3d.commands.checks.finding import Finding, State, counted, listed, size
from sat3d.commands.checks.requirements import typed
from sat3d.folders import cache_folder, zoo_folder

FULL, SHORT = 2e8, 5e9  # free bytes below which a run cannot leave its checkpoints, and a long one may not
FEW = 1000  # files that may still be made
FREE = "df -h"


def check() -> Iterator[Finding]:
    """Try every folder that runs and downloads write to."""
    yield look("runs", Path("runs"), "lightning fit --run.root=DIR ...", stops=True)
    yield look("cache", cache_folder(), "export SAT3D_CACHE=DIR", stops=True, locks=True)
    if zoo_folder() != cache_folder():
        yield look("networks", zoo_folder(), "export SAT3D_ZOO=DIR")
    yield look("torch hub", Path(_home("TORCH_HOME", "torch"), "hub"), "export TORCH_HOME=DIR")
    yield look("HF cache", huggingface(), "export HF_HOME=DIR")
    yield _temporary()


def huggingface() -> Path:
    """Return where huggingface_hub keeps what open_clip downloads."""
    return Path(os.environ.get("HF_HUB_CACHE") or Path(_home("HF_HOME", "huggingface"), "hub")).expanduser()


def _home(variable: str, name: str) -> Path:
    above = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(os.environ.get(variable) or above / name).expanduser()


def _temporary() -> Finding:
    try:
        return look("temporary", Path(tempfile.gettempdir()), "export TMPDIR=DIR", stops=True)
    except OSError as error:
        return Finding("temporary", f"no folder for temporary files: {error.strerror}", "problem", "export TMPDIR=DIR")


def look(name: str, folder: Path, advice: str, stops: bool = False, locks: bool = False) -> Finding:
    """Try one folder; one that is not there yet is tried where it would be made, and not made.

    Args:
        name: what it is for.
        folder: its path.
        advice: what to type if it cannot be used.
        stops: whether work stops without it.
        locks: whether its files are locked, so that several processes share them.
    """
    place = nearest(folder)
    bad: State = "problem" if stops else "warning"
    told = f"{folder}" + ("" if place == folder.absolute() else " (not made yet)")
    facts: dict[str, object] = {"path": str(folder.absolute()), "exists": folder.is_dir()}
    if not place.is_dir():
        return Finding(name, f"{told}: {place} is no folder", bad, advice, facts)
    try:
        left = space(place)
        facts |= {"free": left.free, "files": left.files}
        short = [size(left.free)] if left.free is not None and left.free < FULL else []
        short += [counted(left.files, "file")] if left.files is not None and left.files < FEW else []
        if short:
            return Finding(name, f"{told}: full, {listed(short)} left", bad, f"{FREE} {typed(place)}", facts)
        try_writing(place)
    except OSError as error:
        return Finding(name, f"{told}: {error.strerror}", bad, advice, facts)
    system = kind(place)
    facts |= {"filesystem": system, "network": is_network(system)}
    told += ": space unknown" if left.free is None else f": {size(left.free)} free"
    told += f"{f' on {system}' if system else ''}; write, fsync and rename work"
    if locks:
        try:
            facts["lock"] = lock_holds(place)
        except OSError:
            facts["lock"] = False
        if not facts["lock"]:
            return Finding(name, f"{told}, but locks do not keep other processes out", bad, advice, facts)
        told += ", locks hold"
    if stops and facts["network"]:
        told += "; on a network, and what other machines see was not tried" if locks else "; on a network"
        return Finding(name, told, "warning", advice, facts)
    if stops and left.free is not None and left.free < SHORT:
        return Finding(name, f"{told}; little for long runs", "warning", f"{FREE} {typed(place)}", facts)
    return Finding(name, told, facts=facts)
