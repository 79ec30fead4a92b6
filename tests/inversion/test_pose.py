import math

import pytest
import torch

from sat3d.generators.sampling import TOY_CAMERAS, CameraDistribution
from sat3d.inversion.pose import PoseOptions, angle_grid, view_angle, within


def test_angles_are_read_back_from_where_cameras_stand():
    angles = torch.tensor([[0.0, 0.0], [0.7, -0.3], [-2.5, 0.4], [1.2, 0.0]])
    camera = TOY_CAMERAS.at(angles[:, 0], angles[:, 1])
    assert torch.allclose(camera.angles(), angles, atol=1e-5)


def test_the_angle_between_views_is_that_of_a_turn():
    degrees = torch.tensor([0.0, 0.01, 5.0, 90.0, 180.0])
    turned = TOY_CAMERAS.at(degrees.deg2rad(), 0.0)
    assert torch.allclose(view_angle(TOY_CAMERAS.at(torch.zeros(5), 0.0), turned), degrees, atol=1e-3)


def test_the_grid_covers_the_range_and_stays_off_its_edge():
    grid = angle_grid(TOY_CAMERAS, PoseOptions(yaws=4, pitches=2))
    assert grid.shape == (8, 2)
    assert grid[:, 0].unique().tolist() == pytest.approx([-0.6, -0.2, 0.2, 0.6])
    assert grid[:, 1].unique().tolist() == pytest.approx([-0.175, 0.175])
    with pytest.raises(ValueError, match="yaws=0"):
        PoseOptions(yaws=0)


def test_angles_are_kept_near_the_range_but_full_turns_go_on():
    far = torch.tensor([[3.0, -3.0]])
    assert within(far, TOY_CAMERAS, 0.25)[0].tolist() == pytest.approx([1.2, -0.525])
    whole = CameraDistribution(yaw=(-math.pi, math.pi), pitch=(-0.2, 0.2))
    assert within(far, whole, 0.0)[0].tolist() == pytest.approx([3.0, -0.2])
