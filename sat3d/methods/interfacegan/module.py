"""InterFaceGAN as a LightningModule: tails of the codes in one pass, then a linear SVM for each label."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.regression import SpearmanCorrCoef

from sat3d.generators import load_generator
from sat3d.generators.batches import LatentBatch
from sat3d.methods.base import Editor
from sat3d.methods.interfacegan.boundary import Boundary, fit_boundary
from sat3d.methods.interfacegan.editor import BoundaryEditor
from sat3d.methods.layers import Layers
from sat3d.methods.one_pass import OnePass
from sat3d.metrics import ColumnCovariance, TopRows


class InterFaceGAN(OnePass):
    """Separate the codes that show most of an attribute from those that show least.

    Shen, Gu, Tang & Zhou 2020, arXiv 1907.10786. Codes are ranked by score; the first and the last `ratio` of them are
    the positives and negatives of a linear SVM, which learns from `share` of these. The unit normal n of its hyperplane
    is the direction. Continuous labels have one boundary, categories one for each class, ranked by its log-odds.

    Data come from `LabelledLatentDataModule`: w, or styles with `space: s` there and here. Attributes that are found
    together can be told apart by `keep`: what is named there is projected out (§3.2), for any number of conditions.

    Args:
        generator: name or file for `load_generator`.
        space: of the data's codes.
        ratio: of the codes on either side; the released code takes 0.02.
        share: of the tails that the SVM learns from; what is left tells its accuracy.
        keep: for an attribute or class those that its edits shall leave where they are; `everything`: of all others.
        layers: for an attribute or class the ws that it moves; see `Layers`.
        unit: strength 1 is one standard deviation of the codes along n (`sigma`, ours, which makes strengths of methods
            comparable), or a vector of length 1 (`length`, the paper's, with strengths in [-3, 3]).
        seed: of what is learnt from and what is left.

    Raises:
        ValueError: for ratios and shares outside (0, 0.5] and (0, 1), and codes that do not fit the generator.

    Example:
        >>> source = SampledLatents("toyfaces64", scorer="toyfaces-labeller", count=2000)
        >>> module = InterFaceGAN("toyfaces64", keep={"smile": ["mouth_open"]})
        >>> Trainer(max_epochs=1).fit(module, datamodule=LabelledLatentDataModule(source))
        >>> module.editor().edit(ws, "smile", 2.0)
    """

    normals: Tensor
    biases: Tensor
    sigma: Tensor

    def __init__(
        self,
        generator: str,
        *,
        space: Literal["w", "s"] = "w",
        ratio: float = 0.02,
        share: float = 0.7,
        keep: dict[str, list[str]] | Literal["everything"] | None = None,
        layers: dict[str, list[int]] | None = None,
        unit: Literal["sigma", "length"] = "sigma",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if not 0 < ratio <= 0.5 or not 0 < share < 1:
            raise ValueError(f"ratio={ratio} must be in (0, 0.5], share={share} in (0, 1)")
        self.generator = load_generator(generator)
        self.names: tuple[str, ...] = ()
        self.ranking: TopRows | None = None

    # Lightning --------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Learn from the data which labels there are, and how many codes are a tail."""
        data = self._data()
        places = {_name(name, k, classes): cs[0] for name, classes in data.columns.items() for k, cs in classes.items()}
        width = self.generator.w_dim if self.hparams["space"] == "w" else self.generator.style_space.size
        if data.code_width != width:
            raise ValueError(
                f"space={self.hparams['space']!r}: codes of {self.hparams['generator']!r} are {width} wide there, "
                f"the data's are {data.code_width}; the source's space must be the same"
            )
        if self.ranking is None:
            self.names, self.places = tuple(places), list(places.values())
            keep = max(2, math.ceil(self.hparams["ratio"] * len(data.rows["train"])))
            self.ranking = TopRows(2 * len(places), keep)
            self.covariance = ColumnCovariance(width)
            self.grades = MetricCollection([SpearmanCorrCoef(num_outputs=len(places))])  # no statistic of the fit
            for name, shape in {"normals": (width,), "biases": (), "sigma": ()}.items():
                self.register_buffer(name, torch.zeros(len(places), *shape, device=self.device))
        self._check_names()
        super().setup(stage)

    def _check_names(self) -> None:
        keep, layers = self.hparams["keep"], self.hparams["layers"] or {}
        asked = {} if not isinstance(keep, Mapping) else keep
        unknown = {*asked, *(o for others in asked.values() for o in others), *layers} - set(self.names)
        if unknown:
            raise ValueError(f"keep, layers: unknown {', '.join(sorted(unknown))}; there are {', '.join(self.names)}")

    def collect(self, batch: LatentBatch) -> None:
        """Rank codes by every label, from both ends."""
        assert self.ranking is not None
        scores = self._scores(batch)
        self.ranking.update(torch.cat([scores, -scores], dim=1), batch.index)
        self.covariance.update(batch.codes)

    def solve(self) -> None:
        """Fit a boundary for each label; all devices do the same."""
        assert self.ranking is not None
        rows = self.ranking.compute().rows
        covariance = self.covariance.compute().covariance.cpu()
        for k, name in enumerate(self.names):
            tails = [row[row >= 0].sort().values for row in (rows[k], rows[k + len(self.names)])]
            found = self._fit(name, *tails)
            self.normals[k], self.biases[k] = found.normal, found.bias
            normal = found.normal.double()
            self.sigma[k] = (normal @ covariance @ normal).clamp_min(0).sqrt()
            self.log(f"train/accuracy/{name}", found.accuracy)

    def _fit(self, name: str, high: Tensor, low: Tensor) -> Boundary:
        if twice := set(high.tolist()) & set(low.tolist()):
            raise ValueError(f"ratio: {len(twice)} codes are positive and negative for {name}; take more codes or less")
        data = self._data()
        shown, not_shown = (data.latents(tail).codes for tail in (high, low))
        return fit_boundary(shown, not_shown, self.hparams["share"], self.hparams["seed"])

    def validation_step(self, batch: LatentBatch, batch_idx: int) -> None:
        """Compare distances from the boundaries with scores."""
        self._compare(batch)

    def test_step(self, batch: LatentBatch, batch_idx: int) -> None:
        """Compare the same on the codes kept for the test; those are scored by the labeller too."""
        self._compare(batch)

    def _compare(self, batch: LatentBatch) -> None:
        if bool(self.is_fitted):
            self.grades.update(batch.codes @ self.normals.T, self._scores(batch))

    def on_validation_epoch_end(self) -> None:
        """Log rank correlations."""
        self._report("val")

    def on_test_epoch_end(self) -> None:
        """Log rank correlations."""
        self._report("test")

    def _report(self, stage: str) -> None:
        if not bool(self.is_fitted):
            return
        found = self.grades.compute()["SpearmanCorrCoef"].reshape(-1)
        self.grades.reset()
        self.log_dict({f"{stage}/spearman/{n}": v for n, v in zip(self.names, found, strict=True)}, sync_dist=True)
        self.log(f"{stage}/spearman", found.nanmean(), prog_bar=True, sync_dist=True)

    def predict_step(self, batch: LatentBatch, batch_idx: int) -> dict[str, Any]:
        """Return the codes' numbers, signed distances (B, A) from the boundaries, and edits at strength 1, by name."""
        editor = self.editor()
        edits = {name: editor.edit(batch.codes, name, 1.0) for name in editor.attributes}
        return {"index": batch.index, "distances": batch.codes @ self.normals.T + self.biases, "edits": edits}

    # Results ----------------------------------------------------------------------------------------------------------

    def basis(self) -> dict[str, Any]:
        """Return what the ranking is of."""
        return {"generator": self.generator.hash, "space": self.hparams["space"], "labels": list(self.names)}

    def editor(self) -> Editor:
        """Return the editor of the boundaries, conditioned as `keep` says."""
        self.require_fit()
        hp = self.hparams
        scale = self.sigma if hp["unit"] == "sigma" else torch.ones_like(self.sigma)
        layers: Layers = hp["layers"] or {}
        directions = (scale[:, None] * self.normals).cpu()
        plain = BoundaryEditor(self.names, directions, hp["space"], layers, biases=self.biases.cpu())
        conditions = self._conditions()
        return (plain.keeping(conditions) if conditions else plain).to(self.device).eval()

    def _conditions(self) -> dict[str, Sequence[str]]:
        keep = self.hparams["keep"]
        if keep != "everything":
            return dict(keep or {})
        attributes = [name.partition("/")[0] for name in self.names]
        return {
            name: [other for other, theirs in zip(self.names, attributes, strict=True) if theirs != own]
            for name, own in zip(self.names, attributes, strict=True)
        }

    def _scores(self, batch: LatentBatch) -> Float[Tensor, "b k"]:
        scores: Tensor = self._data().scores(batch.index)
        return scores[:, self.places].to(batch.codes)

    def _data(self) -> Any:
        """Return the labelled codes."""
        data: Any = getattr(self.trainer, "datamodule", None)
        if not hasattr(data, "scores"):
            raise ValueError("data: InterFaceGAN needs LabelledLatentDataModule")
        return data


def _name(attribute: str, k: str, classes: Mapping[str, Sequence[int]]) -> str:
    return attribute if list(classes) == ["value"] else f"{attribute}/{k}"
