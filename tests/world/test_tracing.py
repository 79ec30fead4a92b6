import math
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sat3d.world import load_world
from tests.world.conftest import dressed, pictured

pytest.importorskip("numba")


def records(world, u):
    return world.domain.measure(world.values(u).double().numpy())


@pytest.fixture(scope="session")
def shapes(world):
    return import_module(world.domain.shapes)


def test_depth_agrees_with_small_blind_steps(world, shapes):
    z, camera = world.sample(11, range(6))
    u = world.coordinates(z)
    picture = world.render(u, camera)
    things, _ = records(world, u)
    origins, directions = camera.rays(64)
    random = np.random.default_rng(0)
    wrong = 0
    for k in range(6):
        for pixel in random.integers(0, 64 * 64, 60):
            o, d = origins[k, pixel].double().numpy(), directions[k, pixel].double().numpy()
            t = np.arange(*world.domain.depths, 0.003)
            inside = (s for s in t if shapes.distance(*(o + s * d), things[k])[0] < 0.001)
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


@pytest.mark.parametrize(
    ("name", "attribute", "parts", "base"),
    [
        ("heads", "hat_colour", "hat", {"hat": "cap"}),
        ("heads", "shirt_colour", "shirt", {}),
        ("heads", "background", "background", {}),
        ("heads", "hair_colour", "hair eyebrows", {"hair_length": "medium"}),
        ("heads", "eye_colour", "eyes", {}),
        ("heads", "skin_tone", "skin nose mouth eyes", {}),
        ("animals", "fur_colour", "fur muzzle ears chest eyes mouth", {}),
        ("animals", "fur_pattern", "fur chest", {"species": "wild"}),
        ("animals", "face_marking", "fur", {}),
        ("animals", "eye_colour", "eyes", {}),
        ("animals", "eyelids", "eyes", {}),
        ("animals", "nose_colour", "nose", {}),
        ("animals", "collar_colour", "collar", {"collar": "bow_tie"}),
        ("animals", "background", "background", {}),
        ("cars", "body_colour", "body roof", {"spoiler": "wing"}),
        ("cars", "roof_colour", "roof", {}),
        ("cars", "stripe", "body roof", {}),
        ("cars", "rim_colour", "rims", {}),
        ("cars", "window_tint", "windows", {}),
        ("cars", "bumper_colour", "bumpers", {}),
    ],
)
def test_a_colour_changes_its_parts_alone(name, attribute, parts, base):
    world = load_world(name)
    yaw, pitch = world.domain.cameras.view
    known = world.attribute(attribute)
    values = known.classes if known.kind == "categorical" else (0.1, 0.9)
    first, *others = (pictured(world, yaw - 0.3, pitch, **base, **{attribute: value}) for value in values)
    inside = torch.isin(first.segmentation, torch.tensor([world.parts.index(p) for p in parts.split()]))
    for other in others:
        changed = (first.rgb - other.rgb).abs().amax(1) > 0.02
        assert torch.equal(first.segmentation, other.segmentation) and torch.equal(first.depth, other.depth)
        assert not (changed & ~inside).any() and changed.sum() >= 10


SPREAD = ("body_type", "ride_height", "species", "fur_pattern")
"""What changes more than the parts that the table names: all of a car or a face, and the coat of the chest."""


def test_every_edit_shows_and_mostly_where_the_table_says(world):
    z, camera = world.sample(5, range(12))
    before = world.coordinates(z)
    first = world.render(before, camera, supersampling=1)
    labels, captioner = world.labels(before), world.domain.captioner(world.attributes)
    hidden = [
        captioner.hidden({a.name: a.classes[c] for a, c in zip(world.attributes, row, strict=True)}) for row in labels
    ]
    for name in world.editable():
        a = world.attribute(name)
        parts = torch.tensor([world.parts.index(p) for p in a.parts])
        seen = torch.tensor([name not in h for h in hidden])
        for value in a.classes if a.kind == "categorical" else (0.02, 0.98):
            after = world.coordinates(world.intervene(z, name, value))
            other = (after - before).abs().amax(1) > 1e-3
            edited = world.render(after, camera, supersampling=1)
            change = (first.rgb - edited.rgb).abs().sum(1)
            changed = (change > 0.1).flatten(1).sum(1) >= 5
            assert not changed[~other].any(), (name, value)
            assert changed[other & seen].float().mean() >= 0.5, (name, value)  # lamps are on one side
            if name not in SPREAD:
                inside = torch.isin(first.segmentation, parts) | torch.isin(edited.segmentation, parts)
                near = F.max_pool2d(inside.float(), 3, 1, 1)
                assert (change * near).sum() > 0.6 * change.sum(), (name, value)


@pytest.mark.parametrize(
    ("name", "absent", "attribute"),
    [
        ("heads", {"hat": "none"}, "hat_colour"),
        ("heads", {"hair_length": "bald"}, "hair_curl"),
        ("animals", {"collar": "none"}, "collar_colour"),
        ("cars", {"body_type": "convertible"}, "roof_colour"),
        ("cars", {"body_type": "convertible"}, "roof_rack"),
    ],
)
def test_what_is_said_of_things_that_are_absent_changes_nothing_and_is_not_told(name, absent, attribute):
    world = load_world(name)
    classes = world.attribute(attribute).classes
    first, *others = (pictured(world, *world.domain.cameras.view, **absent, **{attribute: c}) for c in classes)
    assert all(torch.equal(first.rgb, other.rgb) for other in others)
    u = torch.cat([dressed(world, **absent, **{attribute: c}) for c in classes])
    assert set(world.captions(u, about=attribute)) == {""}


