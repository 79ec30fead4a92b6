"""A sweep's file in W&B's format: what is searched, what counts, and the command line of a trial."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

METHODS = ("random", "grid", "bayes")
_NOTES = ("name", "description", "project", "entity", "program", "command", "run_cap", "apiVersion", "kind")
_KEYS = (*_NOTES, "method", "metric", "parameters", "early_terminate")
_DEFAULT_COMMAND = ["${env}", "${interpreter}", "${program}", "${args}"]
_ENVIRONMENT = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")

Values = Mapping[str, Any]
"""A trial's settings by the names that the file gives them; those of nested parameters are mappings again."""


@dataclass(frozen=True)
class Sweep:
    """Hold what a sweep's file says.

    Args:
        program: what runs a trial.
        command: its command line, with W&B's macros.
        method: `random`, `grid` or `bayes`.
        metric: name of what a run logs and the sweep is after.
        maximize: whether more of it is better.
        parameters: by name, W&B's description of each.
        early_terminate: W&B's description of when a trial is hopeless.
        run_cap: trials, at most.
        content: what tells one sweep from another: the file as it was read.
    """

    program: str
    command: tuple[str, ...]
    method: str
    metric: str
    maximize: bool
    parameters: Mapping[str, Mapping[str, Any]]
    early_terminate: Mapping[str, Any] | None
    run_cap: int | None
    content: Mapping[str, Any]

    def with_options(self, options: Values) -> Sweep:
        """Return the sweep with settings for all of its trials, by dotted name, behind those of its command.

        Raises:
            ValueError: for a setting that is searched.
        """
        if twice := sorted(options.keys() & self.parameters.keys()):
            raise ValueError(f"--options: {', '.join(twice)} is among the parameters of the sweep")
        words = (f"--{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in options.items())
        content = {**self.content, "options": dict(options)} if options else self.content
        return replace(self, command=(*self.command, *words), content=content)

    def command_line(self, values: Values) -> list[str]:
        """Return the words that W&B's agent would run for a trial with these values."""
        filled = _filled(self.program, values)
        words: list[str] = []
        for chunk in self.command:
            chunk = _ENVIRONMENT.sub(lambda found: os.environ.get(found[1], found[1]), chunk)
            if not (chunk.startswith("${") and chunk.endswith("}")):
                words.append(chunk)
            elif chunk[2:-1] in filled:
                words += filled[chunk[2:-1]]
            else:
                raise ValueError(f"command: {chunk} is not served here; there are {', '.join(filled)}")
        return words

    @property
    def configs(self) -> list[str]:
        """The configs that the command line stacks."""
        words = [part for word in self.command for part in word.split("=", 1 if word.startswith("--config=") else 0)]
        return [after for word, after in pairwise(words) if word in ("--config", "-c")]


def read_sweep(path: Path) -> Sweep:
    """Read a sweep's file.

    Raises:
        ValueError: it is no sweep, or one that cannot be run here; the message names the key.
    """
    content = yaml.safe_load(path.read_text())
    if not isinstance(content, dict) or "parameters" not in content:
        raise ValueError(f"{path}: no sweep in W&B's format; that has method, metric, command and parameters")
    for key in content.keys() - set(_KEYS):
        near = get_close_matches(str(key), _KEYS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_KEYS)}"
        raise ValueError(f"{path}: the key {key} is unknown; {hint}")
    method = content.get("method", "")
    if method not in METHODS:
        raise ValueError(f"{path}: method={method!r} is unknown; choose {', '.join(METHODS)}")
    metric = content.get("metric") or {}
    goal = metric.get("goal", "minimize")
    if not isinstance(metric.get("name"), str) or goal not in ("minimize", "maximize"):
        raise ValueError(f"{path}: metric needs a name, such as val/gain_at_drift, and goal minimize or maximize")
    if not isinstance(content["parameters"], dict) or not content["parameters"]:
        raise ValueError(f"{path}: parameters must name at least one setting")
    command = content.get("command") or _DEFAULT_COMMAND
    if not isinstance(command, Sequence) or isinstance(command, str):
        raise ValueError(f"{path}: command must be a list of words")
    return Sweep(
        program=str(content.get("program", "")),
        command=tuple(str(word) for word in command),
        method=method,
        metric=metric["name"],
        maximize=goal == "maximize",
        parameters=content["parameters"],
        early_terminate=content.get("early_terminate"),
        run_cap=content.get("run_cap"),
        content=content,
    )


def _filled(program: str, values: Values) -> dict[str, list[str]]:
    """Return what W&B's macros stand for. Values are written as W&B writes them, by `str`."""
    pairs = [(name, value, f"{name}={value}") for name, value in values.items()]
    return {
        "env": ["/usr/bin/env"],
        "interpreter": ["python"],
        "program": [program],
        "args": [f"--{pair}" for *_, pair in pairs],
        "args_no_hyphens": [pair for *_, pair in pairs],
        "args_no_equals": [word for name, value, _ in pairs for word in (f"--{name}", str(value))],
        "args_no_boolean_flags": [
            f"--{name}" if value is True else f"--{pair}" for name, value, pair in pairs if value is not False
        ],
        "args_json": [json.dumps(dict(values))],
    }
