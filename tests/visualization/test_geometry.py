import numpy as np
import pytest
import torch

from sat3d.ops.camera import Camera
from sat3d.visualization import difference_grid, draw_mesh, geometry_difference, signed_distance
from sat3d.visualization.meshes import colours_of

trimesh = pytest.importorskip("trimesh")


def ball(radius, subdivisions=4, colour=(200, 100, 50)):
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    mesh.visual.vertex_colors = np.tile(colour, (len(mesh.vertices), 1)).astype(np.uint8)
    return mesh


def test_distances_are_those_of_a_search_through_all_faces():
    mesh = ball(0.3, 3)
    points = np.random.default_rng(0).normal(size=(400, 3)) * 0.25
    _, expected, _ = trimesh.proximity.closest_point_naive(mesh, points)
    found = signed_distance(points, mesh)
    assert np.abs(np.abs(found) - expected).max() < 1e-9
    radius = np.linalg.norm(points, axis=1)
    clear = np.abs(radius - 0.3) > 0.005
    assert np.array_equal(found[clear] > 0, radius[clear] > 0.3) and 50 < (found > 0).sum() < 350


def test_corners_and_edges_know_their_outside():
    cube = trimesh.creation.box()
    points = np.array([[0.6, 0.6, 0.6], [0.6, 0.6, 0.0], [0.7, 0.1, 0.2], [0.4, 0.3, 0.2], [0.49, 0.49, 0.49]])
    expected = [0.1 * np.sqrt(3), 0.1 * np.sqrt(2), 0.2, -0.1, -0.01]
    assert np.allclose(signed_distance(points, cube), expected)
    assert signed_distance(np.empty((0, 3)), cube).shape == (0,)


def test_two_balls_differ_by_their_radii_both_ways():
    small, large = ball(0.3), ball(0.34)
    grown, shrunk = geometry_difference(small, large), geometry_difference(large, small)
    for difference, sign in ((grown, 1), (shrunk, -1)):
        for distances in (difference.on_source, difference.on_edited):
            assert np.allclose(distances, sign * 0.04, atol=1e-3)
        assert difference.scale == pytest.approx(0.04, abs=1e-3)
    red, blue = (colours_of(mesh).astype(int).mean(0) for mesh in (grown.edited, shrunk.edited))
    assert red[0] > red[2] + 60 and blue[2] > blue[0] + 60
    assert colours_of(large).tolist() == colours_of(ball(0.34)).tolist()  # what was given is left alone


def test_colours_saturate_at_the_scale_and_small_noise_stays_pale():
    small, large = ball(0.3), ball(0.3001)
    pale = geometry_difference(small, large)
    assert pale.scale == pytest.approx(0.005 * 0.6, rel=0.01)
    assert colours_of(pale.edited).min() > 235
    strong = geometry_difference(small, large, scale=5e-5)
    assert colours_of(strong.edited)[:, 2].max() < 60
    with pytest.raises(ValueError, match="scale=0: give a distance above 0"):
        geometry_difference(small, large, scale=0)


def test_a_drawn_ball_is_a_disc_that_is_lit_from_the_camera():
    camera = Camera.look_at(0.0, 0.0, fov=20.0)
    lit, unlit, plain = (
        (draw_mesh(ball(0.3), camera, 64, **how)[0] + 1) / 2 for how in ({}, {"light": False}, {"plain": True})
    )
    assert (lit[:, 0, 0] == 1).all()
    assert torch.allclose(lit[:, 32, 32], torch.tensor([200, 100, 50]) / 255, atol=0.02)
    there = (unlit[2] < 0.25).nonzero()
    assert torch.allclose(unlit[:, there[:, 0], there[:, 1]].mean(1), torch.tensor([200, 100, 50]) / 255, atol=0.02)
    assert lit[0, 32, there[:, 1].min() + 2] < 0.75 * lit[0, 32, 32]
    assert torch.allclose(plain[:, 32, 32], torch.full((3,), 0.8), atol=0.02)


def test_the_picture_of_a_difference_has_a_row_for_each_camera():
    small, large = ball(0.3, 3), ball(0.34, 3)
    cameras = Camera.look_at(torch.tensor([0.0, 0.5]), 0.0, fov=25.0)
    page = difference_grid(small, large, geometry_difference(small, large), cameras, side=48).astype(int)
    first = len(page) - 2 * 52  # below the labels
    assert first >= 18 + 4 and page.shape[1:] == (4 * 52 + 4, 3)
    middles = [page[first + 24, 28 + 52 * i] for i in range(4)]
    assert all(np.ptp(middle) == 0 for middle in middles[:2])
    assert all(middle[0] > middle[2] + 60 for middle in middles[2:])
