import sys

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance

from sat3d.metrics import DCI, channel_importance, completeness, dci_scores, disentanglement
from sat3d.metrics.dci import ENGINES

NAMES = ("hat", "smile", "rare", "beard")


def planted(rows=600, channels=8, seed=0):
    """Codes whose channels 5, 2 and 7 are the attributes, up to noise; `rare` is never positive."""
    rng = torch.Generator().manual_seed(seed)
    codes = torch.randn(rows, channels, generator=rng)
    logits = torch.stack([3 * codes[:, 5], -codes[:, 2], torch.full((rows,), -1.0), codes[:, 7]], dim=1)
    return codes, logits + 0.1 * torch.randn(rows, 4, generator=rng)


def naive(importance):
    """D or C as the paper writes it, row by row."""
    rows = [1 - entropy(row + 1e-11, base=len(row)) for row in importance]
    return float(np.dot(rows, importance.sum(1) / importance.sum()))


def test_known_matrices():
    assert disentanglement(torch.eye(4)) == completeness(torch.eye(4)) == pytest.approx(1.0)
    assert disentanglement(torch.ones(5, 3)) == pytest.approx(0.0, abs=1e-12)
    assert completeness(torch.ones(5, 3)) == pytest.approx(0.0, abs=1e-12)
    assert disentanglement(torch.zeros(5, 3)) == completeness(torch.zeros(5, 3)) == 0.0
    twice = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])  # two channels tell of each attribute
    assert disentanglement(twice) == pytest.approx(1.0) and completeness(twice) == pytest.approx(0.5)
    assert disentanglement(twice.T) == pytest.approx(0.5) and completeness(twice.T) == pytest.approx(1.0)


def test_scores_are_the_papers_formula_and_scale_free():
    importance = np.random.default_rng(0).random((7, 3)) ** 4
    importance[2] = 0
    matrix = torch.from_numpy(importance)
    assert disentanglement(matrix) == pytest.approx(naive(importance), abs=1e-8)
    assert completeness(matrix) == pytest.approx(naive(importance.T), abs=1e-8)
    assert disentanglement(1e-6 * matrix) == pytest.approx(disentanglement(matrix), abs=1e-12)


@pytest.mark.parametrize("matrix", [torch.ones(3, 1), torch.tensor([[1.0, -0.1], [0.0, 1.0]])])
def test_scores_refuse_what_has_no_entropy(matrix):
    with pytest.raises(ValueError, match=r"two attributes|from 0 up"):
        disentanglement(matrix)


@pytest.mark.parametrize("engine", ENGINES)
def test_planted_channels_are_found(engine):
    codes, logits = planted()
    scores = dci_scores(codes, logits, NAMES, engine, share=0.15)
    assert scores.attributes == ("hat", "smile", "beard")
    assert scores.importance.argmax(0).tolist() == [5, 2, 7]
    assert torch.allclose(scores.importance.sum(0), torch.ones(3, dtype=torch.float64))
    assert scores.disentanglement > 0.6 and scores.completeness > 0.5 and scores.informativeness > 0.95

    mixed = dci_scores(codes @ torch.linalg.qr(codes[:8]).Q, logits, NAMES, engine, share=0.15)  # the same, entangled
    assert mixed.disentanglement < scores.disentanglement - 0.1 and mixed.completeness < scores.completeness - 0.1

    again = dci_scores(codes.flip(0), logits.flip(0), NAMES, engine, share=0.15)
    assert torch.equal(again.importance, scores.importance)


def test_noise_is_not_informative_and_another_seed_takes_other_halves():
    codes, logits = planted()
    codes = torch.randn(codes.shape, generator=torch.Generator().manual_seed(9))
    one, two = (dci_scores(codes, logits, NAMES, "linear", share=0.15, seed=seed) for seed in (0, 1))
    assert 0.3 < one.informativeness < 0.7  # measured on rows that were not trained on
    assert not torch.equal(one.importance, two.importance)


def test_ties_are_broken_at_random():
    codes, logits = planted()
    logits = torch.stack([logits[:, 0].sign(), logits[:, 1]], dim=1)
    scores = dci_scores(codes, logits, ("hat", "smile"), "linear", share=0.15)
    # Were the tails of the first taken in the order of the second, channel 2 would seem to tell of it.
    assert scores.importance[2, 0] < 0.15 < scores.importance[5, 0]
    again = dci_scores(codes.flip(0), logits.flip(0), ("hat", "smile"), "linear", share=0.15)
    assert torch.equal(again.importance, scores.importance)


def test_shuffling_is_scikit_learns():
    codes, logits = planted(400)
    x, y = codes.numpy(), (logits[:, 0] + logits[:, 1] > 0).numpy()
    weight, accuracy = channel_importance((x[:200], y[:200]), (x[200:], y[200:]), "histogram")
    model = HistGradientBoostingClassifier(early_stopping=False, random_state=0).fit(x[:200], y[:200])
    expected = permutation_importance(model, x[200:], y[200:], scoring="neg_log_loss", n_repeats=5).importances_mean
    expected = expected.clip(0) / expected.clip(0).sum()
    assert accuracy == model.score(x[200:], y[200:])
    assert np.allclose(weight, expected, atol=0.1) and expected.max() > 0.4


def test_boosting_is_the_papers_classifier():
    from sklearn.ensemble import GradientBoostingClassifier

    codes, logits = planted(200)
    x, y = codes.numpy(), (logits[:, 0] > 0).numpy()
    weight, accuracy = channel_importance((x[:100], y[:100]), (x[100:], y[100:]), "boosting", seed=3)
    model = GradientBoostingClassifier(random_state=3).fit(x[:100], y[:100])
    assert np.allclose(weight, model.feature_importances_) and accuracy == model.score(x[100:], y[100:])


def test_metric_is_the_function_whatever_the_batches():
    codes, logits = planted()
    metric = DCI(NAMES, engines=("linear", "boosting"), share=0.1, seed=4)
    for start in range(0, 600, 250):
        metric.update(codes[start : start + 250], logits[start : start + 250])
    scores = metric.compute()
    assert list(scores) == ["linear", "boosting"]
    expected = dci_scores(codes, logits, NAMES, "linear", share=0.1, seed=4)
    assert torch.equal(scores["linear"].importance, expected.importance)
    assert scores["linear"].informativeness == pytest.approx(float(expected.accuracy.mean()))


def test_errors_say_what_is_wrong():
    codes, logits = planted()
    with pytest.raises(ValueError, match="two attributes with more than 5%"):
        dci_scores(codes, logits[:, :1], NAMES[:1])
    with pytest.raises(ValueError, match=r"rare: .* one label only"):
        dci_scores(codes, logits, NAMES, "linear", share=0.1, minimum=-1.0)
    with pytest.raises(ValueError, match="not finite"):
        dci_scores(codes, logits.log(), NAMES)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    codes, logits = planted()
    with pytest.raises(ImportError, match=r"sat3d\[dci\]"):
        dci_scores(codes, logits, NAMES, "linear")
