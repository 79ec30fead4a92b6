import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sat3d.ops.camera import Camera
from sat3d.world import load_world
from sat3d.world.heads.measures import SKULL_D, SKULL_H, SKULL_Y, SKULL_Z, TABLE, measure

pytest.importorskip("numba")

PARTS = TABLE.parts
PLAIN = {"hair_length": "bald", "glasses": "none", "beard": "none", "moustache": "none", "hat": "none"}


@pytest.fixture(scope="module")
def world():
    return load_world("heads")


def dressed(world, **classes):
    """One head with middling measures, the first class of every kind, and the classes asked for."""
    u = torch.full((1, len(world.attributes)), 0.5, dtype=torch.float64)
    for i, a in enumerate(world.attributes):
        if a.kind == "categorical":
            c = a.class_index(classes.get(a.name, 0))
            u[0, i] = (a.edges[c] + a.edges[c + 1]) / 2
        elif a.name in classes:
            u[0, i] = classes[a.name]
    return u


def toy_camera(yaw, pitch=0.0):
    return Camera.look_at(yaw, pitch, radius=2.7, fov=30.0)


def test_depth_on_the_skull_is_that_of_the_ellipsoid(world):
    u = dressed(world, **PLAIN)
    camera = toy_camera(0.4, -0.2)
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


def test_depth_agrees_with_small_blind_steps(world):
    from sat3d.world.heads.shapes import distance

    z, camera = world.sample(11, range(6))
    u = world.coordinates(z)
    picture = world.render(u, camera)
    heads, _ = measure(world.values(u).double().numpy())
    origins, directions = camera.rays(64)
    random = np.random.default_rng(0)
    wrong = 0
    for k in range(6):
        for pixel in random.integers(0, 64 * 64, 60):
            o, d = origins[k, pixel].double().numpy(), directions[k, pixel].double().numpy()
            t = np.arange(2.2, 3.2, 0.003)
            inside = (s for s in t if distance(*(o + s * d), heads[k])[0] < 0.001)
            naive, traced = next(inside, math.inf), float(picture.depth[k].flatten()[pixel])
            wrong += not (naive == traced == math.inf or abs(naive - traced) < 0.006)
    assert wrong <= 3  # of 360: rays that graze an edge


def test_pictures_are_deterministic_and_independent_of_the_batch(world):
    z, camera = world.sample(1, range(4))
    u = world.coordinates(z)
    together, alone = world.render(u, camera), world.render(u[2:3], camera[2])
    for field in ("rgb", "segmentation", "depth"):
        assert torch.equal(getattr(together, field)[2:3], getattr(alone, field))


def test_supersampling_averages_finer_rays(world):
    z, camera = world.sample(2, range(12))
    u = world.coordinates(z)
    fine = world.render(u, camera, resolution=64, supersampling=1).rgb
    coarse = world.render(u, camera, resolution=32, supersampling=2).rgb
    error = (F.avg_pool2d(fine, 2) - coarse).abs()
    assert error.mean() < 1e-3 and (error > 0.05).float().mean() < 5e-3


def test_background_is_one_colour_at_infinity(world):
    z, camera = world.sample(3, range(4))
    picture = world.render(world.coordinates(z), camera, supersampling=1)
    empty = picture.segmentation == 0
    assert torch.equal(empty, picture.depth == math.inf)
    for k in range(4):
        assert picture.rgb[k][:, empty[k]].std(dim=1).max() < 1e-6


def test_parts_show_as_the_attributes_say(world):
    def shares(**classes):
        seg = world.render(dressed(world, **{**PLAIN, **classes}), toy_camera(0.2), supersampling=1).segmentation
        return dict(zip(PARTS, torch.bincount(seg.flatten().long(), minlength=len(PARTS)).tolist(), strict=True))

    plain = shares()
    for part in ("hair", "beard", "moustache", "glasses", "hat"):
        assert plain[part] == 0
    assert min(plain[p] for p in ("skin", "nose", "eyes", "eyebrows", "mouth", "shirt")) >= 10
    lengths = [shares(hair_length=c)["hair"] for c in ("bald", "short", "medium", "long")]
    assert lengths == sorted(lengths) and lengths[1] > 100
    assert 50 < shares(beard="short")["beard"] < shares(beard="long")["beard"]
    assert shares(moustache="moustache")["moustache"] >= 15
    assert shares(glasses="sunglasses")["glasses"] > shares(glasses="round")["glasses"] > 60
    assert shares(glasses="sunglasses")["eyes"] < 10 < shares(glasses="square")["eyes"]
    assert min(shares(hat=c)["hat"] for c in ("beanie", "cap", "brimmed")) > 200
    assert shares(mouth_open=0.98)["mouth"] > 1.5 * shares(mouth_open=0.02)["mouth"]
    assert shares(eyebrows=0.98)["eyebrows"] > 1.7 * shares(eyebrows=0.02)["eyebrows"]
    assert shares(eye_size=0.98)["eyes"] > 1.5 * shares(eye_size=0.02)["eyes"]
    assert shares(nose_size=0.98)["nose"] > 1.7 * shares(nose_size=0.02)["nose"]


