"""Units of work are those of the plan, and of what the editor does."""

import json
from types import SimpleNamespace

import pytest
import torch

from sat3d.evaluation.comparison.plan import Entry
from sat3d.evaluation.comparison.protocol import Outcome
from sat3d.evaluation.comparison.work import Desk
from sat3d.generators import tiny_generator
from sat3d.methods import MaskEditor


@pytest.fixture
def entry(tmp_path):
    save(tmp_path)
    (tmp_path / "config.yaml").write_text("")
    return Entry("Masks", 1, tmp_path)


def save(folder, threshold=None, **facts):
    net = tiny_generator(0)
    size = net.style_space.size
    MaskEditor(("hat",), size, threshold=threshold, masks=torch.full((1, size), 0.4)).save(
        folder / "editor", net, **facts
    )


def desk(folder, fingerprint="plan"):
    return Desk(SimpleNamespace(attributes=("hat",)), folder, "cpu", fingerprint)


def test_an_editor_that_does_something_else_with_the_same_weights_is_another(entry, tmp_path):
    stamp = desk(tmp_path)._stamp(entry)
    save(tmp_path, metrics={"val/gain": 0.5})
    assert desk(tmp_path)._stamp(entry) == stamp
    save(tmp_path, threshold=0.5)
    assert desk(tmp_path)._stamp(entry) != stamp != desk(tmp_path, "another")._stamp(entry)


def test_the_order_of_edits_of_another_plan_is_left_out(entry, tmp_path, monkeypatch):
    made = {"attribute": "hat", "code": 0.0}
    done = Outcome([made], *(torch.zeros(1, 1) for _ in range(4)))
    monkeypatch.setattr(Desk, "read", lambda *_: done)
    path = tmp_path / "units" / entry.place / "order.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"stamp": desk(tmp_path)._stamp(entry), "found": {"hat": {"0": 0.25}}}))
    assert desk(tmp_path).outcome(entry).rows == [{**made, "order": 0.25}]
    assert desk(tmp_path, "another").outcome(entry).rows == [made]
