import pytest
import torch

from sat3d.perception import QMM, DescriptorGroups, group_distance

GROUPS = {"hat": [["no hat", "a cap", "a beanie"], ["a red cap", "a blue cap"]], "beard": [["no beard", "a beard"]]}
TEMPLATES = ["a head with {}", "{} on a face"]


@pytest.fixture(scope="module")
def qmm(clip):
    return QMM(clip, DescriptorGroups(GROUPS, TEMPLATES), temperature=30.0)


def test_scores_are_the_papers_formula(qmm, clip, images):
    scores = qmm(images)
    column = 0
    for sets in GROUPS.values():
        for phrases in sets:
            for n, image in enumerate(images):
                embedded = clip.encode_image(image[None])[0]
                powers = []
                for phrase in phrases:
                    texts = [clip.encode_text([t.format(phrase)])[0] for t in TEMPLATES]
                    mean = (texts[0] + texts[1]) / 2
                    powers.append(torch.exp(30 * torch.dot(embedded, mean) / mean.norm()))
                for k, power in enumerate(powers):
                    assert scores[n, column + k].item() == pytest.approx((power / sum(powers)).item(), abs=2e-5)
            column += len(phrases)
    assert scores.shape == (len(images), column)


def test_slices_cover_the_columns(qmm):
    covered = [qmm.columns[g] for a in qmm.attributes for g in qmm.slices[a]]
    assert covered == [tuple(p) for sets in GROUPS.values() for p in sets]


def test_temperature(qmm, clip, images):
    groups = DescriptorGroups(GROUPS, TEMPLATES)
    assert QMM(clip, groups).temperature == clip.logit_scale
    soft, sharp = QMM(clip, groups, 1.0)(images), QMM(clip, groups, 1000.0)(images)
    assert sharp[:, :3].amax() > soft[:, :3].amax()
    with pytest.raises(ValueError, match="temperature must be positive"):
        QMM(clip, groups, 0.0)


def test_gradients_flow_to_images_alone(qmm, images):
    images.requires_grad_()
    qmm(images)[:, 0].sum().backward()
    assert all(g.abs().max() > 0 for g in images.grad)
    assert all(p.grad is None for p in qmm.parameters())


def test_distance_averages_groups(qmm, images):
    a, b = qmm(images[:2]), qmm(images[2:])
    for kind in ("l1", "kl", "cosine"):
        parts = [group_distance(a[:, :3], b[:, :3], kind), group_distance(a[:, 3:5], b[:, 3:5], kind)]
        torch.testing.assert_close(qmm.distance(a, b, "hat", kind), (parts[0] + parts[1]) / 2)
    with pytest.raises(ValueError, match="attribute 'hats' is not scored here; known: hat, beard"):
        qmm.distance(a, b, "hats")


def test_distances_on_numbers_worked_out_by_hand():
    p, q = torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([[0.5, 0.25, 0.25]])
    assert group_distance(p, q, "l1").item() == pytest.approx(0.2)
    kl = 0.5 * torch.tensor(5 / 7).log() + 0.25 * torch.tensor(1.25).log() + 0.25 * torch.tensor(2.5).log()
    assert group_distance(p, q, "kl").item() == pytest.approx(kl.item(), abs=1e-6)
    cosine = (0.35 + 0.05 + 0.025) / ((0.54**0.5) * (0.375**0.5))
    assert group_distance(p, q, "cosine").item() == pytest.approx(1 - cosine, abs=1e-6)
    with pytest.raises(ValueError, match="choose one of 'l1', 'kl', 'cosine'"):
        group_distance(p, q, "l2")


@pytest.mark.parametrize("kind", ["l1", "kl", "cosine"])
def test_a_value_is_a_group_of_two(kind):
    v, w = torch.tensor([[0.9]]), torch.tensor([[0.3]])
    pair = group_distance(torch.tensor([[0.9, 0.1]]), torch.tensor([[0.3, 0.7]]), kind)
    torch.testing.assert_close(group_distance(v, w, kind), pair)
    if kind == "l1":
        assert pair.item() == pytest.approx(0.6)


def test_certain_scores_have_finite_divergence():
    certain, opposite = torch.tensor([[1.0, 0.0]], requires_grad=True), torch.tensor([[0.0, 1.0]])
    distance = group_distance(certain, opposite, "kl")
    distance.sum().backward()
    assert distance.isfinite().all()
    assert certain.grad.isfinite().all()


def test_log_odds_are_those_of_the_scores_and_do_not_saturate(qmm, clip, images):
    scores, odds = qmm(images).double(), qmm.log_odds(images).double()
    torch.testing.assert_close(odds, (scores / (1 - scores)).log(), rtol=1e-3, atol=1e-3)
    sharp = QMM(clip, DescriptorGroups(GROUPS, TEMPLATES), 1e5)
    assert sharp(images).amax() == 1 and sharp.log_odds(images).isfinite().all()