def test_left_and_right_differ_only_where_they_are_meant_to(world, shapes):
    meant = {"heads": {"hair", "hat", "skin", "eyes"}, "animals": {"eyes"}, "cars": set()}  # partings, badges, glints
    z, camera = world.sample(6, range(12))
    u = world.coordinates(z)
    picture = world.render(u, camera, resolution=32, supersampling=1)
    origins, directions = camera.rays(32)
    found = set()
    for k, (thing, palette) in enumerate(zip(*records(world, u), strict=True)):
        seen = picture.segmentation[k].flatten() > 0
        points = (origins[k] + picture.depth[k].flatten()[:, None] * directions[k])[seen].double().numpy()
        for x, *yz in points:
            (d, part), (e, mirrored) = (shapes.distance(side, *yz, thing) for side in (x, -x))
            colour, told, _ = shapes.paint(x, *yz, part, thing, palette)
            other, _, _ = shapes.paint(-x, *yz, mirrored, thing, palette)
            if part != mirrored or abs(d - e) > 1e-6 or np.abs(np.subtract(colour, other)).max() > 1e-3:
                found.add(world.parts[told])
    assert found <= meant[world.name]


def test_two_views_agree_on_colour(world):
    """Project what one camera sees into another: lights that stand still give the same colour."""
    u = dressed(world, hair_length="long", hat="brimmed", collar="bow_tie", roof_rack="bars", spoiler="wing")
    yaw, pitch = world.domain.cameras.view
    first, second = (world.domain.cameras.at(yaw + turn, pitch) for turn in (0.0, 0.25))
    a, b = world.render(u, first, 256, 1), world.render(u, second, 256, 1)
    origins, directions = first.rays(256)
    seen = a.segmentation.flatten() > 0
    points = (origins[0] + a.depth.flatten()[:, None] * directions[0])[seen]
    place, _ = second.project(points[None])
    column, row = (place[0] * 256).long().clamp(0, 255).T
    away = (points - second.cam2world[0, :3, 3]).norm(dim=1)
    visible = (b.depth[0][row, column] - away).abs() < 0.01
    assert visible.float().mean() > 0.7
    difference = (a.rgb[0].flatten(1)[:, seen] - b.rgb[0][:, row, column]).abs().mean(0)[visible]
    assert difference.median() < 0.02 and difference.mean() < 0.05


def test_nothing_leaves_the_bounding_sphere(world, shapes):
    u = world.coordinates(world.sample(4, range(150))[0])
    continuous = torch.tensor([a.kind == "continuous" for a in world.attributes])
    largest_and_smallest = torch.where(continuous, 0.02 + 0.96 * (u > 0.5), u)
    things, _ = records(world, torch.cat([u, largest_and_smallest]))
    random = np.random.default_rng(0)
    shell = random.standard_normal((200, 3))
    shell *= 0.497 / np.linalg.norm(shell, axis=1, keepdims=True)
    cut_off = {"cars": 0.01}.get(world.name, 0.0)  # the tips of wings of few tall cars
    assert min(shapes.distance(*point, thing)[0] for thing in things for point in shell) > -cut_off


def test_nothing_is_nearer_or_farther_than_rays_look(world):
    z, camera = world.sample(4, range(60))
    depth = world.render(world.coordinates(z), camera, resolution=32, supersampling=1).depth
    near, far = world.domain.depths
    assert depth.min() > near and depth[depth.isfinite()].max() < far


def test_the_world_is_the_one_that_checkpoints_learned(world):
    """A recording: raise `version` and make pictures and checkpoints anew if this has to change."""
    recorded = np.load(Path(__file__).parent / "recorded.npz")
    wanted = {field: recorded[f"{world.name}_{field}"] for field in ("z", "u", "rgb")}
    z, camera = world.sample(0, range(len(wanted["z"])))
    u = world.coordinates(z)
    assert np.abs(z.numpy() - wanted["z"]).max() < 1e-5
    assert np.abs(u.numpy() - wanted["u"]).max() < 1e-5
    difference = np.abs((world.render(u, camera, resolution=32).rgb.numpy() + 1) * 127.5 - wanted["rgb"])
    assert difference.mean() < 0.7 and (difference > 8).mean() < 5e-4


def test_sizes_that_do_not_fit_are_refused(world):
    z, camera = world.sample(0, range(3))
    u = world.coordinates(z)
    with pytest.raises(ValueError, match="2 coordinates do not fit 3 cameras"):
        world.render(u[:2], camera)
    with pytest.raises(ValueError, match="at least 1"):
        world.render(u, camera, supersampling=0)
    assert world.render(u[:1], camera, resolution=20, supersampling=1).rgb.shape == (3, 3, 20, 20)
