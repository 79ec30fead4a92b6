"""Views warped by depth: a coloured wall and a ball, whose views are formulas."""

import torch

from sat3d.metrics import reprojection_error, warped_view
from sat3d.ops.camera import Camera

SIDE = 64


def wall(camera, shift=0.0, ball=False):
    """A wall at z = 0 whose colour is its place, and in front of it a grey ball of radius 0.15."""
    origins, directions = camera.rays(SIDE)
    t = -origins[..., 2] / directions[..., 2]
    points = origins + t[..., None] * directions
    colours = torch.stack([points[..., 0], points[..., 1], torch.zeros_like(t)], dim=-1) + shift
    if ball:
        centre = torch.tensor([0.0, 0.0, 0.4])
        b = ((origins - centre) * directions).sum(-1)
        root = b.square() - (origins - centre).square().sum(-1) + 0.15**2
        hit = root > 0
        t = torch.where(hit, -b - root.clamp_min(0).sqrt(), t)
        colours = torch.where(hit[..., None], torch.full_like(colours, 0.5), colours)
    n = len(camera)
    return colours.reshape(n, SIDE, SIDE, 3).movedim(-1, 1), t.reshape(n, 1, SIDE, SIDE)


def cameras():
    return Camera.look_at(torch.tensor([0.3, 0.1]), 0.05, fov=20.0), Camera.look_at(-0.25, -0.1, fov=20.0)


def test_projection_is_the_inverse_of_casting_rays():
    camera = cameras()[0]
    origins, directions = camera.rays(16)
    place, depth = camera.project(origins + 1.7 * directions)
    grid = (torch.arange(16) + 0.5) / 16
    torch.testing.assert_close(place[0].reshape(16, 16, 2)[3, 5], torch.stack([grid[5], grid[3]]))
    assert ((depth > 1.5) & (depth <= 1.7 + 1e-5)).all()


def test_a_wall_looks_the_same_from_both_sides():
    here, there = cameras()
    a, b = wall(here), wall(there.expand(2))
    assert (reprojection_error(*a, here, *b, there) < 1e-4).all()
    other = wall(there.expand(2), shift=0.2)
    torch.testing.assert_close(reprojection_error(*a, here, *other, there), torch.full((2,), 0.1), atol=5e-3, rtol=0)


def test_what_the_other_camera_cannot_see_is_left_out():
    here, there = cameras()
    a, b = wall(here, ball=True), wall(there.expand(2), ball=True)
    sampled, seen = warped_view(*a, here, *b, there)
    assert 0.5 < seen.float().mean() < 0.99
    wrong = (a[0] - sampled).abs().mean(1, keepdim=True) > 0.1
    blind = warped_view(*a, here, b[0], torch.full_like(b[1], 99.0), there)[1]  # as if nothing hid anything
    assert (wrong & seen).float().mean() < 0.04  # the ball's rim, a pixel wide
    assert (wrong & blind).float().mean() > 2.5 * (wrong & seen).float().mean()


def test_empty_space_counts_for_nothing():
    here, there = cameras()
    image, depth = wall(here)
    error = reprojection_error(image, torch.full_like(depth, torch.inf), here, image, depth, there)
    assert error.isnan().all()
