"""The editor that StyleSpace leaves behind: single style channels, moved by their standard deviations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sat3d.generators import StyleSpace
from sat3d.methods.directions import LinearEditor


class ChannelEditor(LinearEditor):
    """Move channels: s_u ← s_u + strength · direction · σ_u (Wu et al. 2021, arXiv 2011.12799, §5).

    Strength is in standard deviations of the channel; the paper's pictures take 5 to 20. Beside its attributes the
    editor takes any channel by name, as `layer/channel`, for instance `backbone.synthesis.b8.conv1/8`.

    Args:
        attributes: what has channels of its own.
        layers: names and sizes of the style layers, forward order.
        top: how many channels each attribute moves, the best first; at most K.
        channels: flat indices of each attribute's channels, the best first, (A, K); −1 for none.
        directions: 1 or −1, where the attribute becomes stronger, (A, K).
        std: σ of every channel, (C,).
        ranked: K, where no channels are given.

    Raises:
        ValueError: for shapes that do not fit each other, and `top` outside 1..K.

    Example:
        >>> editor = load_editor("runs/stylespace/0/editor", G)
        >>> edited = editor.edit(s, "glasses/sunglasses", 10.0)
    """

    space = "s"
    channels: Tensor
    directions: Tensor
    std: Tensor

    def __init__(
        self,
        attributes: Sequence[str],
        layers: Mapping[str, int],
        top: int = 1,
        channels: Int[Tensor, "a k"] | None = None,
        directions: Float[Tensor, "a k"] | None = None,
        std: Float[Tensor, " c"] | None = None,
        ranked: int = 1,
    ) -> None:
        super().__init__(attributes)
        self.layers, size = dict(layers), sum(layers.values())
        shape = (len(self.attributes), ranked if channels is None else channels.shape[1])
        channels = torch.full(shape, -1) if channels is None else channels
        directions = torch.ones(shape) if directions is None else directions
        std = torch.ones(size) if std is None else std
        if channels.shape != shape or directions.shape != shape or std.shape != (size,):
            raise ValueError(
                f"channels {tuple(channels.shape)}, directions {tuple(directions.shape)} and std {tuple(std.shape)} "
                f"do not fit {shape[0]} attributes and {size} channels"
            )
        if not 1 <= top <= max(shape[1], 1):
            raise ValueError(f"top={top} must be between 1 and {shape[1]}, the channels that were ranked")
        self.top = top
        for name, value in (("channels", channels), ("directions", directions), ("std", std)):
            self.register_buffer(name, value.detach().clone())

    @classmethod
    def of(cls, style_space: StyleSpace, attributes: Sequence[str], **options: Any) -> ChannelEditor:
        """Return an editor of a generator's style space."""
        return cls(attributes, {layer.name: layer.size for layer in style_space.layers}, **options)

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments without the tensors."""
        return {
            "attributes": list(self.attributes),
            "layers": self.layers,
            "top": self.top,
            "ranked": self.channels.shape[1],
        }

    def with_top(self, top: int) -> ChannelEditor:
        """Return an editor that moves this many channels for each attribute."""
        return ChannelEditor(self.attributes, self.layers, top, self.channels, self.directions, self.std)

    def knows(self, attribute: str) -> bool:
        """Tell whether an attribute, or a channel of this name, can be edited."""
        return super().knows(attribute) or self._flat(attribute) is not None

    def known_names(self) -> str:
        """Tell in words what can be edited: attributes, and how channels are named."""
        layer, size = next(iter(self.layers.items()))
        return ", ".join([*self.attributes, f"every channel as layer/number, such as {layer}/0 to {layer}/{size - 1}"])

    def channels_of(self, attribute: str) -> list[tuple[int, float]]:
        """Return the channels that an attribute moves, flat, and the direction of each."""
        if not super().knows(attribute) and (flat := self._flat(attribute)) is not None:
            return [(flat, 1.0)]
        row = self.attributes.index(attribute)
        pairs = zip(self.channels[row, : self.top].tolist(), self.directions[row, : self.top].tolist(), strict=True)
        return [(int(u), float(d)) for u, d in pairs if u >= 0]

    def direction(self, attribute: str) -> Float[Tensor, " c"]:
        """Return what strength 1 adds to the styles, (C,)."""
        offset = torch.zeros_like(self.std)
        for flat, direction in self.channels_of(attribute):
            offset[flat] += direction * self.std[flat]
        return offset

    def _flat(self, name: str) -> int | None:
        layer, _, channel = name.rpartition("/")
        if layer not in self.layers or not channel.isdecimal() or int(channel) >= self.layers[layer]:
            return None
        before = list(self.layers).index(layer)
        return sum(list(self.layers.values())[:before]) + int(channel)
