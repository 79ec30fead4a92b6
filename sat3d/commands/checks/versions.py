"""Versions against what the package's own metadata asks for."""

from __future__ import annotations

import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from sat3d import __version__
from sat3d.commands.checks.finding import Finding, listed
from sat3d.commands.checks.requirements import (
    DEVELOPMENT,
    Wanted,
    install,
    install_again,
    source_tree,
    version_of,
    wanted,
)

FIRST = ("torch", "torchvision", "lightning", "torchmetrics", "open-clip-torch", "timm", "kornia")
GIVES = {
    "app": "the web page, `sat3d app`",
    "world": "the renderer of the embedded world: its pictures and truth",
    "dci": "the classifiers of DCI",
    "svm": "InterFaceGAN's support vectors",
    "flows": "StyleFlow",
    "landmarks": "finding faces in pictures, to align them",
    "mesh": "meshes of 3-D generators",
    "parquet": "tables as .parquet",
    "tensorboard": "TensorBoard as a logger",
    "wandb": "Weights & Biases as a logger",
    "sweep": "the search for settings, `sat3d sweep`",
    DEVELOPMENT: "the tests and linters of those who change sat3d",
}


def check() -> Iterator[Finding]:
    """Compare what is installed with what is asked for, extras by the extra that brings them."""
    python = platform.python_version()
    yield Finding("Python", f"{python} ({platform.python_implementation()})", facts={"version": python})
    try:
        asked = wanted()
    except metadata.PackageNotFoundError:
        told = f"{__version__}, imported from a folder without being installed, so nothing tells what it needs"
        yield Finding("sat3d", told, "warning", install_again())
        return
    yield from _sat3d(asked)
    yield from _needed([each for each in asked if not each.extra])
    yield from _extras([each for each in asked if each.extra not in ("", "all")])
    yield from _disagreements({each.name for each in asked if each.extra != DEVELOPMENT and each.installed})


def _sat3d(asked: list[Wanted]) -> Iterator[Finding]:
    version, needs = version_of("sat3d"), metadata.metadata("sat3d")["Requires-Python"] or ""
    if not SpecifierSet(needs).contains(platform.python_version(), prereleases=True):
        told = f"{platform.python_version()} where sat3d wants {needs}"
        yield Finding("Python", told, "problem", "uv venv --python 3.11", {"wanted": needs})
    tree = source_tree()
    place = "from a source tree" if tree else "from a wheel"
    if version != __version__ or (tree and _stale(tree, asked)):
        told = f"{__version__}, {place} that has changed what it asks for since it was installed (as {version})"
        yield Finding("sat3d", told, "warning", install_again())
    else:
        yield Finding("sat3d", f"{__version__}, {place}", facts={"version": version})
    ours = Path(sys.executable).parent
    for command in ("sat3d", "lightning"):
        points = metadata.entry_points(group="console_scripts", name=command)
        others = {point.dist.name for point in points if point.dist} - {"sat3d"}
        first = shutil.which(command)
        if others:
            told = f"{listed(sorted(others))} brings a command of the same name, and the one that came last is there"
            yield Finding(command, told, "warning", install_again())
        elif first and Path(first).parent.resolve() != ours.resolve():
            yield Finding(command, f"typing `{command}` starts that of another Python, {first}", "warning")


def _stale(tree: Path, asked: list[Wanted]) -> bool:
    """Tell whether the source tree asks for something else than what was recorded at its installation."""
    project = tomllib.loads((tree / "pyproject.toml").read_text())["project"]
    groups = {"": project["dependencies"], **project.get("optional-dependencies", {})}
    told = {(canonicalize_name(r.name), str(r.specifier)) for group in groups.values() for r in map(Requirement, group)}
    return told - {("sat3d", "")} != {(each.name, str(each.requirement.specifier)) for each in asked}


def _needed(asked: list[Wanted]) -> Iterator[Finding]:
    wrong = [each for each in asked if not each.fits]
    for each in wrong:
        yield Finding(each.name, _told(each), "problem", install(one.asked for one in wrong))
    good = {each.name: str(each.installed) for each in asked if each.fits}
    order = [name for name in FIRST if name in good] + [name for name in good if name not in FIRST]
    told = ", ".join(f"{name} {good[name]}" for name in order)
    yield Finding("needed", f"{len(good)} of {len(asked)}: {told}", facts=good)


def _extras(asked: list[Wanted]) -> Iterator[Finding]:
    """Tell which extras are there; one that is not is missed by few, one that is too old is a trap."""
    whole = []
    for extra in sorted({each.extra for each in asked}):
        those = [each for each in asked if each.extra == extra]
        old = [each for each in those if each.installed is not None and not each.fits]
        missing = [each for each in those if each.installed is None]
        gives = GIVES.get(extra, f"what needs {listed([each.name for each in those])}")
        facts = {each.name: each.installed for each in those}
        if old:
            told = f"{'; '.join(map(_told, old))}; for {gives}"
            yield Finding(extra, told, "warning", install(each.asked for each in old), facts)
        elif missing:
            told = f"{listed([each.name for each in missing])} not installed; for {gives}"
            yield Finding(extra, told, "note", install(each.asked for each in missing), facts)
        else:
            whole.append(extra)
    good = {each.name: str(each.installed) for each in asked if each.extra in whole and each.extra != DEVELOPMENT}
    if whole:
        told = f"{', '.join(whole)}: " + ", ".join(f"{name} {version}" for name, version in good.items())
        yield Finding("extras", told, facts=good)


def _told(each: Wanted) -> str:
    if each.installed is None:
        return f"{each.name} is missing; {each.asked} is needed"
    if each.installed == "?":
        return f"{each.name} is half installed: its version cannot be read"
    return f"{each.name} {each.installed} does not fit {each.asked}"


def _disagreements(names: set[str]) -> Iterator[Finding]:
    """Find packages of ours that were made for another version of one another, as torchvision is for one torch."""
    for name in sorted(names):
        for each in wanted(name):
            if not each.extra and each.name in names and not each.fits and each.installed != "?":
                told = f"{name} {version_of(name)} is made for {each.asked}, and {each.installed} is installed"
                versioned = re.sub(r"\+.*", "", f"{name}=={version_of(name)}")
                yield Finding(name, told, "warning", install([versioned, each.asked]), {each.name: each.installed})
