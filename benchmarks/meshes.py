"""Meshes of ten heads of toyfaces64 against the depth that the generator renders, and against the world's truth.

    python benchmarks/meshes.py --out docs/benchmarks/meshes.json --picture docs/images/meshes.png

Each head (seeds 0 to 9) is seen from the front and from two sides, 64 × 64 rays each; the mesh is hit by the same rays,
exactly. Errors are over the rays whose rendered opacity is above 0.9, in world units and in percent of the head's range
of rendered depth; rays that miss the mesh are counted apart. The truth is what the world says of the code that the
generator was given. A mesh is written in both formats and read again by trimesh.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import trimesh
from matplotlib import colormaps
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.generators import hardware
from sat3d.generators import load_generator
from sat3d.generators.eg3d import EG3D
from sat3d.generators.sampling import SEEDS, CodeStream
from sat3d.ops.camera import Camera
from sat3d.visualization import (
    DensityField,
    cast,
    coloured_depths,
    density_field,
    draw_mesh,
    picture_grid,
    resized,
    surface_level,
    to_uint8,
    write_mesh,
    write_picture,
)
from sat3d.visualization import volumes as levels
from sat3d.visualization.meshes import clean, colour, is_closed, isosurface
from sat3d.world import World, load_world

SIDE, OPAQUE = 64, 0.9
MOST = 0.05  # difference of the full colours in the picture, world units
VIEWS = ((0.0, 0.0), (0.5, 0.2), (-0.5, -0.2))  # yaw and pitch, radians
RESOLUTIONS = (64, 128, 256)


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--heads", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    net, world = load_generator("toyfaces64"), load_world("heads")
    assert isinstance(net, EG3D)
    cameras = net.cameras.at(*(torch.tensor(angles) for angles in zip(*VIEWS, strict=True)))
    found: dict[str, Any] = {
        "date": str(date.today()),
        "hardware": hardware("cpu"),
        "torch": torch.__version__,
        "trimesh": trimesh.__version__,
        "threads": 1,
        "views": VIEWS,
        "side": SIDE,
        "opacity": OPAQUE,
    }
    with torch.no_grad():
        heads = [Head(net, world, cameras, seed) for seed in range(arguments.heads)]
        found["heads"] = [head.measured(128) for head in heads]
        found["levels"] = {
            name: summed([head.measured(128, level(head)) for head in heads]) for name, level in LEVELS.items()
        }
        found["seconds"], found["resolutions"] = {}, {}
        for n in RESOLUTIONS:  # one head: the fine grid takes seconds
            found["seconds"][n] = seconds(heads[0], n)
            found["resolutions"][n] = summed([heads[0].measured(n)])
        if arguments.picture:
            draw(heads[1:9:3], arguments.picture)
    found["all"] = summed(found["heads"])
    show(found)
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


class Head:
    """Hold what is known of a seed: its planes, its rendered depth, and the world's."""

    def __init__(self, net: EG3D, world: World, cameras: Camera, seed: int) -> None:
        self.net, self.cameras, self.seed = net, cameras, seed
        z = CodeStream(0, net.z_dim, stream=SEEDS).z([seed])
        self.styles = net.styles(net.map(z))
        self.planes = net.planes(self.styles)
        seen = net.render(self.planes, self.styles, cameras, neural_resolution=SIDE)
        assert seen.depth is not None and seen.opacity is not None
        self.depth, self.opaque = seen.depth[:, 0], seen.opacity[:, 0] > OPAQUE
        self.truth = world.render(world.coordinates(z), cameras, SIDE).depth
        self.grids: dict[int, tuple[DensityField, Tensor]] = {}
        self.range = float(self.depth[self.opaque].max() - self.depth[self.opaque].min())

    def sampled(self, resolution: int) -> tuple[DensityField, Tensor]:
        """Return the field and its grid, which is made once."""
        if resolution not in self.grids:
            field = density_field(self.net, self.planes)
            self.grids[resolution] = field, field.grid(resolution)
        return self.grids[resolution]

    def measured(self, resolution: int, level: float | None = None) -> dict[str, Any]:
        """Compare the mesh with both."""
        field, grid = self.sampled(resolution)
        level = surface_level(self.net, self.planes) if level is None else level
        bare = isosurface(grid, field, level, close=False)
        mesh, (_, specks, hollows) = clean(isosurface(grid, field, level))
        colour(mesh, field, resolution)
        depth = depths(mesh, self.cameras)
        return {
            "seed": self.seed,
            "level": level,
            "faces": len(mesh.faces),
            "watertight_before": is_closed(bare),
            "watertight": is_closed(mesh),
            "specks": specks,
            "hollows": hollows,
            "reloaded": reloaded(mesh),
            "range": self.range,
            "rendered": errors(depth, self.depth, self.opaque, self.range),
            "truth": errors(depth, self.truth, self.opaque & self.truth.isfinite(), self.range),
            "rendered_truth": errors(self.depth, self.truth, self.opaque & self.truth.isfinite(), self.range),
        }

    def quantile(self, q: float) -> float:
        """Return the density where opaque rays end: a quantile of it."""
        kept, levels.QUANTILE = levels.QUANTILE, q
        try:
            return surface_level(self.net, self.planes)
        finally:
            levels.QUANTILE = kept

    def half_opaque(self) -> float:
        """Return the density at which one step of the renderer takes half of the light."""
        o = self.net.options.rendering
        step = (float(o.ray_end) - float(o.ray_start)) / (o.depth_resolution - 1)
        return 1 + math.log(math.expm1(math.log(2) / step))


