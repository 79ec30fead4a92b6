"""What an edit did to the geometry: signed distances between two meshes, as colours and as a picture (needs `mesh`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from sat3d.ops.camera import Camera
from sat3d.visualization.grids import picture_grid
from sat3d.visualization.meshes import colours_of, set_colours
from sat3d.visualization.raycasting import cast, vertex_normals

if TYPE_CHECKING:
    from trimesh import Trimesh

NEIGHBOURS = 16  # faces that are tried for each point, by their middles: those of marching cubes are all small
CHUNK = 2**14  # points at a time
LEAST = 0.005  # of the head's largest extent: differences far below are sampling, and shall look like none
GREY = 0.8  # of a mesh without colours
AMBIENT = 0.35  # of the light; the rest comes from the camera


class GeometryDifference(NamedTuple):
    """Hold two meshes in colours of what changed: red was added by the edit, blue was taken away, white stayed.

    Args:
        source: the source's mesh, coloured; it shows best what went.
        edited: the edit's mesh, coloured; it shows best what came.
        on_source: signed distances of its vertices, world units, (V,): below 0 where the edit's surface lies inside.
        on_edited: signed distances of its vertices: above 0 outside the source's surface.
        scale: the distance of the full colours, world units.
    """

    source: Trimesh
    edited: Trimesh
    on_source: Float[np.ndarray, " v"]
    on_edited: Float[np.ndarray, " w"]
    scale: float


def signed_distance(points: Float[np.ndarray, "n 3"], surface: Trimesh) -> Float[np.ndarray, " n"]:
    """Measure how far points are from a surface, world units: above 0 outside, below 0 inside.

    The distance is that to the nearest of those faces whose middles are nearest: exact where faces are small, as those
    of marching cubes. The sign is that of the nearest face's normal, or of the sum of those that share the nearest edge
    or corner (Baerentzen & Aanaes 2005, doi 10.1109/TVCG.2005.49).

    Args:
        points: (N, 3), world units.
        surface: a closed mesh with normals to the outside.
    """
    from scipy.spatial import KDTree
    from trimesh.triangles import closest_point

    count = min(NEIGHBOURS, len(surface.faces))
    tree, triangles, normals = KDTree(surface.triangles_center), surface.triangles, surface.face_normals
    parts = [np.empty(0)]
    for start in range(0, len(points), CHUNK):
        some = points[start : start + CHUNK]
        near = tree.query(some, k=count)[1].reshape(len(some), count)
        spots = closest_point(triangles[near.ravel()], some.repeat(count, axis=0)).reshape(len(some), count, 3)
        offset = some[:, None] - spots
        distance = np.linalg.norm(offset, axis=-1)
        least = distance.min(1, keepdims=True)
        tied = distance <= least + 1e-9
        outside = np.einsum("nkc,nkc,nk->n", offset, normals[near], tied)
        parts.append(least[:, 0] * np.where(outside < 0, -1.0, 1.0))
    return np.concatenate(parts)


def geometry_difference(source: Trimesh, edited: Trimesh, scale: float | None = None) -> GeometryDifference:
    """Colour the meshes of source and edit by their distance from each other.

    Args:
        source: before.
        edited: after, at the same level and resolution.
        scale: distance of the full colours, world units; if not given, that which 5 % of the vertices exceed, and at
            least 0.5 % of the source's largest extent.

    Raises:
        ValueError: for a scale that is not above 0.
    """
    if scale is not None and not scale > 0:
        raise ValueError(f"scale={scale}: give a distance above 0")
    on_edited = signed_distance(np.asarray(edited.vertices), source)
    on_source = -signed_distance(np.asarray(source.vertices), edited)
    if scale is None:
        amount = np.abs(np.concatenate([on_edited, on_source]))
        scale = max(float(np.quantile(amount, 0.95)), LEAST * float(source.extents.max()))
    shown = (_in_colours(source, on_source / scale), _in_colours(edited, on_edited / scale))
    return GeometryDifference(*shown, on_source, on_edited, scale)


def _in_colours(mesh: Trimesh, values: np.ndarray) -> Trimesh:
    """Return a copy in colours of values: blue at −1, white at 0, red at 1."""
    from matplotlib import colormaps

    coloured = mesh.copy()
    set_colours(coloured, colormaps["RdBu_r"]((values.clip(-1, 1) + 1) / 2, bytes=True)[:, :3])
    return coloured


def draw_mesh(
    mesh: Trimesh, cameras: Camera, side: int = 256, light: bool = True, plain: bool = False, samples: int = 2
) -> Float[Tensor, "v 3 h w"]:
    """Draw a mesh in its vertex colours on white.

    Args:
        mesh: with vertex colours.
        cameras: V.
        side: of a picture, pixels.
        light: shade faces that turn away from the camera; else colours are shown as they are.
        plain: leave the colours out: grey.
        samples: rays a side of a pixel.

    Returns:
        Pictures in [-1, 1].
    """
    vertices = torch.from_numpy(np.array(mesh.vertices, dtype=np.float64))
    faces = torch.from_numpy(np.array(mesh.faces, dtype=np.int64))
    colours = torch.full_like(vertices, GREY) if plain else torch.from_numpy(colours_of(mesh)).double() / 255
    values = torch.cat([colours, vertex_normals(vertices, faces)], dim=1)
    pages = []
    for i in range(len(cameras)):
        hits = cast(vertices, faces, cameras[i].to("cpu"), side * samples)
        seen = hits.interpolate(faces, values)
        page = seen[..., :3]
        if light:
            _, directions = cameras[i].to("cpu").rays(side * samples)
            facing = -(seen[..., 3:] * directions[0].reshape(seen[..., 3:].shape)).sum(-1, keepdim=True)
            page = page * (AMBIENT + (1 - AMBIENT) * facing.clamp(0, 1))
        pages.append(torch.where(hits.depth.isfinite()[..., None], page, 1.0).movedim(-1, 0))
    return F.avg_pool2d(torch.stack(pages).float(), samples) * 2 - 1


def difference_grid(
    source: Trimesh, edited: Trimesh, difference: GeometryDifference, cameras: Camera, side: int = 256
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw source and edit without colours, and both in colours of what was added and taken away; one row per camera.

    Args:
        source: before.
        edited: after.
        difference: of the two.
        cameras: of the rows.
        side: of a picture, pixels.
    """
    drawn = [draw_mesh(mesh, cameras, side, plain=True) for mesh in (source, edited)]
    drawn += [draw_mesh(mesh, cameras, side) for mesh in (difference.edited, difference.source)]
    scale = f"{difference.scale:.3f}"
    told = f"red added, blue gone, ±{scale}"
    columns = ["source", "edit", f"edit: {told}", f"source: {told}"]
    return picture_grid(torch.stack(drawn, dim=1), columns=columns)
