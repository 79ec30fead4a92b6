"""`generate`: pictures, a grid, an orbit clip and depth of a generator's seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sat3d.commands.seeds import parse_seeds, writable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def main(
    generator: str = "toyfaces64",
    seeds: str = "0-15",
    out: str = "out",
    truncation: float = 1.0,
    yaw: float | None = None,
    pitch: float | None = None,
    frames: int = 30,
    scale: int = 2,
) -> None:
    """Make pictures of a generator's seeds, a grid of them, an orbit clip and depth in colours.

    Args:
        generator: Name or file of a generator.
        seeds: Numbers of the latents, such as 0-15 or 3,7,12.
        out: Folder for the files.
        truncation: Truncation ψ; 1 leaves the code as it is, 0 gives the mean.
        yaw: Camera angle around the head in radians, 3-D generators only.
        pitch: Camera angle from level in radians, positive is below, 3-D generators only.
        frames: Frames of the orbit clip, 0 for none.
        scale: Enlargement of grid and clip.
    """
    numbers = parse_seeds(seeds)

    import torch

    from sat3d.commands.seeds import camera_of, styles_of
    from sat3d.generators import load_generator
    from sat3d.visualization import depth_pictures, orbit_cameras, to_uint8, views, write_clip, write_picture

    net = load_generator(generator)
    camera = camera_of(net, yaw, pitch)
    folder = writable(out)
    with torch.no_grad():
        styles = styles_of(net, numbers, truncation)
        images = views(net, styles, camera)[:, 0]
        columns = min(len(numbers), 8)
        for number, image in zip(numbers, images, strict=True):
            write_picture(folder / f"seed{number:04d}.png", to_uint8(image))
        written = [f"{len(numbers)} pictures", str(write_picture(folder / "grid.png", _grid(images, columns, scale)))]
        if camera is not None:
            depth = torch.from_numpy(depth_pictures(net, styles, camera)).movedim(-1, 1).float() / 127.5 - 1
            written.append(str(write_picture(folder / "depth.png", _grid(depth, columns, scale))))
            if frames > 0:
                orbit = views(net, styles[:columns], orbit_cameras(net, frames)).movedim(0, 1)
                pages = torch.stack([torch.cat(list(page), dim=-1) for page in orbit])
                clip = to_uint8(pages).repeat(scale, axis=1).repeat(scale, axis=2)
                written.append(str(write_clip(folder / "orbit.mp4", clip)))
    print(f"{folder}: " + ", ".join(written))


def _grid(images: Tensor, columns: int, scale: int) -> np.ndarray:
    """Lay pictures out in rows of `columns`; the last one is filled up with white."""
    import torch

    from sat3d.visualization import picture_grid

    blank = -len(images) % columns
    padded = torch.cat([images, torch.ones_like(images[:1]).expand(blank, *images.shape[1:])])
    return picture_grid(padded.unflatten(0, (-1, columns)), scale=scale)
