"""From where a picture seems to be taken: what tells whether an edit turned what a fixed camera looks at."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, normalize

from sat3d.generators import Generator
from sat3d.generators.batches import CodeBatch
from sat3d.perception.perceptual import PerceptualNetwork

CELLS = 4  # a side of the grid that activations are averaged on: where things are is what tells the pose


class PoseReader:
    """Read a camera's direction off pictures: ridge regression from a network's activations, on a generator's pictures.

    The regression is fitted on two thirds of the codes, its penalty chosen on half of the rest, its error told on the
    other half.

    Args:
        network: whose activations are read.
        generator: draws the pictures.
        codes: with cameras over all of the generator's range; some hundreds.
        chunk: pictures made at a time.

    Attributes:
        error: median angle between read and true directions on held-out codes, degrees.

    Raises:
        ValueError: for a 2-D generator, whose pictures have no camera, or fewer than 30 codes.
    """

    @torch.no_grad()
    def __init__(self, network: PerceptualNetwork, generator: Generator, codes: CodeBatch, chunk: int = 25) -> None:
        if codes.camera is None:
            raise ValueError("pose: a 2-D generator's pictures have no camera to read")
        if len(codes) < 30:
            raise ValueError(f"pose: {len(codes)} codes are too few to fit it; give 30 at least")
        self.network = network
        parts = [codes[i : i + chunk] for i in range(0, len(codes), chunk)]
        images = (generator.synthesize(part.styles, camera=part.camera).image for part in parts)
        x = torch.cat([self._features(image) for image in images])
        y = normalize(codes.camera.cam2world[:, :3, 3], dim=-1).double().to(x)
        fit, choose = 2 * len(x) // 3, 5 * len(x) // 6
        self.mean, self.std = x[:fit].mean(0), x[:fit].std(0) + 1e-6
        self.middle = y[:fit].mean(0)
        x = (x - self.mean) / self.std
        kernel = x[:fit] @ x[:fit].T
        found = []
        for penalty in (0.01, 0.1, 1.0, 10.0, 100.0):
            ridge = kernel + penalty * len(kernel) * torch.eye(fit, dtype=x.dtype, device=x.device)
            weight = x[:fit].T @ torch.linalg.solve(ridge, y[:fit] - self.middle)
            error = _degrees(x[fit:choose] @ weight + self.middle, y[fit:choose]).median()
            found.append((float(error), weight))
        self.weight = min(found, key=lambda pair: pair[0])[1]
        self.error = float(_degrees(x[choose:] @ self.weight + self.middle, y[choose:]).median())

    def __call__(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3"]:
        """Return unit vectors to where pictures seem to be taken from."""
        return normalize((self._features(images) - self.mean) / self.std @ self.weight + self.middle, dim=-1)

    def turned(self, before: Float[Tensor, "b 3 h w"], after: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
        """Return by how many degrees what is seen has turned between two pictures of one camera."""
        return _degrees(self(before), self(after)).float()

    def _features(self, images: Tensor) -> Tensor:
        layers = self.network.activations(images)[-2:]
        return torch.cat([adaptive_avg_pool2d(layer, CELLS).flatten(1) for layer in layers], dim=1).double()


def _degrees(a: Tensor, b: Tensor) -> Tensor:
    chord = (normalize(a, dim=-1) - normalize(b, dim=-1)).norm(dim=-1)
    return torch.rad2deg(2 * torch.arcsin((chord / 2).clamp(max=1)))
