import math

import numpy as np
import pytest
import torch

from sat3d.ops.camera import Camera
from sat3d.ops.raymarch import box_limits
from sat3d.visualization import cast
from sat3d.visualization.raycasting import vertex_normals


def box(side=0.6):
    """Return the corners of a cube and its faces, seen counter-clockwise from outside."""
    corners = torch.cartesian_prod(*[torch.tensor([-0.5, 0.5], dtype=torch.float64) * side] * 3)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return corners, torch.tensor([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (0.7, -0.3), (2.5, 0.2)])
def test_a_cube_is_hit_where_rays_enter_it(yaw, pitch):
    camera = Camera.look_at(yaw, pitch, fov=25.0).to(torch.float64)
    origins, directions = camera.rays(40)
    near, far = (t[0, :, 0].reshape(40, 40) for t in box_limits(origins, directions, 0.6))
    corners, faces = box()
    hits = cast(corners, faces, camera, 40)
    assert torch.equal(hits.depth.isfinite(), near <= far) and 100 < hits.depth.isfinite().sum() < 1500
    seen = hits.depth.isfinite()
    assert (hits.depth - near)[seen].abs().max() < 1e-9
    places = (origins + directions * hits.depth.reshape(1, -1, 1))[0].reshape(40, 40, 3)
    assert (hits.interpolate(faces, corners) - places)[seen].abs().max() < 1e-9
    assert (hits.interpolate(faces, corners, nothing=7.0)[~seen] == 7).all()
    assert (hits.face[~seen] == -1).all() and (hits.face[seen] >= 0).all()


def test_chunks_and_the_order_of_faces_change_nothing(monkeypatch):
    camera = Camera.look_at(0.4, 0.2)
    small, (corners, faces) = box(0.3), box()
    corners, faces = torch.cat([corners, small[0] + 0.2]), torch.cat([faces, small[1] + 8])
    hits = cast(corners, faces, camera, 32)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr("sat3d.visualization.raycasting.CHUNK", 37)
    again = cast(corners, faces[order], camera, 32)
    assert torch.equal(hits.depth, again.depth)
    assert torch.allclose(hits.interpolate(faces, corners), again.interpolate(faces[order], corners))


def test_what_is_behind_the_camera_or_has_no_area_is_not_seen():
    corners, faces = box()
    camera = Camera.look_at(0.0, 0.0)
    assert not cast(corners + torch.tensor([0.0, 0.0, 10.0]), faces, camera, 16).depth.isfinite().any()
    assert not cast(corners, faces[:, [0, 0, 1]], camera, 16).depth.isfinite().any()
    assert not cast(corners, faces[:0], camera, 16).depth.isfinite().any()


def test_normals_of_vertices_are_those_of_the_faces_around():
    corners, faces = box()
    assert np.allclose((vertex_normals(corners, faces) * corners.sign()).sum(-1), 1.0 * math.sqrt(3), atol=0.2)
    assert ((vertex_normals(corners, faces) * corners).sum(-1) > 0).all()
