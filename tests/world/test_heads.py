import pytest
import torch

from sat3d.world import load_world
from sat3d.world.heads.measures import SKULL_D, SKULL_H, SKULL_Y, SKULL_Z, measure
from tests.world.conftest import dressed, pictured, places, shares

pytest.importorskip("numba")


@pytest.fixture(scope="module")
def world():
    return load_world("heads")


def test_depth_on_the_skull_is_that_of_the_ellipsoid(world):
    u = dressed(world)
    camera = world.domain.cameras.at(0.4, -0.2)
    depth = world.render(u, camera).depth[0].flatten().double()
    origin, direction = (t[0].double() for t in camera.rays(64))
    face = float(measure(world.values(u).double().numpy())[0]["face"][0])
    axes = torch.tensor([face, SKULL_H, SKULL_D], dtype=torch.float64)
    o, d = (origin - torch.tensor([0, SKULL_Y, SKULL_Z])) / axes, direction / axes
    a, b, c = (d * d).sum(1), (o * d).sum(1), (o * o).sum(1) - 1
    expected = (-b - (b * b - a * c).clamp(min=0).sqrt()) / a
    height = (origin + expected[:, None] * direction)[:, 1]
    bare = (b * b - a * c > 0.1 * a) & (height > 0.20)  # the forehead's top and above: nothing but skull
    assert bare.sum() > 60
    assert (depth[bare] - expected[bare]).abs().max() < 5e-3  # a third of a pixel


def test_parts_show_as_the_attributes_say(world):
    def seen(**classes):
        return shares(world, 0.2, **classes)

    plain = seen()
    for part in ("hair", "beard", "moustache", "glasses", "hat"):
        assert plain[part] == 0
    assert min(plain[p] for p in ("skin", "nose", "eyes", "eyebrows", "mouth", "shirt")) >= 10
    lengths = [seen(hair_length=c)["hair"] for c in ("bald", "short", "medium", "long")]
    assert lengths == sorted(lengths) and lengths[1] > 100
    assert 50 < seen(beard="short")["beard"] < seen(beard="long")["beard"]
    assert seen(moustache="moustache")["moustache"] >= 15
    assert seen(glasses="sunglasses")["glasses"] > seen(glasses="round")["glasses"] > 60
    assert seen(glasses="sunglasses")["eyes"] < 10 < seen(glasses="square")["eyes"]
    assert min(seen(hat=c)["hat"] for c in ("beanie", "cap", "brimmed")) > 200
    assert seen(mouth_open=0.98)["mouth"] > 1.5 * seen(mouth_open=0.02)["mouth"]
    assert seen(eyebrows=0.98)["eyebrows"] > 1.7 * seen(eyebrows=0.02)["eyebrows"]
    assert seen(eye_size=0.98)["eyes"] > 1.5 * seen(eye_size=0.02)["eyes"]
    assert seen(nose_size=0.98)["nose"] > 1.7 * seen(nose_size=0.02)["nose"]


def test_a_smile_raises_the_corners_of_the_mouth(world):
    def bend(smile):
        seg = pictured(world, resolution=128, smile=smile, mouth_open=0.0).segmentation[0]
        rows, columns = (seg == world.parts.index("mouth")).nonzero().T
        middle = rows[(columns - 64).abs() < 3].double().mean()
        corners = rows[(columns - columns.min() < 3) | (columns.max() - columns < 3)].double().mean()
        return float(middle - corners)  # pixels; rows count downwards

    assert bend(0.95) > 5 and bend(0.05) < -5 and abs(bend(0.48)) < 2


def test_features_lie_where_a_face_has_them(world):
    for yaw in (-0.6, 0.6):
        found = places(world, [yaw], 0.1, hair_length="short", hat="beanie")
        mean = {part: points.mean(0) for part, points in found.items()}
        assert torch.cat([*found.values()]).norm(dim=1).max() < 0.5
        assert abs(mean["nose"][0]) < 0.03 and mean["nose"][2] > 0.25
        heights = [float(mean[p][1]) for p in ("hat", "eyebrows", "eyes", "nose", "mouth", "shirt")]
        assert heights == sorted(heights, reverse=True)
        assert mean["eyes"][2] > 0.15 and mean["mouth"][2] > 0.15
