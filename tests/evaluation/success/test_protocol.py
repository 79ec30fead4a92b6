"""Success on the plain generator of the sweeps: its picture is its style, its scorer reads the colours."""

import pytest
import torch

from sat3d.evaluation import SuccessProtocol, opposite_tasks
from sat3d.evaluation.success.protocol import search_strength
from sat3d.evaluation.tasks import Task
from sat3d.generators.batches import CodeBatch
from sat3d.methods.base import Editor
from tests.methods.test_sweeps import Line, Plain, Reads

SMILE_UP = {"attribute": "smile", "target": "smile", "direction": 1.0, "column": "smile"}


def batch(smile, hat=None):
    s = torch.stack([torch.tensor(smile), torch.zeros(len(smile)), torch.tensor(hat or [0.0] * len(smile))], dim=1)
    return CodeBatch(torch.arange(len(s)) + 70, s, s[:, None], s, None)


def logit(p):
    return float(torch.tensor(p).logit())


def protocol(codes, **settings):
    return SuccessProtocol(Plain(), codes, Reads(), Reads(), None, grid=(1.0, 2.0, 4.0, 8.0), **settings)


def test_finds_the_least_strength_that_suffices():
    start = torch.tensor([-2.0, 0.0, 1.0, 9.0, -30.0])
    asked = []

    def probability(rows, strengths):
        asked.append(rows.tolist())
        return (start[rows] + strengths).sigmoid()

    strength, reached = search_strength(probability, 5, (1.0, 2.0, 4.0, 8.0), 0.8, halvings=20)
    assert reached.tolist() == [True, True, True, True, False]
    torch.testing.assert_close(strength[:3], logit(0.8) - start[:3], atol=1e-3, rtol=0)
    assert strength[3] < 1e-3 and strength[4] == 8.0  # was there from the start; came nearest at the end
    assert asked[:4] == [[0, 1, 2, 3, 4], [0, 1, 4], [0, 4], [4]]  # who is there is not asked again
    assert all(rows == [0, 1, 2, 3] for rows in asked[4:])


def test_codes_that_turn_back_are_judged_where_they_came_nearest():
    strength, reached = search_strength(lambda _, d: 0.7 - (d - 2).abs() / 10, 1, (1.0, 2.0, 4.0))
    assert strength.tolist() == [2.0] and not reached.any()


def test_asks_for_what_a_code_does_not_show():
    codes = batch([-1.0, 0.5, -3.0, 2.0], hat=[1.0, -1.0, 1.0, -1.0])
    tasks = opposite_tasks(Reads(), Reads().log_odds(Plain().synthesize(codes.styles).image), ("smile", "hat"))
    assert [(t.target, t.direction, t.column, t.rows.tolist()) for t in tasks] == [
        ("smile", 1.0, "smile", [0, 2]),
        ("smile", -1.0, "-smile", [1, 3]),
        ("hat/no", 1.0, "hat/no", [1, 3]),
        ("hat/yes", 1.0, "hat/yes", [0, 2]),
    ]


def test_draws_the_other_class_by_row_alone():
    class Four(Reads):
        def __init__(self):
            super().__init__()
            self.attributes, self.slices = ("hat",), {"hat": [slice(0, 4)]}
            self.columns = tuple(f"hat/{k}" for k in "abcd")

    odds = torch.nn.functional.one_hot(torch.arange(200) % 4, 4).float()
    drawn = {}
    for task in opposite_tasks(Four(), odds, ["hat"], seed=3):
        drawn |= dict.fromkeys(task.rows.tolist(), task.target)
    assert len(drawn) == 200 and len(set(drawn.values())) == 4
    assert all(target != f"hat/{'abcd'[row % 4]}" for row, target in drawn.items())
    fewer = opposite_tasks(Four(), odds[:50], ["hat"], seed=3)
    assert all(drawn[row] == task.target for task in fewer for row in task.rows.tolist())


def test_refuses_what_is_not_scored_by_one_group():
    with pytest.raises(ValueError, match=r"attributes: 'nose'.*smile, age, hat"):
        opposite_tasks(Reads(), torch.zeros(1, 4), ["nose"])