LEVELS = {
    "10": lambda head: 10.0,
    "one step half opaque": Head.half_opaque,
    "lower quartile where rays end": lambda head: head.quantile(0.25),
    "median where rays end": lambda head: head.quantile(0.5),
}


def depths(mesh: trimesh.Trimesh, cameras: Camera) -> Tensor:
    """Return where the views' rays meet a mesh, (V, SIDE, SIDE)."""
    vertices = torch.from_numpy(np.array(mesh.vertices))
    faces = torch.from_numpy(np.array(mesh.faces))
    return torch.stack([cast(vertices, faces, cameras[i], SIDE).depth for i in range(len(cameras))])


def errors(a: Tensor, b: Tensor, where: Tensor, extent: float) -> dict[str, float]:
    """Compare depths where both are finite, and tell where the first is not."""
    off = (a - b)[where].double()
    hit = off[off.isfinite()]
    median, high = float(hit.abs().median()), float(hit.abs().quantile(0.95))
    return {
        "bias": float(hit.median()),
        "median": median,
        "p95": high,
        "median_percent": 100 * median / extent,
        "p95_percent": 100 * high / extent,
        "missed": 1 - len(hit) / len(off),
        "within_0.02": float((off.abs() < 0.02).double().mean()),
    }


def reloaded(mesh: trimesh.Trimesh) -> bool:
    """Tell whether both formats give back geometry, colours and watertightness."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("ply", "obj"):
            read = trimesh.load(write_mesh(Path(folder) / f"head.{suffix}", mesh), process=False)
            same = np.allclose(read.vertices, mesh.vertices, atol=1e-6) and np.array_equal(read.faces, mesh.faces)
            same &= np.array_equal(read.visual.vertex_colors, mesh.visual.vertex_colors)
            if not same or is_closed(read) != is_closed(mesh):
                return False
    return True


def summed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Average measures over heads."""
    mean: dict[str, Any] = {
        what: {key: statistics.mean(row[what][key] for row in rows) for key in rows[0][what]}
        for what in ("rendered", "truth", "rendered_truth")
    }
    mean |= {key: statistics.mean(row[key] for row in rows) for key in ("level", "faces", "range", "specks", "hollows")}
    counts = ("watertight_before", "watertight", "reloaded")
    return mean | {key: sum(row[key] for row in rows) for key in counts} | {"heads": len(rows)}


