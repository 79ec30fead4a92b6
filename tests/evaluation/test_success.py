"""Success on the plain generator of the sweeps: its picture is its style, its scorer reads the colours."""

import pytest
import torch

from sat3d.evaluation.success import edits_of, grade_successes, judged, search_strength
from sat3d.generators.batches import CodeBatch
from sat3d.methods.sweeps import Tail
from tests.methods.test_sweeps import Line, Plain, Reads


def batch(smile):
    s = torch.stack([torch.tensor(smile), torch.zeros(len(smile)), torch.zeros(len(smile))], dim=1)
    return CodeBatch(torch.arange(len(s)), s, s[:, None], s, None)


def logit(p):
    return float(torch.tensor(p).logit())


def test_finds_the_least_strength_that_suffices():
    start = torch.tensor([-2.0, 0.0, 1.0, 9.0, -30.0])
    strength, reached = search_strength(lambda d: start + d, torch.sigmoid, (1.0, 2.0, 4.0, 8.0), 0.8, halvings=20)
    needed = logit(0.8) - start
    assert reached.tolist() == [True, True, True, True, False]
    torch.testing.assert_close(strength[:3], needed[:3], atol=1e-3, rtol=0)
    assert strength[3] < 1e-3 and strength[4] == 8.0  # was there from the start; came nearest at the end


def test_codes_that_turn_back_are_judged_where_they_came_nearest():
    strength, reached = search_strength(
        lambda d: torch.tensor([d]), lambda x: 0.7 - (x - 2).abs() / 10, (1.0, 2.0, 4.0)
    )
    assert strength.tolist() == [2.0] and not reached.any()


def test_the_judge_decides_and_everything_else_is_measured():
    codes = batch([-1.0, 0.5])
    edit = edits_of(Line(("smile",)), codes, "smile", Plain())
    std = torch.tensor([2.0, 1.0, 1.0, 1.0])
    place = Tail(0, 1.0)
    found = grade_successes(edit, codes, Plain(), (Reads(), place), (Reads(), place), std, None, (1.0, 2.0, 4.0), 0.8)
    needed = logit(0.8) - torch.tensor([-1.0, 0.5])
    torch.testing.assert_close(found.strength, needed, atol=0.15, rtol=0)
    assert found.success.all() and found.reached.all()
    # age moves by −0.25, both classes of the hat by 1 log-odd for each unit of strength
    torch.testing.assert_close(found.measures["others"], found.strength * (0.25 + 1 + 1) / 3)
    before, after = codes.styles.clamp(-1, 1) / 2, edit(found.strength).clamp(-1, 1) / 2
    mse = (after - before).square().mean(1)
    torch.testing.assert_close(found.measures["mse"], mse)
    torch.testing.assert_close(found.measures["rmse"], mse.sqrt())
    torch.testing.assert_close(found.measures["psnr"], 10 * (1 / mse).log10())
    assert found.measures["ssim"].shape == (2,) and "identity" not in found.measures


@pytest.mark.parametrize("sign, success", [(1.0, [False, True]), (-1.0, [True, False])])
def test_success_is_the_judges_side_of_one_half(sign, success):
    codes = batch([-0.1, 0.1])
    none = torch.zeros(2)
    found = judged(codes.styles, codes, Plain(), (Reads(), Tail(0, sign)), torch.ones(4), None, none, none.bool())
    assert found.success.tolist() == success and found.measures["mse"].tolist() == [0.0, 0.0]
