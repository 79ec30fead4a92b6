"""Labels against the same computed naively."""

import math

import numpy as np
import pytest
import torch

from sat3d.data import Label
from sat3d.data.label_coder import LabelCoder
from sat3d.data.schema import Attribute, Schema

FILE = Schema.of_columns(["age", "yaw", "glasses", "kind"], {"kind": ("cat", "dog", "wild")})
SCORES = Schema(
    ("hat/none", "hat/cap", "hat/beanie", "smile/value", "beard/no", "beard/yes"),
    {
        "hat": Attribute("categorical", (0, 1, 2), ("none", "cap", "beanie")),
        "smile": Attribute("continuous", (3,)),
        "beard": Attribute("categorical", (4, 5), ("no", "yes")),
    },
    log_odds=True,
)
NAN = math.nan
ROWS = np.array(
    [[20, -0.5, 0, 0], [NAN, 0.1, 1, 2], [60, 0.3, 1, 1], [30, 0.1, NAN, 0], [90, 0.5, 0, NAN], [10, NAN, 1, 2]], float
)


def coded(plan, schema=FILE, rows=ROWS, train=4):
    coder = LabelCoder(plan, schema)
    values = coder.values(rows)
    coder.fit(values[:train])
    return coder, coder.scale(values)


def test_continuous_values_are_scaled_by_the_training_rows_alone():
    coder, labels = coded(["yaw", "age"])
    assert coder.ranges == {"yaw": (-0.5, pytest.approx(0.3)), "age": (20, 60)}
    low, high, mean = 20, 60, (20 + 60 + 30) / 3
    for row, age in enumerate((20, mean, 60, 30, 90, 10)):
        assert float(labels[row, 1]) == pytest.approx((age - low) / (high - low) * 2 - 1, abs=1e-6)
    assert float(labels[5, 0]) == pytest.approx(((-0.5 + 0.1 + 0.3 + 0.1) / 4 + 0.5) / 0.8 * 2 - 1, abs=1e-6)
    assert labels.dtype == torch.float32 and coder.columns == {"yaw": {"value": [0]}, "age": {"value": [1]}}
    back = coder.unscale(labels)
    known = ~np.isnan(ROWS[:, [1, 0]])
    assert np.allclose(back.numpy()[known], ROWS[:, [1, 0]][known], atol=1e-5)


def test_categories_are_one_hot_and_repeated():
    coder, labels = coded([Label("kind", repeat=2), Label("glasses", classes=("none", "some"))])
    assert coder.width == labels.shape[1] == 8 and coder.attributes == ("kind", "glasses")
    assert coder.columns == {
        "kind": {"cat": [0, 1], "dog": [2, 3], "wild": [4, 5]},
        "glasses": {"none": [6], "some": [7]},
    }
    assert labels[0].tolist() == [1, 1, -1, -1, -1, -1, 1, -1] and labels[1].tolist() == [-1, -1, -1, -1, 1, 1, -1, 1]
    assert labels[3, 6:].tolist() == pytest.approx(
        [-1 / 3, 1 / 3]
    )  # of the training rows known, two of three have some
    assert labels[4, :6].tolist() == pytest.approx([0, 0, -0.5, -0.5, -0.5, -0.5])
    assert coder.unscale(labels)[[0, 1, 2], 0].tolist() == [0, 2, 1]
    assert coder.unscale(labels + 0.3 * torch.randn(6, 8, generator=torch.Generator().manual_seed(0)))[0, 0] == 0


def test_thresholds():
    coder, labels = coded([Label("age", threshold=30), Label("old", ("age",), "categorical", threshold=30)])
    assert labels.tolist() == [
        [-1, 1, -1], [pytest.approx(1 / 3), pytest.approx(-1 / 3), pytest.approx(1 / 3)], [1, -1, 1], [1, -1, 1],
        [1, -1, 1], [-1, 1, -1],
    ]  # fmt: skip
    assert coder.ranges == {"age": (0, 1)} and list(coder.columns["old"]) == ["no", "yes"]
    assert coder.unscale(labels)[0].tolist() == [0, 0]


