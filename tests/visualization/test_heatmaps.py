import numpy as np
import pytest
import torch

from sat3d.visualization import heat_map


def test_the_largest_number_is_the_darkest_and_nan_is_grey():
    values = torch.zeros(3, 40)
    values[1, 20:], values[2] = 5.0, torch.nan
    page = heat_map(values, ["a", "b", "c"], [("first", 20), ("second", 20)], "title", "unit").astype(int)
    height, width = page.shape[:2]
    dark, grey = (np.abs(page - colour).sum(-1) < 6 for colour in ((8, 48, 107), (211, 211, 211)))
    (rows, columns), below = dark[:, : int(0.85 * width)].nonzero(), grey.nonzero()[0]
    assert grey.sum() > 1.5 * dark.sum() > 0.02 * height * width
    assert 0.4 * width < columns.min() and np.ptp(rows) < 0.35 * height
    assert rows.max() <= np.percentile(below, 5)


def test_labels_must_fit():
    with pytest.raises(ValueError, match=r"1 rows and groups of 3 columns do not fit \(2, 3\)"):
        heat_map(torch.zeros(2, 3), ["a"], [("x", 3)])
