from itertools import combinations
from types import SimpleNamespace

import pytest
import torch

from sat3d.evaluation.channels import (
    channel_effects,
    consistent,
    log_odds_of,
    ranking_hits,
    region_agreement,
    shown_in,
    swept_changes,
    target_first,
    true_logits,
)
from sat3d.ops.camera import Camera
from sat3d.world import load_world

WEIGHTS = torch.tensor([[2.0, 0.0], [0.0, -1.0], [0.5, 0.5]])  # of three channels, on two columns


class Linear:
    """Draw a picture whose pixels are the style's sum over channels, squares among them, and the camera's place."""

    def synthesize(self, styles, camera=None):
        values = styles @ WEIGHTS + 7 * styles.square() @ WEIGHTS.abs()
        if camera is not None:
            values = values + camera.cam2world[:, :2, 3]
        return SimpleNamespace(image=values[:, :, None, None])


class Reader:
    def log_odds(self, images):
        return images[:, :, 0, 0]


@pytest.fixture(scope="module")
def world():
    return load_world("heads")


def test_true_logits_are_above_zero_where_the_world_says_so(world):
    z = torch.randn(300, world.z_dim, generator=torch.Generator().manual_seed(0))
    labels = world.labels(world.coordinates(z))
    logits, names = true_logits(world, z)
    assert len(names) == logits.shape[1] == len(set(names))
    for name, logit in zip(names, logits.T, strict=True):
        attribute = world.attribute(name.partition("/")[0])
        label = name.partition("/")[2]
        wanted = 1 if label == "value" else attribute.classes.index(label)
        assert torch.equal(logit > 0, labels[:, world.index(attribute.name)] == wanted)
    assert "hair_curl/straight" not in names  # says what hair_curl/curly says


def test_a_class_is_as_clear_as_it_lies_deep_in_its_bin(world):
    u = torch.full((3, world.z_dim), 0.5, dtype=torch.float64)
    u[:, world.index("hair_length")] = torch.tensor([0.05, 0.34, 0.9])  # short's bin is 0.2 to 0.48
    u[:, world.index("smile")] = torch.tensor([0.1, 0.5, 0.9])
    logits, names = true_logits(world, world.codes(u))
    short, smile = (logits[:, names.index(name)] for name in ("hair_length/short", "smile/value"))
    assert short.tolist() == pytest.approx([-0.15, 0.14, -0.42], abs=1e-5)
    assert smile.tolist() == pytest.approx([-0.4, 0.0, 0.4], abs=1e-5)


def test_columns_show_where_their_attributes_do(world):
    shows = shown_in(("beard/long", "smile/value"), world.attributes, ("skin", "mouth", "beard"))
    assert shows.tolist() == [[True, False, True], [False, True, False]]
    with pytest.raises(KeyError, match="tail"):
        shown_in(("tail/long",), world.attributes, ("skin",))


def test_effects_are_the_linear_part_in_units_of_the_step():
    s, step = torch.tensor([[0.3, -0.2, 0.1]]), torch.tensor([1.0, 2.0, 4.0])
    curved = 7 * 2 * (s[0] * step)[:, None] * WEIGHTS.abs()  # half of (s + h)² − (s − h)² is 2 s h
    for batch_size in (1, 4):
        effects = channel_effects(Linear(), Reader(), s, None, step, batch_size)
        assert torch.allclose(effects, step[:, None] * WEIGHTS + curved, atol=1e-4)


def test_each_style_keeps_its_camera_in_any_batch():
    styles = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    camera = Camera.look_at(torch.linspace(-1, 1, 5), torch.zeros(5), pivot=(0.0, 0.0, 0.0), radius=2.7, fov=30.0)
    one = [log_odds_of(Linear(), Reader(), styles[i : i + 1], camera[i : i + 1]) for i in range(5)]
    for batch_size in (2, 16):
        assert torch.allclose(log_odds_of(Linear(), Reader(), styles, camera, batch_size), torch.cat(one))


