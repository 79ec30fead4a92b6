import numpy as np
import pytest
import torch

from sat3d.methods.sat3d import Background, LossWeights, background_loss, remaining_loss, target_loss
from sat3d.methods.sat3d.background import region_of, uninterested


def test_attribute_losses_are_the_naive_means():
    rng = np.random.default_rng(0)
    d = rng.random((5, 4))
    omega = rng.random((5, 4)) < 0.5
    omega[:, 0], omega[:, 1] = True, False
    ref = np.mean([np.mean([d[b, a] for a in range(4) if omega[b, a]]) for b in range(5)])
    src = np.mean([np.mean([d[b, a] for a in range(4) if not omega[b, a]]) for b in range(5)])
    distances, targets = torch.from_numpy(d), torch.from_numpy(omega)
    assert float(target_loss(distances, targets)) == pytest.approx(ref)
    assert float(remaining_loss(distances, targets)) == pytest.approx(src)
    weight = torch.tensor([1.0, 0, 1, 0, 0], dtype=torch.float64)
    kept = float(target_loss(distances[[0, 2]], targets[[0, 2]]))
    assert float(target_loss(distances, targets, weight)) == pytest.approx(kept)


def test_background_loss_is_the_naive_mean_inside_the_region():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 2, 3, 4, 4))
    region = rng.random((2, 4, 4)) < 0.5
    naive = np.mean([np.abs(a[i] - b[i])[:, region[i]].mean() for i in range(2)])
    loss = background_loss(torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(region))
    assert float(loss) == pytest.approx(naive)
    assert float(background_loss(torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2).bool())) == 0


def test_region_spares_what_any_target_is_about():
    background = Background(parts=("sky", "cloth"), spare={"hat": ["sky"]})
    table = uninterested(background, ("hat", "smile"), ("sky", "cloth", "face"))
    assert table.tolist() == [[False, True, False], [True, True, False]]
    labels = torch.tensor([[[0, 1, 2]]]).expand(2, 1, 3)
    targets = torch.tensor([[True, True], [False, True]])
    assert region_of(labels, table, targets)[:, 0].tolist() == [[False, True, False], [True, True, False]]
    with pytest.raises(ValueError, match="unknown parts"):
        uninterested(Background(parts=("sea",)), ("hat",), ("sky",))
    with pytest.raises(ValueError, match="unknown attributes"):
        uninterested(Background(parts=(), spare={"hut": ["sky"]}), ("hat",), ("sky",))


def test_prob_ramp():
    weights = LossWeights(prob=0.1, prob_start=0.01, ramp_steps=None)
    assert [weights.prob_at(s, 100) for s in (0, 50, 100, 200)] == pytest.approx([0.01, 0.055, 0.1, 0.1])
    assert LossWeights(ramp_steps=10).prob_at(10, 1000) == pytest.approx(0.1)
    with pytest.raises(ValueError, match=r"loss_weights\.bg"):
        LossWeights(bg=-1)
