"""Where configs are found: on disk as given, or among the experiments that the package carries."""

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

_CONFIG = {"-c", "--config"}


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
    """Replace every value of `--config` in a command line by the file it means.

    Where there is none but a `--ckpt_path` of one of our runs, the config that this run recorded is put first.
    """
    args = [part for argument in args for part in _split(argument)]
    given = {flag: value for flag, value in pairwise(args) if flag in (*_CONFIG, "--ckpt_path")}
    recorded = Path(given.get("--ckpt_path", "")).parent.parent / "config.yaml"
    if not given.keys() & _CONFIG and "--ckpt_path" in given and recorded.is_file():
        args = ["--config", str(recorded), *args]
    before = ["", *args[:-1]]
    return [str(find_config(value)) if flag in _CONFIG else value for flag, value in zip(before, args, strict=True)]


def _split(argument: str) -> list[str]:
    flag, equals, value = argument.partition("=")
    return [flag, value] if equals and flag in (*_CONFIG, "--ckpt_path") else [argument]
