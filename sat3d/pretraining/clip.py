"""A text-image model of a world, trained by open_clip's own loss."""

from __future__ import annotations

import math
from typing import Any

import torch
from open_clip.factory import create_model, get_model_config, get_tokenizer
from open_clip.loss import ClipLoss
from torch import Tensor, nn
from torch.nn.functional import normalize

from sat3d.data.world import PictureBatch
from sat3d.ops.augment import Augmentation
from sat3d.perception import QMM, ClipModel, DescriptorGroups
from sat3d.perception.clip import Preprocess, register_own_models, with_all_words, with_known_words
from sat3d.pretraining.attribute_loss import AttributeLoss
from sat3d.pretraining.base import ObserverPretraining, OptimizerConfig
from sat3d.pretraining.figures import MaskedMean
from sat3d.shipped import ExportConfig
from sat3d.world import World, load_world


def phrase_classes(world: World, attribute: str, phrases: list[str]) -> list[int] | None:
    """Find the class that each phrase of a group names; ``None`` if the world does not know all of them."""
    if attribute not in world.names:
        return None
    known = world.attribute(attribute)
    classes = {phrase: number for number, name in enumerate(known.classes) for phrase in known.phrases[name]}
    found = [classes.get(phrase) for phrase in phrases]
    return None if None in found else [number for number in found if number is not None]


