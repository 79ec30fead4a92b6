"""Contributions against a computation in two passes over all samples at once."""

import numpy as np
import pytest
import torch

from sat3d.metrics import ChannelContribution, RegionResponse


def sample(count=12, seed=0, sides=(4, 8), widths=(5, 3), regions=4):
    random = torch.Generator().manual_seed(seed)
    layers = [3 + torch.randn(count, c, s, s, generator=random) for c, s in zip(widths, sides, strict=True)]
    members = []
    for s in sides:
        labels = torch.randint(0, regions, (count, s, s), generator=random)
        members.append(torch.nn.functional.one_hot(labels, regions).movedim(-1, 1).float())
    return layers, members


def naive(layers, members):
    found = []
    for a, u in zip(layers, members, strict=True):
        a, u = a.double().numpy(), u.double().numpy()
        inside = u.sum(1, keepdims=True)  # 1, and 0 where a position is left out
        mean = (a * inside).sum((0, 2, 3), keepdims=True) / inside.sum()
        std = np.sqrt(((a - mean) ** 2 * inside).sum((0, 2, 3), keepdims=True) / inside.sum())
        found.append(np.einsum("nchw,nkhw->kc", ((a - mean) / std) ** 2, u) / inside.sum())
    return np.concatenate(found, 1)


def cut(parts, start, stop):
    return [x[start:stop] for x in parts]


def test_one_pass_is_two_passes_in_batches_and_merged():
    layers, members = sample()
    whole, batches, first, second = (ChannelContribution([5, 3], 4) for _ in range(4))
    whole.update(layers, members)
    for start in (0, 5, 10):
        batches.update(cut(layers, start, start + 5), cut(members, start, start + 5))
    first.update(cut(layers, 0, 7), cut(members, 0, 7))
    second.update(cut(layers, 7, 12), cut(members, 7, 12))
    first.sums += second.sums
    first.weight += second.weight
    expected = naive(layers, members)
    for found in (whole, batches, first):
        np.testing.assert_allclose(found.compute().numpy(), expected, rtol=1e-9)
    torch.testing.assert_close(whole.compute().sum(0), torch.ones(8, dtype=torch.float64))


def test_positions_of_no_region_are_left_out_and_shares_may_be_soft():
    layers, members = sample(seed=1)
    members[0][:, :, 0] = 0
    members[1] = members[1] * 0.25 + members[1].roll(1, 1) * 0.75
    metric = ChannelContribution([5, 3], 4)
    metric.update(layers, members)
    np.testing.assert_allclose(metric.compute().numpy(), naive(layers, members), rtol=1e-9)
    torch.testing.assert_close(metric.compute().sum(0), torch.ones(8, dtype=torch.float64))


def test_a_channel_that_lives_in_one_region_belongs_to_it_and_a_constant_one_to_none():
    layers, members = sample(widths=(2,), sides=(8,))
    layers[0][:, 0] = 100 * members[0][:, 2] * torch.randn(12, 8, 8).sign()
    layers[0][:, 1] = 7.3
    metric = ChannelContribution([2], 4)
    metric.update(layers, members)
    found = metric.compute()
    assert found[2, 0] > 0.97 and found[:, 1].count_nonzero() == 0


def test_responses_are_shares_of_squared_gradients():
    gradients = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))
    gradients[:, :, 3] = 0
    metric = RegionResponse(4, 3)
    metric.update(gradients[:2])
    metric.update(gradients[2:])
    energy = gradients.double().square().sum(0)
    torch.testing.assert_close(metric.compute()[:, :3], (energy / energy.sum(0))[:, :3])
    assert metric.compute()[:, 3].tolist() == [0, 0, 0]


@pytest.mark.parametrize("metric", [ChannelContribution([5, 3], 4), RegionResponse(4, 3)])
def test_states_of_devices_add_up(metric):
    assert all(reduce.__name__ == "dim_zero_sum" for reduce in metric._reductions.values())
