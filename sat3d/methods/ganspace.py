"""GANSpace: principal components of codes as directions (Härkönen et al. 2020, arXiv 2004.02546)."""

from __future__ import annotations

from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from sat3d.generators import load_generator
from sat3d.generators.batches import CodeBatch
from sat3d.methods.components import NamedComponents, checked_ranges, principal_components
from sat3d.metrics import ColumnCovariance


class GANSpace(NamedComponents):
    """Take the directions in which sampled codes vary most (Härkönen et al. 2020, arXiv 2004.02546, §2).

    v_i: the i-th principal component of w = map(z), a unit vector; σ_i: the codes' standard deviation along it. The
    edit E(v_i, j-k) is w' = w + x σ_i v_i in the layers j to k, so strength x is in standard deviations. The paper's
    directions were named by eye; here an observer looks at them (`NamedComponents`).

    The covariance is added up exactly in one pass, where the released code has an incremental approximation.

    Args:
        generator: name or file for `load_generator`.
        space: of the codes: `w`, or `s`, the flat styles (no ranges of layers there).
        ranges: ranges of layers, [first, last] each, of which every one is tried with every component; `null`: all ws.
        scorer: attribute predictor that names directions; not the judge.
        attributes: what gets a direction, a column of the scorer each; `null` for all.
        named: components that are looked at and kept; the released code keeps 80.
        named_codes: codes on which they are tried.
        shift: σ by which codes are moved there.
        labeller: attribute predictor behind `val/*`.
        judge: attribute predictor behind `test/*`; it is not loaded before.
        graded_as: what labeller and judge call an attribute, where that differs.
        strengths: of the graded edits, in σ.
        graded_codes: unedited pictures from which the σ of log-odds is taken, the scorer's and the graders'.
        render_batch: pictures that are made at a time.

    Raises:
        ValueError: for ranges that the generator does not have, or with `space: s`, and unknown columns.

    Example:
        >>> module = GANSpace("toyfaces64", scorer="toyfaces-labeller")
        >>> Trainer(max_epochs=1).fit(module, datamodule=StyleCodeDataModule("toyfaces64", batch="codes"))
        >>> module.editor().edit(ws, "component/0", 2.0)
    """

    def __init__(
        self,
        generator: str,
        *,
        space: Literal["w", "s"] = "w",
        ranges: list[tuple[int, int]] | None = None,
        scorer: str | None = None,
        attributes: list[str] | None = None,
        named: int = 20,
        named_codes: int = 32,
        shift: float = 2.0,
        labeller: str | None = None,
        judge: str | None = None,
        graded_as: dict[str, str] | None = None,
        strengths: tuple[float, ...] = (0.5, 1.0, 2.0, 3.0, 4.0),
        graded_codes: int = 200,
        render_batch: int = 16,
    ) -> None:
        settings = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        net = load_generator(generator)
        if ranges is not None and space == "s":
            raise ValueError("ranges: styles have no ws to choose from; leave it out")
        width = net.w_dim if space == "w" else net.style_space.size
        super().__init__(settings, width, checked_ranges(ranges, net.num_ws))
        self.generator = net
        self.covariance = ColumnCovariance(width)

    def collect(self, batch: CodeBatch) -> None:
        """Add codes to the covariance."""
        self.covariance.update(batch.ws[:, 0] if self.hparams["space"] == "w" else batch.styles)

    def basis(self) -> dict[str, Any]:
        """Return what the covariance is of."""
        return {"generator": self.generator.hash, "space": self.hparams["space"]}

    def found(self) -> tuple[Float[Tensor, "k d"], Float[Tensor, " k"]]:
        """Return σ_i v_i of each component in each range of layers, and the share of the variance."""
        covariance = self.covariance.compute().covariance
        vectors, values = principal_components(covariance, self.hparams["named"])
        repeats = len(self.components) // self.hparams["named"]
        share = values / covariance.diagonal().sum().clamp_min(1e-300)
        return (values.sqrt()[:, None] * vectors).repeat(repeats, 1), share.repeat(repeats)
