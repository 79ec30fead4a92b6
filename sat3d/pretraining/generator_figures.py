"""How good an embedded generator is: pictures, depth, and how its codes tell the attributes."""

from __future__ import annotations

import math
import warnings

import torch
from kornia.morphology import dilation
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric, PearsonCorrCoef

from sat3d.data.world import PictureBatch
from sat3d.generators import Generator, Rendering
from sat3d.world import World


class GeneratorFigures(nn.Module):
    """Collect PSNR on the whole picture and inside the head's dilated mask, and the depth's correlation on the head.

    PSNR is that of the mean squared error over all pictures, pixel range 2.

    Args:
        parts: names of the segmentation's parts, the first of which is the background.
        reach: pixels by which the head's mask is enlarged.
    """

    def __init__(self, parts: tuple[str, ...], reach: int = 2) -> None:
        super().__init__()
        self.parts, self.reach = parts, reach
        self.whole, self.head = MeanMetric(), MeanMetric()
        self.by_part = nn.ModuleList(MeanMetric() for _ in parts)
        self.depth = PearsonCorrCoef()

    def update(self, rendering: Rendering, batch: PictureBatch) -> None:
        """Add pictures."""
        assert rendering.depth is not None
        error = (rendering.image - batch.rgb).square().mean(dim=1)
        head = (batch.segmentation > 0).float().unsqueeze(1)
        dilated = dilation(head, head.new_ones(2 * self.reach + 1, 2 * self.reach + 1)).squeeze(1)
        self.whole.update(error)
        self.head.update(error, dilated)
        for part, metric in enumerate(self.by_part):
            assert isinstance(metric, MeanMetric)
            inside = batch.segmentation == part
            if bool(inside.any()):
                metric.update(error[inside])
        depth = F.interpolate(rendering.depth, batch.depth.shape[-2:], mode="bilinear", align_corners=False).squeeze(1)
        inside = torch.isfinite(batch.depth)
        self.depth.update(depth[inside], batch.depth[inside])

    def compute(self) -> dict[str, float]:
        """Return the figures by name."""
        with warnings.catch_warnings():  # a part that no picture of this process had; others may have seen it
            warnings.filterwarnings("ignore", ".*before the ``update`` method")
            computed = [metric.compute() for metric in self.by_part if isinstance(metric, MeanMetric)]
        found = {f"psnr_{name}": _psnr(error) for name, error in zip(self.parts, computed, strict=True)}
        parts = {name: value for name, value in found.items() if math.isfinite(value)}
        return {
            "psnr": _psnr(self.whole.compute()),
            "psnr_object": _psnr(self.head.compute()),
            "depth_correlation": float(self.depth.compute()),
            **parts,
        }

    def reset(self) -> None:
        """Forget all pictures."""
        for metric in (self.whole, self.head, self.depth, *self.by_part):
            metric.reset()  # type: ignore[operator]


def _psnr(mean_squared_error: Tensor) -> float:
    return float(10 * torch.log10(4 / mean_squared_error))


@torch.no_grad()
def linear_probe(
    generator: Generator, world: World, count: int = 4096, seed: int = 7, ridge: float = 1.0
) -> dict[str, float]:
    """Report how well a ridge regression reads the attributes' normal scores from z, from w and from s.

    A benchmark whose latent code told the attributes linearly would give the answer away.

    Args:
        generator: maps the codes.
        world: knows their attributes.
        count: codes; half fit, half grade.
        seed: of the codes.
        ridge: added to the diagonal of the standardised covariance.

    Returns:
        `probe_z`, `probe_w`, `probe_s`: R² on the held-out half, mean over attributes.
    """
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(seed))
    scores = torch.special.ndtri(world.coordinates(z).double().clamp(1e-6, 1 - 1e-6))
    ws = generator.map(z.to(generator.device))
    spaces = {"z": z, "w": ws[:, 0], "s": generator.styles(ws)}
    return {f"probe_{name}": _r2(codes.double().cpu(), scores, ridge) for name, codes in spaces.items()}


def _r2(codes: Tensor, scores: Tensor, ridge: float) -> float:
    half = len(codes) // 2
    mean, std = codes[:half].mean(0), codes[:half].std(0) + 1e-8
    x = (codes - mean) / std
    x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
    fit, y = x[:half], scores[:half]
    weights = torch.linalg.solve(fit.T @ fit + ridge * torch.eye(fit.shape[1], dtype=x.dtype), fit.T @ y)
    rest = scores[half:]
    residual = (rest - x[half:] @ weights).square().mean(0)
    return float((1 - residual / rest.var(dim=0, unbiased=False)).mean())
