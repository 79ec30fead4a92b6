"""Grading sweeps on a generator and a scorer so simple that every number is known."""

import pytest
import torch

from sat3d.generators.base import Generator, Rendering
from sat3d.generators.batches import CodeBatch
from sat3d.methods.base import Editor
from sat3d.methods.sweeps import SweepGrades, Tail, dependency_columns, known_tails, tail_of
from sat3d.perception import Scorer


class Plain(Generator):
    """Its picture is its style."""

    def styles(self, ws):
        return ws[:, 0]

    def synthesize(self, s, camera=None, **_):
        return Rendering(s[:, :3, None, None].expand(-1, -1, 12, 12))


class Reads(Scorer):
    """smile and age are the logits of a picture's first two colours; hat has two classes."""

    def __init__(self):
        super().__init__()
        self.attributes = ("smile", "age", "hat")
        self.slices = {"smile": [slice(0, 1)], "age": [slice(1, 2)], "hat": [slice(2, 4)]}
        self.columns = ("smile/value", "age/value", "hat/no", "hat/yes")

    def logits(self, images):
        colours = images[..., 0, 0]
        return torch.cat([colours, -colours[:, 2:]], dim=1)


class Line(Editor):
    """Move smile by 1, age by −0.25 and the hat's log-odds by 2 · 0.5 for each unit of strength."""

    def _edit(self, codes, attributes, strength, reference, values):
        return codes + strength * torch.tensor([1.0, -0.25, 0.5])


def codes(n):
    s = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    return CodeBatch(torch.arange(n), s, s[:, None], s, None)


def grades(tails, strengths):
    unedited = torch.tensor([[-2.0, -1.0, -1.0, 1.0], [2.0, 1.0, 1.0, -1.0]])  # σ: 2, 1, 1, 1
    return SweepGrades(Plain(), Reads(), tails, strengths, unedited)


def test_attribute_dependency_is_what_a_line_gives():
    found = grades({"smile": Tail(0, 1.0)}, (1.0, 2.0, 4.0))
    found.update(codes(5), Line(("smile",)))
    told = found.report()
    # at 1 σ = strength 2: age 0.5 σ, both classes of the hat 2 σ
    assert told["mean_ad/smile"] == pytest.approx((0.5 + 2 + 2) / 3)
    assert told["max_ad/smile"] == pytest.approx(2.0)
    assert told["reach/smile"] == told["reach"] == 1.0
    # the others have moved by 0.2 σ on average when smile has moved by 0.2 / 1.5 σ
    assert told["change_at_drift/smile"] == told["change_at_drift"] == pytest.approx(0.2 / 1.5)


def test_unedited_pictures_are_made_once_for_all_attributes(monkeypatch):
    shown, synthesize = [], Plain.synthesize
    monkeypatch.setattr(Plain, "synthesize", lambda self, s, **k: shown.append(s) or synthesize(self, s, **k))
    found, some = grades({"smile": Tail(0, 1.0), "age": Tail(1, -1.0)}, (1.0, 2.0, 4.0)), codes(5)
    found.update(some, Line(("smile", "age")))
    assert len(shown) == 1 + 2 * 3 and sum(torch.equal(s, some.styles) for s in shown) == 1


def test_the_wrong_way_counts_as_no_way():
    found = grades({"smile": Tail(0, -1.0), "age": Tail(1, -1.0)}, (1.0, 8.0))
    found.update(codes(4), Line(("smile", "age")))
    told = found.report()
    assert told["reach/smile"] == 0 and "mean_ad/smile" not in told
    # no way counts, where the mean over those that got there would leave it out
    assert told["change_at_drift/smile"] == 0 < told["change_at_drift"] == told["change_at_drift/age"] / 2
    assert told["reach/age"] == 1 and told["mean_ad"] == told["mean_ad/age"] == pytest.approx((2 + 4 + 4) / 3)


def test_a_grader_of_one_attribute_sees_nothing_else_move():
    grader = Reads()
    grader.attributes, grader.columns, grader.slices = ("smile",), ("smile/value",), {"smile": [slice(0, 1)]}
    grader.logits = lambda images: images[..., 0, 0][:, :1]
    found = SweepGrades(Plain(), grader, {"smile": Tail(0, 1.0)}, (1.0, 4.0), torch.tensor([[-1.0], [1.0]]))
    found.update(codes(3), Line(("smile",)))
    told = found.report()
    assert told["reach/smile"] == 1 and told["mean_ad/smile"] == told["max_ad/smile"] == 0


def test_a_targets_own_classes_are_no_others():
    assert dependency_columns(Reads(), 2) == [2, 0, 1]
    assert dependency_columns(Reads(), 0) == [0, 1, 2, 3]


def test_names_of_columns_and_tails():
    assert tail_of(Reads(), "hat/yes") == Tail(3, 1.0) and tail_of(Reads(), "-age") == Tail(1, -1.0)
    with pytest.raises(ValueError, match="nothing scored here is named 'hat'; the columns are smile/value"):
        tail_of(Reads(), "hat")
    assert known_tails(Reads(), ("smile", "beard", "a hat"), {"a hat": "hat/yes"}).keys() == {"smile", "a hat"}
    with pytest.raises(ValueError, match="'hat/maybe'"):
        known_tails(Reads(), ("hat",), {"hat": "hat/maybe"})
