"""What is measured of an edit, and by whose eyes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Better = Literal["lower", "higher"] | None


@dataclass(frozen=True)
class Measure:
    """Describe a column of the comparison.

    Args:
        key: name in rows and files.
        title: in words.
        short: head of a table's column.
        unit: of the number, if any.
        better: which way; `None` where neither is.
        digits: behind the point.
        about: one sentence that explains it.
        eyes: the observer that it depends on: `labeller`, `judge`, `identity`, `perceptual` or `parser`.
    """

    key: str
    title: str
    short: str
    unit: str
    better: Better
    digits: int
    about: str
    eyes: str | None = None

    def told(self) -> dict[str, object]:
        """Return it as plain data."""
        return asdict(self)


MEASURES = (
    Measure(
        "reached",
        "reach",
        "reach",
        "",
        "higher",
        2,
        "Share of edits that some strength brings to the wanted reading by the labeller, up to a tenth of the change.",
        "labeller",
    ),
    Measure(
        "success",
        "success",
        "success",
        "",
        "higher",
        2,
        "Share of edits in which the judge, which chose nothing, sees the target, in the mean of two views.",
        "judge",
    ),
    Measure(
        "change",
        "change of the target",
        "change",
        "σ",
        None,
        2,
        "How far the judge sees the target move, in standard deviations of its log-odds over unedited pictures.",
        "judge",
    ),
    Measure(
        "ad_mean",
        "attribute dependency, mean",
        "AD mean",
        "σ",
        "lower",
        3,
        "How far the judge sees other attributes move (StyleSpace, arXiv 2011.12799, §6): mean over their columns.",
        "judge",
    ),
    Measure(
        "ad_max",
        "attribute dependency, maximum",
        "AD max",
        "σ",
        "lower",
        2,
        "The same, of the column that moves most.",
        "judge",
    ),
    Measure(
        "identity",
        "identity distance",
        "identity",
        "",
        "lower",
        3,
        "One minus the cosine between the identities of picture and edit.",
        "identity",
    ),
    Measure(
        "perceptual",
        "perceptual distance",
        "perceptual",
        "",
        "lower",
        4,
        "Between activations: LPIPS (arXiv 1801.03924) with perceptual=lpips, else an observer's own, unweighted.",
        "perceptual",
    ),
    Measure(
        "inside",
        "share of the change inside",
        "inside",
        "",
        "higher",
        2,
        "Share of the squared change of colours that lies in the attribute's region, before or after the edit.",
        "parser",
    ),
    Measure(
        "lab_inside",
        "change inside the region",
        "in-MSE",
        "10⁻³",
        None,
        2,
        "Mean squared change in CIELAB inside the attribute's region (Editing in Style, arXiv 2004.14367).",
        "parser",
    ),
    Measure(
        "lab_outside",
        "change outside the region",
        "out-MSE",
        "10⁻³",
        "lower",
        2,
        "The same outside it.",
        "parser",
    ),
    Measure(
        "view_identity",
        "identity across views",
        "views, identity",
        "",
        "lower",
        3,
        "How much further two views of the edit are apart in identity than two views of the source.",
        "identity",
    ),
    Measure(
        "view_colour",
        "colours across views",
        "views, colour",
        "10⁻³",
        "lower",
        2,
        "How much worse one view of the edit, warped by the depth, fits the other than with the source.",
    ),
    Measure(
        "undo",
        "undone edit",
        "undo",
        "",
        "lower",
        2,
        "What is left of an edit in style space after the method took it back, as a share of the edit.",
    ),
    Measure(
        "order",
        "order of two edits",
        "order",
        "",
        "lower",
        2,
        "How far A then B is from B then A in style space, as a share of both edits; B is the next attribute.",
    ),
    Measure(
        "ideal_psnr",
        "likeness to the ideal edit",
        "ideal, PSNR",
        "dB",
        "higher",
        1,
        "PSNR to the ideal edit, which the embedded world knows and the generator draws.",
    ),
    Measure(
        "ideal_perceptual",
        "distance to the ideal edit",
        "ideal, perceptual",
        "",
        "lower",
        4,
        "The perceptual distance to it.",
        "perceptual",
    ),
)
"""In the order of the tables. Pictures, identities and views are those of the edit at its matched strength."""

BY_KEY = {measure.key: measure for measure in MEASURES}
