"""StyleFlow as a LightningModule: the likelihood of codes under their labels."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import mse_loss

from sat3d.generators import CodeStream
from sat3d.generators.batches import LatentBatch
from sat3d.methods.coordinates import Form
from sat3d.methods.labelled import LabelledMethod
from sat3d.methods.styleflow.editor import LabelRegressor, StyleFlowEditor
from sat3d.methods.styleflow.flow import ConditionalFlow


class StyleFlow(LabelledMethod):
    """Learn the density of codes given their labels by a continuous flow (Abdal et al. 2021, arXiv 2008.02401).

    One block [moving norm, flow, moving norm] maps w to z under the labels a, and the loss is −mean[log N(z; 0, I) +
    log |det ∂z/∂w|], in nats per code. A small regressor w → a, which the paper leaves to an outside classifier, is
    trained beside it on codes alone; its gradients and the flow's do not meet.

    An edit changes labels, as the paper's do. Others have edited coordinates of z instead, at unchanged labels (so does
    the comparison in the released code of StyleAE); z is trained to be independent of the labels, and nothing makes a
    coordinate of it mean an attribute. That variant is not built here.

    Args:
        generator: that the codes belong to, a name or file for `load_generator`; `null` if they belong to none.
        columns: attributes, their classes and label columns; `null` takes the datamodule's.
        code_width: D; `null` takes the datamodule's.
        hidden: widths of the hidden layers of the flow; the paper's are five of 512, for D = 512.
        blocks: of the flow.
        tolerance: of the solver in training, absolute and relative.
        divergence: `hutchinson`, or `exact` for D times the work.
        noise: of Hutchinson's estimate: `gaussian`, or `rademacher`, whose variance is smaller.
        adjoint: gradients by a second differential equation, as released: less memory, more time.
        regressor: widths of the hidden layers of the regressor; `null` leaves it out.
        layers: for an attribute the first and last of the ws that its edits change. The paper's, of 18: gender 0–7,
            glasses 2–3, yaw 0–3, pitch 0–3, baldness 0–5, beard 5–9, age 4–7, expression 4–5, light 7–11.
        gains: for an attribute what its strengths are multiplied by. The released interface's: gender 1.5, glasses 2.5,
            yaw 1, pitch 1, baldness 2, beard 1.7, age 0.93, expression 1.
        form: of edits, see `StyleFlowEditor`.
        lr: learning rate of Adam.
        seed: of the initial weights and of the noise.

    Raises:
        ImportError: if torchdiffeq is missing.
        FloatingPointError: if the differential equation becomes too stiff to be solved.

    Example:
        >>> module = StyleFlow("toyfaces64", hidden=(64, 64, 64))
        >>> Trainer(max_epochs=3).fit(module, datamodule=labelled_codes)
        >>> module.editor().edit(ws, "smile", 1.0, values=labels)
    """

    def __init__(
        self,
        generator: str | None = None,
        *,
        columns: dict[str, dict[str, list[int]]] | None = None,
        code_width: int | None = None,
        hidden: tuple[int, ...] = (512,) * 5,
        blocks: int = 1,
        tolerance: float = 1e-5,
        divergence: Literal["hutchinson", "exact"] = "hutchinson",
        noise: Literal["gaussian", "rademacher"] = "gaussian",
        adjoint: bool = False,
        regressor: tuple[int, ...] | None = (512, 512),
        layers: dict[str, tuple[int, int]] | None = None,
        gains: dict[str, float] | None = None,
        form: Form = "residual",
        lr: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__(locals())

    def build(self, code_width: int, label_width: int) -> None:
        """Make the flow and the regressor."""
        hp = self.hparams
        self.flow = ConditionalFlow(code_width, label_width, hp["hidden"], hp["blocks"], hp["tolerance"], hp["adjoint"])
        hidden = hp["regressor"]
        self.regressor = None if hidden is None else LabelRegressor(code_width, label_width, hidden)
        self.blank_editor()  # layers and gains are checked before the training

    def losses(self, batch: LatentBatch, noise: CodeStream) -> dict[str, Tensor]:
        """Return the negative log likelihood, nats, and the regressor's squared error."""
        w, labels = batch.codes, batch.labels
        log_prob = self.flow.log_prob(w, labels, self._probe(batch, noise), observe=self.training)
        losses = {"nll": -log_prob.mean()}
        if self.regressor is not None:
            if self.training:
                self.regressor.norm.observe(w)
            losses["regression"] = mse_loss(self.regressor(w), labels)
        if self.training:
            self.log("train/evaluations", float(self.flow.evaluations), batch_size=len(batch))
        return losses

    def _probe(self, batch: LatentBatch, noise: CodeStream) -> Tensor | None:
        if self.hparams["divergence"] == "exact":
            return None
        z = noise.z(batch.index)
        return (z.sign() if self.hparams["noise"] == "rademacher" else z).to(batch.codes)

    def read_labels(self, codes: Float[Tensor, "b d"]) -> Float[Tensor, "b k"] | None:
        """Return the labels that the regressor reads."""
        return None if self.regressor is None else self.regressor(codes)

    def blank_editor(self) -> StyleFlowEditor:
        """Return an editor of this form."""
        names = ("columns", "code_width", "hidden", "blocks", "tolerance", "regressor", "layers", "gains", "form")
        return StyleFlowEditor(**{name: self.hparams[name] for name in names})
