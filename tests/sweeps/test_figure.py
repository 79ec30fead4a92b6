import math

import pytest
from PIL import Image

from sat3d.sweeps.figure import _Axis, _short, write_parallel


def test_places_follow_values_and_orders_of_magnitude():
    linear = _Axis([1, 2, 5])
    assert linear.place(3) == pytest.approx((linear.place(1) + linear.place(5)) / 2)
    log = _Axis([1e-4, 1e-2, 1.0], log=True)
    assert log.place(1e-2) == pytest.approx((log.place(1e-4) + log.place(1.0)) / 2)
    names = _Axis(["b", "a", True])
    assert names.ticks() == [(pytest.approx((k + 0.5) / 3), name) for k, name in enumerate(["b", "a", "True"])]


@pytest.mark.parametrize(
    "values, log", [([1e-5, 3.0], True), ([0.11, 0.42], True), ([0.3, 0.302], True), ([2, 2], False), ([-3, 40], False)]
)
def test_ticks_stand_at_what_they_say(values, log):
    axis = _Axis(values, log)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 9
    for place, text in ticks:
        assert place == pytest.approx(axis.place(float(text)), abs=2e-3) and 0 <= place <= 1


def test_names_are_as_long_as_it_takes():
    assert _short(["model.a.lr", "model.b.lr", "data.size"]) == ["a.lr", "b.lr", "size"]


def test_a_picture_of_all_kinds_of_trials(tmp_path):
    path = tmp_path / "trials.png"
    rows = [
        {"state": "finished", "a.lr": 0.1, "kind": "x", "m": 1.0},
        {"state": "finished", "a.lr": 0.001, "kind": "y", "m": 2.0},
        {"state": "pruned", "a.lr": 0.01, "kind": "x", "m": 0.5},
        {"state": "failed", "a.lr": 0.02, "kind": "x", "m": None},
        {"state": "interrupted", "kind": "x", "m": math.nan},
    ]
    write_parallel(rows[:1], ["a.lr", "kind"], [True, False], "m", True, path)
    assert not path.exists()
    colours = {}
    for maximize in (True, False):
        write_parallel(rows, ["a.lr", "kind"], [True, False], "m", maximize, path)
        with Image.open(path) as picture:
            colours[maximize] = picture.convert("RGB").getcolors(10**6)
    yellow = [[(count, c) for count, c in found if c[0] > 200 and c[2] < 80] for found in colours.values()]
    assert all(sum(count for count, _ in found) > 300 for found in yellow)  # the best, thick