def test_a_smile_raises_the_corners_of_the_mouth(world):
    def bend(smile):
        seg = world.render(dressed(world, smile=smile, mouth_open=0.0), toy_camera(0.0), 128, 1).segmentation[0]
        rows, columns = (seg == PARTS.index("mouth")).nonzero().T
        middle = rows[(columns - 64).abs() < 3].double().mean()
        corners = rows[(columns - columns.min() < 3) | (columns.max() - columns < 3)].double().mean()
        return float(middle - corners)  # pixels; rows count downwards

    assert bend(0.95) > 5 and bend(0.05) < -5 and abs(bend(0.48)) < 2


@pytest.mark.parametrize(
    ("name", "first", "second", "parts"),
    [
        ("hat_colour", "red", "blue", ["hat"]),
        ("shirt_colour", "white", "navy", ["shirt"]),
        ("background", "pink", "green", ["background"]),
        ("hair_colour", "black", "blond", ["hair", "eyebrows"]),
        ("eye_colour", "brown", "green", ["eyes"]),
        ("skin_tone", 0.1, 0.9, ["skin", "nose", "mouth", "eyes"]),
    ],
)
def test_a_colour_changes_its_parts_alone(world, name, first, second, parts):
    base = {"hat": "cap", "hair_length": "medium"}
    a, b = (
        world.render(dressed(world, **base, **{name: value}), toy_camera(-0.3), supersampling=1)
        for value in (first, second)
    )
    changed = (a.rgb - b.rgb).abs().amax(1) > 0.02
    inside = torch.isin(a.segmentation, torch.tensor([PARTS.index(p) for p in parts], dtype=torch.uint8))
    assert torch.equal(a.segmentation, b.segmentation) and torch.equal(a.depth, b.depth)
    assert not (changed & ~inside).any() and changed.sum() >= 10


def test_features_lie_where_a_face_has_them(world):
    """Points in space, found by depth and the camera's own rays, from two sides."""
    u = dressed(world, **{**PLAIN, "hair_length": "short", "hat": "beanie"})
    for yaw in (-0.6, 0.6):
        camera = toy_camera(yaw, 0.1)
        picture = world.render(u, camera, resolution=128, supersampling=1)
        origins, directions = camera.rays(128)
        depth, seg = picture.depth.flatten(), picture.segmentation.flatten()
        points = origins[0] + depth[:, None] * directions[0]
        mean = {p: points[seg == PARTS.index(p)].mean(0) for p in PARTS[1:] if (seg == PARTS.index(p)).any()}
        assert points[seg > 0].norm(dim=1).max() < 0.5
        assert depth[seg > 0].min() > 2.2 and depth[seg > 0].max() < 3.2
        assert abs(mean["nose"][0]) < 0.03 and mean["nose"][2] > 0.25
        assert (
            mean["hat"][1]
            > mean["eyebrows"][1]
            > mean["eyes"][1]
            > mean["nose"][1]
            > mean["mouth"][1]
            > mean["shirt"][1]
        )
        assert mean["eyes"][2] > 0.15 and mean["mouth"][2] > 0.15


def test_two_views_agree_on_colour(world):
    """Project what one camera sees into another: lights that stand still give the same colour."""
    u = dressed(world, hair_length="long", hat="brimmed")
    first, second = toy_camera(0.0), toy_camera(0.25)
    a, b = world.render(u, first, 256, 1), world.render(u, second, 256, 1)
    origins, directions = first.rays(256)
    seen = a.segmentation.flatten() > 0
    points = (origins[0] + a.depth.flatten()[:, None] * directions[0])[seen]
    pose = second.cam2world[0]
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    uv = (local @ second.intrinsics[0].T)[:, :2] / local[:, 2:]
    column, row = ((uv * 256).long().clamp(0, 255)).T
    visible = (b.depth[0][row, column] - local.norm(dim=1)).abs() < 0.01
    assert visible.float().mean() > 0.7
    difference = (a.rgb[0].flatten(1)[:, seen] - b.rgb[0][:, row, column]).abs().mean(0)[visible]
    assert difference.median() < 0.02 and difference.mean() < 0.05


def test_heads_stay_inside_the_bounding_sphere(world):
    from sat3d.world.heads.shapes import distance

    z, _ = world.sample(4, range(150))
    heads, _ = measure(world.values(world.coordinates(z)).double().numpy())
    random = np.random.default_rng(0)
    shell = random.standard_normal((200, 3))
    shell *= 0.497 / np.linalg.norm(shell, axis=1, keepdims=True)
    assert min(distance(*point, head)[0] for head in heads for point in shell) > 0


def test_the_world_is_the_one_that_checkpoints_learned(world):
    """A recording: raise `VERSION` and make pictures and checkpoints anew if this has to change."""
    recorded = np.load(Path(__file__).parent / "recorded.npz")
    z, camera = world.sample(0, range(4))
    assert np.abs(z.numpy() - recorded["z"]).max() < 1e-5
    assert np.abs(world.coordinates(z).numpy() - recorded["u"]).max() < 1e-5
    rgb = world.render(world.coordinates(z), camera, resolution=32).rgb
    assert np.abs((rgb.numpy() + 1) * 127.5 - recorded["rgb"]).mean() < 0.7


def test_sizes_that_do_not_fit_are_refused(world):
    z, camera = world.sample(0, range(3))
    u = world.coordinates(z)
    with pytest.raises(ValueError, match="2 coordinates do not fit 3 cameras"):
        world.render(u[:2], camera)
    with pytest.raises(ValueError, match="at least 1"):
        world.render(u, camera, supersampling=0)
    assert world.render(u[:1], camera, resolution=20, supersampling=1).rgb.shape == (3, 3, 20, 20)
