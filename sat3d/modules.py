"""Modules of users: imported because a command line names them, never because an editor's card does."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module


def look_here() -> None:
    """Let modules of the working directory be imported, by installed scripts too; behind all others, to hide none."""
    if os.getcwd() not in sys.path:  # noqa: PTH109 - sys.path holds strings
        sys.path.append(os.getcwd())  # noqa: PTH109


def import_modules(names: Sequence[str]) -> None:
    """Import modules that hold classes of a user's own, from the working directory too.

    Raises:
        ImportError: if there is no such module, or it cannot be imported.
    """
    if names:
        look_here()
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            raise ImportError(f"modules: {name!r} cannot be imported: {error}") from error
