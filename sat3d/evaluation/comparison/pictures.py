"""The pictures of a comparison: strips of rising strength for the sliders, orbit clips, and what they start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from sat3d.evaluation.comparison.protocol import MatchedProtocol
from sat3d.evaluation.contestants import Contestant
from sat3d.evaluation.roster import slug
from sat3d.evaluation.rows import Row
from sat3d.evaluation.tasks import Task
from sat3d.visualization import frames_beside, picture_grid, to_uint8, write_clip, write_picture

MULTIPLES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
"""Of the matched strength, for the sliders."""


@dataclass(frozen=True)
class Album:
    """Say what is drawn.

    Args:
        codes: rows of the codes that are shown.
        attributes: all of the comparison.
        clips: attributes whose edit of the first code is seen from all sides; 3-D only.
        side: largest side of a picture, pixels.
        frames: of a clip.
    """

    codes: tuple[int, ...]
    attributes: tuple[str, ...]
    clips: tuple[str, ...] = ()
    side: int = 128
    frames: int = 20


def strip_path(code: int, attribute: str, method: str) -> str:
    """Return where a strip lies in the comparison's folder."""
    return f"pictures/{code}/{slug(attribute)}/{slug(method)}.jpg"


def clip_path(attribute: str, method: str) -> str:
    """Return where a clip lies; its still is beside it, as .jpg."""
    return f"pictures/clips/{slug(method)}-{slug(attribute)}.webp"


@torch.no_grad()
def write_sources(protocol: MatchedProtocol, album: Album, folder: Path) -> None:
    """Draw the unedited codes, and the references of their edits."""
    for row in album.codes:
        number = int(protocol.codes.index[row])
        write_picture(folder / f"pictures/{number}/source.jpg", _joined(protocol.before.image[row : row + 1], album))
        for attribute in album.attributes:
            task = task_of(protocol, attribute, row)
            shown = protocol.pool[protocol.references(task)[row : row + 1]]
            camera = None if protocol.codes.camera is None else protocol.codes.camera[row]
            image = protocol.generator.synthesize(shown.styles, camera=camera).image
            write_picture(folder / f"pictures/{number}/{slug(attribute)}/reference.jpg", _joined(image, album))


@torch.no_grad()
def write_album(protocol: MatchedProtocol, one: Contestant, rows: Sequence[Row], album: Album, folder: Path) -> None:
    """Draw a method's edits of some codes, by rising strength, and its clips."""
    found = strengths_of(rows)
    for row in album.codes:
        number = int(protocol.codes.index[row])
        for attribute in album.attributes:
            task, strength = task_of(protocol, attribute, row), found[attribute, number]
            images = _swept(protocol, one, task, row, strength)
            write_picture(folder / strip_path(number, attribute, one.name), _joined(images, album))
    for attribute in album.clips:
        row = album.codes[0]
        strength = found[attribute, int(protocol.codes.index[row])]
        frames = _orbit(protocol, one, task_of(protocol, attribute, row), row, strength, album)
        path = folder / clip_path(attribute, one.name)
        write_clip(path, frames, fps=10)
        write_picture(path.with_suffix(".jpg"), frames[0])


def strengths_of(rows: Sequence[Row]) -> dict[tuple[str, int], float]:
    """Return the matched strengths, by attribute and number of the code."""
    return {(str(row["attribute"]), int(float(row["code"]))): float(row["strength"]) for row in rows}


def task_of(protocol: MatchedProtocol, attribute: str, row: int) -> Task:
    """Return what is asked of one code."""
    return next(task for task in protocol.tasks(attribute) if row in task.rows.tolist())


def _swept(
    protocol: MatchedProtocol, one: Contestant, task: Task, row: int, strength: float
) -> Float[Tensor, "n 3 h w"]:
    rows = torch.full((len(MULTIPLES),), row)
    codes = protocol.edited_codes(one, task, rows, strength * torch.tensor(MULTIPLES))
    return protocol.shown(one, codes, rows)


def _orbit(
    protocol: MatchedProtocol, one: Contestant, task: Task, row: int, strength: float, album: Album
) -> UInt8[np.ndarray, "t h w 3"]:
    cameras = protocol.generator.cameras
    assert cameras is not None
    camera = cameras.orbit(album.frames).to(protocol.codes.styles.device)
    rows = torch.tensor([row])
    edited = protocol.styles_of(one, protocol.edited_codes(one, task, rows, torch.tensor([strength])))
    clips = [
        protocol.generator.synthesize(styles.expand(len(camera), -1), camera=camera).image
        for styles in (protocol.codes.styles[rows], edited)
    ]
    return frames_beside(*(_fitted(clip, album.side) for clip in clips))


def method_grid(
    folder: Path, code: int, methods: Sequence[str], attributes: Sequence[str], scale: int = 1
) -> UInt8[np.ndarray, "h w 3"]:
    """Lay out a code's edits at their matched strengths, from the strips: a row a method, a column an attribute."""
    place = MULTIPLES.index(1.0)
    source = _read(folder / f"pictures/{code}/source.jpg")
    side = source.shape[0]
    shown = [np.stack([source, *(_read(folder / f"pictures/{code}/{slug(a)}/reference.jpg") for a in attributes)])]
    for method in methods:
        strips = [_read(folder / strip_path(code, attribute, method)) for attribute in attributes]
        shown.append(np.stack([source, *(strip[:, place * side : (place + 1) * side] for strip in strips)]))
    return picture_grid(np.stack(shown), ["reference", *methods], ["source", *attributes], scale)


def _read(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"))


def _fitted(images: Tensor, side: int) -> Tensor:
    if images.shape[-1] <= side:
        return images
    return interpolate(images, (side, side), mode="bilinear", antialias=True)


def _joined(images: Float[Tensor, "n 3 h w"], album: Album) -> UInt8[np.ndarray, "h w 3"]:
    return np.concatenate(list(to_uint8(_fitted(images, album.side))), axis=1)
