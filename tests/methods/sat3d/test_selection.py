import pytest
import torch

from sat3d.methods.sat3d import channel_relevance, preselect


def test_relevance_finds_the_channels_that_were_planted():
    weights = torch.zeros(6, 3)
    weights[1, 0], weights[4, 1], weights[4, 2] = 2.0, 1.0, 1.0
    styles = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    styles[:, 4] *= 5
    columns = {"a": [slice(0, 1)], "b": [slice(1, 3)]}
    relevance = channel_relevance(lambda s, place: s @ weights, styles, columns)
    spread = styles.std(0)
    assert float(relevance[0, 1]) == pytest.approx(2 * float(spread[1]), rel=1e-5)
    assert relevance[0].nonzero()[:, 0].tolist() == [1] and relevance[1].nonzero()[:, 0].tolist() == [4]


def test_preselect_keeps_the_best_share_of_what_participates():
    relevance = torch.tensor([[5.0, 1, 4, 3, 9], [0, 2, 1, 3, 9]])
    participates = torch.tensor([True, True, True, True, False])
    kept = preselect(relevance, participates, 0.5)
    assert kept.tolist() == [[True, False, True, False, False], [False, True, False, True, False]]
    with pytest.raises(ValueError, match="preselect=0"):
        preselect(relevance, participates, 0.0)
