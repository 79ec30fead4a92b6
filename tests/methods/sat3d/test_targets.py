import torch

from sat3d.methods.sat3d import balancing_weights, choose_targets


def grid(n):
    return (torch.arange(n, dtype=torch.float64) + 0.5) / n


def test_frequencies_are_those_asked_for():
    distances = torch.tensor([[0.5, 0.0, 0.3, 0.2]]).expand(4000, 4)
    targets, valid = choose_targets(distances, grid(4000), two=0.2)
    assert bool(valid.all()) and not bool(targets[:, 1].any())
    size = targets.sum(1)
    assert abs(float((size == 2).double().mean()) - 0.2) < 1e-3 and int(size.min()) == 1
    single = targets[size == 1].double().mean(0)
    assert torch.allclose(single[[0, 2, 3]], torch.full((3,), 1 / 3, dtype=torch.float64), atol=2e-3)
    pairs = {tuple(row.nonzero()[:, 0].tolist()) for row in targets[size == 2]}
    assert pairs == {(0, 2), (0, 3), (2, 3)}


def test_weights_shift_the_choice():
    distances = torch.tensor([[0.5, 0.5]]).expand(1000, 2)
    targets, _ = choose_targets(distances, grid(1000), two=0.0, weights=torch.tensor([3.0, 1.0]))
    assert abs(float(targets[:, 0].double().mean()) - 0.75) < 2e-3


def test_pairs_that_hardly_differ_are_marked():
    targets, valid = choose_targets(torch.tensor([[0.01, 0.05], [0.0, 0.3]]), torch.tensor([0.9, 0.05]), two=0.2)
    assert valid.tolist() == [False, True]
    assert targets.tolist() == [[False, True], [False, True]]  # a second target needs a second difference


def test_extreme_numbers_stay_in_range():
    u = torch.tensor([0.0, 1 - 2**-24], dtype=torch.float64)
    targets, _ = choose_targets(torch.tensor([[0.2, 0.0], [0.2, 0.0]]), u)
    assert targets.tolist() == [[True, False], [True, False]]


def test_balancing_makes_rare_attributes_as_frequent():
    differs = torch.zeros(100, 3, dtype=torch.bool)
    differs[:, 0], differs[:50, 1] = True, True
    weights = balancing_weights(differs)
    assert float(weights[1] / weights[0]) == 2 and float(weights[2] / weights[0]) == 10
