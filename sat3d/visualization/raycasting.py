"""Meshes seen by cameras: where the ray through each pixel's centre first meets a triangle, exactly."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from sat3d.ops.camera import Camera

EDGE = 1e-9  # rays that hit an edge belong to both faces, so that no ray slips between them
CHUNK = 2**20  # pairs of a ray and a face that are tried at a time


class Hits(NamedTuple):
    """Hold where the rays of one picture first meet a mesh.

    Args:
        depth: distance along the ray, world units, (H, W), float64; inf where it meets nothing.
        face: index of the face, (H, W); −1 for none.
        weights: barycentric coordinates in that face, (H, W, 3); 0 for none.
    """

    depth: Float[Tensor, "h w"]
    face: Int[Tensor, "h w"]
    weights: Float[Tensor, "h w 3"]

    def interpolate(self, faces: Int[Tensor, "f 3"], values: Float[Tensor, "v c"], nothing: float = 0.0) -> Tensor:
        """Return values of vertices where they are seen, (H, W, C), and `nothing` elsewhere."""
        seen = values.new_full((*self.face.shape, values.shape[1]), nothing)
        hit = self.face >= 0
        seen[hit] = (values[faces[self.face[hit]]] * self.weights[hit][..., None].to(values)).sum(-2)
        return seen


def cast(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], camera: Camera, side: int) -> Hits:
    """Find what one camera sees of a mesh.

    A face is tried against the pixels of the rectangle around its projection only; the test itself is that of Möller
    and Trumbore (Fast, minimum storage ray/triangle intersection, 1997), in float64. Faces that reach behind the
    camera are left out.

    Args:
        vertices: world units.
        faces: indices of vertices.
        camera: one.
        side: of the picture, pixels.
    """
    corners = vertices.double()[faces]  # (F, 3, 3)
    camera = camera.to(corners.device).to(torch.float64)
    origins, directions = (t[0] for t in camera.rays(side))
    depth = corners.new_full((side * side,), float("inf"))
    face = torch.full((side * side,), -1, device=corners.device)
    weights = corners.new_zeros(side * side, 3)
    for pairs in _candidates(corners, camera, side):
        t, bary = _intersect(corners[pairs[0]], origins[pairs[1]], directions[pairs[1]])
        hit = t.isfinite()
        f, pixel, t, bary = pairs[0][hit], pairs[1][hit], t[hit], bary[hit]
        nearest = depth.scatter_reduce(0, pixel, t, "amin")
        first = t == nearest[pixel]
        winner = torch.full_like(face, len(faces)).scatter_reduce(0, pixel[first], f[first], "amin")
        first &= f == winner[pixel]
        face[pixel[first]], weights[pixel[first]] = f[first], bary[first]
        depth = nearest
    return Hits(depth.reshape(side, side), face.reshape(side, side), weights.reshape(side, side, 3))


def _candidates(corners: Tensor, camera: Camera, side: int) -> list[tuple[Tensor, Tensor]]:
    """Return pairs of (faces, pixels) that may meet, in chunks."""
    places, z = camera.project(corners.reshape(1, -1, 3))
    places = (places * side - 0.5).reshape(-1, 3, 2)  # the centre of the first pixel is at 0
    before = (z.reshape(-1, 3) > 0).all(1)
    low = (places.amin(1) - EDGE).ceil().clamp_min(0)
    high = (places.amax(1) + EDGE).floor().clamp_max(side - 1)
    extent = torch.where(before[:, None], high - low + 1, 0).clamp_min(0).long()
    wide, count = extent[:, 0], extent.prod(1)
    low = torch.where(before[:, None], low, 0).long()
    chunks = []
    for some in torch.split(count.nonzero()[:, 0], 2**15):
        face = some.repeat_interleave(count[some])
        within = torch.arange(len(face), device=face.device) - (count[some].cumsum(0) - count[some]).repeat_interleave(
            count[some]
        )
        x, y = low[face, 0] + within % wide[face], low[face, 1] + within // wide[face]
        chunks += list(zip(face.split(CHUNK), (y * side + x).split(CHUNK), strict=True))
    return chunks


def _intersect(corners: Tensor, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Return distances (N,), inf where ray and triangle do not meet, and barycentric coordinates (N, 3)."""
    a, along, across = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    p = torch.linalg.cross(directions, across)
    determinant = (along * p).sum(-1)
    flat = determinant.abs() < 1e-18  # also faces without area
    inverse = 1 / torch.where(flat, 1.0, determinant)
    s = origins - a
    u = (s * p).sum(-1) * inverse
    q = torch.linalg.cross(s, along)
    v = (directions * q).sum(-1) * inverse
    t = (across * q).sum(-1) * inverse
    missed = flat | (u < -EDGE) | (v < -EDGE) | (u + v > 1 + EDGE) | (t <= 0)
    return t.masked_fill(missed, float("inf")), torch.stack([1 - u - v, u, v], dim=-1)


def vertex_normals(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "v 3"]:
    """Return outward unit normals of vertices: those of their faces, weighted by area."""
    a, b, c = vertices[faces].unbind(1)
    of_faces = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for corner in faces.T:
        total.index_add_(0, corner, of_faces)
    return F.normalize(total, dim=-1)
