import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sat3d.ops.camera import Camera, CameraDistribution

FACES = CameraDistribution(yaw=(-0.8, 0.6), pitch=(-0.35, 0.35), pivot=(0.0, 0.05, 0.2), radius=2.5, fov=30.0)
CARS = CameraDistribution(yaw=(-math.pi, math.pi), pitch=(-1.01, 0.0), view=(0.65, -0.55))


def heights(camera: Camera) -> tuple[Tensor, Tensor]:
    """Read yaw and height above the equator off where cameras stand."""
    x, y, z = camera.cam2world[:, :3, 3].unbind(-1)
    return torch.atan2(x, z), torch.atan2(y, torch.hypot(x, z))


def assert_stands(camera: Camera, yaw: Tensor | list[float], pitch: Tensor | float) -> None:
    """Hold cameras against angles, whole turns apart."""
    angles, yaw = camera.angles(), torch.as_tensor(yaw)
    turn = torch.stack([(angles[:, 0] - yaw).sin(), (angles[:, 0] - yaw).cos()])
    torch.testing.assert_close(turn, torch.tensor([[0.0], [1.0]]).expand_as(turn), rtol=0, atol=1e-4)
    torch.testing.assert_close(angles[:, 1], torch.as_tensor(pitch).expand_as(yaw), rtol=0, atol=1e-4)


def test_a_pixel_on_the_optical_axis_looks_at_the_pivot() -> None:
    pivot = torch.tensor([0.1, -0.05, 0.2])
    camera = Camera.look_at(torch.tensor([0.4, -2.0]), torch.tensor([0.2, -0.3]), pivot=pivot, radius=2.7)
    origins, directions = camera.rays(3)
    torch.testing.assert_close(origins.norm(dim=-1), torch.full((2, 9), 2.7))
    towards = F.normalize(pivot - origins[:, 4], dim=-1)
    torch.testing.assert_close(directions[:, 4], towards)
    again = Camera.from_label(camera.label())
    assert torch.equal(again.cam2world, camera.cam2world)
    # yaw > 0 stands at +x; pitch > 0 below; the top row of the picture looks higher than the bottom row
    assert origins[0, 0, 0] > 0 and origins[0, 0, 1] < 0
    assert (directions[:, 1, 1] > directions[:, 7, 1]).all()


def test_a_camera_of_a_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="cam2world"):
        Camera(torch.eye(4), torch.eye(3).expand(1, 3, 3))
    with pytest.raises(ValueError, match="25"):
        Camera.from_label(torch.zeros(2, 16))


def test_camera_paths_close_and_keep_to_their_amplitudes() -> None:
    cameras = CameraDistribution(yaw=(-0.4, 0.6), pitch=(-0.2, 0.2))
    yaw, height = heights(cameras.orbit(8))
    torch.testing.assert_close(yaw, 0.5 * (torch.arange(8) * math.pi / 4).sin(), rtol=0, atol=1e-4)
    assert height[0] < -0.1 and height[4] > 0.1 and abs(float(height[2])) < 1e-3
    yaw, height = heights(cameras.orbit(8, yaw=0, pitch=0.1, around=(0.3, -0.5)))
    torch.testing.assert_close(yaw, torch.full((8,), 0.3), rtol=0, atol=1e-4)
    assert bool((height > 0.2).all()) and height.argmin() == 0
    yaw, height = heights(cameras.turn(8, around=(0.1, -0.5)))
    assert (((yaw - 0.1) / (math.pi / 4)).round() % 8).tolist() == list(range(8))
    assert float(height.std()) < 1e-5


def test_angles_are_those_that_a_camera_was_placed_with() -> None:
    random = torch.Generator().manual_seed(0)
    yaw = (torch.rand(50, generator=random) * 2 - 1) * 3.1
    pitch = (torch.rand(50, generator=random) * 2 - 1) * 1.5
    for pivot, radius in (((0.0, 0.0, 0.0), 2.7), ((0.1, -0.2, 0.2), 1.3)):
        camera = Camera.look_at(yaw, pitch, pivot=pivot, radius=radius)
        torch.testing.assert_close(camera.angles(), torch.stack([yaw, pitch], dim=1), rtol=0, atol=1e-4)


