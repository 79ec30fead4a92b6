"""Where configs are found: on disk as given, or among the experiments that the package carries."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

_FLAGS = ("-c", "--config")


def experiments_folder() -> Path:
    """Return the folder of the shipped experiments: inside the package in a wheel, beside it in a source tree."""
    package = Path(__file__).resolve().parents[1]
    carried = package / "experiments"
    return carried if carried.is_dir() else package.parent / "experiments"


def known_configs() -> list[str]:
    """Name the shipped experiments as `--config` takes them."""
    folder = experiments_folder()
    return sorted(f"experiments/{path.relative_to(folder).as_posix()}" for path in folder.rglob("*.yaml"))


def find_config(name: str) -> Path:
    """Return the file that a `--config` means.

    Raises:
        FileNotFoundError: neither a file nor the name of a shipped experiment.
    """
    given = Path(name)
    if given.is_file():
        return given
    shipped = experiments_folder() / Path(*(given.parts[1:] if given.parts[:1] == ("experiments",) else given.parts))
    if shipped.is_file():
        return shipped
    known = known_configs()
    near = get_close_matches(name, known, n=3) or known
    raise FileNotFoundError(f"--config: no file {name}; shipped experiments are, for example, {', '.join(near)}")


def resolve_configs(args: Sequence[str]) -> list[str]:
    """Replace every value of `--config` in a command line by the file it means."""
    resolved = list(args)
    for i, argument in enumerate(args):
        flag, equals, value = argument.partition("=")
        if flag in _FLAGS and equals:
            resolved[i] = f"{flag}={find_config(value)}"
        elif flag in _FLAGS and i + 1 < len(args):
            resolved[i + 1] = str(find_config(args[i + 1]))
    return resolved
