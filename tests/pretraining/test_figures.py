from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score, roc_auc_score
from torchmetrics import MeanMetric

from sat3d.pretraining.figures import MaskedMean, PartIoU, verification
from sat3d.pretraining.generator_figures import GeneratorFigures


def test_masked_mean_by_hand():
    mean = MaskedMean(["hat", "beard", "never"])
    values = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    mean.update(values, torch.tensor([[True, True, False], [True, False, False]]))
    mean.update(torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[True, False, False]]))
    assert mean.compute() == pytest.approx({"hat": 2 / 3, "beard": 0.0})


def test_masked_mean_ignores_what_does_not_count():
    mean = MaskedMean(["value"])
    mean.update(torch.tensor([[2.0], [float("nan")]]), torch.tensor([[True], [False]]))
    assert mean.compute() == {"value": 2.0}


def test_iou_is_scikit_learns():
    random = np.random.default_rng(0)
    true, found = random.integers(0, 4, (2, 6, 8, 8))
    metric = PartIoU(["background", "skin", "hair", "hat", "glasses"], min_pixels=1)
    for rows in (slice(0, 2), slice(2, 6)):
        metric.update(torch.from_numpy(found[rows]), torch.from_numpy(true[rows]))
    wanted = jaccard_score(true.ravel(), found.ravel(), average=None)
    named = metric.compute()
    assert [named[part] for part in ("background", "skin", "hair", "hat")] == pytest.approx(wanted.tolist())
    assert "glasses" not in named
    assert named["mean"] == pytest.approx(wanted.mean())


def test_iou_mean_leaves_small_parts_out():
    true = torch.zeros(2, 10, 10, dtype=torch.long)
    true[0, 0, :3] = 1  # 3 pixels in the one picture that has the part
    true[:, 5:] = 2
    found = true.clone()
    found[0, 0, :3] = 0
    metric = PartIoU(["background", "eyes", "shirt"])
    metric.update(found, true)
    named = metric.compute()
    assert named["eyes"] == 0
    assert named["mean"] == pytest.approx((named["background"] + 1) / 2)


def test_verification_is_scikit_learns():
    random = np.random.default_rng(1)
    same, other = random.normal(0.6, 0.3, 40), random.normal(0.2, 0.3, 50)
    figures = verification(torch.from_numpy(same), torch.from_numpy(other))
    truth, scores = np.r_[np.ones(40), np.zeros(50)], np.r_[same, other]
    assert figures["auc"] == pytest.approx(roc_auc_score(truth, scores))
    best = max(((same >= t).mean() + (other < t).mean()) / 2 for t in scores)
    assert figures["accuracy"] == pytest.approx(best)


def test_parts_that_nobody_saw_have_no_figure_and_all_processes_ask_for_them(recwarn, monkeypatch):
    figures = GeneratorFigures(("background", "skin", "hat"))
    segmentation = torch.zeros(2, 8, 8, dtype=torch.long)
    segmentation[:, 4:] = 1
    depth = torch.rand(2, 8, 8)
    batch = SimpleNamespace(rgb=torch.zeros(2, 3, 8, 8), segmentation=segmentation, depth=depth)
    figures.update(SimpleNamespace(image=torch.full((2, 3, 8, 8), 0.2), depth=depth[:, None]), batch)
    asked, compute = [], MeanMetric.compute
    monkeypatch.setattr(MeanMetric, "compute", lambda self: asked.append(self) or compute(self))
    for metric in figures.by_part:
        metric.compute = metric._wrap_compute(MeanMetric.compute.__get__(metric))
    found = figures.compute()
    assert len(asked) == 3 and not recwarn.list  # what processes add up must be the same on all of them
    assert "psnr_hat" not in found and found["psnr_skin"] == pytest.approx(20.0, abs=1e-4)
