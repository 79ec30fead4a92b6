import math

import pytest
import torch

from sat3d.world import load_world
from sat3d.world.cars.measures import GROUND
from tests.world.conftest import pictured, places, shares

pytest.importorskip("numba")

TYPES = ("sports", "convertible", "sedan", "hatchback", "suv", "pickup")
ALL_ROUND = [0.6, 2.2, 3.7, 5.4]


@pytest.fixture(scope="module")
def world():
    return load_world("cars")


def extent(points, axis, share=0.02):
    """From where to where points lie along an axis, but for a few at either end."""
    return float(points[:, axis].quantile(share)), float(points[:, axis].quantile(1 - share))


def test_parts_show_as_the_attributes_say(world):
    def seen(yaw=0.65, **classes):
        return shares(world, yaw, -0.4, **classes)

    plain, behind = seen(), seen(math.pi)
    for part in ("roof_rack", "spoiler", "interior"):
        assert plain[part] == 0
    front = ("body", "roof", "windows", "tyres", "rims", "headlights", "grille", "bumpers")
    assert min({**plain, "grille": seen(grille="wide")["grille"]}[part] for part in front) >= 15
    assert plain["grille"] >= 10  # the small kind, since version 2
    assert behind["taillights"] > 40 and behind["headlights"] == behind["grille"] == 0
    roofs = {c: (seen(body_type=c)["roof"], seen(body_type=c)["interior"]) for c in TYPES}
    assert roofs["convertible"][0] == 0 < roofs["convertible"][1]
    assert roofs["pickup"][1] > 20 and min(roof for c, (roof, _) in roofs.items() if c != "convertible") > 60
    assert {c for c, (_, interior) in roofs.items() if interior} == {"convertible", "pickup"}
    assert 0 < seen(roof_rack="bars")["roof_rack"] < seen(roof_rack="luggage")["roof_rack"]
    assert seen(body_type="convertible", roof_rack="luggage")["roof_rack"] == 0
    assert 40 < seen(math.pi, spoiler="lip")["spoiler"] < seen(math.pi, spoiler="wing")["spoiler"]
    assert seen(0.0, grille="wide")["grille"] > 1.5 * seen(0.0, grille="small")["grille"]
    assert seen(math.pi, taillight_shape="bar")["taillights"] > 1.5 * behind["taillights"]
    assert seen(wheel_size=0.98)["tyres"] > 1.5 * seen(wheel_size=0.02)["tyres"]
    assert seen(cabin_height=0.98)["windows"] > 1.1 * seen(cabin_height=0.02)["windows"]


def test_headlights_have_three_shapes(world):
    def shape(name):
        parts = pictured(world, resolution=256, headlight_shape=name).segmentation[0]
        rows, columns = (parts[:, :128] == world.parts.index("headlights")).nonzero().T
        height, width = int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
        return width / height, len(rows) / (width * height)

    (flat, _), (_, full), (_, disc) = shape("slim"), shape("square"), shape("round")
    assert flat > 1.8 and full > 0.85 > disc > 0.6


@pytest.mark.parametrize("body", TYPES)
def test_a_car_stands_on_four_wheels_and_its_front_looks_to_z(world, body):
    found = places(world, ALL_ROUND, -0.4, body_type=body, spoiler="wing")
    mean = {part: points.mean(0) for part, points in found.items()}
    assert max(abs(float(point[0])) for point in mean.values()) < 0.03
    assert min(mean[part][2] for part in ("headlights", "grille")) > 0.3
    assert max(mean[part][2] for part in ("taillights", "spoiler")) < -0.15
    heights = [float(mean[part][1]) for part in ("windows", "headlights", "bumpers", "tyres")]
    assert heights == sorted(heights, reverse=True)
    assert extent(found["tyres"], 1)[0] > GROUND - 0.003
    corners = {(bool(x > 0), bool(z > 0)) for x, _, z in found["rims"]}
    assert len(corners) == 4 and found["rims"][:, 0].abs().min() > 0.15 and found["rims"][:, 2].abs().min() > 0.1


def test_body_types_have_their_silhouettes(world):
    """From the side: how high, how long, and where the roof ends."""
    sides = {c: places(world, [math.pi / 2, -math.pi / 2], body_type=c) for c in TYPES}
    tops = {c: extent(torch.cat([*found.values()]), 1, 0.005)[1] for c, found in sides.items()}
    assert [*sorted(tops, key=tops.__getitem__)][:2] in (["sports", "convertible"], ["convertible", "sports"])
    assert max(tops, key=tops.__getitem__) == "suv" and tops["suv"] > tops["sedan"] + 0.05
    roofs = {c: extent(found["roof"], 2) for c, found in sides.items() if c != "convertible"}
    assert roofs["pickup"][0] > -0.1 and max(roofs["hatchback"][0], roofs["suv"][0]) < -0.25
    lengths = {c: -extent(found["taillights"], 2)[0] for c, found in sides.items()}
    assert min(lengths, key=lengths.__getitem__) == "hatchback"
    bonnet = {c: extent(found["headlights"], 2)[1] - roofs[c][1] for c, found in sides.items() if c in roofs}
    assert max(bonnet, key=bonnet.__getitem__) == "sports" and min(bonnet, key=bonnet.__getitem__) == "pickup"


@pytest.mark.parametrize(
    ("attribute", "part", "measured", "change"),
    [
        ("wheel_size", "tyres", lambda p: extent(p, 1)[1], 0.05),
        ("ride_height", "headlights", lambda p: p[:, 1].mean(), 0.05),
        ("length", "bumpers", lambda p: extent(p, 2)[1] - extent(p, 2)[0], 0.04),
        ("width", "bumpers", lambda p: extent(p, 0)[1] - extent(p, 0)[0], 0.03),
        ("cabin_height", "roof", lambda p: extent(p, 1)[1], 0.015),
        ("cabin_position", "roof", lambda p: p[:, 2].mean(), 0.025),
        ("bonnet_slope", "headlights", lambda p: -p[:, 1].mean(), 0.008),
        ("wheelbase", "rims", lambda p: p[:, 2].abs().mean(), 0.02),
    ],
)
def test_measures_grow_with_their_attributes(world, attribute, part, measured, change):
    low, high = (
        measured(places(world, ALL_ROUND, -0.3, body_type="sedan", **{attribute: v})[part]) for v in (0.02, 0.98)
    )
    assert high > low + change


def test_tinted_windows_are_darker_and_a_roof_is_painted_as_the_body(world):
    def colour(part, **classes):
        picture = pictured(world, 0.65, -0.55, **classes)
        return picture.rgb[0][:, picture.segmentation[0] == world.parts.index(part)].mean(1)

    assert (colour("windows", window_tint=0.02) > colour("windows", window_tint=0.98) + 0.5).all()
    assert (colour("roof", roof_colour="black") < -0.2).all() and (colour("roof", roof_colour="white") > 0.3).all()
    red, green, _ = colour("roof", body_colour="red")
    assert red > green + 0.5


def test_cameras_stand_all_round_and_never_below_the_ground(world):
    _, camera = world.sample(0, range(2000))
    assert world.domain.cameras.goes_round
    yaw, _ = camera.angles().T
    assert (torch.histc(yaw, 12, -math.pi, math.pi) > 120).all()
    height = camera.cam2world[:, 1, 3]
    assert height.min() >= -1e-4 > GROUND and height.max() < 2.7 * math.sin(math.radians(41))
