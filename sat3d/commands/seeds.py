"""What `generate` and `edit` share: seeds, cameras and the folder for the files."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from sat3d.generators import Generator
    from sat3d.ops.camera import Camera

STREAM = "seeds"


def parse_seeds(text: str) -> list[int]:
    """Read `0-15`, `3,7` or `0-3,8` as numbers.

    Raises:
        ValueError: if it is none of these.
    """
    numbers: list[int] = []
    for part in str(text).split(","):
        found = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not found or int(found[2] or found[1]) < int(found[1]):
            raise ValueError(f"seeds={text!r}: give numbers and ranges from 0 on, such as 0-15 or 3,7,12")
        numbers += range(int(found[1]), int(found[2] or found[1]) + 1)
    return numbers


def writable(out: str) -> Path:
    """Make a folder and check that files can be written there, before any work is done.

    Raises:
        OSError: if they cannot.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"out={out!r}: cannot write there ({error.strerror}); name another folder") from error
    return folder


def styles_of(generator: Generator, seeds: Sequence[int], truncation: float) -> Tensor:
    """Return the styles of seeds, (B, C)."""
    from sat3d.generators import CodeStream

    z = CodeStream(0, generator.z_dim, stream=STREAM).z(list(seeds)).to(generator.device)
    return generator.styles(generator.map(z, truncation=truncation))


def camera_of(generator: Generator, yaw: float | None, pitch: float | None) -> Camera | None:
    """Return the camera of a 3-D generator, frontal unless angles are given; `None` for a 2-D one.

    Raises:
        ValueError: if angles are given for a 2-D generator.
    """
    if generator.cameras is None:
        if yaw is not None or pitch is not None:
            raise ValueError(f"yaw, pitch: {generator.name or 'this'} is a 2-D generator and takes no camera")
        return None
    return generator.cameras.at(yaw or 0.0, pitch or 0.0).to(generator.device)
