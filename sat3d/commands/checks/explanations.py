"""What well-known failures of imports mean, and the command that mends each."""

from __future__ import annotations

import re
from collections.abc import Callable

from sat3d.commands.checks.requirements import distribution_of, install, reinstall, version_of, wanted

LIBRARIES = {"libGL.so.1": "libgl1", "libgomp.so.1": "libgomp1", "libstdc++.so.6": "libstdc++6"}  # Debian's packages


def explain(module: str, message: str) -> tuple[str, str]:
    """Return what a failed import means, and what to type.

    Args:
        module: that failed.
        message: the exception's class and message.
    """
    for pattern, meaning in _KNOWN:
        if match := re.search(pattern, message):
            told, advice = meaning(module, match)
            return f"{told} ({message})", advice
    if module.startswith("sat3d"):
        return message, f"python -c 'import {module}'"
    return message, reinstall([distribution_of(module)])


def _mismatch(module: str, _: re.Match[str]) -> tuple[str, str]:
    """Torchvision's compiled half was made for another torch: which is which stands in its metadata."""
    pair = f"torch {version_of('torch')} and torchvision {version_of('torchvision')}"
    for each in wanted("torchvision"):
        if each.name == "torch" and not each.extra and not each.fits:
            told = f"{pair} do not belong together: this torchvision is made for {each.asked}"
            return told, install([f"torchvision=={version_of('torchvision')}", each.asked])
    told = f"the compiled parts of {pair} do not fit, as where one is a CPU build and one a CUDA build"
    return told, reinstall(["torch", "torchvision"])


def _numpy(module: str, _: re.Match[str]) -> tuple[str, str]:
    told = f"it was made for another numpy than {version_of('numpy')}"
    return told, install([distribution_of(module)], "--upgrade --force-reinstall")


def _library(module: str, match: re.Match[str]) -> tuple[str, str]:
    name = match[1]
    if name.startswith(("libcu", "libnccl", "libnv")):
        return f"{name}, a library of CUDA that torch brings along, is missing", reinstall(["torch"])
    advice = f"sudo apt install {LIBRARIES[name]}" if name in LIBRARIES else f"apt-file search {name}"
    return f"the system's library {name} is missing", advice


def _absent(module: str, match: re.Match[str]) -> tuple[str, str]:
    missing = match[1].partition(".")[0]
    if missing == module:
        return "its metadata is there, but its files are not", reinstall([distribution_of(module)])
    return f"it needs {missing}, which is not installed", install([distribution_of(missing)])


_KNOWN: tuple[tuple[str, Callable[[str, re.Match[str]], tuple[str, str]]], ...] = (
    (r"operator torchvision::|torchvision.*undefined symbol|Couldn't load custom C\+\+ ops", _mismatch),
    (r"compiled using NumPy|numpy.*(size changed|binary incompat)|_ARRAY_API not found|Numba needs NumPy", _numpy),
    (r"(lib[\w+.-]+\.so[\w.]*): cannot open shared object", _library),
    (r"No module named '([\w.]+)'", _absent),
)
