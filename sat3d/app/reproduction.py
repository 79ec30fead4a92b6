"""The command line that makes a picture of the page."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from sat3d.app.visits import REFERENCE, SOURCE, Origin, Visit
from sat3d.commands.sources import CHANNELS

if TYPE_CHECKING:
    from sat3d.app.session import Session


def command_of(session: Session, visit: Visit, shown: str) -> str:
    """Return the command that makes a picture; uploads are named as files of the folder in which it is typed.

    Args:
        session: that showed the picture.
        visit: what was chosen.
        shown: `source`, `reference`, or the name of a method.
    """
    origin = visit.reference if shown == REFERENCE else visit.source
    changes = visit.of(shown) if shown in session.methods else ()
    view = [] if visit.view is None else [f"--yaw={visit.view[0]!r}", f"--pitch={visit.view[1]!r}"]
    if shown == REFERENCE and isinstance(origin, str) and visit.view is None and session.generator.is_3d:
        view = [f"--{name}={angle!r}" for name, angle in zip(("yaw", "pitch"), session.angles(visit), strict=True)]
    if not session.generator.is_3d:
        view = []
    seeds = [o for o in (origin, visit.reference if changes and session.transfers(shown) else 0) if isinstance(o, int)]
    truncated = [f"--truncation={visit.truncation!r}"] if visit.truncation != 1 and seeds else []
    if isinstance(origin, int) and not changes and shown in (SOURCE, REFERENCE, *session.methods):
        words = ["generate", "--generator", session.given, "--seeds", str(origin)]
        return _line([*words, *truncated, *view])
    if not changes:  # an upload as it is: any edit of strength 0
        method = session.methods[CHANNELS]
        changes = ((f"{session.generator.style_space.names[0]}/0", 0.0),)
    else:
        method = session.methods[shown]
    words = ["edit", "--editor", method.given, "--generator", session.given]
    words += ["--source", _origin(session, origin)]
    if method.editor.needs_reference:
        words += ["--reference", _origin(session, visit.reference)]
    words += ["--attribute", ",".join(name for name, _ in changes)]
    module = type(method.editor).__module__
    if not module.startswith("sat3d."):
        words.append(f"--modules=[{module}]")
    amounts = [amount for _, amount in changes]
    words.append(f"--strength={amounts[0]!r}" if len(amounts) == 1 else f"--strength={amounts!r}".replace(" ", ""))
    return _line([*words, *truncated, *view])


def _origin(session: Session, origin: Origin) -> str:
    # "./", so that no name is taken for a seed or an option
    return str(origin) if isinstance(origin, int) else f"./{session.uploads[origin].name}"


def _line(words: list[str]) -> str:
    return shlex.join(["sat3d", *words])
