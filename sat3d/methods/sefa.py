"""SeFa: directions read off the generator's own weights (Shen & Zhou 2021, arXiv 2007.06600)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from sat3d.generators import Generator, load_generator
from sat3d.generators.batches import CodeBatch
from sat3d.methods.components import NamedComponents, checked_ranges, principal_components
from sat3d.metrics import ColumnCovariance


@torch.no_grad()
def style_weights(generator: Generator) -> Float[Tensor, "c d"]:
    """Return the matrix by which every style depends on its layer's w: s_u = A_u · w + bias, (C, w_dim).

    Styles are affine in w, whatever a generator calls its layers, so A is what unit vectors add.
    """
    eye = torch.eye(generator.w_dim, device=generator.device)
    ws = torch.cat([torch.zeros_like(eye[:1]), eye])[:, None].expand(-1, generator.num_ws, -1)
    styles = generator.styles(ws)
    return (styles[1:] - styles[:1]).T


def factorize(
    weights: Float[Tensor, "c d"], layers: list[Tensor], count: int
) -> tuple[Float[Tensor, "k d"], Float[Tensor, " k"]]:
    """Return directions by how much they move styles, falling, and their eigenvalues (SeFa, Eq. 6).

    A is made of the chosen layers' weights, one row for each style channel, made unit as the released code does (its
    columns are our rows). The directions are the eigenvectors of AᵀA.

    Args:
        weights: of all style channels.
        layers: style channels of each chosen layer.
        count: directions.
    """
    rows = normalize(torch.cat([weights[index] for index in layers]).double(), dim=1)
    return principal_components(rows.T @ rows, count)


class SeFa(NamedComponents):
    """Take the directions of w that move styles most, in closed form (Shen & Zhou 2021, arXiv 2007.06600, §3).

    n_i: unit eigenvectors of AᵀA, A the weights of the affine layers that make styles. The edit is w' = w + x n_i in
    the layers whose weights were taken. No codes are needed to find them; they are streamed to know how widely w is
    spread along each direction, so that strengths compare with other methods', and for an observer to name directions.

    Args:
        generator: name or file for `load_generator`.
        kinds: kinds of style channels whose weights are taken; toRGB's are left out by the released code.
        unit: strength 1 is one standard deviation of w along the direction (`sigma`, ours) or a vector of length 1
            (`length`, the paper's, with strengths in [-3, 3]).
        ranges: ranges of ws, [first, last] each, with directions of their own; `null`: one set of directions, all ws.
        scorer: attribute predictor that names directions; not the judge.
        attributes: what gets a direction, a column of the scorer each; `null` for all.
        named: directions that are looked at and kept, of each range.
        named_codes: codes on which they are tried.
        shift: strength by which codes are moved there.
        labeller: attribute predictor behind `val/*`.
        judge: attribute predictor behind `test/*`; it is not loaded before.
        graded_as: what labeller and judge call an attribute, where that differs.
        strengths: of the graded edits.
        graded_codes: unedited pictures from which the σ of log-odds is taken, the scorer's and the graders'.
        render_batch: pictures that are made at a time.

    Raises:
        ValueError: for ranges that the generator does not have, or that no style layer reads, and unknown columns.

    Example:
        >>> module = SeFa("toyfaces64", scorer="toyfaces-labeller", ranges=[(0, 3), (4, 9)])
        >>> Trainer(max_epochs=1).fit(module, datamodule=StyleCodeDataModule("toyfaces64", batch="codes"))
        >>> module.editor().edit(ws, "component/0/4-9", 2.0)
    """

    def __init__(
        self,
        generator: str,
        *,
        kinds: tuple[str, ...] = ("conv",),
        unit: Literal["sigma", "length"] = "sigma",
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
        spans = checked_ranges(ranges, net.num_ws)
        super().__init__(settings, net.w_dim, spans)
        self.generator = net
        self.covariance = ColumnCovariance(net.w_dim)
        self.read = [self._layers(span) for span in spans or [(0, net.num_ws - 1)]]

    def _layers(self, span: tuple[int, int]) -> list[Tensor]:
        """Return the style channels of each layer that reads one of the ws in a range."""
        layers = self.generator.style_space.layers
        taken = [x for x in layers if x.kind in self.hparams["kinds"] and span[0] <= x.ws_index <= span[1]]
        if not taken:
            raise ValueError(f"ranges: no layer of kinds={list(self.hparams['kinds'])} reads ws {span[0]} to {span[1]}")
        return [torch.arange(x.start, x.start + x.size) for x in taken]

    def collect(self, batch: CodeBatch) -> None:
        """Add codes to the covariance of w."""
        self.covariance.update(batch.ws[:, 0])

    def basis(self) -> dict[str, Any]:
        """Return what the covariance is of."""
        return {"generator": self.generator.hash}

    def found(self) -> tuple[Float[Tensor, "k d"], Float[Tensor, " k"]]:
        """Return what strength 1 adds along each direction, and its share of what moves styles."""
        weights, covariance = style_weights(self.generator), self.covariance.compute().covariance
        directions, shares = [], []
        for layers in self.read:
            vectors, values = factorize(weights, layers, self.hparams["named"])
            if self.hparams["unit"] == "sigma":
                spread = torch.einsum("kd,de,ke->k", vectors, covariance.to(vectors.device), vectors)
                vectors = vectors * spread.clamp_min(0).sqrt()[:, None]
            directions.append(vectors)
            shares.append(values / sum(len(index) for index in layers))  # every row of A has length 1
        return torch.cat(directions), torch.cat(shares)
