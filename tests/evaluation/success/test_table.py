"""Tables of successes from rows that are made up, so that every number is known."""

import csv
import json
import math

import pytest

from sat3d.evaluation.rows import interval_of
from sat3d.evaluation.success.table import difference, summarise, write_successes


def row(method, code, success, psnr, seed="0", attribute="smile"):
    return {
        "method": method,
        "seed": seed,
        "attribute": attribute,
        "target": attribute,
        "code": float(code),
        "strength": 1.0,
        "reached": 1.0,
        "success": float(success),
        "psnr": psnr,
    }


ROWS = [
    *(row("ae", code, success, 30.0 + code) for code, success in enumerate([1, 1, 0, 1])),
    *(row("flow", code, success, 20.0 + 2 * code) for code, success in enumerate([0, 1, 1, 1])),
]


def test_own_and_shared_successes_are_told_apart():
    found = summarise(ROWS)
    assert found["ae"].success.mean == 0.75 and found["ae"].by_attribute["smile"].mean == 0.75
    assert found["ae"].own["psnr"].mean == pytest.approx((30 + 31 + 33) / 3, abs=1e-5)
    assert found["ae"].shared["psnr"].mean == pytest.approx(32) and found["flow"].shared["psnr"].mean == pytest.approx(
        24
    )
    assert (found["ae"].own_edits, found["ae"].shared_edits, found["ae"].edits) == (3, 2, 4)
    low, high = found["ae"].success.low, found["ae"].success.high
    assert 0 <= low < 0.75 < high <= 1


def test_differences_are_paired():
    gap = difference(ROWS, "ae", "flow", "psnr")  # codes 1 and 3: 31 − 22, 33 − 26
    assert gap.mean == pytest.approx(8) and 7 <= gap.low <= gap.high <= 9
    assert difference(ROWS, "ae", "flow", "success").mean == 0


def test_a_codes_edits_count_as_one_draw():
    one = [row("ae", 0, 1, 0.0), row("ae", 0, 0, 0.0, attribute="hat")]
    assert interval_of(one, "success") == (0.5, 0.5, 0.5)


def test_codes_of_another_seed_are_others():
    rows = [row("ae", 0, 1, 1.0, seed="0"), row("flow", 0, 1, 1.0, seed="1")]
    assert summarise(rows)["ae"].shared_edits == 0 and math.isnan(summarise(rows)["ae"].shared["psnr"].mean)


def test_writes_rows_summary_and_tables(tmp_path):
    text = write_successes(ROWS, tmp_path, {"ae": {"numbers": "12"}})
    assert (tmp_path / "table.md").read_text() == text
    assert (
        "| method | success | reached | smile | numbers |" in text and "| ae | 0.75 [" in text and "| – |" not in text
    )
    with (tmp_path / "successes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 and rows[0]["psnr"] == "30"
    assert json.loads((tmp_path / "successes.json").read_text())["flow"]["success"][0] == 0.75