def seconds(head: Head, resolution: int) -> dict[str, float]:
    """Time each step."""
    taken: dict[str, float] = {}
    clock = Clock(taken)
    level = surface_level(head.net, head.planes)
    clock.stop("level")
    field = density_field(head.net, head.planes)
    grid = field.grid(resolution)
    clock.stop("density")
    mesh = isosurface(grid, field, level)
    clock.stop("marching cubes")
    mesh, _ = clean(mesh)
    clock.stop("cleaning")
    colour(mesh, field, resolution)
    clock.stop("colours")
    with tempfile.TemporaryDirectory() as folder:
        write_mesh(Path(folder) / "head.ply", mesh)
    clock.stop("writing .ply")
    return taken


class Clock:
    """Measure steps that follow each other."""

    def __init__(self, taken: dict[str, float]) -> None:
        self.taken, self.start = taken, time.perf_counter()

    def stop(self, step: str) -> None:
        """Note what the step took."""
        now = time.perf_counter()
        self.taken[step] = now - self.start
        self.start = now


def draw(heads: list[Head], path: Path) -> None:
    """Draw pictures, meshes, rendered depth, the meshes' depth, and by how much they differ, from one side."""
    rows = []
    for head in heads:
        camera = head.cameras[1]
        field, grid = head.sampled(128)
        mesh, _ = clean(isosurface(grid, field, surface_level(head.net, head.planes)))
        colour(mesh, field, 128)
        depth, seen = depths(mesh, camera), head.depth[1:2]
        there = torch.stack([head.opaque[1:2], depth.isfinite()])
        maps = coloured_depths(torch.stack([seen, depth.float()]), there.float(), shared=True)[:, 0]
        both = (there.all(0) & head.opaque[1:2])[0]
        off = ((depth[0] - seen[0]) / MOST).clamp(-1, 1).masked_fill(~both, 0).numpy()
        colours = colormaps["RdBu_r"]((off + 1) / 2, bytes=True)[..., :3]
        small = [*maps, np.where(both.numpy()[..., None], colours, 255).astype(np.uint8)]
        picture = to_uint8(head.net.render(head.planes, head.styles, camera).image[0])
        large = to_uint8(draw_mesh(mesh, camera, 192)[0])
        rows.append(np.stack([resized(page, 192) for page in (picture, large, *small)]))
    columns = ["picture", "mesh", "rendered depth", "the mesh's depth", f"behind (red), before, ±{MOST:g}"]
    write_picture(path, picture_grid(np.stack(rows), columns=columns))


def show(found: dict[str, Any]) -> None:
    """Print the tables."""
    print("seed  level  faces  tight before, after, reloaded  median        p95           missed  true: mesh, rendered")
    for row in [*found["heads"], {"seed": "all", **found["all"]}]:
        r, t = row["rendered"], (row["truth"]["median"], row["rendered_truth"]["median"])
        tight = " ".join(f"{int(row[key]):>6}" for key in ("watertight_before", "watertight", "reloaded"))
        print(f"{row['seed']!s:>4}  {row['level']:5.1f} {row['faces']:6.0f} {tight:>29} ", end="")
        print(f" {r['median']:.4f} {r['median_percent']:4.1f} %  {r['p95']:.4f} {r['p95_percent']:4.1f} % ", end="")
        print(f" {r['missed']:6.1%}  {t[0]:.4f}, {t[1]:.4f}")
    for title in ("levels", "resolutions"):
        print(f"{title}: level, bias, median, p95, missed, within 0.02; truth: bias, median, missed")
        for name, row in found[title].items():
            r, t = row["rendered"], row["truth"]
            print(f"  {name!s:<30} {row['level']:5.1f}  {r['bias']:+.4f} {r['median']:.4f} {r['p95']:.4f} ", end="")
            print(f"{r['missed']:5.1%} {r['within_0.02']:.3f}   {t['bias']:+.4f} {t['median']:.4f} {t['missed']:5.1%}")
    for resolution, steps in found["seconds"].items():
        print(f"{resolution}: " + ", ".join(f"{step} {took:.2f} s" for step, took in steps.items()))


if __name__ == "__main__":
    main()
