"""Where configs are found: on disk as given, or among the experiments that the package carries."""

import json
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

_CONFIG = {"-c", "--config"}
_WITHIN = re.compile(r"--(model|data)\.init_args\.\w+\.")


def experiments_folder() -> Path:
    """Return the folder of the shipped experiments: inside the package in a wheel, beside it in a source tree."""
    package = Path(__file__).resolve().parent
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
    near = get_close_matches(name, known, n=3) or [*known[::12], "…"]
    raise FileNotFoundError(f"--config: no file {name}; shipped experiments are, for example, {', '.join(near)}")


def with_bases(config: Path) -> list[Path]:
    """Return a config behind the one that it changes, if its `base` names one, and so on: what is read first is first.

    Raises:
        FileNotFoundError: a base is neither a file nor the name of a shipped experiment.
        ValueError: configs are each other's base.
    """
    chain = [config]
    while (base := _base(chain[0])) is not None:
        found = find_config(base)
        if any(found.samefile(known) for known in chain):
            raise ValueError(f"{chain[0]}: its base {base} leads back to it")
        chain.insert(0, found)
    return chain


def read_config(config: Path) -> dict[str, Any]:
    """Read a config on top of those that it changes: mappings are joined, all else is replaced.

    Raises:
        FileNotFoundError: see `with_bases`.
        ValueError: see `with_bases`.
    """
    merged: dict[str, Any] = {}
    for path in with_bases(config):
        merged = _joined(merged, yaml.safe_load(path.read_text()) or {})
    return {key: value for key, value in merged.items() if key != "base"}


def _base(config: Path) -> str | None:
    content = yaml.safe_load(config.read_text())
    return content.get("base") if isinstance(content, dict) else None


def _joined(first: Any, second: Any) -> Any:
    if not isinstance(first, dict) or not isinstance(second, dict):
        return second
    if first.get("class_path", second.get("class_path")) != second.get("class_path", first.get("class_path")):
        return second
    return {key: _joined(first.get(key), second[key]) if key in second else first[key] for key in {**first, **second}}


def resolve_configs(args: Sequence[str]) -> list[str]:
    """Replace every value of `--config` in a command line by the file it means, behind those that it changes.

    Where there is none but a `--ckpt_path` of one of our runs, the config that this run recorded is put first.
    """
    args = [part for argument in args for part in _split(argument)]
    given = {flag: value for flag, value in pairwise(args) if flag in (*_CONFIG, "--ckpt_path")}
    recorded = Path(given.get("--ckpt_path", "")).parent.parent / "config.yaml"
    if not given.keys() & _CONFIG and "--ckpt_path" in given and recorded.is_file():
        args = ["--config", str(recorded), *args]
    before = ["", *args[:-1]]
    words: list[str] = []
    for flag, value in zip(before, args, strict=True):
        if flag in _CONFIG:
            *bases, config = with_bases(find_config(value))
            words += [word for base in bases for word in (str(base), "--config")] + [str(config)]
        else:
            words.append(value)
    return _with_nulls(words)


def _with_nulls(words: Sequence[str]) -> list[str]:
    """Write null settings within settings as small configs: of an option jsonargparse would make the text "None".

    `None`, which W&B's agents write, is null too. What configs and options have said of the settings beside a null is
    said again, since plain dictionaries are replaced whole.
    """
    found: list[str] = []
    said: dict[str, Any] = {}
    for flag, value in _options(words):
        if flag in _CONFIG and value is not None:
            said = _joined(said, yaml.safe_load(Path(value).read_text()) or {})
            found += [flag, value]
        elif value is None or not flag.startswith("--"):
            found += [flag] if value is None else [flag, value]
        else:
            path = flag.removeprefix("--").split(".")
            null = value in ("null", "None")
            told = _nested(path, None if null else _read(value))
            if null and _WITHIN.match(flag):
                told = _nested(path[:3], _joined(_at(said, path[:3]), _nested(path[3:], None)))
                found += ["--config", json.dumps(told)]
            else:
                found.append(f"{flag}={'null' if null else value}")
            said = _joined(said, told)
    return found


def _options(words: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Split a command line into options with their values, and words that stand alone."""
    left = list(words)
    while left:
        word = left.pop(0)
        flag, equals, value = word.partition("=")
        if not word.startswith("-"):
            yield word, None
        elif equals:
            yield flag, value
        else:
            yield word, left.pop(0) if left and not left[0].startswith("--") else None


def _split(argument: str) -> list[str]:
    flag, equals, value = argument.partition("=")
    return [flag, value] if equals and flag in (*_CONFIG, "--ckpt_path") else [argument]


def _nested(path: Sequence[str], value: Any) -> Any:
    for part in reversed(path):
        value = {part: value}
    return value


def _at(settings: Any, path: Sequence[str]) -> Any:
    for part in path:
        settings = settings.get(part) if isinstance(settings, dict) else None
    return settings


def _read(value: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value