def scores():
    logits = torch.randn(40, 6, generator=torch.Generator().manual_seed(3)) * 2
    parts = [logits[:, :3].softmax(1), logits[:, 3:4].sigmoid(), logits[:, 4:].softmax(1)]
    return torch.cat(parts, 1)


def test_scores_by_default_and_by_plan():
    known = scores()
    rows = known.logit().numpy()
    coder, labels = coded(None, SCORES, rows, train=30)
    smile = known[:, 3]
    assert coder.columns == {
        "hat": {"none": [0], "cap": [1], "beanie": [2]}, "smile": {"value": [3]}, "beard": {"no": [4], "yes": [5]},
    }  # fmt: skip
    for row in range(40):
        assert labels[row, :3].tolist() == [1 if k == int(known[row, :3].argmax()) else -1 for k in range(3)]
        scaled = 2 * (smile[row] - smile[:30].min()) / (smile[:30].max() - smile[:30].min()) - 1
        assert float(labels[row, 3]) == pytest.approx(float(scaled), abs=1e-5)
    assert torch.allclose(coder.unscale(labels)[:, 1], smile, atol=1e-5)

    plan = [
        Label("smile", log_odds=True),
        Label("covered", columns=("hat/cap", "hat/beanie"), classes=("cap", "wool"), threshold=0.5),
        Label("cap", columns=("hat/cap",)),
        Label("capped", columns=("hat/cap",), kind="categorical"),
    ]
    coder, labels = coded(plan, SCORES, rows, train=40)
    odds = smile.logit()
    assert torch.allclose(labels[:, 0], 2 * (odds - odds.min()) / (odds.max() - odds.min()) - 1, atol=1e-5)
    assert torch.equal(labels[:, 1] > 0, known[:, 1] >= 0.5) and torch.equal(labels[:, 2] > 0, known[:, 2] >= 0.5)
    neither = (known[:, 1] < 0.5) & (known[:, 2] < 0.5)
    assert neither.any() and torch.equal(coder.unscale(labels)[:, 1] == -1, neither)
    assert list(coder.columns["cap"]) == ["value"] and torch.equal(labels[:, 5] > 0, known[:, 1] >= 0.5)


@pytest.mark.parametrize(
    "plan, message",
    [
        (["hair"], "labels: hair: not known; there are age, yaw, glasses, kind"),
        ([Label("x", columns=("hair",))], "labels: x: no column 'hair'; there are age, yaw, glasses, kind"),
        ([Label("x", columns=())], "columns is empty"),
        (["age", "age"], "every attribute once"),
        ([], "at least one"),
        ([Label("x", columns=("age", "yaw"), kind="continuous")], "takes one column, not 2"),
        ([Label("age", kind="categorical")], "give classes"),
        ([Label("kind", classes=("a", "b"))], "3 different classes are needed, found a, b"),
        ([Label("age", log_odds=True)], "log_odds are of scores"),
        ([Label("age", kind="continuous", classes=("a", "b"))], "classes are of kind categorical"),
    ],
)  # fmt: skip
def test_plans_that_do_not_fit(plan, message):
    with pytest.raises(ValueError, match=message):
        LabelCoder(plan, FILE)


@pytest.mark.parametrize(
    "plan, column, value, message",
    [
        (["age"], 0, NAN, "labels: age: none of the 4 training rows has a value"),
        (["age"], 0, 7, "labels: age: all training rows have the value 7"),
        (["age"], 0, math.inf, "row 0 of column 'age' is infinite"),
        ([Label("glasses", classes=("none", "some"))], 2, 2, "labels: glasses: row 0 is 2.0, no class number 0…1"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_labels(plan, column, value, message):
    rows = ROWS.copy()
    rows[:4, column] = value
    with pytest.raises(ValueError, match=message):
        coded(plan, rows=rows)


@pytest.mark.parametrize("wrong", [{"name": "hat/cap"}, {"name": ""}, {"name": "a", "repeat": 0}])
def test_lines_that_cannot_be(wrong):
    with pytest.raises(ValueError, match="labels: "):
        Label(**wrong)
