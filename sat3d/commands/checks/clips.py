"""Clips: whether ffmpeg is there and writes one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from sat3d.commands.checks.finding import Finding, one_line
from sat3d.commands.checks.requirements import reinstall

NEEDS = ("torch",)


def check() -> Iterator[Finding]:
    """Write four frames as .mp4."""
    import numpy as np
    from imageio_ffmpeg import get_ffmpeg_exe, get_ffmpeg_version  # type: ignore[attr-defined]

    from sat3d.visualization.files import write_clip

    try:
        program, version = get_ffmpeg_exe(), get_ffmpeg_version()
        with tempfile.TemporaryDirectory() as folder:
            frames = [np.full((32, 32, 3), shade, np.uint8) for shade in (0, 80, 160, 240)]
            written = write_clip(Path(folder, "clip.mp4"), frames).stat().st_size
    except Exception as error:
        told = f"no .mp4 can be written, only --clip gif: {one_line(error)}"
        yield Finding("ffmpeg", told, "warning", reinstall(["imageio-ffmpeg"]))
        return
    yield Finding("ffmpeg", f"{version} wrote a clip", facts={"program": program, "bytes": written})
