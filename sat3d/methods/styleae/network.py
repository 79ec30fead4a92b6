"""StyleAE's autoencoder: as wide as the code, with the labels in the first coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

SLOPE = 0.9


class LatentAutoencoder(nn.Module):
    """Map codes to z = (c, s), of which c are the labels, and back (Bedychaj et al. 2024, arXiv 2412.20164, §3).

    Linear layers with one learnable PReLU slope each, none after the last. The decoder mirrors the encoder and starts
    from its transposed weights; the slopes start at 0.9 and 1/0.9. So at the start the network is nearly linear.

    Args:
        width: D, of the codes and of z.
        hidden: widths of the hidden layers of the encoder; the released code has three of D.
        slope: initial PReLU slope of the encoder, the inverse of the decoder's.
        seed: of the initial weights.

    Raises:
        ValueError: for a slope of 0 or less.
    """

    def __init__(self, width: int, hidden: Sequence[int] | None = None, slope: float = SLOPE, seed: int = 0) -> None:
        super().__init__()
        if slope <= 0:
            raise ValueError(f"slope={slope} must be above 0: the decoder starts from its inverse")
        hidden = [width] * 3 if hidden is None else list(hidden)
        sizes = [width, *hidden, width]
        self.width = width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = _layers(sizes, slope)
            self.decoder = _layers(sizes[::-1], 1 / slope)
            linear = [m for m in self.encoder if isinstance(m, nn.Linear)]
            for layer in linear:
                nn.init.xavier_normal_(layer.weight)
        mirrored = [m for m in self.decoder if isinstance(m, nn.Linear)]
        with torch.no_grad():
            for layer, source in zip(mirrored, reversed(linear), strict=True):
                layer.weight.copy_(source.weight.T)

    def encode(self, codes: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Return z = (c, s)."""
        z: Tensor = self.encoder(codes)
        return z

    def decode(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        """Return codes."""
        codes: Tensor = self.decoder(z)
        return codes

    def forward(self, codes: Float[Tensor, "b d"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        """Return z and the reconstruction."""
        z = self.encode(codes)
        return z, self.decode(z)


def _layers(sizes: Sequence[int], slope: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(sizes)):
        layer = nn.Linear(a, b)
        nn.init.zeros_(layer.bias)
        layers += [layer] if i == len(sizes) - 2 else [layer, nn.PReLU(init=slope)]
    return nn.Sequential(*layers)