@pytest.mark.parametrize("chunk", [1, 25])
def test_the_judge_decides_and_everything_else_is_measured(chunk):
    codes = batch([-1.0, 0.5, 3.0])
    graded = protocol(codes, chunk=chunk).grade(Line(("smile",)), Task(**SMILE_UP, rows=torch.tensor([0, 1])))
    assert [row["code"] for row in graded] == [70, 71]
    std = torch.tensor([-1.0, 0.5, 3.0]).std(correction=0)
    assert protocol(codes).std[0] == pytest.approx(float(std))
    for row, smile in zip(graded, (-1.0, 0.5), strict=True):
        assert row["success"] == row["reached"] == 1.0
        assert row["strength"] == pytest.approx(logit(0.8) - smile, abs=0.15)
        colour = torch.tensor([smile, 0.0, 0.0])
        after = colour + row["strength"] * torch.tensor([1.0, -0.25, 0.5])
        mse = float(((after.clamp(-1, 1) - colour.clamp(-1, 1)) / 2).square().mean())
        assert row["mse"] == pytest.approx(mse) and row["rmse"] == pytest.approx(mse**0.5)
        assert row["psnr"] == pytest.approx(10 * torch.tensor(1 / mse).log10().item(), rel=1e-5)
        assert "identity" not in row and row["ssim"] < 1


def test_others_are_told_in_the_judges_sigma():
    codes = batch([-1.0, 1.0], hat=[2.0, -2.0])
    (row,) = protocol(codes).grade(Line(("smile",)), Task(**SMILE_UP, rows=torch.tensor([0])))
    std = protocol(codes).std
    assert std[2:].tolist() == [4.0, 4.0] and std[1] == pytest.approx(1e-6)  # no code differs in age
    # the hat's log-odds move by 1 for each unit of strength, the age by −0.25
    wanted = (0.25 / 1e-6 + 1 / 4 + 1 / 4) * row["strength"] / 3
    assert row["others"] == pytest.approx(wanted, rel=1e-3)


def test_success_is_the_judges_side_of_one_half():
    class Still(Editor):
        def _edit(self, codes, attributes, strength, reference, values):
            return codes.clone()

    codes = batch([-0.1, 0.1, -2.0])
    everyone = torch.arange(3)
    up = protocol(codes).grade(Still(("smile",)), Task(**SMILE_UP, rows=everyone))
    down = protocol(codes).grade(Still(("smile",)), Task("smile", "smile", -1.0, "-smile", everyone))
    assert [row["success"] for row in up] == [0, 1, 0] and [row["success"] for row in down] == [1, 0, 1]
    assert [row["reached"] for row in down] == [0, 0, 1] and up[0]["mse"] == 0


def test_labels_are_handed_to_editors_of_w():
    class Asks(Editor):
        space = "w"

        def _edit(self, codes, attributes, strength, reference, values):
            assert values.shape == (len(codes), 2)
            return codes + strength * values[:, :1, None]

    codes = batch([-1.0, -1.0])
    values = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    graded = protocol(codes, halvings=12).grade(Asks(("smile",)), Task(**SMILE_UP, rows=torch.tensor([1])), values)
    assert graded[0]["strength"] == pytest.approx((logit(0.8) + 1) / 2, abs=1e-3)


class Copies(Editor):
    """Interpolate one channel towards a reference's."""

    space, needs_reference = "s", True

    def _edit(self, codes, attributes, strength, reference, values):
        channel = torch.tensor([1.0, 0.0, 0.0] if attributes == ["smile"] else [0.0, 0.0, 1.0])
        return codes + strength * channel * (reference - codes)


def test_editors_that_transfer_are_shown_references_that_have_the_target():
    pool = batch([-9.0, 3.0, -9.0, -9.0], hat=[5.0, -5.0, 5.0, 5.0])
    graded = protocol(batch([-1.0, -1.0, 1.0]), references=pool)
    up = Task("smile", "smile", 1.0, "smile", torch.tensor([0, 1]))
    rows = graded.grade(Copies(("smile", "hat")), up)
    # Only the second reference smiles: half way from -1 to 3 is 1, short of ln 4, and a bit more is enough.
    assert [row["reached"] for row in rows] == [1.0, 1.0]
    expected = (logit(0.8) + 1) / 4
    assert rows[0]["strength"] == pytest.approx(expected, abs=1 / 16) and rows[0]["strength"] >= expected
    down = Task("smile", "smile", -1.0, "-smile", torch.tensor([2]))
    assert graded.grade(Copies(("smile", "hat")), down)[0]["success"] == 1.0  # the reference, not the sign, leads


def test_references_are_drawn_once_and_by_the_codes_number():
    pool = batch([3.0] * 40)
    one, other = (protocol(batch([-1.0] * n), references=pool) for n in (6, 3))
    task = Task("smile", "smile", 1.0, "smile", torch.arange(3))
    drawn = one._shown_by(task)
    assert torch.equal(one._shown_by(task), drawn) and len(set(drawn.tolist())) > 1
    assert torch.equal(other._shown_by(task), drawn[:3])


def test_without_references_nothing_can_be_transferred():
    task = Task("smile", "smile", 1.0, "smile", torch.tensor([0]))
    with pytest.raises(ValueError, match="references: an editor that transfers"):
        protocol(batch([-1.0])).grade(Copies(("smile",)), task)
