"""`generate`: pictures of a generator's seeds, and of a 3-D one depth and clips along a camera path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sat3d.commands.seeds import parse_seeds, writable

if TYPE_CHECKING:
    import numpy as np

    from sat3d.generators import CameraDistribution
    from sat3d.ops.camera import Camera
    from sat3d.visualization import Look

Path3D = Literal["orbit", "yaw", "pitch", "turn"]
ROW, ROWS = 8, 8  # most pictures side by side in the grid and the clips, most rows of the grid
WIDEST, SMALLEST = 2048, 128  # sides that suit, pixels: of a page, of a picture on it


def main(
    generator: str = "toyfaces64",
    seeds: str = "0-15",
    out: str = "out",
    truncation: float = 1.0,
    cutoff: int | None = None,
    noise: Literal["const", "none", "random"] = "const",
    label: int | None = None,
    yaw: float | None = None,
    pitch: float | None = None,
    radius: float | None = None,
    fov: float | None = None,
    neural_resolution: int | None = None,
    path: Path3D = "orbit",
    amplitude: tuple[float, float] | None = None,
    frames: int = 30,
    clip: Literal["mp4", "gif"] = "mp4",
    tile: int | None = None,
    mesh: Literal["ply", "obj"] | None = None,
    mesh_resolution: int = 128,
    device: str = "cpu",
) -> None:
    """Make pictures of a generator's seeds and a grid; of a 3-D one also depth, clips along a camera path, and meshes.

    Args:
        generator: Name or file of a generator.
        seeds: Numbers of the latents, such as 0-15 or 3,7,12.
        out: Folder for the files.
        truncation: Truncation ψ; 1 leaves the code as it is, 0 gives the mean.
        cutoff: Truncate only this many of the first w; all of them if not given.
        noise: Noise maps of the synthesis network: those of the training, none, or random ones that belong to the seed.
        label: Class of a conditional 2-D generator, from 0 on.
        yaw: Camera angle around the up axis in radians, 3-D only.
        pitch: Camera angle from level in radians, positive is below, 3-D only.
        radius: Distance of the camera in world units, 3-D only; the generator's own if not given.
        fov: Field of view in degrees, 3-D only; the generator's own if not given.
        neural_resolution: Side of the ray-marched picture in pixels, 3-D only; the generator's own if not given.
        path: Camera path of the clips from the view of the pictures: around it, side to side, up and down, a full turn.
        amplitude: Of the path in yaw and pitch, radians, such as [0.35,0.25]; the generator's own ranges if not given.
        frames: Frames of a clip, 0 for none.
        clip: Format of the clips.
        tile: Side of a picture in the grid and the clips, pixels; what suits if not given.
        mesh: Format of a mesh of every seed; none if not given. 3-D only.
        mesh_resolution: Samples a side of the cube that meshes are made from.
        device: Where to compute, such as cpu or cuda.
    """
    numbers = parse_seeds(seeds)
    for name, value, least in (("frames", frames, 0), ("tile", tile, 1), ("neural_resolution", neural_resolution, 1)):
        if value is not None and value < least:
            raise ValueError(f"{name}={value}: give a number from {least} on")
    if path == "turn" and amplitude is not None:
        raise ValueError("amplitude: a turn has none; leave it out, or take another path")

    import torch
    from tqdm.auto import tqdm

    from sat3d.commands.seeds import cameras_of, condition_of, device_of, ws_of
    from sat3d.generators import load_generator
    from sat3d.visualization import (
        PathClip,
        colour_depth,
        extract_mesh,
        look,
        need_mesh,
        resized,
        to_uint8,
        write_clip,
        write_mesh,
        write_picture,
    )

    net = load_generator(generator, device=device_of(device))
    given = {"yaw": yaw, "pitch": pitch, "radius": radius, "fov": fov}
    cameras = cameras_of(net, **given, neural_resolution=neural_resolution, amplitude=amplitude)
    condition = condition_of(net, label)
    if cutoff is not None and not 0 <= cutoff <= net.num_ws:
        raise ValueError(f"cutoff={cutoff}: this generator has {net.num_ws} w, so give 0 to {net.num_ws}")
    if mesh is not None:
        need_mesh(net, mesh_resolution)
    folder = writable(out)

    row = min(len(numbers), ROW)
    side = tile or max(SMALLEST, min(net.resolution, WIDEST // row))
    around = (0.0, 0.0) if cameras is None else cameras.view
    middle = (around[0] if yaw is None else yaw, around[1] if pitch is None else pitch)
    view = None if cameras is None else cameras.at(*middle).to(net.device)
    pictures: list[np.ndarray] = []
    depths: list[np.ndarray] = []
    looks: list[Look] = []
    meshes: list[str] = []
    with torch.no_grad():
        for number in tqdm(numbers, desc="Pictures"):  # one by one: memory for one picture, which no other one touches
            styles = net.styles(ws_of(net, [number], truncation, cutoff, condition))
            own = torch.Generator().manual_seed(number) if noise == "random" else noise
            seen = look(net, styles, noise=own, neural_resolution=neural_resolution)
            rendering = seen(view)
            picture = to_uint8(rendering.image[0])
            write_picture(folder / f"seed{number:04d}.png", picture)
            if len(pictures) < ROW * ROWS:
                pictures.append(resized(picture, side))
                if rendering.depth is not None and rendering.opacity is not None:
                    depths.append(resized(colour_depth(rendering.depth[:, 0], rendering.opacity[:, 0])[0], side))
            if cameras is not None and frames and len(looks) < row:
                looks.append(seen)
            if mesh is not None:
                own = torch.Generator().manual_seed(number) if noise == "random" else noise
                solid, report = extract_mesh(net, styles, resolution=mesh_resolution, noise=own)
                meshes.append(write_mesh(folder / f"seed{number:04d}.{mesh}", solid).name)
                tqdm.write(f"{meshes[-1]}: {report}")
        written = [f"{len(numbers)} pictures", _write_grid(folder / "grid.png", pictures, row)]
        if depths:
            written.append(_write_grid(folder / "depth.png", depths, row))
        if cameras is not None and looks:
            track = _track(cameras, path, frames, amplitude, middle).to(net.device)
            along = PathClip(looks, track, side)
            written.append(write_clip(folder / f"{path}.{clip}", along.pictures()).name)
            written.append(write_clip(folder / f"{path}-depth.{clip}", along.depths()).name)
        written += [f"{len(meshes)} meshes"] if meshes else []
    if cameras is not None:
        print(f"cameras: radius {cameras.radius:g}, field of view {cameras.fov:g} degrees; see --radius, --fov")
    print(f"{folder}: " + ", ".join(written))


def _write_grid(path: Path, pictures: Sequence[np.ndarray], row: int) -> str:
    """Lay pictures out in rows; the last one is filled up with white."""
    import numpy as np

    from sat3d.visualization import picture_grid, write_picture

    blank = [np.full_like(pictures[0], 255)] * (-len(pictures) % row)
    stacked = np.stack([*pictures, *blank])
    return write_picture(path, picture_grid(stacked.reshape(-1, row, *stacked.shape[1:]))).name


def _track(
    cameras: CameraDistribution,
    path: Path3D,
    frames: int,
    amplitude: tuple[float, float] | None,
    middle: tuple[float, float],
) -> Camera:
    if path == "turn":
        return cameras.turn(frames, middle)
    yaw, pitch = amplitude or (None, None)
    return cameras.orbit(frames, 0.0 if path == "pitch" else yaw, 0.0 if path == "yaw" else pitch, middle)
