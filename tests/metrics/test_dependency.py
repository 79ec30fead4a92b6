import math

import numpy as np
import pytest
import torch

from sat3d.metrics import AttributeDependency, MatchedDependency, attribute_dependency, matched_dependency

CHANGE, STD = torch.tensor([[1.0, 2.0, -6.0], [4.0, 0.0, 1.0]]), torch.tensor([1.0, 2.0, 2.0])


def test_dependency_by_hand():
    assert attribute_dependency(CHANGE, STD, 0).tolist() == [2.0, 0.25]
    assert attribute_dependency(CHANGE, STD, 0, "max").tolist() == [3.0, 0.5]
    assert attribute_dependency(CHANGE, STD, 2).tolist() == [1.0, 2.0]
    assert attribute_dependency(CHANGE[None], STD, 0).tolist() == [[2.0, 0.25]]


def test_bins_by_hand():
    metric = AttributeDependency(edges=(0.0, 2.0, 5.0, 6.0))
    metric.update(CHANGE[:1], STD, 0)
    metric.update(torch.cat([CHANGE[1:], torch.tensor([[-4.5, 3.0, 3.0], [7.0, 0.0, 0.0]])]), STD, 0)
    curve = metric.compute()
    assert curve.change[:2] == (1.0, 4.25) and curve.mean[:2] == (2.0, 0.875) and curve.max[:2] == (3.0, 1.0)
    assert all(math.isnan(x[2]) for x in (curve.change, curve.mean, curve.max))
    assert curve.edits == (1, 2, 0) and curve.seen == 4  # one moved past the last border


def test_matched_by_hand():
    # Moves 0 → 2 → 1 → 4 with dependencies 0 → 1 → 9 → 5: read where it first gets there, on the way from the origin.
    change = torch.tensor([[[-2.0, 1.0], [1.0, 9.0], [4.0, -5.0]], [[0.1, 8.0], [0.2, 8.0], [0.3, 8.0]]])
    read = matched_dependency(change, torch.ones(2), 0, torch.tensor([1.0, 2.0, 3.0, 5.0]))
    assert read[0, :3].tolist() == pytest.approx([0.5, 1.0, 9 - 4 * 2 / 3])
    assert read[0, 3].isnan() and read[1].isnan().all()


def test_matched_is_numpys_interpolation_of_rising_sweeps():
    rng = np.random.default_rng(0)
    change = rng.normal(size=(6, 5, 4)).cumsum(1)
    change[..., 1] = rng.random((6, 5)).cumsum(1)
    std, at = rng.random(4) + 0.5, np.array([0.2, 0.5, 1.0, 1.7])
    metric = MatchedDependency(at=at.tolist())
    for part in (slice(0, 1), slice(1, 6)):
        metric.update(torch.from_numpy(change[part]), torch.from_numpy(std), 1)
    curve = metric.compute()
    x, others = change[..., 1] / std[1], np.abs(np.delete(change / std, 1, axis=2))
    for values, dependency in ((curve.mean, others.mean(2)), (curve.max, others.max(2))):
        rows = [np.interp(at, [0, *x[b]], [0, *dependency[b]], right=np.nan) for b in range(6)]
        assert np.allclose(values, np.nanmean(rows, axis=0), rtol=1e-5)
    reached = (x[:, -1:] >= at).sum(0)
    assert curve.edits == tuple(reached) and curve.seen == 6 and 0 < reached[-1] < 6
    assert curve.change == tuple(at)


def test_the_origin_is_no_change():
    with pytest.raises(ValueError, match="above 0"):
        MatchedDependency(at=(0.0, 1.0))
