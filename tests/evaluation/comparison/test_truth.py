"""What agrees with the truth, on rankings made by hand and on a small comparison of the embedded world."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from sat3d.evaluation.comparison.carried import carried_along, ideal_outcome
from sat3d.evaluation.comparison.plan import Plan
from sat3d.evaluation.comparison.protocol import Outcome
from sat3d.evaluation.comparison.truth import (
    LEAKS,
    agreement_table,
    drift_agreement,
    ideal_agreement,
    leaking_edits,
    progress_agreement,
    rank_agreement,
)
from sat3d.evaluation.tasks import Task
from sat3d.perception import load_clip
from sat3d.world import load_world


@pytest.fixture(scope="module")
def protocol():
    eyes = {"labeller": "toyfaces-labeller", "judge": "toyfaces-judge", "perceptual": "toyfaces-judge"}
    with torch.no_grad():
        return Plan("toyfaces64", ("smile", "beard"), **eyes, world=True, codes=8, references=30).protocol()


def test_rank_agreement_is_scipys_row_by_row():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (6, 9)).astype(float), rng.standard_normal((6, 9))
    found = rank_agreement(torch.from_numpy(a), torch.from_numpy(b))
    np.testing.assert_allclose(found, [spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)], atol=1e-6)
    assert rank_agreement(torch.ones(1, 4), torch.arange(4.0)[None]).isnan().all()


def test_made_up_edits_have_their_target_and_the_drift_that_is_told():
    world = load_world("heads")
    z, _ = world.sample(3, range(5))
    task = Task("beard", "beard/long", 1.0, "beard/long", torch.arange(5))
    made, drift = leaking_edits(world, z, task, "long")
    long, k = world.attribute("beard").class_index("long"), world.index("beard")
    assert all((world.values(world.coordinates(code))[:, k] == long).all() for code in made)
    assert drift.shape == (5, len(LEAKS)) and (drift[:, 0] < 1e-6).all() and (drift[:, 1:] > 0).all()
    assert drift[:, 4:].mean() > 1.5 * drift[:, 1:4].mean()  # larger moves change more, on average


def test_readings_rank_made_up_edits_as_the_truth_does(protocol):
    clip = load_clip()
    drift = agreement_table(drift_agreement(protocol, ("smile", "beard"), clip, 6))
    assert drift["attribute dependency, mean"].mean > 0.6 and drift["perceptual distance"].mean > 0.4
    assert {"CLIP distance of the pictures", "RMSE"} <= set(drift) and "identity distance" not in drift
    progress = progress_agreement(protocol, ("smile", "beard"), clip, 6)
    assert {row["attribute"] for row in progress} == {"smile"}  # classes have no half way
    table = agreement_table(progress)
    assert table["judge's log-odds"].mean > 0.9 and table["labeller's log-odds"].mean > 0.9


def test_ideal_agreement_ranks_methods_within_a_code():
    rows = {
        name: [
            {"seed": "0", "attribute": "hat", "code": c, "ideal_psnr": psnr, "ad_mean": -psnr + c, "flat": 1.0}
            for c in (1.0, 2.0)
        ]
        for name, psnr in (("a", 30.0), ("b", 20.0), ("c", 25.0))
    }
    found = ideal_agreement(rows, ["ad_mean", "flat", "absent"])
    assert [(r["code"], r["measure"]) for r in found] == [(c, m) for c in ("1.0", "2.0") for m in ("ad_mean", "flat")]
    told = agreement_table(found)
    assert told["ad_mean"].mean == pytest.approx(-1, abs=1e-5) and math.isnan(told["flat"].mean)


def test_the_ideal_edit_carries_nothing_along_and_the_population_all_of_it(protocol):
    world, judge = protocol.eyes.world, protocol.eyes.judge
    slope, others = carried_along(world, protocol, [ideal_outcome(protocol, ("beard",))])
    assert abs(slope.mean) < 0.25 and slope.low <= slope.mean <= slope.high and others.mean < 0.3
    correlation = torch.corrcoef(torch.cat(protocol.judged).T)
    column = judge.column("beard/long")
    rows = [{"attribute": "beard", "target": "beard/long", "code": float(c)} for c in range(4)]
    nothing = torch.zeros(4, 0)
    sizes = torch.tensor([1.0, 2.0, 0.5, 1.5])
    follows = Outcome(rows, sizes[:, None] * correlation[column], nothing, nothing, nothing)
    assert carried_along(world, protocol, [follows])[0].mean == pytest.approx(1, abs=1e-5)
    half = Outcome(rows, follows.change.clone(), nothing, nothing, nothing)
    half.change[:, [c for c in range(len(judge.columns)) if c not in judge.siblings(column)]] *= 0.5
    assert carried_along(world, protocol, [half])[0].mean == pytest.approx(0.5, abs=1e-5)
