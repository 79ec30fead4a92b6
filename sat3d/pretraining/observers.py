"""Supervised observers of the toy world: attribute predictors, part parser, identity embedder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, one_hot

from sat3d.data.world import PictureBatch
from sat3d.ops.augment import Augmentation
from sat3d.perception import (
    AttributePredictor,
    IdentityConfig,
    IdentityEmbedder,
    ParserConfig,
    PartParser,
    PredictorConfig,
)
from sat3d.pretraining.attribute_loss import AttributeLoss
from sat3d.pretraining.base import ObserverPretraining, OptimizerConfig
from sat3d.pretraining.figures import MaskedMean, PairSimilarity, PartIoU
from sat3d.shipped import ExportConfig


class AttributePretraining(ObserverPretraining):
    """Train an attribute predictor by :class:`~sat3d.pretraining.attribute_loss.AttributeLoss`.

    Figures are accuracies by attribute, and mean errors of continuous values where they show.

    Args:
        role: ``labeller`` or ``judge``.
        name: Name of the result; ``None`` for the world's own (``toycars-judge``).
        trunk: ``residual`` or ``plain``: the labeller and the judge have different ones.
        widths: Channels of the trunk's stages.
        optimizer: The optimiser.
        augmentation: Changes to training pictures.
        export: Where the result goes.
        seed: Of initial weights and of changes to pictures.
        world: Name of the world.
        init: Shipped observer of another world to start from.
    """

    observer: AttributePredictor

    def __init__(
        self,
        role: str = "labeller",
        name: str | None = None,
        trunk: str = "residual",
        widths: tuple[int, ...] = (24, 48, 96, 160),
        optimizer: OptimizerConfig | None = None,
        augmentation: Augmentation | None = None,
        export: ExportConfig | None = None,
        seed: int = 0,
        world: str = "heads",
        init: str | None = None,
    ) -> None:
        self.role, self.trunk, self.widths = role, trunk, widths
        super().__init__(name, optimizer, augmentation, export, seed, world, init)

    def make_observer(self) -> AttributePredictor:
        self.attribute_loss = AttributeLoss(self.world)
        return AttributePredictor(PredictorConfig(self.attribute_loss.attributes, self.trunk, tuple(self.widths)))

    def make_meters(self) -> nn.ModuleDict:
        columns = self.observer.columns
        return nn.ModuleDict(
            {
                "accuracy": MaskedMean(self.world.names),
                "error": MaskedMean(self.world.names),
                "first": MaskedMean(columns),
                "second": MaskedMean(columns),
            }
        )

    def loss(self, batch: PictureBatch, rgb: Tensor, segmentation: Tensor) -> Tensor:
        return self.attribute_loss(self.observer.logits(rgb).float(), self.grader(batch))

    def grade(self, batch: PictureBatch, source: str) -> None:
        truth = self.grader(batch)
        scores = self.observer(batch.rgb)
        values = self.observer.values(scores)
        continuous = torch.tensor([a.kind == "continuous" for a in self.world.attributes], device=values.device)
        classes = torch.where(continuous, (values > 0.5).float(), values)
        self.meter(source, "accuracy").update((classes == truth.classes).float(), truth.graded)
        self.meter(source, "error").update((values - truth.values).abs(), truth.shows & continuous)
        everywhere = torch.ones_like(scores, dtype=torch.bool)
        self.meter(source, "first").update(scores.double(), everywhere)
        self.meter(source, "second").update(scores.double().square(), everywhere)

    def summary(self, source: str) -> dict[str, float]:
        accuracy, error, first, second = (self.meter(source, name).compute() for name in self._meter_names)
        if self.trainer.state.fn == "fit":  # it belongs to the result: a test of the result leaves it alone
            spread = [max(second[name] - first[name] ** 2, 0.0) ** 0.5 for name in self.observer.columns]
            # the last source's: the generator's, where there is one
            self.observer.column_std.copy_(torch.tensor(spread).clamp_min(1e-3))
        categorical = [accuracy[a.name] for a in self.world.attributes if a.kind == "categorical" if a.name in accuracy]
        return {
            **{f"accuracy/{name}": value for name, value in accuracy.items()},
            **{f"error/{name}": value for name, value in error.items()},
            "accuracy/categorical": sum(categorical) / max(1, len(categorical)),
            "accuracy/categorical_min": min(categorical, default=0.0),
        }


class ParserPretraining(ObserverPretraining):
    """Train a part parser: cross entropy, rare parts weighing more, and a Dice loss. Figures are IoU by part.

    Dice as in Milletari et al. 2016 (arXiv 1606.04797), averaged over the parts that occur in the batch.

    Args:
        name: Name of the result; ``None`` for the world's own.
        widths: Channels of the U-Net at full, half, ... resolution.
        dice: Weight of the Dice loss.
        optimizer: The optimiser.
        augmentation: Changes to training pictures.
        export: Where the result goes.
        seed: Of initial weights and of changes to pictures.
        world: Name of the world.
        init: Shipped observer of another world to start from.
    """

    observer: PartParser
    role = "parser"

    def __init__(
        self,
        name: str | None = None,
        widths: tuple[int, ...] = (16, 32, 64, 96),
        dice: float = 0.5,
        optimizer: OptimizerConfig | None = None,
        augmentation: Augmentation | None = None,
        export: ExportConfig | None = None,
        seed: int = 0,
        world: str = "heads",
        init: str | None = None,
    ) -> None:
        self.widths, self.dice = widths, dice
        super().__init__(name, optimizer, augmentation, export, seed, world, init)

    def make_observer(self) -> PartParser:
        return PartParser(ParserConfig(tuple(self.world.parts), tuple(self.widths)))

    def make_meters(self) -> nn.ModuleDict:
        return nn.ModuleDict({"iou": PartIoU(self.world.parts)})

    def loss(self, batch: PictureBatch, rgb: Tensor, segmentation: Tensor) -> Tensor:
        logits = self.observer(rgb).float()
        true = segmentation.long()
        count = logits.shape[1]
        # the fourth root of rarity: enough for eyes and eyebrows to be learned early, little enough to stay calibrated
        share = torch.bincount(true.flatten(), minlength=count).float() / true.numel()
        weight = share.clamp_min(1e-4) ** -0.25
        entropy = cross_entropy(logits, true, weight=weight)
        found, wanted = logits.softmax(1), one_hot(true, count).movedim(-1, 1).float()
        overlap = (found * wanted).sum((0, 2, 3))
        dice = 1 - (2 * overlap + 1) / (found.sum((0, 2, 3)) + wanted.sum((0, 2, 3)) + 1)
        return entropy + self.dice * dice[share > 0].mean()

    def grade(self, batch: PictureBatch, source: str) -> None:
        near = self.grader.near(batch)
        if near.any():
            found = self.observer.segment(batch.rgb[near])
            self.meter(source, "iou").update(found, batch.segmentation[near].long())

    def summary(self, source: str) -> dict[str, float]:
        return {f"iou/{name}": value for name, value in self.meter(source, "iou").compute().items()}


class IdentityPretraining(ObserverPretraining):
    """Train an identity embedder: a picture must find its own head among the batch's, by identity attributes alone.

    A second network embeds the true identity attributes of each head; both are trained with the symmetric InfoNCE loss
    (van den Oord et al. 2018, arXiv 1807.03748). Whatever else a picture shows, and from wherever, cannot help, so it
    is not kept; each identity attribute weighs as much as it can be seen. The second network is not exported. Figures
    tell pairs of one person (other camera, other editable attributes) from pairs of two.

    Args:
        name: Name of the result; ``None`` for the world's own.
        size: Width of the embedding.
        trunk: ``residual`` or ``plain``.
        widths: Channels of the trunk's stages.
        scale: Inverse temperature of the similarities at the start.
        optimizer: The optimiser.
        augmentation: Changes to training pictures.
        export: Where the result goes.
        seed: Of initial weights and of changes to pictures.
        world: Name of the world.
        init: Shipped observer of another world to start from.
    """

    observer: IdentityEmbedder
    role = "identity"
    identity_columns: Tensor

    def __init__(
        self,
        name: str | None = None,
        size: int = 64,
        trunk: str = "residual",
        widths: tuple[int, ...] = (24, 48, 96, 128),
        scale: float = 8.0,
        optimizer: OptimizerConfig | None = None,
        augmentation: Augmentation | None = None,
        export: ExportConfig | None = None,
        seed: int = 0,
        world: str = "heads",
        init: str | None = None,
    ) -> None:
        self.identity = IdentityConfig(trunk, tuple(widths), size)
        super().__init__(name, optimizer, augmentation, export, seed, world, init)
        wanted = []
        for attribute in self.world.attributes:
            columns = 1 if attribute.kind == "continuous" else len(attribute.classes)
            wanted += [attribute.role == "identity"] * columns
        self.register_buffer("identity_columns", torch.tensor(wanted), persistent=False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.reference = nn.Sequential(nn.Linear(sum(wanted), 128), nn.GELU(), nn.Linear(128, size))
        self.log_scale = nn.Parameter(torch.tensor(scale).log())

    def make_observer(self) -> IdentityEmbedder:
        return IdentityEmbedder(self.identity)

    def make_meters(self) -> nn.ModuleDict:
        return nn.ModuleDict({"pairs": PairSimilarity()})

    def loss(self, batch: PictureBatch, rgb: Tensor, segmentation: Tensor) -> Tensor:
        features = self.world.features(batch.u).to(rgb.device)[:, self.identity_columns]
        heads = normalize(self.reference(features).float(), dim=-1)
        similarity = self.log_scale.exp() * self.observer(rgb).float() @ heads.T
        own = torch.arange(len(rgb), device=rgb.device)
        return 0.5 * (cross_entropy(similarity, own) + cross_entropy(similarity.T, own))

    def grade(self, batch: PictureBatch, source: str) -> None:
        # pairs of one person: the second half of the batch shows the heads of the first half again
        near = self.grader.near(batch).view(2, -1).all(0)
        first, second = self.observer(batch.rgb).chunk(2)
        if int(near.sum()) > 1:
            self.meter(source, "pairs").update(first[near], second[near])

    def summary(self, source: str) -> dict[str, float]:
        figures: dict[str, float] = self.meter(source, "pairs").compute()
        return figures
