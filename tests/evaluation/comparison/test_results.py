"""Tables of a comparison, from edits that are made up, so that every number is known."""

import csv
import json

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from sat3d.evaluation.comparison.measures import BY_KEY
from sat3d.evaluation.comparison.protocol import Outcome
from sat3d.evaluation.comparison.results import (
    Standing,
    drift_at,
    drift_curve,
    frechet_distance,
    kernel_distance,
    markdown_of,
    ranked,
    rescoring,
    shared_places,
    table_of,
    write_edits,
    write_json,
)
from sat3d.evaluation.rows import paired_difference, with_order

USED = [BY_KEY[key] for key in ("reached", "ad_mean", "change")]


def edit(method, code, seed="7", reached=1.0, ad=0.2, attribute="smile"):
    about = {"method": method, "seed": seed, "attribute": attribute, "target": attribute, "code": float(code)}
    return {**about, "reached": reached, "ad_mean": ad, "change": 1.0}


def standing(name, rows, **options):
    empty = torch.zeros(len(rows), 2)
    values = {"kind": "value", "marks": {}, "facts": {}, **options}
    return Standing(name, outcomes={7: Outcome(rows, empty, empty, empty, empty)}, **values)


def spread(code):
    return 0.01 * np.sin(37.0 * code)


LOW = [edit("low", c, ad=0.1 + spread(c)) for c in range(30)]
HIGH = [edit("high", c, seed="9", ad=0.2 + spread(c), reached=float(c != 3)) for c in range(30)]


def test_seeds_are_paired_by_their_rank():
    one = Standing("high", "value", {9: standing("high", HIGH).outcomes[7]}, {}, {})
    rows = ranked([standing("low", LOW), one])
    assert {row["seed"] for part in rows.values() for row in part} == {"0"}
    assert len(shared_places(rows)) == 29  # all but the one that a method does not reach


def test_paired_differences_leave_out_what_codes_share():
    rows = ranked([standing("low", LOW), Standing("high", "value", {9: standing("high", HIGH).outcomes[7]}, {}, {})])
    gap = paired_difference(rows["low"], rows["high"], "ad_mean")
    assert gap.mean == pytest.approx(-0.1) and gap.high - gap.low < 1e-6  # the codes' own spread is in both


def test_bold_only_where_the_difference_from_every_other_leaves_out_0():
    close = [edit("close", c, ad=0.1 + spread(c) + (0.001 if c % 2 else -0.0009)) for c in range(30)]
    rows = {"low": LOW, "close": close, "high": [{**row, "seed": "7"} for row in HIGH]}
    cells = table_of(rows, USED)
    assert not any(own["ad_mean"]["best"] for own in cells.values())  # low and close cannot be told apart
    del rows["close"]
    cells = table_of(rows, USED)
    assert cells["low"]["ad_mean"]["best"] and not cells["high"]["ad_mean"]["best"]
    assert not any(own["change"]["best"] for own in cells.values())  # neither way is better
    assert cells["low"]["ad_mean"]["low"] < cells["low"]["ad_mean"]["mean"] < cells["low"]["ad_mean"]["high"]


def test_drift_is_read_where_each_code_gets_there():
    moved = torch.tensor([[1.0, 2.0, torch.nan], [0.5, torch.nan, torch.nan], [2.0, 1.0, 0.5], [-1.0, 1.0, torch.nan]])
    drift = torch.tensor([[0.2, 0.6, torch.nan], [0.1, torch.nan, torch.nan], [0.9, 0.3, 0.1], [0.5, 0.4, torch.nan]])
    found = drift_at(moved, drift, 1.5)
    torch.testing.assert_close(found, torch.tensor([0.4, torch.nan, 0.6, torch.nan]).double(), equal_nan=True)
    assert drift_at(moved, drift, 0.5)[3] == pytest.approx(0.2)  # on the line from (0, 0)
    empty = torch.zeros(4, 1)
    one = Standing("m", "value", {0: Outcome([edit("m", c) for c in range(4)], empty, moved, drift, empty)}, {}, {})
    curve = drift_curve(one, (0.25, 1.5, 9.0))
    assert curve["edits"] == [4, 2, 0] and curve["drift"][1] == pytest.approx(0.5) and curve["drift"][2] is None


