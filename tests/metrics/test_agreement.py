"""Names of clusters and their fit, on tables that can be checked by hand."""

import pytest
import torch

from sat3d.metrics import RegionAgreement, agreement, part_overlap, pixel_counts


def test_a_table_by_hand():
    counts = torch.tensor([[8, 0, 2], [0, 5, 0], [0, 5, 0], [0, 0, 0]])
    found = agreement(counts)
    assert found.part.tolist() == [0, 1, 1, -1] and found.share.tolist() == [0.5, 0.25, 0.25, 0]
    assert found.purity[:3].tolist() == [0.8, 1.0, 1.0] and found.purity[3].isnan()
    assert found.total_purity == pytest.approx(0.9)
    assert found.matched.tolist() == pytest.approx([0.8, 0.5, 0.0])  # one of the two halves, and nothing for the third
    assert found.merged.tolist() == pytest.approx([0.8, 1.0, 0.0])  # the halves together


def test_matching_is_the_best_one_to_one():
    counts = torch.tensor([[6, 5], [5, 0]])  # the first cluster fits both parts best, but can have one only
    overlap = part_overlap(counts)
    assert agreement(counts).matched.tolist() == [overlap[1, 0], overlap[0, 1]]


def test_counts_leave_out_what_is_nothing_and_add_up():
    labels, parts = torch.tensor([[[0, 1, -1, 1]], [[1, 1, 0, 0]]]), torch.tensor([[[0, 2, 0, -1]], [[2, 2, 1, 0]]])
    assert pixel_counts(labels, parts, 2, 3).tolist() == [[2, 1, 0], [0, 0, 3]]
    metric = RegionAgreement(2, 3)
    for label, part in zip(labels, parts, strict=True):
        metric.update(label[None], part[None])
    assert torch.equal(metric.compute().counts, pixel_counts(labels, parts, 2, 3))
