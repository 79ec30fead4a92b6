import numpy as np
import pytest
import torch

from sat3d.metrics import ColumnCovariance, ColumnMoments, merge_moments, merge_scatter, row_moments, row_scatter


def test_huge_offsets_do_not_cancel_and_batches_do_not_matter():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1000, 4)) * [1e-3, 1.0, 5.0, 0.0] + [1e9, -1e8, 0.0, 7.0]
    metric = ColumnMoments(4)
    for start, stop in ((0, 1), (1, 400), (400, 400), (400, 1000)):  # one row, none, many
        metric.update(torch.from_numpy(rows[start:stop]))
    result = metric.compute()
    centred = rows - rows[0]  # exact for the large columns: neighbours in float64
    assert result.rows == 1000
    assert np.allclose(result.std, centred.std(0), rtol=1e-6, atol=0)
    assert np.allclose(result.mean - rows[0], centred.mean(0), rtol=0, atol=5e-7)
    assert np.array_equal(result.minimum, rows.min(0)) and np.array_equal(result.maximum, rows.max(0))
    naive = np.sqrt(np.abs((rows**2).mean(0) - rows.mean(0) ** 2))
    assert abs(naive[0] / centred[:, 0].std() - 1) > 0.5  # what the test would let through otherwise


def test_merging_is_the_moments_of_all_rows_in_any_grouping():
    rows = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)) * 4 + 100
    whole, empty = row_moments(rows), row_moments(rows[:0])
    for parts in ([rows[:7], rows[7:50], rows[50:]], [rows[:30], rows[30:]]):
        merged = merge_moments(torch.stack([empty, *map(row_moments, parts), empty]))
        assert torch.allclose(merged, whole, rtol=1e-13, atol=0)


def test_forward_adds_like_update_and_nothing_is_nan():
    rows = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    metric = ColumnMoments(2)
    with pytest.warns(UserWarning, match="before the"):
        assert metric.compute().mean.isnan().all()
    metric.reset()
    first = metric(rows[:5])
    metric(rows[5:])
    assert np.allclose(first.std, rows[:5].numpy().astype(np.float64).std(0), rtol=1e-12)
    assert np.allclose(metric.compute().std, rows.numpy().astype(np.float64).std(0), rtol=1e-12)


def test_covariance_is_numpys_in_any_batches_and_does_not_cancel():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 5)) @ rng.normal(size=(5, 5)) + [1e8, -1e7, 0.0, 3.0, 1e4]
    metric = ColumnCovariance(5)
    for start, stop in ((0, 1), (1, 200), (200, 200), (200, 500)):
        metric.update(torch.from_numpy(rows[start:stop]))
    found, centred = metric.compute(), rows - rows[0]
    assert found.rows == 500
    assert np.allclose(found.mean - rows[0], centred.mean(0), rtol=0, atol=1e-7)
    assert np.allclose(found.covariance, np.cov(centred.T, bias=True), rtol=1e-6, atol=1e-6)


def test_scatters_merge_in_any_grouping():
    rows = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)) * 4 + 100
    whole, empty = row_scatter(rows), row_scatter(rows[:0])
    for parts in ([rows[:7], rows[7:50], rows[50:]], [rows[:30], rows[30:]]):
        merged = merge_scatter(torch.stack([empty, *map(row_scatter, parts), empty]))
        assert torch.allclose(merged, whole, rtol=1e-12, atol=1e-10)
