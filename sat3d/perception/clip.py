"""Text-image models of open_clip as frozen, differentiable observers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from sat3d.perception.networks import toyfaces_resnet
from sat3d.perception.observer import Observer
from sat3d.perception.storage import read_weights
from sat3d.shipped import shipped_path

OWN_MODELS = ("toyfaces-clip", "toyanimals-clip", "toycars-clip")
_TEXT_BATCH = 256


def register_own_models() -> None:
    """Make open_clip know the model configurations that come with this package, under their own names."""
    from open_clip.factory import add_model_config, list_models
    from timm.models import is_model, register_model

    if not is_model(toyfaces_resnet.__name__):
        register_model(toyfaces_resnet)
    if not set(OWN_MODELS) <= set(list_models()):
        with resources.as_file(resources.files("sat3d.perception") / "clip_configs") as folder:
            add_model_config(folder)


@cache
@torch.inference_mode(False)  # what is shared may be asked for within a test, and is written to elsewhere
def load_clip(name: str = "toyfaces-clip", pretrained: str | None = None) -> ClipModel:
    """Load a text-image model through open_clip, in float32 and frozen.

    What is returned is shared within the process.

    Args:
        name: ``toyfaces-clip``, ``toyanimals-clip`` or ``toycars-clip`` (shipped), any model of
            ``open_clip.list_models()``, or what else open_clip takes (``local-dir:FOLDER``).
        pretrained: Weights for it: a local file, or a tag of open_clip (``openai``, ``laion2b_s34b_b79k``), which is
            downloaded at first use. ``None`` takes the shipped weights of a shipped model.

    Example:
        >>> clip = load_clip()
        >>> clip.encode_image(images) @ clip.encode_text(["a head with a hat"]).T

    Raises:
        ValueError: If the model or the tag is unknown, or the weights do not fit the model.
        FileNotFoundError: If the weights are missing.
    """
    from open_clip.factory import create_model, get_tokenizer, list_models
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    register_own_models()
    weights = pretrained
    if weights is None and name in OWN_MODELS:
        weights = str(shipped_path(name))
    known = list_models()
    if ":" not in name:
        if name not in known:
            raise ValueError(f"text-image model {name!r} is unknown to open_clip; known: {', '.join(known)}")
        tags = list_pretrained_tags_by_model(name)
        if weights is None:
            raise ValueError(f"pretrained must name the weights of {name!r}: a file, or one of: {', '.join(tags)}")
        if weights not in tags and not Path(weights).is_file():
            raise FileNotFoundError(f"pretrained={weights!r} is neither a file nor a tag of {name!r} ({tags})")
    quick = bool((get_pretrained_cfg(name, weights) or {}).get("quick_gelu", False)) if weights else False
    try:
        if name in OWN_MODELS:
            with _weights_follow():
                model = create_model(name, precision="fp32")
            model.load_state_dict(with_all_words(read_weights(Path(str(weights)), "clip")[1], model))
        else:
            model = create_model(name, weights, precision="fp32", force_quick_gelu=quick)
    except (RuntimeError, SafetensorError, ValueError) as error:
        raise ValueError(f"open_clip could not load {name!r} with pretrained={weights!r}: {error}") from error
    return ClipModel(model, get_tokenizer(name), name)


@contextmanager
def _weights_follow() -> Iterator[None]:
    """Keep open_clip from warning of random weights, which are replaced at once."""

    def is_news(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("No pretrained weights loaded")

    logging.getLogger().addFilter(is_news)
    try:
        yield
    finally:
        logging.getLogger().removeFilter(is_news)


WORDS = "token_embedding.weight"
"""The largest tensor of a small model: one row for each of the tokeniser's 49,408 tokens."""
_KNOWN = "token_embedding.known"


def with_known_words(state: Mapping[str, Tensor], known: Bool[Tensor, " tokens"]) -> dict[str, Tensor]:
    """Keep the embeddings of the tokens that a model was taught, and their numbers: the others hold noise.

    Args:
        state: of an open_clip model.
        known: which tokens occurred in its captions.
    """
    rows = known.nonzero().flatten()
    return {**state, WORDS: state[WORDS][rows], _KNOWN: rows.int()}


