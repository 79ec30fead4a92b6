import math

import pytest
import torch

from sat3d.methods.sat3d import MaskEditor, MaskMatrix, target_mask, transfer


def matrix(**kwargs):
    participates = torch.tensor([True, True, False, True, True, False])
    return MaskMatrix(3, participates, init_std=1.0, **kwargs)


def test_rows_sum_to_one_without_a_rest_row_and_to_less_with_one():
    assert torch.allclose(matrix(rest=False)().sum(0), torch.tensor([1.0, 1, 0, 1, 1, 0]))
    assert bool((matrix(rest=True)().sum(0) < 1).all())


def test_all_attributes_give_the_reference_and_none_the_source():
    masks = matrix(rest=False)()
    source, reference = torch.randn(2, 2, 6, generator=torch.Generator().manual_seed(0))
    everything = transfer(source, reference, target_mask(masks, torch.ones(2, 3, dtype=torch.bool)))
    participates = torch.tensor([True, True, False, True, True, False])
    assert torch.allclose(everything, torch.where(participates, reference, source), atol=1e-6)
    nothing = transfer(source, reference, target_mask(masks, torch.zeros(2, 3, dtype=torch.bool)))
    assert torch.equal(nothing, source)


def test_entropy_is_the_naive_formula():
    module = matrix(rest=True)
    p = torch.softmax(module.logits, dim=0)
    naive = sum(-float(x) * math.log(float(x)) for x in p.flatten()) / p.shape[1] / math.log(4)
    assert float(module.entropy()) == pytest.approx(naive, rel=1e-5)
    with torch.no_grad():
        module.logits.zero_()
        assert float(module.entropy()) == pytest.approx(1.0)
        module.logits[0] = 100.0
    assert float(module.entropy()) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_entropy_and_masks_have_finite_gradients_where_rows_are_closed(kind):
    module = matrix(kind=kind)
    allowed = torch.zeros(3, 6, dtype=torch.bool)
    allowed[0, 0] = allowed[1, 1] = True
    module.restrict(allowed)
    masks = module()
    assert torch.equal(masks > 0, allowed)
    (module.entropy() + masks.square().sum()).backward()
    assert bool(module.logits.grad.isfinite().all())


def test_sigmoid_masks_join_as_independent_chances():
    module = matrix(kind="sigmoid")
    masks = module()
    joined = target_mask(masks, torch.tensor([[True, False, True]]), "sigmoid")[0]
    assert torch.allclose(joined, 1 - (1 - masks[0]) * (1 - masks[2]))
    assert bool((masks.sum(0) > 0).tolist() == [True, True, False, True, True, False])


def test_without_a_rest_row_channels_nobody_selected_stay_open():
    module = matrix(rest=False)
    allowed = torch.zeros(3, 6, dtype=torch.bool)
    allowed[1, 0] = True
    module.restrict(allowed)
    assert module()[:, 0].tolist() == [0.0, 1.0, 0.0]
    assert bool((module()[:, 1] > 0).all())


def test_initial_logits_follow_the_seed():
    assert torch.equal(matrix(seed=1).logits, matrix(seed=1).logits)
    assert not torch.equal(matrix(seed=1).logits, matrix(seed=2).logits)


def test_hard_masks_have_one_owner_and_overshoot_is_possible():
    masks = torch.tensor([[0.6, 0.2, 0.5], [0.4, 0.7, 0.5]])
    editor = MaskEditor(("a", "b"), 3, masks=masks).hard(0.5)
    assert editor.mask(["a"]).tolist() == [1, 0, 0] and editor.mask(["a", "b"]).tolist() == [1, 1, 0]
    edited = editor.edit(torch.zeros(1, 3), "a", 2.0, reference=torch.ones(1, 3))
    assert edited.tolist() == [[2, 0, 0]]
    assert torch.equal(editor.hard(None).mask(["b"]), masks[1])


def test_no_channel_left_is_an_error():
    with pytest.raises(ValueError, match="kinds, parts"):
        MaskMatrix(2, torch.zeros(4, dtype=torch.bool))
