"""Edits at an equal change, on the plain generator of the sweeps: its picture is its style, every number is known."""

import math

import pytest
import torch

from sat3d.evaluation.comparison.eyes import Eyes
from sat3d.evaluation.comparison.protocol import MatchedProtocol, Rules
from sat3d.evaluation.comparison.strengths import Response
from sat3d.evaluation.contestants import Contestant
from sat3d.generators.batches import CodeBatch
from sat3d.methods.base import Editor
from tests.methods.test_sweeps import Line, Plain, Reads


class Copy(Editor):
    """Go towards the reference in all channels."""

    needs_reference = True

    def _edit(self, codes, attributes, strength, reference, values):
        return codes + strength * (reference - codes)


class Labelled(Line):
    """Move by as much as the labels say."""

    space = "w"

    def _edit(self, codes, attributes, strength, reference, values):
        return codes + strength * (values[:, None, :1] + 3) * torch.tensor([1.0, 0.0, 0.0])


class Weak(Line):
    """Get nowhere beyond a step."""

    def _edit(self, codes, attributes, strength, reference, values):
        return codes + strength.clamp(-0.3, 0.3) * torch.tensor([1.0, 0.0, 0.0])


def batch(rows, first=0):
    s = torch.tensor(rows)
    return CodeBatch(torch.arange(len(s)) + first, s, s[:, None], s, None)


CODES = batch([[-1.0, 0.5, 1.0], [0.4, -0.5, -1.0], [-0.2, 0.1, 2.0], [2.0, 1.5, -3.0]], first=50)
POOL = batch([[1.5, 0.0, 1.0], [-2.5, 1.0, -1.0], [-1.2, -1.0, -2.0], [1.5, 0.3, 0.5]])


def protocol(**rules):
    return MatchedProtocol(Plain(), CODES, POOL, Eyes(Reads(), Reads()), rules=Rules(**{"tolerance": 0.01, **rules}))


def contestant(editor, **options):
    return Contestant("method", "0", editor, **options)


def test_every_code_reaches_its_references_value():
    found = protocol().compare(contestant(Line(("smile",))), "smile")
    rows = {int(row["code"]): row for row in found.rows}
    assert [rows[c]["target"] for c in (50, 51, 52, 53)] == ["smile", "-smile", "smile", "-smile"]
    assert all(row["reached"] == 1 for row in found.rows)
    # Up: both references that show a smile read 1.5. Down: they read −2.5 or −1.2.
    assert rows[50]["strength"] == pytest.approx(2.5, rel=0.02) and rows[52]["strength"] == pytest.approx(1.7, rel=0.02)
    for code, start in ((51, 0.4), (53, 2.0)):
        assert rows[code]["asked"] == pytest.approx(start + 2.5, abs=1e-4) or rows[code]["asked"] == pytest.approx(
            start + 1.2, abs=1e-4
        )
        assert rows[code]["strength"] == pytest.approx(rows[code]["asked"], rel=0.02)


def test_what_else_moves_is_told_in_sigmas_of_the_judge():
    own = protocol()
    found = own.compare(contestant(Line(("smile",))), "smile")
    sigma = Reads().log_odds(Plain().synthesize(CODES.styles).image).std(0, correction=0)
    for row, change in zip(found.rows, found.change, strict=True):
        sign = -1 if row["target"].startswith("-") else 1
        moved = sign * row["strength"] * torch.tensor([1.0, -0.25, 1.0, -1.0]) / sigma
        torch.testing.assert_close(change, moved, atol=1e-4, rtol=1e-4)
        assert row["change"] == pytest.approx(row["strength"] / float(sigma[0]), rel=1e-4)
        assert row["ad_mean"] == pytest.approx(float(moved[1:].abs().mean()), rel=1e-4)
        assert row["ad_max"] == pytest.approx(float(moved[1:].abs().max()), rel=1e-4)
        assert row["success"] == 1


def test_classes_are_matched_by_the_log_odds_of_the_target():
    found = protocol(wanted=0.9).compare(contestant(Line(("hat/no", "hat/yes"))), "hat")
    reached = [row for row in found.rows if row["reached"]]
    assert {row["target"] for row in reached} == {"hat/no"}  # the line knows one way only
    aims = POOL.styles[:, 2][POOL.styles[:, 2] > 0] * 2  # log-odds of the references, each capped at logit(0.9)
    caps = {round(min(float(a), math.log(9)), 3) for a in aims}
    for row in reached:
        start = 2 * float(CODES.styles[int(row["code"]) - 50, 2])
        assert min(abs(start + row["asked"] - cap) for cap in caps) < 1e-3
        assert start + row["got"] == pytest.approx(start + row["asked"], abs=0.05 * row["asked"])


def test_methods_that_look_at_a_reference_are_asked_for_the_same_value():
    own = protocol()
    looks, told = (own.compare(contestant(e), "smile") for e in (Copy(("smile",)), Line(("smile",))))
    assert [r["asked"] for r in looks.rows] == [r["asked"] for r in told.rows]
    assert all(r["strength"] == pytest.approx(1.0, rel=0.02) for r in looks.rows)  # all of it arrives at strength 1
    # Undone with the source as the reference, all of it comes back.
    assert all(r["undo"] == pytest.approx(0.0, abs=0.05) for r in looks.rows)


def test_failures_are_told_at_their_strongest():
    found = protocol().compare(contestant(Weak(("smile",))), "smile")
    row = next(r for r in found.rows if r["code"] == 50)
    assert row["reached"] == 0 and row["got"] == pytest.approx(0.3, abs=1e-5) and row["success"] == 0


def test_no_code_is_rendered_more_often_than_allowed(monkeypatch):
    own, shown, synthesize = protocol(trials=3, tolerance=0.0001), [], Plain.synthesize
    own.compare(contestant(Line(("smile",))), "smile")
    monkeypatch.setattr(own, "response", lambda one, task: Response(torch.tensor([64.0]), torch.tensor([64.0])))
    monkeypatch.setattr(Plain, "synthesize", lambda self, s, **k: shown.append(len(s)) or synthesize(self, s, **k))
    found = own.compare(contestant(Line(("smile",))), "smile")
    assert sum(shown) == sum(r["trials"] for r in found.rows) <= 3 * len(CODES)


def test_labels_are_those_of_the_code_at_hand():
    asked = []

    def labels(log_odds):
        asked.append(log_odds)
        return log_odds.sign()

    found = protocol().compare(contestant(Labelled(("smile",)), labels=labels), "smile")
    assert all(row["reached"] for row in found.rows)
    up = next(r for r in found.rows if r["code"] == 50)  # its label is −1: it moves by 2 for each unit
    assert up["strength"] == pytest.approx(up["asked"] / 2, rel=0.02)
    # Taken back under its new label 1 it moves by 4 a unit: as far beyond the source as the edit was long.
    assert up["undo"] == pytest.approx(1.0, rel=0.05)


def test_the_order_of_straight_edits_does_not_matter_and_that_of_others_does():
    own = protocol()
    lines, copies = (contestant(e(("smile", "age"))) for e in (Line, Copy))
    strengths = {(a, int(i)): 0.5 for a in ("smile", "age") for i in CODES.index}
    assert set(own.order(lines, "smile", "age", strengths, 4)) == set(CODES.index.tolist())
    assert max(own.order(lines, "smile", "age", strengths, 4).values()) < 1e-5
    found = own.order(copies, "smile", "age", strengths, 2)
    assert set(found) == {50, 51} and max(found.values()) > 0.1
