"""How findings are told: as aligned lines and a verdict for people, as JSON for bug reports; no secrets in either."""

from __future__ import annotations

import json
import os
import re
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from sat3d import __version__
from sat3d.commands.checks.finding import Finding, counted, size

MARKS = {"ok": "✓", "note": "·", "warning": "!", "problem": "✗"}
PLAIN = {"ok": "+", "note": "-", "warning": "!", "problem": "x"}
WIDTH, NAMES = (72, 140), 17  # fewest and most columns of a line, and those of a name
SECRET = re.compile("KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)

Groups = Mapping[str, Sequence[Finding]]


def discreet(text: str) -> str:
    """Write the home folder as `~`, and leave out what a variable holds whose name says that it is secret."""
    for name, value in os.environ.items():
        if SECRET.search(name) and len(value) >= 8:
            text = text.replace(value, "***")
    text = re.sub(r"(?<=://)[^/\s@]+@", "***@", text)
    for home in {str(Path.home()), str(Path.home().resolve())} - {"/"}:
        text = re.sub(rf"(?<![\w./~-]){re.escape(home)}(?![\w.-])", "~", text)
    return text


def plain(text: str, stream: TextIO) -> str:
    """Replace what a stream cannot encode."""
    encoding = stream.encoding or "ascii"
    return text.encode(encoding, "replace").decode(encoding)


def lines(group: str, findings: Iterable[Finding], stream: TextIO) -> str:
    """Write a group: its name, and for each finding a mark, its name, what was found, and below it what to type.

    Args:
        group: its name.
        findings: in order.
        stream: where it will be written; it decides on marks and width.
    """
    try:
        "".join([*MARKS.values(), "→"]).encode(stream.encoding or "ascii")
        marks, arrow = MARKS, "→"
    except UnicodeEncodeError:
        marks, arrow = PLAIN, "->"
    columns = min(max(shutil.get_terminal_size((120, 24)).columns, WIDTH[0]), WIDTH[1])
    indent, out = " " * (NAMES + 4), [group]
    for each in findings:
        start = f"  {marks[each.state]} {each.name:<{NAMES - 1}} "
        out += textwrap.wrap(
            discreet(each.told), columns, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False
        ) or [start]
        if each.advice:
            out.append(f"{indent}{arrow} {discreet(each.advice)}")  # never wrapped: it is to be copied
    return plain("\n".join(out), stream)


def problems(groups: Groups) -> list[Finding]:
    """Return what stops work, in order."""
    return [each for findings in groups.values() for each in findings if each.state == "problem"]


def verdict(groups: Groups) -> str:
    """Say in one line whether this machine is ready, and for what, or what to do first."""
    if found := problems(groups):
        first = found[0].advice or f"look at {found[0].name}"
        return discreet(f"not ready: {counted(len(found), 'problem')}, first do: {first}")
    facts = [(each.name, each.facts) for findings in groups.values() for each in findings]
    gpus = [each.facts["device"] for each in groups.get("devices", ()) if each.facts.get("device")]
    what = [f"{len(gpus)} x {gpus[0]}" if len(gpus) > 1 else "".join(gpus) or "CPU"] * ("devices" in groups)
    what += [counted(known["usable"], "core") for name, known in facts if name == "processor"]
    what += [size(known["total"]) for name, known in facts if name == "memory" and "total" in known]
    quick = "" if "devices" in groups else " as far as a quick look goes"
    said = f"ready{quick}: {', '.join(what)}" + _bf16(facts)
    warned = sum(each.state == "warning" for findings in groups.values() for each in findings)
    return discreet(said + (f"; {counted(warned, 'warning')} above" if warned else ""))


def _bf16(facts: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Say whether bfloat16 pays on the best device, if that was measured."""
    measured = {name: known["bf16_pays"] for name, known in facts if "bf16_pays" in known}
    best = next((name for name in ("cuda:0", "mps", "cpu") if name in measured), None)
    return "" if best is None else "; bf16 pays here" if measured[best] else "; bf16 does not pay here"


def as_json(groups: Groups, quick: bool, seconds: float) -> str:
    """Write everything as JSON: `ready`, `verdict`, `quick`, `seconds`, versions, and the findings of each group."""
    told = {
        "sat3d": __version__,
        "ready": not problems(groups),
        "verdict": verdict(groups),
        "quick": quick,
        "seconds": round(seconds, 1),
        "groups": {
            group: [
                {"name": each.name, "state": each.state, "told": each.told, "advice": each.advice, "facts": each.facts}
                for each in findings
            ]
            for group, findings in groups.items()
        },
    }
    return json.dumps(_discreet(told), indent=2)


def _discreet(value: Any) -> Any:
    if isinstance(value, str):
        return discreet(value)
    if isinstance(value, dict):
        return {key: _discreet(inner) for key, inner in value.items()}
    return [_discreet(inner) for inner in value] if isinstance(value, list) else value
