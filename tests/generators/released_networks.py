"""Small configurations of the released networks, what they are shown, and how near two results are."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sat3d.generators import from_official
from sat3d.ops import Camera

EXACT = 1e-9


def build(config: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    return from_official(config, tensors).double()


def doubled(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.double() for name, tensor in tensors.items()}


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Return |ours − theirs| / |theirs|; infinite for other shapes, NaN, and zeros alone to compare with."""
    with torch.no_grad():
        if ours.shape != theirs.shape or not theirs.norm() > 0:
            return math.inf
        return float(((ours - theirs).norm() / theirs.norm()).nan_to_num(math.inf))


def stylegan2(resolution: int = 16, /, **changes: Any) -> dict[str, Any]:
    """Return a configuration; what is no argument of the generator's own is one of its synthesis network."""
    own = {"z_dim": 6, "c_dim": 0, "w_dim": 8, "img_resolution": resolution, "img_channels": 3, "mapping_kwargs": {}}
    synthesis = {"channel_base": 64, "channel_max": 8, "num_fp16_res": 0, "conv_clamp": None}
    synthesis |= {k: v for k, v in changes.items() if k not in own}
    kwargs = {k: changes.get(k, v) for k, v in own.items()} | {"synthesis_kwargs": synthesis}
    return {"class_name": "training.networks.Generator", "init_kwargs": kwargs}


RENDERING = {
    "image_resolution": 128, "disparity_space_sampling": False, "clamp_mode": "softplus", "c_scale": 1,
    "superresolution_module": "training.superresolution.SuperresolutionHybrid2X", "c_gen_conditioning_zero": False,
    "gpc_reg_prob": 0.8, "superresolution_noise_mode": "none", "density_reg": 0.25, "density_reg_p_dist": 0.004,
    "reg_type": "l1", "decoder_lr_mul": 1, "sr_antialias": True, "depth_resolution": 5,
    "depth_resolution_importance": 4, "ray_start": 2.25, "ray_end": 3.3, "box_warp": 1, "avg_camera_radius": 2.7,
    "avg_camera_pivot": [0, 0, 0.2],
}  # fmt: skip
SHAPENET = {"ray_start": 0.1, "ray_end": 2.6, "box_warp": 1.6, "white_back": True, "avg_camera_radius": 1.7}
OUTPUT = {"8XDC": 512, "8X": 512, "4X": 256, "Deepfp32": 256, "2X": 128}


def eg3d(module: str = "2X", rendering: dict[str, Any] | None = None, /, **changes: Any) -> dict[str, Any]:
    path = f"training.superresolution.SuperresolutionHybrid{module}"
    kwargs = {
        "z_dim": 6, "c_dim": 25, "w_dim": 512, "img_resolution": OUTPUT[module], "img_channels": 3,
        "mapping_kwargs": {"num_layers": 2}, "channel_base": 1024, "channel_max": 4, "num_fp16_res": 0,
        "conv_clamp": None, "fused_modconv_default": "inference_only", "sr_num_fp16_res": 4,
        "sr_kwargs": {"channel_base": 1024, "channel_max": 4, "fused_modconv_default": "inference_only"},
        "rendering_kwargs": {**RENDERING, "superresolution_module": path, **(rendering or {})},
    }  # fmt: skip
    return {"class_name": "training.triplane.TriPlaneGenerator", "init_kwargs": {**kwargs, **changes}}


def seen_from(angles: list[float], radius: float = 2.7, fov: float = 18.837) -> Tensor:
    """Return camera labels (B, 25) in double precision, with a skew and unequal focal lengths."""
    yaw = torch.tensor(angles, dtype=torch.float64)
    label = Camera.look_at(yaw, 0.4 * yaw, pivot=(0.02, -0.05, 0.1), radius=radius, fov=fov).label()
    label[:, 17], label[:, 20] = 0.05, 1.1 * label[:, 20]
    return label


def midpoints(rendering: dict[str, Any], cameras: int, count: int) -> tuple[Tensor, Tensor]:
    """Return the two sets of random numbers that `midpoint` stands for."""
    n = rendering["depth_resolution_importance"]
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / max(n, 1)
    coarse = torch.full((cameras, count, rendering["depth_resolution"], 1), 0.5, dtype=torch.float64)
    return coarse, u.expand(cameras * count, n)
