"""Files for visitors to take away."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from sat3d.app.session import Session
from sat3d.app.visits import Visit

DOWNLOADS = "downloads"
MOST = 64  # folders with files; the oldest go first
LIFE = 3600.0  # seconds, after which an upload that nobody used is removed


def fresh_folder(scratch: Path) -> Path:
    """Make a folder whose name nobody guesses, and remove the oldest ones."""
    forget_uploads(scratch)
    downloads = scratch / DOWNLOADS
    downloads.mkdir(exist_ok=True)
    for old in sorted(downloads.iterdir(), key=lambda f: f.stat().st_mtime)[:-MOST]:
        shutil.rmtree(old, ignore_errors=True)
    folder = downloads / secrets.token_hex(16)
    folder.mkdir()
    return folder


def forget_uploads(scratch: Path, life: float = LIFE) -> None:
    """Remove what was uploaded and never used, where it is older than `life` in seconds."""
    for old in scratch.iterdir():
        if old.name != DOWNLOADS and old.is_dir() and old.stat().st_mtime < time.time() - life:
            shutil.rmtree(old, ignore_errors=True)


def write(
    session: Session, kind: str, visit: Visit, shown: str, stem: Path, progress: Callable[[float, str], object]
) -> Path:
    """Write a file to download: picture, clip, code or command.

    Args:
        session: that showed it.
        kind: which of them.
        visit: what is chosen.
        shown: which picture.
        stem: of the file; a suffix is added.
        progress: told while a clip is drawn.

    Raises:
        ValueError: for another kind.
    """
    from sat3d.visualization import write_picture

    if kind == "picture":
        return write_picture(stem.with_suffix(".png"), session.picture(visit, shown))
    if kind == "clip":
        return session.save_clip(visit, shown, stem.with_suffix(".mp4"), progress=progress)
    if kind == "code":
        return session.save_code(visit, shown, stem.with_name("code.safetensors"))
    if kind == "command":
        path = stem.with_suffix(".txt")
        path.write_text(session.command(visit, shown) + "\n")
        return path
    raise ValueError(f"there is no file of kind {kind!r}")
