"""StyleAE as a LightningModule."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sat3d.generators import CodeStream
from sat3d.generators.batches import LatentBatch
from sat3d.methods.coordinates import Form, label_width
from sat3d.methods.labelled import LabelledMethod
from sat3d.methods.styleae.editor import AutoencoderEditor
from sat3d.methods.styleae.losses import MARGIN, LabelLoss, code_loss, label_loss, label_weight, picture_loss
from sat3d.methods.styleae.network import SLOPE, LatentAutoencoder
from sat3d.methods.styleae.targets import Targets

Decode = Callable[[Tensor], Tensor]
"""Codes (B, D) → pictures (B, 3, H, W) in [-1, 1]."""


class StyleAE(LabelledMethod):
    """Learn an autoencoder of codes whose first coordinates are the labels (Bedychaj et al. 2024, arXiv 2412.20164).

    L = (1 − λ)·R + λ·A + p·L_pix: A compares the first coordinates with the labels; R compares the reconstruction with
    the code, as pictures through the frozen generator (the paper's) or as codes; L_pix is the mean of what pictures
    differ by more than a margin. Pictures of the unedited codes are made once each.

    Args:
        generator: that the codes belong to, a name or file for `load_generator`; `null` if they belong to none.
        columns: attributes, their classes and label columns; `null` takes the datamodule's.
        code_width: D; `null` takes the datamodule's.
        hidden: widths of the encoder's hidden layers; `null` takes three of D, as the released code.
        slope: initial PReLU slope of the encoder.
        reconstruction: `picture` or `code`. The second needs no generator and is far cheaper.
        code_steps: first steps, in which the reconstruction is measured on codes in any case: a cheap start for the
            dear loss on pictures. The paper has none; its released code offers a start without labels.
        decode: with pictures but without a generator: dotted path of what makes pictures of codes, or, with
            `decode_args`, of what builds it. What it names is imported and run.
        decode_args: keyword arguments of the builder.
        label_weight: λ.
        ramp: epochs in which λ rises to its value; 0 for none.
        label_loss: `square`, or `hinge` for categories: what is beyond its target is free.
        pixel_weight: p; the released code has 1 for FFHQ and 0 for AFHQ.
        margin: of L_pix; pixels count from −1 to 1.
        layers: for an attribute the first and last of the ws that its edits change; the paper changes all.
        form: of edits, see `AutoencoderEditor`.
        max_bytes: memory for the pictures of unedited codes.
        lr: learning rate of Adam: 1e-4 for FFHQ, 1e-5 for AFHQ.
        seed: of the initial weights.

    Raises:
        ValueError: for pictures without a generator or `decode`, and settings outside their range.

    Example:
        >>> module = StyleAE("toyfaces64", reconstruction="code")
        >>> Trainer(max_epochs=100).fit(module, datamodule=labelled_codes)
        >>> module.editor().edit(ws, "smile", 0.5)
    """

    def __init__(
        self,
        generator: str | None = None,
        *,
        columns: dict[str, dict[str, list[int]]] | None = None,
        code_width: int | None = None,
        hidden: list[int] | None = None,
        slope: float = SLOPE,
        reconstruction: Literal["picture", "code"] = "picture",
        code_steps: int = 0,
        decode: str | None = None,
        decode_args: dict[str, Any] | None = None,
        label_weight: float = 0.3,
        ramp: int = 0,
        label_loss: LabelLoss = "square",
        pixel_weight: float = 1.0,
        margin: float = MARGIN,
        layers: dict[str, tuple[int, int]] | None = None,
        form: Form = "residual",
        max_bytes: int = 2 * 1024**3,
        lr: float = 1e-4,
        seed: int = 0,
    ) -> None:
        if reconstruction == "picture" and (generator is None) == (decode is None):
            raise ValueError("reconstruction='picture': give generator, or decode where the codes are no generator's")
        if not 0 <= label_weight <= 1:
            raise ValueError(f"label_weight={label_weight} must be between 0 and 1")
        if ramp < 0 or ramp != int(ramp):
            raise ValueError(f"ramp={ramp} must be a number of epochs")
        if code_steps < 0:
            raise ValueError(f"code_steps={code_steps} must be 0 or more")
        super().__init__(locals())
        self._decode = None if decode is None else [_built(decode, decode_args)]  # in a list: no part of the module
        self.targets = Targets(self._show, max_bytes)

    def build(self, code_width: int, label_width: int) -> None:
        """Make the autoencoder."""
        hp = self.hparams
        self.network = LatentAutoencoder(code_width, hp["hidden"], hp["slope"], hp["seed"])
        self.blank_editor()  # layers and columns are checked before the training

    def _show(self, batch: LatentBatch, codes: Float[Tensor, "b d"]) -> Float[Tensor, "b 3 h w"]:
        with self.rendering:
            if self._decode is not None:
                return self._decode[0](codes).float()
            net = self.generator
            assert net is not None
            styles = net.styles(codes[:, None].expand(-1, net.num_ws, -1))
            return net.synthesize(styles, camera=batch.camera).image.float()

    def losses(self, batch: LatentBatch, noise: CodeStream) -> dict[str, Tensor]:
        """Return the weighted terms."""
        hp = self.hparams
        z, made = self.network(batch.codes)
        # In full where nothing is trained: losses of all validations compare.
        weight = label_weight(self.current_epoch, hp["label_weight"], hp["ramp"] if self.training else 0)
        k = label_width(hp["columns"])
        terms = {"labels": weight * label_loss(z[:, :k], batch.labels, hp["label_loss"])}
        if hp["reconstruction"] == "code" or (self.training and self.global_step < hp["code_steps"]):
            terms["reconstruction"] = (1 - weight) * code_loss(made, batch.codes)
            return terms
        wanted = self.targets(batch) if self.training else self._show(batch, batch.codes)
        square, beyond = picture_loss(self._show(batch, made), wanted, hp["margin"])
        terms |= {"reconstruction": (1 - weight) * square, "pixels": hp["pixel_weight"] * beyond}
        return terms

    def read_labels(self, codes: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Return the first coordinates."""
        return self.network.encode(codes)[:, : label_width(self.hparams["columns"])]

    def blank_editor(self) -> AutoencoderEditor:
        """Return an editor of this form."""
        return AutoencoderEditor(**{k: self.hparams[k] for k in ("columns", "code_width", "hidden", "layers", "form")})


def _built(path: str, arguments: dict[str, Any] | None) -> Decode:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"decode={path!r} cannot be imported: {error}") from error
    made: Decode = found if arguments is None and not isinstance(found, type) else found(**(arguments or {}))
    if isinstance(made, torch.nn.Module):
        made.eval().requires_grad_(False)
    return made
