"""Figures of a comparison: drift against the target's change, and edits side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sat3d.evaluation.comparison.pictures import method_grid
from sat3d.visualization import replacing, write_picture


def write_figures(results: Mapping[str, Any], folder: Path) -> None:
    """Write `figures/drift.svg` and `.png`, and `figures/edits.png`: the first example's edits, a row a method."""
    write_curves(results, folder / "figures/drift.png")
    write_curves(results, folder / "figures/drift.svg")
    if examples := results["pictures"]["examples"]:
        names = [method["name"] for method in results["methods"]]
        grid = method_grid(folder, examples[0]["code"], names, results["attributes"])
        write_picture(folder / "figures/edits.png", grid)


def write_curves(results: Mapping[str, Any], path: Path) -> None:
    """Draw how far other attributes move against how far the target moves, with 95 % bands.

    Methods that look at a reference are dashed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    for i, method in enumerate(results["methods"]):
        curve = results["curves"][method["name"]]
        known = [k for k, value in enumerate(curve["drift"]) if value is not None]
        x, y, low, high = ([0.0, *(curve[key][k] for k in known)] for key in ("change", "drift", "low", "high"))
        style = "--" if method["kind"] == "reference" else "-"
        axes.plot(x, y, style, color=f"C{i % 10}", label=method["name"], marker=".", markersize=4)
        axes.fill_between(x, low, high, color=f"C{i % 10}", alpha=0.12, linewidth=0)
    axes.set(xlabel="change of the target (σ, by the judge)", ylabel="drift of other attributes (σ)", xlim=0, ylim=0)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=150)