def with_all_words(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Undo `with_known_words`, with zeros for tokens that say nothing to the model."""
    whole = dict(state)
    rows = whole.pop(_KNOWN, None)
    if rows is not None:
        table = torch.zeros_like(model.state_dict()[WORDS])
        table[rows.long()] = whole[WORDS].to(table)
        whole[WORDS] = table
    return whole


class Preprocess(nn.Module):
    """Resize images in [-1, 1] to a model's input and normalise them, in differentiable tensor operations.

    Args:
        model: An open_clip model, whose own settings these are.
    """

    image_mean: Tensor
    image_std: Tensor

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        config: dict[str, Any] = cast(Any, model).visual.preprocess_cfg
        size = config["size"]
        self.size: tuple[int, int] = (size, size) if isinstance(size, int) else (size[0], size[1])
        self.resize_mode: str = config["resize_mode"]
        self.interpolation: str = config["interpolation"]
        for key in ("mean", "std"):
            # Constants of the configuration, not weights: kept out of the state so that it stays open_clip's own.
            self.register_buffer(f"image_{key}", torch.tensor(config[key]).view(1, 3, 1, 1), persistent=False)

    def describe(self) -> dict[str, Any]:
        """Return the settings."""
        return {"size": self.size, "resize": self.resize_mode}

    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch 3 h2 w2"]:
        """Return what the model's image network takes."""
        return (self._resize(images).add(1).mul(0.5) - self.image_mean) / self.image_std

    def _resize(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if (height, width) == self.size:
            return images
        target = self.size
        if self.resize_mode != "squash":
            pick = min if self.resize_mode == "longest" else max
            scale = pick(self.size[0] / height, self.size[1] / width)
            target = (round(height * scale), round(width * scale))
            if self.resize_mode == "shortest" and self.size[0] == self.size[1]:  # torchvision's Resize, which cuts off
                short = min(height, width)
                target = (height * self.size[0] // short, width * self.size[0] // short)
        mode = "bilinear" if self.interpolation == "bilinear" else "bicubic"
        images = interpolate(images, target, mode=mode, antialias=True)
        top, left = target[0] - self.size[0], target[1] - self.size[1]
        if top < 0 or left < 0:  # "longest": pad with black
            pad = (-left // 2, -left - -left // 2, -top // 2, -top - -top // 2)
            return nn.functional.pad(images, pad, value=-1.0)
        top, left = round(top / 2), round(left / 2)  # as torchvision's CenterCrop
        return images[..., top : top + self.size[0], left : left + self.size[1]]


class ClipModel(Observer):
    """A frozen text-image model: images in [-1, 1] of any size, and texts, to unit vectors of one space.

    Resizing and normalisation are those of the model, done in differentiable tensor operations. Embedded texts are
    kept, so asking again for the same phrase costs nothing.

    Args:
        model: An open_clip model.
        tokenize: Its tokeniser, texts to ``(N, context)`` token numbers.
        name: What it is called in messages and in the hash.
    """

    model: Any

    def __init__(self, model: nn.Module, tokenize: Callable[[list[str]], Tensor], name: str) -> None:
        super().__init__()
        self.model = model
        self.tokenize = tokenize
        self.name = name
        self.preprocess = Preprocess(model)
        self._texts: dict[str, Tensor] = {}
        self.freeze()

    def describe(self) -> dict[str, Any]:
        """Return name and preprocessing."""
        return {"kind": "clip", "name": self.name, "preprocess": self.preprocess.describe()}

    @property
    def logit_scale(self) -> float:
        """The learned inverse temperature of the similarities."""
        return float(self.model.logit_scale.exp())

    def encode_image(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch d"]:
        """Embed images in [-1, 1], any size, as unit vectors; gradients flow to the images."""
        return normalize(self.model.encode_image(self.preprocess(images)), dim=-1)

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Embed texts as unit vectors; each text is computed once in the life of the model."""
        device = self.preprocess.image_mean.device
        missing = [text for text in dict.fromkeys(texts) if text not in self._texts]
        for start in range(0, len(missing), _TEXT_BATCH):
            batch = missing[start : start + _TEXT_BATCH]
            embedded = normalize(self.model.encode_text(self.tokenize(batch).to(device)), dim=-1)
            self._texts.update(zip(batch, embedded.cpu(), strict=True))
        return torch.stack([self._texts[text] for text in texts]).to(device)

    def forward(self, images: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch d"]:
        """Same as :meth:`encode_image`."""
        return self.encode_image(images)
