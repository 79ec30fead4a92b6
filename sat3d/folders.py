"""Folders outside of runs: what can be made or fetched again is kept there."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return where things that can be made again are kept: $SAT3D_CACHE, or `sat3d` in the user's cache (~/.cache)."""
    above = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(os.environ.get("SAT3D_CACHE") or above / "sat3d").expanduser().absolute()


def zoo_folder() -> Path:
    """Return where released networks are kept: $SAT3D_ZOO, or the cache."""
    return Path(os.environ.get("SAT3D_ZOO") or cache_folder()).expanduser().absolute()
