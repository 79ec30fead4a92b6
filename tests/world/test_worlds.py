import sys

import numpy as np
import pytest
import torch

import sat3d.world
from sat3d.world import load_world


@pytest.fixture(scope="session")
def z(world):
    return world.sample(0, range(2000))[0]


@pytest.fixture(scope="session")
def strongest(world):
    """The pair of attributes that are most correlated, and how much."""
    pairs = np.triu(world.correlations, 1)
    k, m = np.unravel_index(np.abs(pairs).argmax(), pairs.shape)
    return int(k), int(m), float(pairs[k, m])


def normal_scores(world, z):
    return torch.from_numpy(world.code_map.normal(z.double().numpy()))


def test_individual_i_depends_on_seed_and_i_alone(world):
    z, camera = world.sample(5, range(50))
    again, camera_again = world.sample(5, torch.tensor([49, 7]))
    assert torch.equal(again, z[[49, 7]])
    assert torch.equal(camera_again.label(), camera.label()[[49, 7]])
    other, _ = world.sample(6, range(50))
    assert not torch.isin(other, z).any()


def test_cameras_cover_their_range(world):
    cameras = world.domain.cameras
    _, camera = world.sample(0, range(2000))
    distance = camera.cam2world[:, :3, 3].norm(dim=1)
    torch.testing.assert_close(distance, torch.full_like(distance, cameras.radius))
    for angle, (low, high) in zip(camera.angles().T, (cameras.yaw, cameras.pitch), strict=True):
        margin = 0.01 * (high - low)
        assert low - 1e-4 <= angle.min() < low + margin and high - margin < angle.max() <= high + 1e-4


def test_codes_invert_coordinates(world, z):
    u = world.coordinates(z)
    assert u.shape == (2000, len(world.attributes)) and 0 < u.min() < u.max() < 1
    assert (world.codes(u) - z).abs().max() < 1e-4
    assert (world.codes(u.float()) - z).abs().quantile(0.999) < 1e-3  # coordinates kept in float32


def test_classes_are_as_frequent_as_the_table_says(world, z):
    values = world.values(world.coordinates(z))
    for i, a in enumerate(world.attributes):
        if a.kind == "categorical":
            share = torch.bincount(values[:, i].long(), minlength=len(a.classes)) / len(z)
            assert torch.allclose(share, torch.tensor(a.probabilities, dtype=share.dtype), atol=0.045), a.name


def test_intervention_changes_one_attribute_only(world, z):
    before = world.coordinates(z)
    for k, a in enumerate(world.attributes):
        for value in (0.9,) if a.kind == "continuous" else (a.classes[0], len(a.classes) - 1):
            after = world.coordinates(world.intervene(z, a.name, value))
            others = torch.arange(len(world.names)) != k
            assert (after - before)[:, others].abs().max() < 1e-4
            wanted = value if isinstance(value, float) else a.class_index(value)
            assert torch.allclose(world.values(after)[:, k], torch.tensor(float(wanted)), atol=1e-3)
            if a.kind == "categorical":
                stays = world.labels(before)[:, k] == wanted
                assert (after - before)[stays].abs().max() < 1e-4


def test_conditioning_follows_the_empirical_regression(world, strongest):
    k, m, correlation = strongest
    z = world.sample(1, range(40_000))[0]
    x = normal_scores(world, z)
    slopes = (x * x[:, k : k + 1]).mean(0) / (x[:, k] ** 2).mean()
    top = len(world.attributes[k].classes) - 1
    moved = normal_scores(world, world.condition(z, world.names[k], top)) - x
    step = moved[:, k : k + 1]
    assert (moved - slopes * step)[:, torch.arange(x.shape[1]) != k].abs().max() < 0.035 * step.abs().max()
    assert moved[:, m].mean() / step.mean() == pytest.approx(correlation, abs=1e-3)


def test_conditioning_reproduces_the_conditional_frequencies(world, strongest):
    k, m, _ = strongest
    z = world.sample(2, range(40_000))[0]
    top = len(world.attributes[k].classes) - 1
    labels = world.labels(world.coordinates(z))
    real = (labels[labels[:, k] == top, m] == 1).double().mean()
    made = (world.labels(world.coordinates(world.condition(z, world.names[k], top)))[:, m] == 1).double().mean()
    assert made == pytest.approx(float(real), abs=0.03)


def test_values_may_differ_by_individual(world, z):
    name = max(world.attributes, key=lambda a: len(a.classes)).name
    wanted = torch.tensor([0, 1, 2, 3])
    moved = world.intervene(z[:4], name, wanted)
    assert torch.equal(world.labels(world.coordinates(moved))[:, world.index(name)], wanted)


def test_wrong_edits_are_refused():
    world = load_world("heads")
    z, _ = world.sample(0, range(4))
    with pytest.raises(ValueError, match=r"no attribute 'nose'.*nose_size"):
        world.intervene(z, "nose", 1)
    with pytest.raises(ValueError, match="choose from none, beanie, cap, brimmed"):
        world.condition(z, "hat", "crown")
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        world.intervene(z, "smile", 1.5)
    with pytest.raises(ValueError, match="3 values"):
        world.intervene(z, "smile", torch.tensor([0.1, 0.2, 0.3]))


def test_features_describe_values(world, z):
    u = world.coordinates(z)
    features = world.features(u)
    column = 0
    for i, a in enumerate(world.attributes):
        if a.kind == "continuous":
            assert torch.allclose(torch.special.ndtr(features[:, column].double()), u[:, i], atol=1e-5)
            column += 1
        else:
            one_hot = features[:, column : column + len(a.classes)]
            assert torch.equal(one_hot.argmax(1), world.labels(u)[:, i]) and torch.equal(
                one_hot.sum(1), torch.ones(2000)
            )
            column += len(a.classes)
    assert column == features.shape[1]


def test_a_missing_renderer_is_explained(world, z, monkeypatch):
    monkeypatch.delattr(sat3d.world, "tracing", raising=False)
    monkeypatch.delitem(sys.modules, "sat3d.world.tracing", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "numba"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numba", None)
    _, camera = world.sample(0, [0])
    with pytest.raises(ImportError, match=r"sat3d\[world\]"):
        world.render(world.coordinates(z[:1]), camera)