class ClipPretraining(ObserverPretraining):
    """Train an open_clip model on pictures and captions (Radford et al. 2021, arXiv 2103.00020).

    The captions name a random part of what a picture shows, in words drawn anew in each epoch. Others name one
    attribute only, the same for the whole batch: where colours differ they tell pictures apart, and the loss would
    hardly ask for more. In the first part of the run a linear head on the image embedding also learns the attributes
    themselves, with a weight that falls linearly to zero: the image network then knows what to look for long before the
    text network speaks. The head is not exported.
    Held-out pictures are classified zero-shot by the descriptor groups; figures are accuracies by group.

    Args:
        name: Name of the model: of its configuration in the package, of its file and its entry in the manifest;
            ``None`` for the world's own (``toyfaces-clip``).
        descriptors: Descriptor groups by which it is graded; ``None`` for the world's own (``toyfaces``).
        captions: Captions drawn for each picture in a step; each set of them is contrasted with the pictures.
        focused: Further sets of captions in a step, each about one attribute, over pictures that show it.
        focused_size: Pictures of the batch in each of these sets, at most.
        attribute_weight: Weight of the attributes' loss at the start.
        attribute_share: Share of the run in which the attributes are learned beside the captions; 0 for never.
        optimizer: The optimiser.
        augmentation: Changes to training pictures.
        export: Where the result goes.
        seed: Of initial weights and of changes to pictures.
        world: Name of the world.
        init: Shipped observer of another world to start from.
    """

    role = "clip"
    known_words: Tensor

    def __init__(
        self,
        name: str | None = None,
        descriptors: str | None = None,
        captions: int = 1,
        focused: int = 6,
        focused_size: int = 48,
        attribute_weight: float = 20.0,
        attribute_share: float = 0.7,
        optimizer: OptimizerConfig | None = None,
        augmentation: Augmentation | None = None,
        export: ExportConfig | None = None,
        seed: int = 0,
        world: str = "heads",
        init: str | None = None,
    ) -> None:
        self.groups = DescriptorGroups.from_yaml(descriptors or load_world(world).domain.generator)
        super().__init__(name, optimizer, augmentation, export, seed, world, init)
        self.captions, self.focused, self.focused_size = captions, focused, focused_size
        self.attribute_weight, self.attribute_share = attribute_weight, attribute_share
        self.attribute_loss = AttributeLoss(self.world)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            width = get_model_config(self.name)["embed_dim"]
            self.attribute_head = nn.Linear(width, self.attribute_loss.columns)
        self.preprocess = Preprocess(self.observer)
        self.tokenize = get_tokenizer(self.name)
        self.criterion = ClipLoss()
        self.register_buffer("known_words", torch.zeros(get_model_config(self.name)["text_cfg"]["vocab_size"]).bool())
        self._judge: QMM | None = None

    def make_observer(self) -> nn.Module:
        register_own_models()
        return create_model(self.name)

    def _graded_groups(self) -> list[tuple[str, int, list[int]]]:
        """List the groups whose truth is known: attribute, number of the group, class of each phrase."""
        found = []
        for attribute in self.groups.attributes:
            for number, phrases in enumerate(self.groups.groups[attribute]):
                classes = phrase_classes(self.world, attribute, list(phrases))
                if classes is not None:
                    found.append((attribute, number, classes))
        return found

    def make_meters(self) -> nn.ModuleDict:
        names = [f"{attribute}/{number}" for attribute, number, _ in self._graded_groups()]
        return nn.ModuleDict({"accuracy": MaskedMean(names)})

    def loss(self, batch: PictureBatch, rgb: Tensor, segmentation: Tensor) -> Tensor:
        model: Any = self.observer
        features = model.encode_image(self.preprocess(rgb))
        sets = self._captions(batch)
        tokens = self.tokenize([caption for _, captions in sets for caption in captions]).to(rgb.device)
        self.known_words[tokens] = True
        with torch.autocast(rgb.device.type, enabled=False):  # small: bfloat16 does not pay on a CPU
            texts = model.encode_text(tokens, normalize=True).split([len(rows) for rows, _ in sets])
            images, scale = normalize(features.float(), dim=-1), model.logit_scale.exp()
            pairs = zip(sets, texts, strict=True)
            loss = torch.stack([self.criterion(images[rows], text, scale) for (rows, _), text in pairs]).mean()
        weight = self._attribute_weight()
        if weight > 0:
            loss = loss + weight * self.attribute_loss(self.attribute_head(features).float(), self.grader(batch))
        return loss

    def _captions(self, batch: PictureBatch) -> list[tuple[Tensor, list[str]]]:
        """Draw the sets of captions of a step, each with the rows of the pictures that it describes."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        asked = torch.randperm(len(self.groups.attributes), generator=random)[: self.focused].tolist()
        about = [None] * self.captions + [self.groups.attributes[k] for k in asked]
        sets = []
        for k, name in enumerate(about):
            told = self.world.captions(batch.u, batch.index, 1 + k + len(about) * self.current_epoch, name)
            rows = torch.tensor([row for row, caption in enumerate(told) if caption])
            if name is not None:
                rows = rows[torch.randperm(len(rows), generator=random)[: self.focused_size]]
            sets.append((rows.to(batch.rgb.device), [told[row] for row in rows.tolist()]))
        return [(rows, captions) for rows, captions in sets if captions]

    def _attribute_weight(self) -> float:
        if self.attribute_share == 0:
            return 0.0
        progress = self.global_step / float(self.trainer.estimated_stepping_batches)
        return self.attribute_weight * max(0.0, 1 - progress / self.attribute_share)

    def on_train_batch_end(self, outputs: Any, batch: PictureBatch, batch_idx: int) -> None:
        # as open_clip's training does: a temperature below 1/100 destabilises
        scale = self.observer.logit_scale
        assert isinstance(scale, Tensor)
        scale.data.clamp_(0, math.log(100))

    def _close(self, stage: str) -> None:
        super()._close(stage)
        self._judge = None  # holds the model as it was, and has no place in checkpoints

    def _scorer(self) -> QMM:
        """Wrap the model as it is now; the phrases are embedded once per validation."""
        if self._judge is None:
            frozen = [p.requires_grad for p in self.observer.parameters()]
            self._judge = QMM(ClipModel(self.observer, self.tokenize, self.name), self.groups).to(self.device)
            for parameter, flag in zip(self.observer.parameters(), frozen, strict=True):
                parameter.requires_grad_(flag)
        return self._judge

    def grade(self, batch: PictureBatch, source: str) -> None:
        scorer, truth = self._scorer(), self.grader(batch)
        scores = scorer(batch.rgb)
        says = self.grader.nameable(batch)
        right, counts = [], []
        for attribute, number, classes in self._graded_groups():
            column = self.world.index(attribute)
            known = torch.tensor(classes, device=scores.device)
            answer = known[scores[:, scorer.slices[attribute][number]].argmax(-1)]
            right.append((answer == truth.classes[:, column]).float())
            asked = (truth.classes[:, column, None] == known).any(-1)
            counts.append(truth.graded[:, column] & says[:, column] & asked)
        self.meter(source, "accuracy").update(torch.stack(right, -1), torch.stack(counts, -1))

    def summary(self, source: str) -> dict[str, float]:
        figures: dict[str, float] = self.meter(source, "accuracy").compute()
        figures["mean"] = sum(figures.values()) / max(1, len(figures))
        figures["min"] = min(figures.values(), default=0.0)
        return figures

    def state_to_export(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        config = {"kind": "clip", "name": self.name, "model": get_model_config(self.name)}
        return with_known_words(self.observer.state_dict(), self.known_words), config

    def exported_state(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        return with_all_words(state, self.observer)
