"""A sweep as parallel coordinates: a line for each trial, an axis for each setting, and the metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sat3d.replacing import replacing


class _Axis:
    """Where values stand between 0 and 1, and what the ticks say.

    Args:
        values: all that are drawn.
        log: spread by orders of magnitude.
    """

    def __init__(self, values: Sequence[Any], log: bool = False) -> None:
        self.names: list[str] | None = None
        if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
            self.names = list(dict.fromkeys(str(value) for value in values))
            return
        self.log = log and min(values) > 0
        low, high = (self._scaled(f(values)) for f in (min, max))
        margin = 0.04 * (high - low) or 0.5
        self.low, self.high = low - margin, high + margin

    def place(self, value: Any) -> float:
        if self.names is not None:
            return (self.names.index(str(value)) + 0.5) / len(self.names)
        return (self._scaled(value) - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        if self.names is not None:
            return [(self.place(name), name) for name in self.names]
        from matplotlib.ticker import MaxNLocator

        limits = [10**x if self.log else x for x in (self.low, self.high)]
        found: list[float] = []
        if self.log:
            decades = range(math.floor(self.low), math.ceil(self.high) + 1)
            steps = (1,) if self.high - self.low > 3 else (1, 2, 5)
            found = [step * 10.0**decade for decade in decades for step in steps]
        if sum(limits[0] <= value <= limits[1] for value in found) < 3:
            found = [float(value) for value in MaxNLocator(5).tick_values(*limits)]
        return [(self.place(value), f"{value:.4g}") for value in found if limits[0] <= value <= limits[1]]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else float(value)


def write_parallel(
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    log: Sequence[bool],
    metric: str,
    maximize: bool,
    path: Path,
) -> None:
    """Draw trials; those that did not finish are faint, the best is thick. Nothing is drawn of fewer than two.

    Args:
        rows: see `sat3d.sweeps.report.rows_of`.
        names: the settings, in the order of the axes.
        log: which of these axes are logarithmic.
        metric: what colours the lines, and the last axis.
        maximize: whether more of it is better.
        path: of the picture.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    complete = [row for row in rows if all(name in row for name in names)]
    finished = sorted((row for row in complete if row["state"] == "finished"), key=lambda row: row[metric])
    if len(finished) < 2:
        return
    axes = [_Axis([row[name] for row in complete], is_log) for name, is_log in zip(names, log, strict=True)]
    known = [row[metric] for row in complete if row[metric] is not None and math.isfinite(row[metric])]
    axes.append(_Axis(known))
    figure = Figure(figsize=(max(5.0, 1.7 * len(axes) + 1), 4.2), layout="constrained")
    plot = figure.subplots()
    low, high = finished[0][metric], finished[-1][metric]
    colours = colormaps["viridis" if maximize else "viridis_r"]
    for row in [*(row for row in complete if row["state"] != "finished"), *(finished if maximize else finished[::-1])]:
        is_finished = row["state"] == "finished"
        keys = [*names, metric] if row[metric] in known else list(names)
        y = [axis.place(row[key]) for axis, key in zip(axes, keys, strict=False)]
        share = (row[metric] - low) / ((high - low) or 1) if is_finished else 0.0
        best = is_finished and row is finished[-1 if maximize else 0]
        style: dict[str, Any] = {"color": colours(0.95 * share), "alpha": 0.9, "linewidth": 3.2 if best else 1.4}
        plot.plot(
            *_smooth(y), **style if is_finished else {"color": "0.5", "alpha": 0.7, "linewidth": 1.0, "linestyle": ":"}
        )
    for k, axis in enumerate(axes):
        plot.axvline(k, color="0.3", linewidth=0.8)
        for y_tick, text in axis.ticks():
            plot.annotate(
                text, (k, y_tick), (-4, 0), textcoords="offset points", ha="right", va="center", fontsize=7.5,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6},
            )  # fmt: skip
            plot.plot([k - 0.015, k + 0.015], [y_tick, y_tick], color="0.3", linewidth=0.8)
    labels = [*_short(names), metric]
    plot.set_xticks(
        range(len(axes)),
        [f"{label}\n(log)" if k < len(log) and log[k] else label for k, label in enumerate(labels)],
        fontsize=9,
    )
    plot.set(yticks=[], ylim=(-0.03, 1.03), xlim=(-0.45, len(axes) - 0.9))
    plot.spines[:].set_visible(False)
    plot.tick_params(axis="x", length=0)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _smooth(y: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return a curve that crosses every axis level, so that lines which meet on one can be told apart."""
    x = np.linspace(0, len(y) - 1, 40 * (len(y) - 1) + 1)
    left = np.minimum(x.astype(int), len(y) - 2)
    share = x - left
    ease = share * share * (3 - 2 * share)
    values = np.asarray(y)
    return x, values[left] * (1 - ease) + values[left + 1] * ease


def _short(names: Sequence[str]) -> list[str]:
    """Return as many of the last words of each dotted name as tell it from the others."""
    words = [name.split(".") for name in names]
    out = []
    for own in words:
        count = 1
        while sum(other[-count:] == own[-count:] for other in words) > 1 and count < len(own):
            count += 1
        out.append(".".join(own[-count:]))
    return out
