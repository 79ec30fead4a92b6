"""Grids of pictures with labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from sat3d.visualization.files import to_uint8

GAP, BAND, LINE, PAPER, INK = 4, 18, 14, (255, 255, 255), (40, 40, 40)


def picture_grid(
    images: Float[Tensor, "r c 3 h w"] | UInt8[np.ndarray, "r c h w 3"],
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    scale: int = 1,
) -> UInt8[np.ndarray, "height width 3"]:
    """Lay pictures out in rows and columns, on white.

    Args:
        images: pictures in [-1, 1], (R, C, 3, H, W), or bytes (R, C, H, W, 3).
        rows: labels to the left, R or none.
        columns: labels on top, C or none.
        scale: enlargement without smoothing, so that small pictures stay what they are.

    Raises:
        ValueError: if there are not as many labels as rows or columns.
    """
    from PIL import Image, ImageDraw, ImageFont

    data = to_uint8(images) if isinstance(images, Tensor) else images
    data = data.repeat(scale, axis=2).repeat(scale, axis=3)
    r, c, h, w, _ = data.shape
    if (rows and len(rows) != r) or (columns and len(columns) != c):
        raise ValueError(f"{r} rows and {c} columns do not fit {len(rows)} and {len(columns)} labels")
    font = ImageFont.load_default(size=12)
    left = max((int(font.getlength(label)) + 2 * GAP for label in rows), default=0)
    heads = [_broken(label, font, w + GAP) for label in columns]
    lines = max((head.count("\n") for head in heads), default=0)
    top = BAND + lines * LINE if columns else 0
    page = Image.new("RGB", (left + c * (w + GAP) + GAP, top + r * (h + GAP) + GAP), PAPER)
    draw = ImageDraw.Draw(page)
    for i in range(r):
        y = top + GAP + i * (h + GAP)
        if rows:
            draw.text((left - GAP, y + h / 2), rows[i], INK, font, anchor="rm")
        for j in range(c):
            page.paste(Image.fromarray(data[i, j]), (left + GAP + j * (w + GAP), y))
    for j, head in enumerate(heads):
        middle = left + GAP + j * (w + GAP) + w / 2, (top + GAP) / 2
        draw.multiline_text(middle, head, INK, font, anchor="mm", spacing=1, align="center")
    return np.asarray(page)


def _broken(label: str, font: Any, width: int) -> str:
    """Break a label into lines after spaces, underscores and slashes, where it is wider than its column."""
    lines = [""]
    for word in re.findall(r"[^ _/]*[ _/]?", label):
        if lines[-1] and font.getlength((lines[-1] + word).rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(line.rstrip() for line in lines)


def resized(picture: UInt8[np.ndarray, "h h 3"], side: int) -> UInt8[np.ndarray, "s s 3"]:
    """Bring a picture to a side in pixels: enlarged without smoothing, so that small ones stay what they are."""
    from PIL import Image

    how = Image.Resampling.NEAREST if side >= len(picture) else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(picture).resize((side, side), how))


def difference(a: Float[Tensor, "*b 3 h w"], b: Float[Tensor, "*b 3 h w"], gain: float = 2.0) -> Tensor:
    """Show where two pictures differ: white where they agree, darker with the mean absolute difference, in [-1, 1]."""
    amount = (a.clamp(-1, 1) - b.clamp(-1, 1)).abs().mean(-3, keepdim=True)
    return (1 - gain * amount).clamp(-1, 1).expand_as(a)
