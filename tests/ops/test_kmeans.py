"""Spherical k-means against planted clusters and a full-batch loop."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from sat3d.ops import kmeans
from sat3d.ops.kmeans import assign, mean_cosine, spherical_kmeans


def planted(n: int, channels: int, k: int, spread: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows of any length around k directions, and which."""
    rng = torch.Generator().manual_seed(seed)
    directions = torch.randn(k, channels, generator=rng)
    directions /= directions.norm(dim=1, keepdim=True)
    which = torch.randint(k, (n,), generator=rng)
    rows = directions[which] + spread * torch.randn(n, channels, generator=rng)
    return rows * torch.rand(n, 1, generator=rng).mul(5).exp(), which


def lloyd(rows: torch.Tensor, k: int, starts: int) -> float:
    """Return the best mean cosine of full passes, each from random rows, one vector at a time."""
    x = rows.double().numpy()
    x /= np.sqrt((x**2).sum(1))[:, None]
    rng, best = np.random.default_rng(0), -1.0
    for _ in range(starts):
        centres = x[rng.permutation(len(x))[:k]]
        for _ in range(50):
            labels = (x @ centres.T).argmax(1)
            for j in range(k):
                if (labels == j).any():
                    total = x[labels == j].sum(0)
                    centres[j] = total / np.sqrt((total**2).sum())
        best = max(best, (x @ centres.T).max(1).mean())
    return best


def test_planted_directions_are_found_whatever_the_lengths() -> None:
    rows, which = planted(4000, 12, 7, spread=0.08)
    found = spherical_kmeans(rows, 7)
    labels = assign(rows, found.centres)
    assert adjusted_rand_score(which, labels) > 0.99
    torch.testing.assert_close(found.centres.norm(dim=1), torch.ones(7))
    sizes = labels.bincount(minlength=7)
    assert sizes.tolist() == sorted(sizes.tolist(), reverse=True)
    cosines = (rows / rows.norm(dim=1, keepdim=True) * found.centres[labels]).sum(1)
    assert found.cosine == pytest.approx(cosines.mean().item(), abs=1e-5)


@pytest.mark.parametrize(("n", "channels", "k"), [(3000, 8, 6), (6000, 16, 20), (500, 5, 12)])
def test_as_good_as_full_passes(n: int, channels: int, k: int) -> None:
    rows, _ = planted(n, channels, k, spread=0.3)
    assert spherical_kmeans(rows, k).cosine > 0.98 * lloyd(rows, k, starts=5)


def test_a_pure_function_of_rows_k_and_seed() -> None:
    rows, _ = planted(2000, 6, 5, spread=0.5)
    first = spherical_kmeans(rows, 5, seed=3)
    state = torch.get_rng_state()
    again = spherical_kmeans(rows.clone(), 5, seed=3)
    assert torch.equal(first.centres, again.centres) and first.cosine == again.cosine
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first.centres, spherical_kmeans(rows, 5, seed=4).centres)


def test_more_starts_are_never_worse() -> None:
    rows, _ = planted(2000, 6, 9, spread=0.2)
    for seed in range(3):
        many, one = (spherical_kmeans(rows, 9, seed, n_init=n, passes=0).cosine for n in (4, 1))
        assert many >= one


def test_rare_directions_get_their_centre() -> None:
    sizes = [3000, 3000, 60, 60, 60, 60]
    rows = torch.eye(6).repeat_interleave(torch.tensor(sizes), dim=0)
    rows = rows + 0.02 * torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
    for seed in range(5):
        assert assign(rows, spherical_kmeans(rows, 6, seed).centres).bincount(minlength=6).tolist() == sizes


def test_a_centre_that_is_nobodys_comes_back() -> None:
    rows = torch.eye(6).repeat_interleave(200, dim=0)
    rows = rows + 0.02 * torch.randn(rows.shape, generator=torch.Generator().manual_seed(0))
    lost = torch.cat([torch.eye(6)[:5], -torch.ones(1, 6) / 6**0.5])
    assert assign(rows, lost).bincount(minlength=6)[5] == 0
    for seed in range(3):
        rng = torch.Generator().manual_seed(seed)
        for found in (
            kmeans._descend(rows, lost, rng, 100, 100, 10**6, 0.01),
            kmeans._settle(rows, kmeans._settle(rows, lost, rng), rng),
        ):
            assert assign(rows, found).bincount(minlength=6).tolist() == [200] * 6


def test_fewer_directions_than_clusters_and_rows_of_zeros() -> None:
    rows = torch.eye(3)[[0, 0, 1, 1, 2]] * 7
    found = spherical_kmeans(rows, 5)
    assert found.cosine == pytest.approx(1) and found.centres.isfinite().all()
    with_zeros = torch.cat([rows, torch.zeros(2, 3)])
    found = spherical_kmeans(with_zeros, 3)
    assert found.cosine == pytest.approx(5 / 7)
    assert assign(with_zeros, found.centres)[5:].tolist() == [0, 0]
    torch.testing.assert_close(found.centres.norm(dim=1), torch.ones(3))


def test_pieces_give_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, _ = planted(1000, 6, 5, spread=0.5)
    whole = spherical_kmeans(rows, 5)
    labels = assign(rows, whole.centres)
    assert torch.equal(labels, (rows @ whole.centres.T).argmax(1))
    monkeypatch.setattr(kmeans, "CHUNK", 64)
    assert torch.equal(assign(rows, whole.centres), labels)
    assert mean_cosine(rows, whole.centres) == pytest.approx(whole.cosine)
    torch.testing.assert_close(spherical_kmeans(rows, 5).centres, whole.centres)


def test_half_precision_rows_are_computed_in_single() -> None:
    rows, which = planted(1000, 6, 4, spread=0.05)
    found = spherical_kmeans((rows / rows.norm(dim=1, keepdim=True)).half(), 4)
    assert found.centres.dtype == torch.float32
    assert adjusted_rand_score(which, assign(rows.half(), found.centres)) > 0.99


def test_what_cannot_be_clustered_is_said() -> None:
    rows = torch.ones(3, 2)
    for k in (0, 4):
        with pytest.raises(ValueError, match=f"k={k}: 3 rows make from 1 to 3 clusters"):
            spherical_kmeans(rows, k)
    with pytest.raises(ValueError, match="n_init=0"):
        spherical_kmeans(rows, 1, n_init=0)
    with pytest.raises(ValueError, match="not finite"):
        spherical_kmeans(torch.tensor([[1.0, float("nan")]]), 1)
    with pytest.raises(ValueError, match="all zero"):
        spherical_kmeans(torch.zeros(3, 2), 1)
