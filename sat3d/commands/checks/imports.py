"""Whether packages import: versions can be right and what was compiled still not fit."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from importlib.util import cache_from_source, find_spec
from pathlib import Path

from sat3d.commands.checks.explanations import explain
from sat3d.commands.checks.finding import Finding, counted, listed, one_line
from sat3d.commands.checks.requirements import DATA, DEVELOPMENT, module_of, python, typed, wanted

FIRST = ("numpy", "torch", "torchvision", "lightning")  # others import these, so they are to blame first
OURS = ("sat3d.methods", "sat3d.evaluation")  # which import nearly all the rest of the package
LONG = 10.0  # seconds, above which it is asked what takes so long
_failed: list[str] = []


def parts() -> list[str]:
    """Return the modules to try: of what is installed of what users need, and ours at the end."""
    try:
        modules = {
            module_of(each.name)
            for each in wanted()
            if each.extra != DEVELOPMENT and each.installed and each.name not in DATA
        }
    except PackageNotFoundError:  # imported from a folder
        modules = set(FIRST)
    return [*(name for name in FIRST if name in modules), *sorted(modules - set(FIRST)), *OURS]


def check(module: str) -> Iterator[Finding]:
    """Import one module, and blame the one that failed before if that is in the way again."""
    start = time.perf_counter()
    try:
        import_module("lightning.pytorch" if module == "lightning" else module)
    except (Exception, SystemExit) as error:
        frames = traceback.walk_tb(error.__traceback__)
        through = {str(frame.f_globals.get("__name__", "")).partition(".")[0] for frame, _ in frames}
        blamed = next((name for name in _failed if name in through and name != module), None)
        _failed.append(module)
        if blamed:
            yield Finding(module, f"does not import because {blamed} does not", "note", facts={"because": blamed})
        else:
            yield failure(module, one_line(error))
    else:
        yield Finding(module, "imports", facts={"seconds": round(time.perf_counter() - start, 2)})


def failure(module: str, message: str) -> Finding:
    """Say why a module does not import, as far as the message tells, and what to do.

    Args:
        module: the one that failed.
        message: the exception's line, or how the process ended.
    """
    told, advice = explain(module, message)
    return Finding(module, told, "problem", advice, {"error": message})


def summary(findings: Sequence[Finding]) -> list[Finding]:
    """Fold what went well into one line."""
    seconds = {each.name: each.facts["seconds"] for each in findings if each.state == "ok"}
    others = [each for each in findings if each.state != "ok"]
    if not seconds:
        return others
    total, slowest = sum(seconds.values()), sorted(seconds, key=lambda name: -seconds[name])[:3]
    told = f"import in {total:.1f} s; the slowest: " + listed([f"{name} {seconds[name]:.1f} s" for name in slowest])
    good = Finding(counted(len(seconds), "module"), told, facts={"seconds": seconds})
    return [good, *(_bytecode() if total > LONG else ()), *others]


def _bytecode() -> Iterator[Finding]:
    """Find that each start translates all sources again, which takes longer than all else."""
    torch = find_spec("torch")
    if torch and torch.origin and not Path(cache_from_source(torch.origin)).exists():
        why = "PYTHONDONTWRITEBYTECODE is set" if sys.dont_write_bytecode else "the packages' folder is read-only"
        told = f"each start translates all sources of packages again, for nothing keeps the bytecode ({why})"
        yield Finding(
            "bytecode", told, "warning", f"{python()} -m compileall -q {typed(Path(torch.origin).parents[1])}"
        )
