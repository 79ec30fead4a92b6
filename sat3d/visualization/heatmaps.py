"""Heat maps: many columns in groups, such as style channels by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor


def heat_map(
    values: Float[Tensor, "r c"],
    rows: Sequence[str],
    groups: Sequence[tuple[str, int]],
    title: str = "",
    unit: str = "",
    width: float = 12.0,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw numbers as colours: white is 0, dark is much; what is not a number is grey.

    Args:
        values: (R, C), ≥ 0.
        rows: labels to the left, R.
        groups: names and sizes of runs of columns, C in all; thin lines stand between them.
        title: on top.
        unit: beside the scale of colours.
        width: of the picture, inches at 100 dots.

    Raises:
        ValueError: if labels or groups do not fit the numbers.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sizes = [size for _, size in groups]
    if len(rows) != values.shape[0] or sum(sizes) != values.shape[1]:
        raise ValueError(f"{len(rows)} rows and groups of {sum(sizes)} columns do not fit {tuple(values.shape)}")
    figure = Figure(figsize=(width, 1.7 + 0.2 * len(rows)), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    shown = axes.imshow(values.double().cpu().numpy(), aspect="auto", cmap="Blues", interpolation="none", vmin=0)
    axes.set_facecolor("lightgrey")
    edges = np.cumsum([0, *sizes])
    axes.vlines(edges[1:-1] - 0.5, -0.5, len(rows) - 0.5, color="black", linewidth=0.5)
    axes.set_xticks(
        (edges[:-1] + edges[1:]) / 2 - 0.5, [name for name, _ in groups], rotation=60, fontsize=8, ha="right"
    )
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.tick_params(length=0)
    axes.set_title(title, fontsize=10)
    figure.colorbar(shown, ax=axes, label=unit, pad=0.01)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
