"""A sweep's study: Optuna's record of trials in the sweep's own folder, from which it goes on after a stop."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from sat3d.sweeps.plan import Sweep
from sat3d.sweeps.space import Space

FILE, NAME = "study.db", "sweep"
_DRAW, _REPEATS = "draw", "repeats"  # number of a point among those drawn; the trial that was cut short before this one
_STARTUP = 5  # points drawn at random before `bayes` looks at results


def pruner_of(early: Mapping[str, Any] | None) -> BasePruner:
    """Return Optuna's pruner for W&B's `early_terminate`.

    W&B's `hyperband` has one bracket, which is asynchronous successive halving: at min_iter, min_iter·eta, … values of
    the metric a trial goes on if its value is among the best 1/eta of those that got there. With `max_iter` and `s` the
    first of these is max_iter/eta^s.

    Raises:
        ValueError: for other types, and an eta that is no whole number, which Optuna needs.
    """
    if early is None:
        return NopPruner()
    if early.get("type") != "hyperband":
        raise ValueError(f"early_terminate.type={early.get('type')!r} is unknown; W&B has hyperband")
    eta = early.get("eta", 3)
    if eta != int(eta) or eta < 2:
        raise ValueError(f"early_terminate.eta={eta} must be a whole number, 2 or more")
    if "min_iter" in early:
        first = int(early["min_iter"])
    elif "max_iter" in early:
        steps = [early["max_iter"] / eta**k for k in range(1, int(early.get("s", 1)) + 1)]
        first = int(min((step for step in steps if step >= 1), default=0))
    else:
        raise ValueError("early_terminate: hyperband needs min_iter, or max_iter and s")
    if first < 1:
        raise ValueError("early_terminate: the first look at a trial must come after one value of the metric or more")
    return SuccessiveHalvingPruner(min_resource=first, reduction_factor=int(eta))


class SweepStudy:
    """Ask for points and remember results.

    The point of draw n is a function of (seed, n), and with `bayes` of the results that were known by then; so a sweep
    that was stopped goes on with the points that it would have tried, and only trials at a time (`--jobs`) and their
    speed can change what `bayes` proposes.

    Args:
        folder: of the sweep; holds the study as SQLite.
        sweep: what is searched.
        space: its parameters.
        seed: of the draws.
    """

    def __init__(self, folder: Path, sweep: Sweep, space: Space, seed: int = 0) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.sweep, self.space, self.seed = sweep, space, seed
        self.study = optuna.create_study(
            storage=f"sqlite:///{folder / FILE}",
            study_name=NAME,
            direction="maximize" if sweep.maximize else "minimize",
            pruner=pruner_of(sweep.early_terminate),
            load_if_exists=True,
        )
        self.give_up()
        if sweep.method == "grid":
            for draw, point in enumerate(space.grid()):
                self.study.enqueue_trial(point, {_DRAW: draw}, skip_if_exists=True)

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials that were begun."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]

    @property
    def repeated(self) -> set[int]:
        """Numbers of the trials that were cut short, and are run again as others."""
        found = (trial.user_attrs.get(_REPEATS) for trial in self.study.get_trials(deepcopy=False))
        return {int(number) for number in found if number is not None}

    @property
    def done(self) -> int:
        """How many trials ended by themselves or were pruned; those cut short do not count, they are run again."""
        again = self.repeated
        return sum(trial.state.is_finished() and trial.number not in again for trial in self.trials)

    def ask(self) -> optuna.Trial | None:
        """Return the next trial: one that was cut short, or a new point; nothing where a grid is at its end."""
        if not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            if self.sweep.method == "grid":
                return None
            drawn = [trial.user_attrs.get(_DRAW, -1) for trial in self.trials]
            draw = 1 + max(drawn, default=-1)
            self.study.sampler = self._sampler(draw)
            trial = self.study.ask(self.space.distributions)
            trial.set_user_attr(_DRAW, draw)
            return trial
        return self.study.ask(self.space.distributions)

    def give_up(self) -> None:
        """Mark trials that nobody runs any more as failed, and set them down to be run again."""
        again = self.repeated
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number not in again:
                draw = {_DRAW: trial.user_attrs[_DRAW]} if _DRAW in trial.user_attrs else {}
                self.study.enqueue_trial(trial.params, {**draw, _REPEATS: trial.number})
            self.study.tell(trial.number, state=TrialState.FAIL)

    @property
    def best(self) -> FrozenTrial | None:
        """The best of the trials that ran to their end."""
        finished = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        sign = -1 if self.sweep.maximize else 1
        return min(finished, key=lambda trial: sign * float(trial.value or 0), default=None)

    def importances(self) -> dict[str, float]:
        """Return each parameter's share in what tells good trials, the largest first; nothing for few trials."""
        finished = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        if len(finished) < 8 or len(self.space.parameters) < 2:
            return {}
        try:
            return dict(optuna.importance.get_param_importances(self.study))
        except (RuntimeError, ValueError):  # all trials alike
            return {}

    def _sampler(self, draw: int) -> BaseSampler:
        seed = int(np.random.SeedSequence([self.seed, draw]).generate_state(1)[0])
        if self.sweep.method == "bayes":
            return TPESampler(seed=seed, n_startup_trials=_STARTUP)
        return RandomSampler(seed=seed)
