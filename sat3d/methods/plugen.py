"""PluGeN: a flow of additive couplings whose first coordinates are the labels (Wołczyk et al. 2022, 2109.09011)."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat3d.generators import CodeStream
from sat3d.generators.batches import LatentBatch
from sat3d.methods.coordinates import Columns, Form, LeadingCoordinateEditor, label_width
from sat3d.methods.labelled import LabelledMethod
from sat3d.methods.layers import Layers


class AdditiveCoupling(nn.Module):
    """y_free = x_free + m(x_kept), y_kept = x_kept: volume stays (Dinh et al. 2015, NICE, arXiv 1410.8516, §3.2)."""

    def __init__(self, width: int, hidden: int, depth: int, parity: int) -> None:
        super().__init__()
        self.kept, self.free = slice(parity, None, 2), slice(1 - parity, None, 2)
        sizes = [len(range(width)[self.kept]), *[hidden] * (depth - 1), len(range(width)[self.free])]
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.LeakyReLU(0.1)]
        self.shift = nn.Sequential(*layers[:-1])

    def forward(self, x: Float[Tensor, "b d"], sign: float = 1.0) -> Float[Tensor, "b d"]:
        """Couple; sign −1 undoes it."""
        y = x.clone()
        y[:, self.free] += sign * self.shift(x[:, self.kept])
        return y


class NICE(nn.Module):
    """Additive couplings of even and odd dimensions in turn; z = (c, s), of which c are the labels.

    Args:
        width: D.
        hidden: width of the hidden layers.
        couplings: how many.
        depth: linear layers of each.
        scale: end with a learnable positive factor for each dimension (NICE's; PluGeN has none, and keeps volume).
    """

    def __init__(self, width: int, hidden: int = 512, couplings: int = 4, depth: int = 4, scale: bool = False) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(AdditiveCoupling(width, hidden, depth, k % 2) for k in range(couplings))
        self.log_scale = nn.Parameter(torch.zeros(width), requires_grad=scale)

    def encode(self, w: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Return z."""
        for coupling in self.couplings:
            w = coupling(w)
        return w * self.log_scale.exp()

    def decode(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Return w."""
        z = z * (-self.log_scale).exp()
        for coupling in reversed(self.couplings):
            z = coupling(z, -1.0)
        return z

    def log_prob(
        self, w: Float[Tensor, "b d"], labels: Float[Tensor, "b k"], sigma: Float[Tensor, ""] | float
    ) -> Float[Tensor, " b"]:
        """Return Σ log N(c_i; a_i, σ²) + log N(s; 0, I) + log |det ∂z/∂w| in nats (PluGeN)."""
        z, k = self.encode(w), labels.shape[1]
        c = (z[:, :k] - labels) / sigma
        squares = c.square().sum(1) + z[:, k:].square().sum(1)
        return (
            -0.5 * (squares + w.shape[1] * math.log(2 * math.pi))
            - k * torch.as_tensor(sigma, dtype=w.dtype, device=w.device).log()
            + self.log_scale.sum()
        )


class PluGeNEditor(LeadingCoordinateEditor):
    """Move the first coordinates of z = f(w): w' = w + f⁻¹(z') − f⁻¹(z), with f⁻¹(z) = w up to rounding.

    Args:
        columns: see `CoordinateEditor`.
        code_width: D.
        hidden: see `NICE`.
        couplings: see `NICE`.
        depth: see `NICE`.
        layers: ws that an attribute's edits change; the paper changes all.
        form: `residual` as above, or `paper`: w' = f⁻¹(z').
    """

    def __init__(
        self,
        columns: Columns,
        code_width: int,
        hidden: int = 512,
        couplings: int = 4,
        depth: int = 4,
        layers: Layers | None = None,
        form: Form = "residual",
    ) -> None:
        super().__init__(columns, code_width, layers, form)
        self._sizes = {"hidden": hidden, "couplings": couplings, "depth": depth}
        self.flow = NICE(code_width, hidden, couplings, depth)
        self.requires_grad_(False)

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().config(), **self._sizes}

    def encode(self, w: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return z."""
        return self.flow.encode(w)

    def decode(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Return codes."""
        return self.flow.decode(z)


class PluGeN(LabelledMethod):
    """Learn a flow that puts labels into coordinates of their own (Wołczyk et al. 2022, arXiv 2109.09011).

    The loss is −mean[Σ_i log N(c_i; a_i, σ²) + log N(s; 0, I)] in nats per code, with σ = start · decay^epoch and a
    floor below it. So losses of different epochs do not compare; `val/label_error` does. Each class of a categorical
    attribute has a coordinate of its own. The paper trains with Adam at 1e-4 on batches of 32, with gradients clipped
    at norm 1 (`Trainer(gradient_clip_val=1.0)`), for 1000 epochs.

    Args:
        generator: that the codes belong to, a name or file for `load_generator`; `null` if they belong to none.
        columns: attributes, their classes and label columns; `null` takes the datamodule's.
        code_width: D; `null` takes the datamodule's.
        hidden: width of the hidden layers of the couplings.
        couplings: how many.
        depth: linear layers of each.
        scale: learn a factor for each dimension of z as well; see `NICE`.
        sigma_start: σ in the first epoch.
        sigma_decay: factor of σ from an epoch to the next.
        sigma_floor: least σ; 0.1 is reached after 1386 epochs of the paper's decay.
        layers: for an attribute the first and last of the ws that its edits change; the paper changes all.
        form: of edits, see `PluGeNEditor`.
        lr: learning rate of Adam.
        seed: of the initial weights.

    Example:
        >>> module = PluGeN("toyfaces64", hidden=128)
        >>> Trainer(max_epochs=100, gradient_clip_val=1.0).fit(module, datamodule=labelled_codes)
        >>> module.editor().set_value(ws, "smile", 1.0)
    """

    sigma: Tensor

    def __init__(
        self,
        generator: str | None = None,
        *,
        columns: dict[str, dict[str, list[int]]] | None = None,
        code_width: int | None = None,
        hidden: int = 512,
        couplings: int = 4,
        depth: int = 4,
        scale: bool = False,
        sigma_start: float = 0.4,
        sigma_decay: float = 0.999,
        sigma_floor: float = 0.1,
        layers: dict[str, tuple[int, int]] | None = None,
        form: Form = "residual",
        lr: float = 1e-4,
        seed: int = 0,
    ) -> None:
        if not 0 < sigma_decay <= 1 or sigma_start <= 0 or sigma_floor <= 0:
            raise ValueError("sigma_start and sigma_floor must be above 0, sigma_decay above 0 and at most 1")
        super().__init__(locals())

    def build(self, code_width: int, label_width: int) -> None:
        """Make the flow."""
        hp = self.hparams
        self.flow = NICE(code_width, hp["hidden"], hp["couplings"], hp["depth"], hp["scale"])
        # In the checkpoint, so that a loss told of it later is the one of its epoch.
        self.register_buffer("sigma", torch.tensor(hp["sigma_start"]))
        self.blank_editor()  # layers and columns are checked before the training

    def on_train_epoch_start(self) -> None:
        """Narrow the labels' Gaussians."""
        hp = self.hparams
        self.sigma.fill_(max(hp["sigma_floor"], hp["sigma_start"] * hp["sigma_decay"] ** self.current_epoch))

    def losses(self, batch: LatentBatch, noise: CodeStream) -> dict[str, Tensor]:
        """Return the negative log likelihood, nats."""
        return {"nll": -self.flow.log_prob(batch.codes, batch.labels, self.sigma).mean()}

    def read_labels(self, codes: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Return c."""
        return self.flow.encode(codes)[:, : label_width(self.hparams["columns"])]

    def blank_editor(self) -> PluGeNEditor:
        """Return an editor of this form."""
        names = ("columns", "code_width", "hidden", "couplings", "depth", "layers", "form")
        return PluGeNEditor(**{name: self.hparams[name] for name in names})
