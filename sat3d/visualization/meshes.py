"""Meshes of a 3-D generator's codes: marching cubes over the density, cleaned, coloured, written (needs `mesh`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sat3d.generators import Generator
from sat3d.generators.base import NoiseMode
from sat3d.replacing import replacing
from sat3d.visualization.volumes import DensityField, density_field, need_density, surface_level

if TYPE_CHECKING:
    from trimesh import Trimesh

MeshFormat = Literal["ply", "obj"]


@dataclass(frozen=True)
class MeshReport:
    """Tell what a mesh is.

    Args:
        level: the density of its surface.
        vertices: how many.
        faces: how many.
        watertight: whether every edge belongs to two faces that go around alike, so that inside and outside are told.
        parts: connected pieces that are kept.
        specks: pieces that were dropped as too small.
        hollows: pieces that were dropped as walls of hollows inside, which no camera sees.
        capped: whether matter reached the cube's sides, where the mesh was closed by a flat cap.
    """

    level: float
    vertices: int
    faces: int
    watertight: bool
    parts: int
    specks: int
    hollows: int
    capped: bool

    def __str__(self) -> str:
        told = [f"{self.faces} faces", "watertight" if self.watertight else "NOT watertight", f"level {self.level:.3g}"]
        told += [f"parts: {self.parts}"] if self.parts > 1 else []
        told += [f"specks dropped: {self.specks}"] if self.specks else []
        told += [f"hollows filled: {self.hollows}"] if self.hollows else []
        return ", ".join([*told, *(["cut flat at the cube's sides"] if self.capped else [])])


def need_mesh(generator: Generator | None = None, resolution: int = 2) -> None:
    """Check, before any work, that meshes can be made.

    Args:
        generator: what they are to be made of, if anything.
        resolution: samples a side of the cube.

    Raises:
        ImportError: without the extra `mesh`.
        ValueError: for a 2-D generator, or too few samples.
    """
    try:
        import skimage.measure  # noqa: F401
        import trimesh  # noqa: F401
    except ImportError as error:
        raise ImportError("meshes need scikit-image and trimesh: pip install 'sat3d[mesh]'") from error
    if generator is not None:
        need_density(generator)
    if resolution < 2:
        raise ValueError(f"mesh_resolution={resolution}: a mesh takes at least 2 samples a side")


def extract_mesh(
    generator: Generator,
    styles: Float[Tensor, "1 c"],
    *,
    resolution: int = 128,
    level: float | None = None,
    min_share: float = 0.01,
    noise: NoiseMode | torch.Generator = "const",
) -> tuple[Trimesh, MeshReport]:
    """Turn the density of one code into a coloured mesh, in world units: right-handed, y up, a face looks along +z.

    Args:
        generator: a 3-D one, on any device.
        styles: (1, C).
        resolution: samples a side of the cube that the planes cover.
        level: raw density σ of the surface; where the generator's own depth is, if not given (`surface_level`).
        min_share: drop pieces of less than this share of the largest one's area; 1 keeps the largest alone.
        noise: see `Generator.synthesize`.

    Raises:
        ImportError: without the extra `mesh`.
        ValueError: for a 2-D generator; for too few samples; where the densities are all on one side of the level.

    Example:
        >>> G = load_generator("toyfaces64")
        >>> mesh, report = extract_mesh(G, G.styles(G.map(torch.randn(1, G.z_dim))))
        >>> report.watertight
        True
        >>> write_mesh("head.ply", mesh)
    """
    need_mesh(generator, resolution)
    with torch.no_grad():
        net: Any = generator
        planes = net.planes(styles, noise)
    field = density_field(generator, planes)
    level = surface_level(generator, planes) if level is None else level
    grid = field.grid(resolution)
    mesh, parts = clean(isosurface(grid, field, level), min_share)
    colour(mesh, field, resolution)
    edge = max(float(side.max()) for axis in range(3) for side in (grid.select(axis, 0), grid.select(axis, -1)))
    return mesh, MeshReport(level, len(mesh.vertices), len(mesh.faces), is_closed(mesh), *parts, capped=edge > level)


def isosurface(grid: Float[Tensor, "r r r"], field: DensityField, level: float, close: bool = True) -> Trimesh:
    """March cubes through a grid of densities; normals point to where density is lower.

    Args:
        grid: from `DensityField.grid`.
        field: what it was sampled from.
        level: the density of the surface.
        close: end matter that reaches the cube's sides there, by a flat cap; else the mesh is open there.

    Raises:
        ValueError: if the level is outside the densities.
    """
    import trimesh
    from skimage.measure import marching_cubes

    low, high = float(grid.min()), float(grid.max())
    if not low < level < high:
        raise ValueError(f"level={level:g}: the densities of {field.name} lie between {low:g} and {high:g}")
    volume, step = grid.numpy(), field.side / len(grid)
    if close:
        for axis in range(3):
            volume = _with_outside(volume, axis, level)
    # scikit-image counts by the left hand: what it calls ascent has normals that point to lower density.
    vertices, faces, _, _ = marching_cubes(volume, level, gradient_direction="ascent")
    vertices = (vertices.astype(np.float64) + (-0.5 if close else 0.5)) * step - field.side / 2
    return trimesh.Trimesh(vertices, faces, process=False)


def _with_outside(volume: np.ndarray, axis: int, level: float) -> np.ndarray:
    """Add a layer at both ends of an axis: matter is mirrored at the level, so that it ends half a step further out.

    The samples are cells' middles, so that this is the cube's side.
    """
    ends = (volume.take([0], axis), volume.take([-1], axis))
    first, last = (np.minimum(end, 2 * level - end) for end in ends)
    return np.concatenate([first, volume, last], axis=axis)


def clean(mesh: Trimesh, min_share: float = 0.01) -> tuple[Trimesh, tuple[int, int, int]]:
    """Join equal vertices, drop faces without area, specks, and the walls of hollows.

    Args:
        mesh: as cubes were marched.
        min_share: see `extract_mesh`.

    Returns:
        A new mesh, and how many pieces were kept, dropped as specks, and dropped as hollows.

    Raises:
        ValueError: for a share outside [0, 1].
    """
    from trimesh.graph import connected_component_labels

    if not 0 <= min_share <= 1:
        raise ValueError(f"min_share={min_share}: give a share between 0 and 1")
    mesh = mesh.copy()
    mesh.merge_vertices()
    a, b, c = mesh.faces.T
    mesh.update_faces((a != b) & (b != c) & (c != a))
    piece = connected_component_labels(mesh.face_adjacency, node_count=len(mesh.faces))
    area = np.bincount(piece, mesh.area_faces)
    corners = mesh.triangles
    volume = np.bincount(piece, np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)
    hollow = (volume < 0) & is_closed(mesh)  # the volume of an open piece says nothing
    speck = ~hollow & (area < min_share * area[~hollow].max(initial=0.0))
    kept = ~hollow & ~speck
    mesh.update_faces(kept[piece])
    mesh.remove_unreferenced_vertices()
    return mesh, (int(kept.sum()), int(speck.sum()), int(hollow.sum()))


def is_closed(mesh: Trimesh) -> bool:
    """Tell whether a mesh is watertight and its faces go around alike."""
    return bool(mesh.is_watertight and mesh.is_winding_consistent)


def colour(mesh: Trimesh, field: DensityField, resolution: int) -> None:
    """Give every vertex the colour of its place, in bytes; on caps that of the nearest sample inside."""
    inside = field.side / 2 * (1 - 1 / resolution)
    points = torch.from_numpy(np.asarray(mesh.vertices)).float().clamp(-inside, inside)
    set_colours(mesh, field.at(points)[1].clamp(0, 1).mul(255).round().byte().numpy())


def colours_of(mesh: Trimesh) -> UInt8[np.ndarray, "v 3"]:
    """Return the vertex colours of a mesh."""
    visual: Any = mesh.visual
    return np.array(visual.vertex_colors[:, :3])


def set_colours(mesh: Trimesh, colours: UInt8[np.ndarray, "v 3"]) -> None:
    """Colour the vertices of a mesh."""
    from trimesh.visual import ColorVisuals

    mesh.visual = ColorVisuals(mesh, vertex_colors=colours)


def write_mesh(path: str | Path, mesh: Trimesh) -> Path:
    """Write a mesh with its vertex colours as binary `.ply` or as `.obj`, by the suffix; whole or not at all.

    Raises:
        ValueError: for another suffix.
    """
    path = Path(path)
    if path.suffix not in (".ply", ".obj"):
        raise ValueError(f"a mesh is .ply or .obj, not {path.name!r}")
    with replacing(path) as temporary:
        mesh.export(temporary, file_type=path.suffix[1:])
    return path
