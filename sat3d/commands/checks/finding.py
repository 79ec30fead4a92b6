"""What a check has to say: one line, how bad it is, and what to type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

REPORT = "sat3d doctor --json true > doctor.json"  # what to send along where nobody knows better
State = Literal["ok", "note", "warning", "problem"]
"""`note`: something optional is not there; `warning`: it works, but not well; `problem`: it stops work."""


@dataclass(frozen=True)
class Finding:
    """Say one thing about this machine.

    Args:
        name: what it is about, a word or two.
        told: what was found, in a sentence.
        state: how bad that is.
        advice: the one command to type, if something is to be done.
        facts: numbers and names behind the sentence, as JSON takes them; bytes and seconds.
    """

    name: str
    told: str
    state: State = "ok"
    advice: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def one_line(error: BaseException, length: int = 240) -> str:
    """Return an exception's class and message, its whitespace folded, at most `length` characters of the message."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message[:length]}" if message else type(error).__name__


def size(count: float) -> str:
    """Write a number of bytes in MB or GB (powers of ten), with two digits at least."""
    number, unit = (count / 1e9, "GB") if count >= 1e9 else (count / 1e6, "MB")
    return f"{number:.1f} {unit}" if number < 10 else f"{number:.0f} {unit}"


def counted(count: int, singular: str, plural: str = "") -> str:
    """Write a number with its noun."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def listed(words: Sequence[str]) -> str:
    """Join words as a sentence does."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
