import pytest
from optuna.pruners import NopPruner
from optuna.trial import TrialState

from sat3d.sweeps.plan import read_sweep
from sat3d.sweeps.space import space_of
from sat3d.sweeps.study import SweepStudy, pruner_of

TWO = {"x": {"min": 0.0, "max": 1.0}, "n": {"values": [1, 2, 3]}}


def study(folder, seed=0):
    sweep = read_sweep(folder / "sweep.yaml")
    return SweepStudy(folder, sweep, space_of(sweep.parameters), seed)


def end(study, trial):
    study.study.tell(trial, trial.params["x"])


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_a_sweep_that_was_cut_short_draws_the_points_of_one_that_was_not(place, method):
    folder = place(method=method, parameters=TWO)
    straight = study(folder)
    for _ in range(9):
        end(straight, straight.ask())
    wanted = [trial.params for trial in straight.trials]
    assert len({point["x"] for point in wanted}) == 9

    (folder / "study.db").unlink()
    for _ in range(3):  # three times two trials, and a third that is cut short
        part = study(folder)
        for _ in range(2):
            end(part, part.ask())
        part.ask()
    last = study(folder)
    while last.done < 9:
        end(last, last.ask())
    found = [trial.params for trial in last.trials if trial.number not in last.repeated]
    assert found == wanted and len(last.repeated) == 3 and last.done == 9


def test_another_seed_draws_other_points(place, tmp_path):
    folder = place(parameters=TWO)
    first = study(folder).ask().params
    (folder / "study.db").unlink()
    assert study(folder, seed=1).ask().params != first


def test_a_grid_ends_and_repeats_only_what_was_cut_short(place):
    folder = place(method="grid", parameters={"x": {"values": [0.1, 0.2]}, "n": {"values": [1, 2]}})
    grid = study(folder)
    end(grid, grid.ask())
    grid.ask()
    again = study(folder)
    points = []
    while trial := again.ask():
        points.append((trial.params["x"], trial.params["n"]))
        end(again, trial)
    assert sorted(points) == [(0.1, 2), (0.2, 1), (0.2, 2)] and again.done == 4
    assert again.trials[1].state == TrialState.FAIL and again.repeated == {1}
    assert study(folder).ask() is None


def test_best_is_by_the_goal_and_only_of_finished_trials(place):
    folder = place(metric={"name": "val/score", "goal": "minimize"}, parameters=TWO)
    found = study(folder)
    assert found.best is None
    for value, state in ((2.0, None), (1.0, None), (None, TrialState.PRUNED), (None, TrialState.FAIL)):
        trial = found.ask()
        trial.report(0.1, step=1)
        found.study.tell(trial, value, state=state)
    assert (found.best.number, found.best.value, found.done) == (1, 1.0, 4)
    assert found.importances() == {}


def survivors(early, curves, maximize=True):
    """Report curves in turn, a value of each at a time, as parallel runs do; return how long each was let go on."""
    import optuna

    study = optuna.create_study(direction="maximize" if maximize else "minimize", pruner=pruner_of(early))
    trials, lengths = [study.ask() for _ in curves], [0] * len(curves)
    stopped = set()
    for step in range(len(curves[0])):
        for k, (trial, curve) in enumerate(zip(trials, curves, strict=True)):
            if k not in stopped:
                trial.report(curve[step], step=step + 1)
                lengths[k] = step + 1
                if trial.should_prune():
                    stopped.add(k)
    return lengths


def test_hyperband_looks_at_min_iter_and_at_its_multiples_by_eta():
    ranked = [[value] * 9 for value in (6, 5, 4, 3, 2, 1, 0, -1, -2)]
    early = {"type": "hyperband", "min_iter": 2, "eta": 2}
    assert survivors(early, ranked)[0] == 9  # the best is never stopped
    assert set(survivors(early, ranked)[1:]) <= {2, 4, 8}
    assert survivors(early, ranked[::-1])[-1] == 9
    assert survivors(early, ranked, maximize=False)[-1] == 9
    # max_iter / eta^s = 27 / 9 = 3
    assert set(survivors({"type": "hyperband", "max_iter": 27, "s": 2}, ranked)) == {3, 9}
    assert isinstance(pruner_of(None), NopPruner)


@pytest.mark.parametrize(
    "early, message",
    [
        ({"type": "envelope"}, "early_terminate.type='envelope'"),
        ({"type": "hyperband"}, "needs min_iter, or max_iter and s"),
        ({"type": "hyperband", "min_iter": 1, "eta": 1.5}, "early_terminate.eta=1.5 must be a whole number"),
        ({"type": "hyperband", "max_iter": 2, "s": 1}, "after one value"),
    ],
)
def test_other_rules_are_refused(early, message):
    with pytest.raises(ValueError, match=message):
        pruner_of(early)