def test_rescoring_averages_sizes_over_edits_and_columns():
    rows = [edit("m", 0), edit("m", 1), edit("m", 0, attribute="hat")]
    change = torch.tensor([[1.0, -2.0, 4.0], [-3.0, 0.0, 0.0], [0.5, 1.0, 1.0]])
    outcome = Outcome(rows, change, *(torch.zeros(3, 1) for _ in range(3)))
    groups = {"smile": [slice(0, 1)], "hat": [slice(1, 3)]}
    assert rescoring([outcome], ["smile", "hat", "beard"], groups) == [[2.0, 1.5], [0.5, 1.0], []]


def test_kernel_distance_is_the_unbiased_estimate():
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(60, 8, generator=rng), torch.randn(60, 8, generator=rng) + 0.5

    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    n = len(a)
    within = sum((kernel(x, x).sum() - kernel(x, x).diagonal().sum()) / (n * (n - 1)) for x in (a, b))
    expected = float(within - 2 * kernel(a, b).mean())
    mean, std = kernel_distance(a, b)
    assert mean == pytest.approx(expected, rel=1e-3) and std == pytest.approx(0, abs=1e-5)  # all are in each subset
    assert abs(kernel_distance(a, torch.randn(60, 8, generator=rng))[0]) < 0.3 * expected


def test_frechet_distance_is_the_formula_and_is_not_told_of_few():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((400, 5)) @ np.diag([1, 2, 1, 0.5, 3]), rng.standard_normal((300, 5)) + 0.7
    ca, cb = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real)
    tensors = [torch.from_numpy(x) for x in (a, b)]
    assert frechet_distance(*tensors, least=300) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(*tensors) is None


def test_order_is_added_to_the_first_attributes_rows():
    rows = with_order([edit("m", 0), edit("m", 1), edit("m", 0, attribute="hat")], {"smile": {0: 0.25}})
    assert rows[0]["order"] == 0.25 and np.isnan(rows[1]["order"]) and np.isnan(rows[2]["order"])


def test_files_tell_all_that_was_found(tmp_path):
    rows = {"low": LOW[:2], "high": HIGH[:1]}
    write_edits(rows, tmp_path / "edits.csv")
    with (tmp_path / "edits.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [r["method"] for r in table] == ["low", "low", "high"] and float(table[2]["ad_mean"]) == pytest.approx(0.2)
    write_json({"a": float("nan"), "b": (1.0, 0.123456789)}, tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text()) == {"a": None, "b": [1.0, 0.12346]}


def test_the_table_tells_marks_kinds_and_the_best():
    cells = table_of({"low": LOW, "high": [{**row, "seed": "7"} for row in HIGH]}, USED)
    results = {
        "measures": [m.told() for m in USED],
        "attributes": ["smile"],
        "tables": {"shared": {"edits": 29, "cells": cells}, "all": {"edits": 30, "cells": cells}},
        "by_attribute": {"reached": {n: {"smile": {"mean": 0.5}} for n in cells}},
        "methods": [
            {"name": "low", "kind": "value", "marks": {}, "facts": {"fit, s": "9"}},
            {"name": "high", "kind": "reference", "marks": {"ad_mean": "it taught high"}, "facts": {}},
        ],
    }
    text = markdown_of(results)
    assert "29 edits in which all methods" in text and "| high (reference) |" in text and "† it taught high." in text
    bold = [line.split(" | ")[0] for line in text.splitlines() if "**" in line]
    assert set(bold) == {"| low"} and "| high | – |" in text