def test_sweeps_start_at_the_unedited_picture():
    styles, move = torch.zeros(2, 3), torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    change = swept_changes(Linear(), Reader(), styles, None, move, (0.0, 0.5))
    assert change.shape == (2, 2, 2) and not change[:, 0].any()
    assert change[0, 1].tolist() == [0.5 * 2 + 7 * 0.25 * 2, 0.0]
    assert change[1, 1].tolist() == [0.0, -0.5 + 7 * 0.25]


def test_only_effects_that_agree_between_pictures_are_consistent():
    rng = torch.Generator().manual_seed(0)
    effects = torch.randn(16, 400, 5, generator=rng)
    effects[:, :3, 2] += torch.tensor([2.0, -2.0, 3.0])
    effects[:, 3, 2] = 9.0 * torch.tensor([1.0, -1.0]).repeat(8)  # large, and either way
    found = consistent(effects)
    assert found[:3].all() and not found[3]
    assert float(found[3:].double().mean()) < 0.1
    with pytest.raises(ValueError, match="4 pictures"):
        consistent(effects[:4])


def test_regions_agree_by_hand():
    # Columns 0 and 1 show in region 0 and in regions 1 and 2. Channels' strongest columns: 0, 0, 1, 1, 1, 0.
    shows = torch.tensor([[True, False, False], [False, True, True]])
    effect = torch.tensor([[1.0, 0.0], [-2.0, 1.0], [0.1, -0.3], [0.0, 1.0], [0.2, 4.0], [1.0, 0.0]])
    region = torch.tensor([0, 1, 2, 0, -1, 0])
    known = torch.tensor([True, True, True, True, True, False])
    agreement = region_agreement(effect, shows, region, known)
    assert agreement.judged.tolist() == [2, 1, 1] and agreement.right.tolist() == [1, 0, 1]
    assert agreement.precision == 0.5
    # Channels of column 0 (two of four) are right in region 0 (two of four); those of column 1 in the two others.
    assert agreement.chance == pytest.approx(0.5 * 0.5 + 0.5 * 0.5)


EFFECT = torch.tensor([0.1, -1.0, 0.6, 0.0, 0.2, 0.3, 2.0])
POOL = torch.tensor([True] * 6 + [False])


def test_hits_by_hand():
    theta = torch.tensor([0.0, 1.0, 3.0, 2.0, 1.5, 1.2, 9.0])  # 2, 3, 4, 5, 1 and the outsider 6
    up = torch.ones(7)
    hits = ranking_hits(theta, up, EFFECT, POOL)
    assert (hits.first, hits.five, hits.sign, hits.reach) == (True, True, True, pytest.approx(0.6))
    assert not ranking_hits(theta, -up, EFFECT, POOL).sign
    assert ranking_hits(-theta, up, EFFECT, POOL).first is False
    of_all = ranking_hits(theta, up, EFFECT, POOL, among=torch.ones(7, dtype=torch.bool))
    assert (of_all.first, of_all.five, of_all.reach) == (False, True, pytest.approx(0.3))
    with pytest.raises(ValueError, match="candidates are 3"):
        ranking_hits(theta, up, EFFECT, torch.arange(7) < 3)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_chance_is_that_of_all_draws_of_five(share):
    hits = ranking_hits(torch.rand(7), torch.ones(7), EFFECT, POOL, share=share)
    strong = [i for i in range(6) if abs(float(EFFECT[i])) >= share]
    draws = [any(i in strong for i in five) for five in combinations(range(6), 5)]
    assert hits.chance == pytest.approx((len(strong) / 6, sum(draws) / len(draws)))


def test_the_targets_other_classes_are_left_out():
    columns = ("hat/none", "hat/cap", "smile/value", "beard/long")
    assert target_first(columns, "hat/cap").tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="tail"):
        target_first(columns, "tail/long")
