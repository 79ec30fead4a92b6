"""What `generate` and `edit` share: seeds, classes, cameras, the device and the folder for the files."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sat3d.generators import CameraDistribution, Generator
    from sat3d.ops.camera import Camera


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


def device_of(name: str) -> torch.device:
    """Return a device that can be computed on.

    Raises:
        ValueError: if there is none of that name.
    """
    import torch

    try:
        return torch.empty(0, device=name).device
    except (AssertionError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device={name!r}: {reason} (cpu always works, cuda or cuda:0 where there is a GPU)"
        ) from error


def ws_of(
    generator: Generator,
    seeds: Sequence[int],
    truncation: float,
    cutoff: int | None = None,
    condition: Tensor | None = None,
) -> Tensor:
    """Return the ws of seeds, (B, num_ws, D); `condition` is one for all of them, (1, c_dim)."""
    from sat3d.generators.sampling import SEEDS, CodeStream

    z = CodeStream(0, generator.z_dim, stream=SEEDS).z(list(seeds)).to(generator.device)
    c = None if condition is None else condition.expand(len(z), -1)
    return generator.map(z, c, truncation, cutoff)


def condition_of(generator: Generator, label: int | None) -> Tensor | None:
    """Return a class as the condition of a 2-D generator, (1, c_dim); `None` for one without, or 3-D.

    Raises:
        ValueError: if a class is missing, not wanted, or not among the generator's.
    """
    import torch

    classes = 0 if generator.is_3d else generator.c_dim
    if label is not None and not classes:
        raise ValueError(f"label={label}: this generator has no classes; leave the label out")
    if not classes:
        return None
    if label is None or not 0 <= label < classes:
        given = "" if label is None else f"={label}"
        raise ValueError(
            f"label{given}: this generator draws one of {classes} classes; give --label 0 to {classes - 1}"
        )
    return torch.nn.functional.one_hot(torch.tensor([label], device=generator.device), classes).float()


def cameras_of(
    generator: Generator, *, radius: float | None = None, fov: float | None = None, **others: object
) -> CameraDistribution | None:
    """Return the cameras of a 3-D generator, changed as asked; `None` for a 2-D one.

    Args:
        generator: its own cameras are taken for what is not given.
        radius: distance, world units.
        fov: field of view, degrees.
        others: other settings that a 2-D generator does not have.

    Raises:
        ValueError: if anything is given for a 2-D generator, or makes no sense.
    """
    asked = {"radius": radius, "fov": fov, **others}
    named = ", ".join(name for name, value in asked.items() if value is not None)
    if generator.cameras is None:
        if named:
            raise ValueError(f"{named}: {generator.name or 'this'} is a 2-D generator and takes no camera")
        return None
    if radius is not None and not radius > 0:
        raise ValueError(f"radius={radius}: give a distance above 0")
    if fov is not None and not 0 < fov < 180:
        raise ValueError(f"fov={fov}: give degrees between 0 and 180")
    own = generator.cameras
    return replace(own, radius=radius or own.radius, fov=fov or own.fov)


def camera_of(generator: Generator, yaw: float | None, pitch: float | None) -> Camera | None:
    """Return the camera of a 3-D generator, its view unless angles are given; `None` for a 2-D one.

    Raises:
        ValueError: if angles are given for a 2-D generator.
    """
    cameras = cameras_of(generator, yaw=yaw, pitch=pitch)
    if cameras is None:
        return None
    angles = (own if asked is None else asked for asked, own in zip((yaw, pitch), cameras.view, strict=True))
    return cameras.at(*angles).to(generator.device)