def test_projection_undoes_rays() -> None:
    camera = FACES.sample(torch.rand(3, 2, generator=torch.Generator().manual_seed(0)))
    origins, directions = camera.rays(5)
    place, depth = camera.project(origins + 1.7 * directions)
    middles = (torch.arange(5) + 0.5) / 5
    expected = torch.stack([middles.repeat(5), middles.repeat_interleave(5)], dim=1).expand(3, -1, -1)
    torch.testing.assert_close(place, expected, rtol=0, atol=1e-5)
    assert (depth <= 1.7 + 1e-5).all() and depth[:, 12].allclose(torch.tensor(1.7), atol=1e-5)


def test_a_distribution_keeps_pivot_radius_and_lens() -> None:
    for camera in (
        FACES.frontal(),
        FACES.turned(torch.tensor([0.3])),
        FACES.orbit(1),
        FACES.within("near", None).at(0, 0),
    ):
        assert float(camera.cam2world[0, :3, 3].norm()) == pytest.approx(2.5, abs=1e-5)
        assert torch.equal(camera.intrinsics, Camera.look_at(0.0, 0.0, fov=30.0).intrinsics)
        place, _ = camera.project(torch.tensor([[FACES.pivot]]))
        torch.testing.assert_close(place, torch.full((1, 1, 2), 0.5), rtol=0, atol=1e-5)


def test_cameras_go_round_only_where_they_stand_on_all_sides() -> None:
    assert CARS.goes_round and CameraDistribution(yaw=(0.0, 2 * math.pi)).goes_round
    assert not FACES.goes_round and not CameraDistribution(yaw=(-3.1, 3.1)).goes_round


def test_ranges_are_ones_own_or_given_or_near_the_view() -> None:
    assert FACES.within(None, None) == FACES
    given = FACES.within((0.1, 0.2), (-1.0, 1.0))
    assert (given.yaw, given.pitch, given.radius, given.pivot) == ((0.1, 0.2), (-1.0, 1.0), 2.5, FACES.pivot)
    near = FACES.within("near", "near")
    assert (near.yaw, near.pitch) == ((-0.35, 0.35), (-0.25, 0.25))
    aside = CameraDistribution(yaw=(-0.8, 0.6), pitch=(-0.35, 0.35), view=(0.5, -0.3)).within("near", "near")
    assert aside.yaw == pytest.approx((0.15, 0.6)) and aside.pitch == pytest.approx((-0.35, -0.05))
    assert CARS.within("near", "near") == CARS
    assert CARS.within((0.0, 1.0), "near").pitch == CARS.pitch


@pytest.mark.parametrize("cameras", [FACES, CARS])
def test_turns_start_at_the_view_and_stay_as_high(cameras: CameraDistribution) -> None:
    yaw, pitch = cameras.view
    assert_stands(cameras.frontal(), [yaw], pitch)
    turns = torch.tensor([-0.4, 0.0, 0.9])
    assert_stands(cameras.turned(turns), yaw + turns, pitch)


def test_a_second_camera_stands_on_the_other_side_of_the_view() -> None:
    first = FACES.at(torch.tensor([-0.7, -0.1, 0.2]), torch.tensor([0.3, -0.2, 0.1]))
    assert_stands(FACES.second(first, 0.5), [0.5, 0.5, -0.5], 0.0)


def test_a_second_camera_goes_on_round_what_is_seen_from_all_sides() -> None:
    pitch = torch.tensor([-0.9, -0.4, 0.0])
    first = CARS.at(torch.tensor([-3.0, 0.1, 2.9]), pitch)
    assert_stands(CARS.second(first, 0.5), [-2.5, 0.6, 3.4], pitch)


def test_an_orbit_goes_once_round_what_is_seen_from_all_sides() -> None:
    quarter = math.pi / 2
    assert_stands(CARS.orbit(4), [0.65 + k * quarter for k in range(4)], -0.55)
    assert_stands(CARS.orbit(4, around=(0.1, -0.2)), [0.1 + k * quarter for k in range(4)], -0.2)
    swinging = CARS.orbit(4, yaw=0.3, pitch=0.1)
    assert_stands(swinging, [0.65, 0.95, 0.65, 0.35], torch.tensor([-0.45, -0.55, -0.65, -0.55]))
