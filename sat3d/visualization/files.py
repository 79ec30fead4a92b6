"""Writing files that people look at: whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from sat3d.replacing import replacing


def to_uint8(images: Float[Tensor, "*b 3 h w"]) -> UInt8[np.ndarray, "*b h w 3"]:
    """Turn pictures in [-1, 1] into bytes, channels last."""
    scaled = images.detach().float().clamp(-1, 1).add(1).mul(127.5).round()
    return scaled.byte().movedim(-3, -1).cpu().numpy()  # type: ignore[no-any-return]


def write_picture(path: str | Path, picture: UInt8[np.ndarray, "h w 3"]) -> Path:
    """Write a picture as PNG or JPEG, by the suffix."""
    from PIL import Image

    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary)
    return Path(path)


def write_clip(path: str | Path, frames: Iterable[UInt8[np.ndarray, "h w 3"]], fps: int = 15) -> Path:
    """Write frames as `.mp4`, endless `.gif` or endless `.webp`, by the suffix.

    Raises:
        ValueError: for another suffix.
    """
    import imageio.v2 as imageio

    path = Path(path)
    if path.suffix not in (".mp4", ".gif", ".webp"):
        raise ValueError(f"a clip is .mp4, .gif or .webp, not {path.name!r}")
    with replacing(path) as temporary:
        if path.suffix == ".webp":
            from PIL import Image

            first, *others = (Image.fromarray(frame) for frame in frames)
            first.save(temporary, save_all=True, append_images=others, duration=round(1000 / fps), loop=0, quality=80)
            return path
        # The codec of .mp4 wants even sides; macro_block_size 2 pads by at most one pixel.
        gif = {"duration": 1000 / fps, "loop": 0}
        options = gif if path.suffix == ".gif" else {"fps": fps, "macro_block_size": 2, "quality": 8}
        writer: Any = imageio.get_writer(temporary, mode="I", **options)
        with writer:
            for frame in frames:
                writer.append_data(frame)
    return path
