"""The editor that StyleFlow leaves behind: encode under the old labels, decode under the new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from sat3d.methods.coordinates import Columns, CoordinateEditor, Form
from sat3d.methods.layers import Layers
from sat3d.methods.styleflow.flow import ConditionalFlow
from sat3d.methods.styleflow.layers import MovingNorm


class LabelRegressor(nn.Module):
    """Read labels from codes: a moving norm without parameters, then linear layers with leaky ReLU between them."""

    def __init__(self, width: int, out: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.norm = MovingNorm(width, affine=False)
        layers: list[nn.Module] = []
        for a, b in pairwise([width, *hidden]):
            layers += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear([width, *hidden][-1], out))

    def forward(self, w: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Return labels (B, K)."""
        labels: Tensor = self.layers(self.norm(w))
        return labels


class StyleFlowEditor(CoordinateEditor):
    """Change the labels that a flow is conditioned on: z = flow(w | a), w' = flow⁻¹(z | a') (Abdal et al. 2021).

    Edits are solved in float64 and far closer than the training was, so that flow⁻¹(z | a) is w to about 1e-6; what is
    left is not part of an edit: w' = w + flow⁻¹(z | a') − flow⁻¹(z | a). Of several attributes each is edited on the
    last one's codes, encoded again under the labels that it gave them, as in the paper.

    a is `values` where `edit` is given them, else what a regressor reads from the codes (from their mean over the ws).
    Edits need torchdiffeq.

    Args:
        columns: see `CoordinateEditor`; all of them are the condition.
        code_width: D.
        hidden: widths of the hidden layers of the flow.
        blocks: of the flow.
        tolerance: of the solver in training; that of edits is 1e-8 at most.
        regressor: widths of the hidden layers of the regressor; `None` leaves it out, and `values` must be given.
        layers: ws that an attribute's edits change.
        gains: by attribute, what a strength is multiplied by.
        form: `residual` as above, or `paper`: w' = flow⁻¹(z | a').

    Raises:
        ImportError: if torchdiffeq is missing.
        ValueError: for gains of unknown attributes; in `edit`, for missing `values` without a regressor.
    """

    def __init__(
        self,
        columns: Columns,
        code_width: int,
        hidden: Sequence[int] = (512,) * 5,
        blocks: int = 1,
        tolerance: float = 1e-5,
        regressor: Sequence[int] | None = (512, 512),
        layers: Layers | None = None,
        gains: Mapping[str, float] | None = None,
        form: Form = "residual",
    ) -> None:
        super().__init__(columns, layers, form)
        self.gains = {name: float(gain) for name, gain in (gains or {}).items()}
        if unknown := set(self.gains) - set(self.columns):
            raise ValueError(f"gains: unknown attributes {sorted(unknown)}; there are {', '.join(self.columns)}")
        self._config = {
            "code_width": code_width,
            "hidden": list(hidden),
            "blocks": blocks,
            "tolerance": tolerance,
            "regressor": None if regressor is None else list(regressor),
        }
        self.flow = ConditionalFlow(code_width, self.width, hidden, blocks, tolerance)
        self.regressor = None if regressor is None else LabelRegressor(code_width, self.width, regressor)
        self.requires_grad_(False)

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().config(), **self._config, "gains": self.gains}

    def known(self, codes: Tensor, values: Tensor | None) -> Tensor:
        """Return the labels that an edit starts from, given or read."""
        if values is not None:
            return values
        if self.regressor is None:
            raise ValueError("values: this editor carries no regressor, so it needs the codes' labels (B, K)")
        read: Tensor = self.regressor(codes.mean(1) if codes.ndim == 3 else codes)
        return read

    def coordinates(self, w: Float[Tensor, "n d"], values: Float[Tensor, "n k"] | None = None) -> Float[Tensor, "n k"]:
        """Return the condition."""
        return self.known(w, values)

    def moved(
        self, w: Float[Tensor, "n d"], old: Float[Tensor, "n k"], new: Float[Tensor, "n k"]
    ) -> Float[Tensor, "n d"]:
        """Return codes under a new condition."""
        flow, precise, old, new = self.flow.exact(), w.double(), old.double(), new.double()
        z = flow.encode(precise, old)
        made = flow.decode(z, new)
        return (made if self.form == "paper" else precise + (made - flow.decode(z, old))).to(w)

    def shifted(self, c: Float[Tensor, "n k"], attribute: str, amount: Float[Tensor, "n 1"]) -> Float[Tensor, "n k"]:
        """Return a condition of which an attribute rose by an amount times its gain."""
        return super().shifted(c, attribute, amount * self.gains.get(self._place[attribute][0], 1.0))
