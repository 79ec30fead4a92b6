import pytest
import torch

from sat3d.world import load_world
from tests.world.conftest import pictured, places, shares

pytest.importorskip("numba")


@pytest.fixture(scope="module")
def world():
    return load_world("animals")


def test_parts_show_as_the_attributes_say(world):
    def seen(**classes):
        return shares(world, 0.2, **classes)

    plain = seen()
    assert plain["collar"] == 0
    assert min(plain[p] for p in ("fur", "muzzle", "nose", "eyes", "ears", "mouth", "chest")) >= 15
    mouths = [seen(mouth=c)["mouth"] for c in ("closed", "open", "tongue")]
    assert mouths == sorted(set(mouths))
    assert 80 < seen(collar="collar")["collar"] < seen(collar="bell")["collar"] < seen(collar="bow_tie")["collar"]
    assert seen(species="wild")["fur"] > 1.3 * plain["fur"]  # its mane
    assert min(seen(species=c)["muzzle"] for c in ("wild", "dog")) > 1.5 * plain["muzzle"]
    for part, attribute, more in (
        ("ears", "ear_size", 2.0),
        ("eyes", "eye_size", 1.5),
        ("nose", "nose_size", 1.7),
        ("muzzle", "muzzle_length", 1.2),
        ("muzzle", "muzzle_width", 1.2),
        ("fur", "cheek_fluff", 1.2),
        ("fur", "head_width", 1.2),
    ):
        assert seen(**{attribute: 0.98})[part] > more * seen(**{attribute: 0.02})[part], attribute


def test_sleepy_eyes_show_less_of_their_colour(world):
    def iris(eyelids):
        picture = pictured(world, eyelids=eyelids, eye_colour="blue")
        red, _, blue = picture.rgb[0]
        return int(((blue > red + 0.4) & (picture.segmentation[0] == world.parts.index("eyes"))).sum())

    assert iris(0.02) > iris(0.5) > iris(0.98) > 5


def test_cats_have_slit_pupils(world):
    def pupil(species):
        picture = pictured(world, resolution=256, species=species, eyelids=0.0, eye_colour="green", muzzle_length=0.0)
        dark = (picture.rgb[0].amax(0) < -0.7) & (picture.segmentation[0] == world.parts.index("eyes"))
        row = dark.nonzero()[:, 0].double().mean().long()
        return int(dark[row - 1 : row + 2, :128].sum())

    assert pupil("cat") < 0.75 * pupil("dog")


def test_ears_have_three_shapes(world):
    ears = {c: places(world, [-0.5, 0.5], ear_shape=c)["ears"] for c in ("pointed", "round", "floppy")}
    tops = [float(ears[c][:, 1].quantile(0.99)) for c in ("pointed", "round", "floppy")]
    assert tops[0] > tops[1] + 0.03 > tops[2] + 0.06
    assert ears["floppy"][:, 1].mean() < 0.1 < 0.2 < ears["round"][:, 1].mean()
    width = {c: float(points[points[:, 1] > 0.27, 0].abs().std()) for c, points in ears.items() if c != "floppy"}
    assert width["pointed"] < width["round"]


@pytest.mark.parametrize("species", ["cat", "wild", "dog"])
def test_features_lie_where_an_animal_has_them(world, species):
    found = places(world, [-0.6, 0.6], 0.1, species=species, collar="bell", mouth="tongue")
    mean = {part: points.mean(0) for part, points in found.items()}
    heights = [float(mean[p][1]) for p in ("ears", "eyes", "nose", "mouth", "collar")]
    assert heights == sorted(heights, reverse=True)
    assert max(abs(float(point[0])) for point in mean.values()) < 0.01
    assert mean["nose"][2] > mean["muzzle"][2] > mean["eyes"][2] > mean["ears"][2] + 0.1
    assert found["eyes"][:, 0].abs().min() > 0.02 > found["nose"][:, 0].abs().min()


def test_long_muzzles_reach_forward_and_dogs_farther_than_cats(world):
    def tip(**classes):
        return float(places(world, [0.0], **classes)["nose"][:, 2].mean())

    for species in ("cat", "wild", "dog"):
        assert tip(species=species, muzzle_length=0.98) > tip(species=species, muzzle_length=0.02) + 0.06
    assert tip(species="dog") > tip(species="wild") > tip(species="cat")


def test_eyes_are_as_far_apart_as_the_attribute_says(world):
    apart, close = (places(world, [0.0], eye_spacing=v)["eyes"][:, 0].abs().mean() for v in (0.98, 0.02))
    torch.testing.assert_close(apart - close, torch.tensor(0.96 * 0.037), atol=0.005, rtol=0)
