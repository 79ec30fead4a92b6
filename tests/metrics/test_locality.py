import math

import numpy as np
import pytest
import torch

from sat3d.metrics import (
    EditLocality,
    RegionOverlap,
    change_inside,
    lab_errors,
    locally_active,
    region_grid,
    region_hits,
    winning_region,
)


def random_picture(seed, channels=5, regions=4, grid=8):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(regions + 1, (grid, grid), generator=rng)  # the last label is in no region
    return torch.rand(channels, grid, grid, generator=rng), torch.stack([labels == k for k in range(regions)])


def test_regions_on_the_grid_are_the_majority():
    labels = torch.tensor([[0, 0, 1, 2], [0, 1, 2, 2], [1, 1, 0, 1], [2, 1, 1, 0]])
    grid = region_grid(labels[None], regions=3, grid=2)[0]
    assert grid.int().argmax(0).tolist() == [[0, 2], [1, 0]]  # a tie goes to the lower label
    assert grid.sum(0).eq(1).all()


def test_hits_are_those_of_the_thresholded_map():
    maps, regions = random_picture(0)
    hits = region_hits(maps, regions)
    for u, channel in enumerate(maps.numpy()):
        for k, region in enumerate(regions.numpy()):
            area = region.sum()
            mask = channel >= np.sort(channel.ravel())[-area]
            assert mask.sum() == area and hits[u, k] == (mask & region).sum()


def test_a_dead_channel_and_an_absent_region_meet_nothing():
    maps, regions = torch.zeros(2, 2, 2), torch.tensor([[[True, True], [False, False]], [[False] * 2] * 2])
    maps[1, 0, 1] = 1.0
    hits = region_hits(maps, regions)
    assert hits.tolist() == [[0, 0], [1, 0]]
    assert winning_region(hits, regions.sum((1, 2))).tolist() == [-1, 0]


def test_small_regions_win_by_one_more_area():
    # n/o is 8/10 and 1/2; n/o² is 0.08 and 0.25.
    assert winning_region(torch.tensor([[8, 1]]), torch.tensor([10, 2])).tolist() == [1]


@pytest.mark.parametrize(
    "rate, region",
    [
        ([0.9, 0.1, 0.0], 0),
        ([0.1, 0.55, 0.25], 1),
        ([0.5, 0.0, 0.0], -1),  # not above 1/2
        ([0.7, 0.0, 0.5], -1),  # the second is too close
        ([0.75, 0.0, 0.5], -1),  # above by 1/4 and no more
        ([math.nan, 0.2, 0.8], 2),  # the first region never appeared
        ([0.6], 0),
    ],
)
def test_both_thresholds(rate, region):
    assert locally_active(torch.tensor([rate])).tolist() == [region]


def test_overlap_over_pictures_is_the_loop():
    pictures = [random_picture(seed) for seed in range(6)]
    for _, regions in pictures[:4]:
        regions[2] = False  # this region is rare
    metric = RegionOverlap(channels=5, regions=4)
    for part in (pictures[:1], pictures[1:]):
        metric.update(torch.stack([m for m, _ in part]), torch.stack([r for _, r in part]))
    wins, present = np.zeros((5, 4)), np.zeros(4)
    for maps, regions in pictures:
        area = regions.sum((1, 2)).numpy()
        present += area > 0
        for u, hits in enumerate(region_hits(maps, regions).numpy()):
            wins[u, np.argmax([n / o**2 if o else 0 for n, o in zip(hits, area, strict=True)])] += 1
    result = metric.compute()
    assert np.array_equal(result.rate, wins / present) and result.present.tolist() == [6, 6, 2, 6]
    hits, area = sum(region_hits(*p) for p in pictures), sum(r.sum((1, 2)) for _, r in pictures)
    assert torch.equal(result.overlap, hits.double() / area)


def test_planted_channels_are_local_to_their_region():
    rng, metric = torch.Generator().manual_seed(0), RegionOverlap(channels=3, regions=2)
    for _ in range(8):
        left = torch.zeros(8, 8, dtype=torch.bool)
        left[:, : 2 + int(torch.randint(3, (), generator=rng))] = True
        noise = torch.rand(3, 8, 8, generator=rng)
        noise[0] += 2 * left
        noise[1] += 2 * ~left
        noise[2] = 0
        metric.update(noise[None], torch.stack([left, ~left])[None])
    assert metric.compute().local().tolist() == [0, 1, -1]
    assert torch.equal(metric.compute().overlap[:2].diagonal(), torch.ones(2, dtype=torch.float64))


def test_change_inside_by_hand():
    before, after, region = torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 2, 2), torch.zeros(2, 1, 2, 2)
    region[..., 0, 0] = 1
    after[0, 0, 0, 0], after[0, 1, 1, 1] = -1.0, 0.5
    share = change_inside(before, after, region)
    assert float(share[0]) == pytest.approx(0.8) and share[1].isnan()


def lab(rgb):
    """CIELAB by its definition, D65, of sRGB in [0, 1], (..., 3)."""
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    matrix = [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
    x = linear @ np.array(matrix).T / [0.950456, 1.0, 1.088754]
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def test_lab_errors_are_the_formula_inside_and_outside():
    rng = torch.Generator().manual_seed(0)
    before, after = (torch.rand(3, 3, 4, 4, generator=rng) * 2 - 1 for _ in range(2))
    region = (torch.rand(3, 1, 4, 4, generator=rng) > 0.5).float()
    region[2] = 1  # nothing is outside
    a, b = (
        lab((x.permute(0, 2, 3, 1).double().numpy() + 1) / 2) * [2.55, 1, 1] + [0, 128, 128] for x in (before, after)
    )
    squared, mask = (((a - b) / 255) ** 2).mean(-1), region[:, 0].numpy() > 0
    inside, outside = lab_errors(before, after, region)
    assert np.allclose(inside, [s[m].mean() for s, m in zip(squared, mask, strict=True)], rtol=1e-3)
    assert np.allclose(outside[:2], [s[~m].mean() for s, m in zip(squared[:2], mask[:2], strict=True)], rtol=1e-3)
    assert outside[2].isnan()

    metric = EditLocality()
    metric.update(before[:1], after[:1], region[:1])
    metric.update(before[1:], after[1:], region[1:])
    scores = metric.compute()
    assert scores.inside == pytest.approx(float(inside.mean()), rel=1e-6)
    assert scores.outside == pytest.approx(float(outside[:2].mean()), rel=1e-6)
    assert scores.ratio == pytest.approx(scores.inside / scores.outside)
    assert scores.share == pytest.approx(float(change_inside(before, after, region).mean()), rel=1e-6)
