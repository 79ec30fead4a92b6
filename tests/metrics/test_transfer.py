import math

import numpy as np
import pytest
import torch

from sat3d.metrics import TransferCurves, TransferScore, column_drift, gain_at_drift, mean_of_others, transfer_gain


def test_column_drift_is_the_mean_of_columns_in_sigmas():
    edited = torch.tensor([[0.5, 0.1, 0.9]])
    source = torch.tensor([[0.1, 0.3, 0.6]])
    std = torch.tensor([0.2, 0.1, 0.3])
    drift = column_drift(edited, source, std, {"a": [slice(0, 1)], "b": [slice(1, 2), slice(2, 3)]})
    assert torch.allclose(drift, torch.tensor([[2.0, 1.5]]))


def test_mean_of_others_leaves_the_target_out():
    drift = torch.tensor([[1.0, 10.0, 3.0], [4.0, 5.0, 60.0]])
    assert mean_of_others(drift, torch.tensor([1, 2])).tolist() == [2.0, 4.5]


def test_score_is_the_formula_and_does_not_depend_on_batches():
    rng = np.random.default_rng(0)
    source, edited, drift = rng.random(40), rng.random(40), rng.random(40)
    keep = source >= 0.2
    gain = 1 - edited[keep].sum() / source[keep].sum()

    whole, parts = (TransferScore(("a", "b"), (1.0, 2.0)) for _ in range(2))
    columns = [torch.from_numpy(x) for x in (edited, source, drift)]
    whole.update(1, 0, *columns)
    for start in range(0, 40, 7):
        parts.update(1, 0, *(x[start : start + 7] for x in columns))
    for score in (whole, parts):
        curves = score.curves()
        assert curves.gain[1, 0] == pytest.approx(gain)
        assert curves.drift[1, 0] == pytest.approx(drift[keep].mean())
        assert curves.pairs.tolist() == [0, keep.sum()]
        assert math.isnan(curves.gain[0, 0])


@pytest.mark.parametrize("part, gain", [(0.0, 1.0), (1.0, 0.0), (2.0, -1.0)])
def test_gain_of_copies_sources_and_steps_away(part, gain):
    source = torch.tensor([0.5, 0.3])
    assert float(transfer_gain(part * source, source)) == pytest.approx(gain)


def test_gain_at_drift_interpolates_from_the_origin_on():
    gain, drift = torch.tensor([0.4, 0.6, 0.5]), torch.tensor([1.0, 3.0, 4.0])
    assert float(gain_at_drift(gain, drift, 0.5)) == pytest.approx(0.2)
    assert float(gain_at_drift(gain, drift, 2.0)) == pytest.approx(0.5)
    assert float(gain_at_drift(gain, drift, 3.5)) == pytest.approx(0.55)
    assert float(gain_at_drift(gain, drift, 9.0)) == pytest.approx(0.6)  # never reached: the best it got


def test_curves_are_read_by_attribute():
    curves = TransferCurves(
        ("a", "b"),
        (0.5, 1.0),
        torch.tensor([[0.2, 0.4], [0.5, 1.0]]),
        torch.tensor([[1.0, 2.0], [1.0, 2.0]]),
        torch.ones(2),
    )
    assert curves.gain_at_drift(torch.tensor([1.5, 2.0])).tolist() == pytest.approx([0.3, 1.0])
    with pytest.raises(ValueError, match="not measured"):
        curves.at(3.0)
