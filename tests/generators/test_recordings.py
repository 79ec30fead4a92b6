"""Our generators against recordings of the released networks, and against a recording of ours that always runs."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file, save_file

from sat3d.generators import tiny_generator
from sat3d.generators.eg3d import EG3D

RECORDED = Path(__file__).parent / "recorded.safetensors"


@pytest.fixture(scope="module")
def parity() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "parity.py"
    spec = importlib.util.spec_from_file_location("parity", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["A_sg2_skip32", "B_sg2_cond64", "F_sg2_fp16cfg64_fp32run", "C_eg3d_ffhq128"])
def test_released_networks_are_matched(name: str, fixtures_dir: Path, parity: ModuleType) -> None:
    rows = list(parity.compare(fixtures_dir / name))
    assert len(rows) >= 10
    assert {r.quantity: r.error for r in rows if not r.error <= r.limit} == {}


def ours(kind: str) -> dict[str, torch.Tensor]:
    """Compute what is recorded: ws, styles and pictures of a tiny generator."""
    generator = tiny_generator(3, kind)
    z = torch.linspace(-2, 2, 2 * generator.z_dim).sin().reshape(2, -1)
    ws = generator.map(z, truncation=0.8)
    s = generator.styles(ws)
    if isinstance(generator, EG3D):
        out = generator.synthesize(s, generator.cameras.at(torch.tensor([0.3, -0.5]), torch.tensor([0.1, 0.0])))
        return {"ws": ws, "s": s, "image": out.image, "raw": out.raw, "depth": out.depth}
    return {"ws": ws, "s": s, "image": generator.synthesize(s).image}


@pytest.mark.parametrize("kind", ["stylegan2", "eg3d"])
def test_a_tiny_generator_computes_what_was_recorded(kind: str) -> None:
    recorded = load_file(RECORDED)
    for name, tensor in ours(kind).items():
        torch.testing.assert_close(tensor, recorded[f"{kind}.{name}"], rtol=1e-4, atol=1e-4, msg=f"{kind} {name}")


def test_the_units_of_the_released_code_are_matched(fixtures_dir: Path) -> None:
    from sat3d.ops import raymarch, resample, triplane
    from sat3d.ops.camera import Camera

    io = load_file(fixtures_dir / "G_units" / "io.safetensors")
    notes = json.loads((fixtures_dir / "G_units" / "config.json").read_text())["notes"]
    assert "march" in notes
    camera = Camera.look_at(
        io["h"] - torch.pi / 2, io["v"] - torch.pi / 2, pivot=io["pivot"], radius=io["radius"], fov=io["fov_deg"]
    )
    origins, directions = Camera(io["ray_cam2world"], io["ray_intrinsics"]).rays(5)
    near, far = raymarch.box_limits(origins, directions, 1.6)
    f, x = io["op_filter"], io["op_x"]
    u = io["pdf_u"].reshape(2, 6, 11)
    fine = raymarch.importance_depths(io["pdf_z"][..., 0], io["pdf_weights"][..., 0], u)
    depths = io["march_depths"][..., 0]
    weights = raymarch.march_weights(io["march_densities"][..., 0], depths)
    colours = raymarch.composite(raymarch.sample_weights(weights), io["march_colors"])
    pairs = {
        "cam2world": camera.cam2world,
        "intrinsics": camera.intrinsics,
        "ray_origins": origins,
        "ray_directions": directions,
        "box_near": near,
        "box_far": far,
        "op_upsample2d": resample.upsample2d(x, f),
        "op_downsample2d": resample.downsample2d(x, f),
        "op_conv_up2": resample.conv2d_up(x, io["op_k3"], f),
        "op_conv1_up2": resample.conv2d_up(x, io["op_k1"], f),
        "op_conv_down2": resample.conv2d_down(x, io["op_k3"], f),
        "plane_features": triplane.sample_planes(io["planes"], io["plane_axes"], io["plane_points"], 1.6),
        "pdf_samples": fine.unsqueeze(-1),
        "march_white0.weights": weights.unsqueeze(-1),
        "march_white0.features": colours * 2 - 1,
        "march_white1.features": (colours + 1 - weights.sum(-1, keepdim=True)) * 2 - 1,
        "march_white0.depth": raymarch.expected_depth(weights, depths).clamp(depths.min(), depths.max()).unsqueeze(-1),
    }
    for name, tensor in pairs.items():
        torch.testing.assert_close(tensor, io[name], rtol=1e-5, atol=2e-6, msg=name)


if __name__ == "__main__":  # python tests/generators/test_recordings.py writes the recording anew
    save_file({f"{k}.{n}": t.contiguous() for k in ("stylegan2", "eg3d") for n, t in ours(k).items()}, RECORDED)
