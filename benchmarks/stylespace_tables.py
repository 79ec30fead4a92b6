"""Tables and a picture of what `stylespace.py` measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

Seeds = dict[str, Any]
REACHED = 0.5  # share of the edits that must reach a change, for its average to count
AT = (0.5, 1.0)
ORACLE = "strongest channel"  # by the truth: what it fails to reach leaves the discovered ones in the averages
ALL, EDITABLE = "all columns", "editable"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table in markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def spread(values: Sequence[float | None], digits: int = 2) -> str:
    """Write mean ± standard deviation over seeds."""
    known = [v for v in values if v is not None]
    if not known:
        return "–"
    text = f"{statistics.mean(known):.{digits}f}"
    return text if len(known) < 2 else f"{text} ± {statistics.stdev(known):.{digits}f}"


def percent(values: Sequence[float | None]) -> str:
    """Write the mean over seeds in per cent."""
    known = [v for v in values if v is not None]
    return f"{100 * statistics.mean(known):.0f}" if known else "–"


def median(values: Sequence[float | None]) -> str:
    """Write the median."""
    return f"{statistics.median(v for v in values if v is not None):.2g}"


def dci(seeds: Seeds) -> str:
    """Write D, C and I by engine and space, for each set of columns."""
    titles = {
        "all": "all columns (one a class)",
        "editable": "columns of editable attributes",
        "attributes": "one column an attribute (importances of its classes averaged)",
    }
    keys = (("D", 2), ("C", 2), ("I", 3), ("attributes", 1), ("channels", 1))
    head = ["engine", "space", "D", "C", "I", "attributes a channel", "channels an attribute"]
    made = []
    for group, title in titles.items():
        rows = []
        for engine in ("boosting", "histogram", "linear"):
            for space in ("z", "w", "s", "w, mixed"):
                found = [s[engine][space][group] for s in seeds.values() if space in s.get(engine, {})]
                if found:
                    rows.append([engine, space, *(spread([f[k] for f in found], digits) for k, digits in keys)])
        made.append(f"{title[0].upper()}{title[1:]}:\n\n{table(head, rows)}")
    return "\n\n".join(made)


def truth(seeds: Seeds) -> str:
    """Write how right regions are, and how often rankings hit."""
    found = list(seeds.values())
    regions = [f["regions"] for f in found]
    facts = [
        ["channels with a consistent effect", spread([f["consistent"]["all"] for f in found], 0)],
        ["of these conv", spread([f["consistent"]["conv"] for f in found], 0)],
        ["correlation of the effects on two halves of the pictures", spread([f["halves"] for f in found])],
        ["locally active conv channels", spread([r["active"] for r in regions], 0)],
        ["of these without a consistent effect, left out", spread([r["unknown"] for r in regions], 0)],
        ["strongest attribute shows in the region", spread([r["precision"] for r in regions])],
        ["chance", spread([r["chance"] for r in regions])],
        ["the same of channels with an effect ≥ 0.05 σ", spread([r["strong"] for r in regions])],
        ["how many these are", spread([r["strong_channels"] for r in regions], 0)],
        ["columns that some channel moves consistently", spread([r["columns"] for r in regions], 0)],
        [
            "strongest locally active channel of these acts where the attribute shows",
            spread([r["best"] for r in regions]),
        ],
        ["chance", spread([r["best_chance"] for r in regions])],
    ]
    rows = []
    for part in regions[0]["parts"]:
        cells = [[r["parts"][part][k] for r in regions] for k in ("active", "judged", "right")]
        rows.append([part, *(f"{statistics.mean(c):.0f}" for c in cells)])
    parts = table(["part", "locally active", "with an effect", "shows there"], rows)
    return f"{table(['what', 'mean ± sd over seeds'], facts)}\n\n{parts}\n\n{few(found)}"


def few(found: Sequence[dict[str, Any]]) -> str:
    """Write hit rates of the first channel and of the first five."""
    head = ["examples", "number", "candidates", "top-1", "top-5", "right sign", "first reaches"]
    head += ["of all: top-1", "top-5", "editable: top-1", "top-5", "chance: top-1", "top-5"]
    keys = [("columns", k) for k in ("top1", "top5", "sign", "reach")]
    keys += [(group, k) for group in ("columns of all", "editable") for k in ("top1", "top5")]
    keys += [("columns", k) for k in ("chance1", "chance5")]
    rows = []
    for name in found[0]["few"]["rows"]:
        rates = [f["few"]["rows"][name] for f in found]
        rows.append([*name.split(", "), *(percent([r.get(g, {}).get(k) for r in rates]) for g, k in keys)])
    count = ", ".join(str(len(f["few"]["columns"])) for f in found)
    return f"Columns that some channel moves consistently, by seed: {count}. Per cent:\n\n{table(head, rows)}"


def pooled(seeds: Seeds, target: str, method: str, point: int) -> tuple[float, float, int, int]:
    """Return mean-AD, max-AD, edits and seen at one point over some seeds; NaN where nothing was reached."""
    curves = [s["targets"][target][method] for s in seeds.values()]
    edits, seen = sum(c["edits"][point] for c in curves), sum(c["seen"] for c in curves)
    totals = [sum(c["edits"][point] * (c[k][point] or 0) for c in curves) for k in ("mean", "max")]
    mean, most = (t / edits if edits else float("nan") for t in totals)
    return mean, most, edits, seen


def _methods(seeds: Seeds) -> list[str]:
    return list(next(iter(next(iter(seeds.values()))["targets"].values())))


def shared(seeds: Seeds, point: int) -> list[str]:
    """Return the targets that all methods but the oracle reach at a point."""
    found = []
    for target, curves in next(iter(seeds.values()))["targets"].items():
        counts = [pooled(seeds, target, m, point)[2:] for m in curves if m != ORACLE]
        if all(edits >= REACHED * seen for edits, seen in counts):
            found.append(target)
    return found


def averaged(seeds: Seeds, targets: Sequence[str], method: str, point: int) -> tuple[float, float]:
    """Average mean-AD and max-AD over targets; NaN where one of them is not reached."""
    read = [pooled(seeds, target, method, point) for target in targets]
    if not read or any(edits < REACHED * seen for _, _, edits, seen in read):
        return float("nan"), float("nan")
    return statistics.mean(r[0] for r in read), statistics.mean(r[1] for r in read)


def dependency(seeds: Seeds) -> str:
    """Write the averages at each point, and the targets apart at some."""
    change, methods = next(iter(seeds.values()))["change"], _methods(seeds)
    every = list(next(iter(seeds.values()))["targets"])
    rows = []
    for point, at in enumerate(change):
        targets, cells = shared(seeds, point), []
        for m in methods:
            mean, most = averaged(seeds, targets, m, point)
            counts = [pooled(seeds, target, m, point)[2:] for target in every]
            reach = 100 * sum(edits for edits, _ in counts) / sum(seen for _, seen in counts)
            cells.append(f"– ({reach:.0f})" if mean != mean else f"{mean:.2f} / {most:.2f} ({reach:.0f})")
        rows.append([f"{at:g}", str(len(targets)), *cells])
    for key, title, write in (("towards", "1 σ towards it, %", percent), ("strength", "by strength, median", median)):
        values = ([t[m][key] for s in seeds.values() for t in s["targets"].values()] for m in methods)
        rows.append([title, "all", *(write(v) for v in values)])
    made = [table(["target's change, σ", "targets", *methods], rows)]
    for at in AT:
        rows = []
        for target in next(iter(seeds.values()))["targets"]:
            read = [pooled(seeds, target, m, change.index(at)) for m in methods]
            rows.append([target, *(f"{a:.2f} / {b:.2f} ({100 * e / n:.0f})" if e else "– (0)" for a, b, e, n in read)])
        made.append(f"By target at {at:g} σ:\n\n{table(['target', *methods], rows)}")
    return "\n\n".join(made)


def draw(seeds: Seeds, path: Path, fixed: float = 1.0) -> None:
    """Draw mean-AD and max-AD by the target's change, of the targets that all methods reach at `fixed` σ."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    change = next(iter(seeds.values()))["change"]
    targets = shared(seeds, change.index(fixed))
    figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.6), sharex=True, layout="constrained")
    for method, marker in zip((m for m in _methods(seeds) if m != ORACLE), "os^D", strict=True):
        read = [averaged(seeds, targets, method, point) for point in range(len(change))]
        for axis, values in zip(axes, zip(*read, strict=True), strict=True):
            axis.plot(change, values, marker=marker, markersize=4, linewidth=1.2, label=method)
    told = {"mean-AD": "mean change of the others, σ", "max-AD": "largest change among the others, σ"}
    for axis, (title, change_of_others) in zip(axes, told.items(), strict=True):
        axis.set(title=f"{title}, {len(targets)} targets", xlabel="change of the target, σ", ylabel=change_of_others)
        axis.set(xlim=(0, None), ylim=(0, None))
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)


TABLES: dict[str, Callable[[Seeds], str]] = {"dci": dci, "truth": truth, "dependency": dependency}
