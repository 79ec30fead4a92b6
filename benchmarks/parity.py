"""Compare our generators with recordings of the released networks: a table of relative L2 errors.

    SAT3D_FIXTURES=path/to/fixtures python benchmarks/parity.py

Limits: 1e-4 for codes, styles, pictures, planes, depth and densities and for gradients through StyleGAN2; 1e-3 for
gradients through EG3D, where a ReLU that changes sign at rounding level costs more. In reduced precision (styles given
in bfloat16 or float16) 5e-2 and 1e-2 for pictures, planes and depth, against the recordings in float32.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from sat3d.generators import Generator, from_official
from sat3d.generators.eg3d import EG3D
from sat3d.ops import Camera

LIMIT, EG3D_GRADIENT_LIMIT = 1e-4, 1e-3
REDUCED = {torch.bfloat16: 5e-2, torch.float16: 1e-2}
Recorded = dict[str, Tensor]


class Comparison(NamedTuple):
    """One compared quantity."""

    recording: str
    quantity: str
    error: float
    limit: float


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Return ‖ours − theirs‖ / ‖theirs‖, in double precision."""
    if ours.shape != theirs.shape:
        raise AssertionError(f"shapes differ: {tuple(ours.shape)} and {tuple(theirs.shape)}")
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


def compare(folder: Path) -> Iterator[Comparison]:
    """Yield all comparisons with one recording."""
    config = json.loads((folder / "config.json").read_text())
    io = load_file(folder / "io.safetensors")
    generator = from_official(config, load_file(folder / "weights.safetensors"))
    named = [(y.name, y.start, y.size, y.ws_index) for y in generator.style_space.layers]
    if named != [(y["name"], y["start"], y["size"], y["ws_index"]) for y in config["style_layout"]]:
        raise AssertionError(f"{folder.name}: the style space is laid out otherwise")
    for quantity, ours, theirs in (*codes(generator, io), *pictures(generator, config, io)):
        yield Comparison(folder.name, quantity, relative_error(ours, theirs), LIMIT)
    for quantity, ours, theirs in gradients(generator, config, io):
        limit = EG3D_GRADIENT_LIMIT if isinstance(generator, EG3D) else LIMIT
        yield Comparison(folder.name, quantity, relative_error(ours, theirs), limit)
    for kind, limit in REDUCED.items():
        with torch.no_grad():
            rows = list(pictures(generator, config, io, kind))
        for quantity, ours, theirs in rows:
            if quantity.startswith(("image", "planes.stride16")):
                name = f"{quantity} in {str(kind).removeprefix('torch.')}"
                yield Comparison(folder.name, name, relative_error(ours, theirs), limit)


def codes(generator: Generator, io: Recorded) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Compare mapping (with truncation) and styles."""
    c = io.get("c_cond", io["c"]) if generator.c_dim else None
    yield "ws_psi1", generator.map(io["z"], c), io["ws_psi1"]
    yield "ws_psi07", generator.map(io["z"], c, truncation=0.7), io["ws_psi07"]
    for name in (n for n in io if n.startswith("ws_psi07_cutoff")):
        yield (
            name,
            generator.map(io["z"], c, truncation=0.7, cutoff=int(name.removeprefix("ws_psi07_cutoff"))),
            io[name],
        )
    yield "styles_raw", generator.styles(io["wplus"]), io["styles_raw"]


def _jitter(io: Recorded, mode: str) -> object:
    return (io["jitter_stratified"], io["jitter_importance_u"]) if mode == "rand" else "midpoint"


def pictures(
    generator: Generator, config: dict, io: Recorded, kind: torch.dtype = torch.float32
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Compare pictures, raw pictures, depth, planes and densities at points, under the names of the recording."""
    made: dict[str, object] = {}
    for name, theirs in io.items():
        what, *how = name.split(".")
        if what not in ("image", "image_raw", "image_depth") or "as_returned_by_official" in how:
            continue
        code, noise, *options = how
        single = code.endswith("0") and code not in io
        s = generator.styles(io[code[:-1]][:1] if single else io[code]).to(kind)
        if not isinstance(generator, EG3D):
            yield name, generator.synthesize(s, noise=noise).image, theirs
            continue
        side = next((int(o[3:]) for o in options if o.startswith("nrr")), config["neural_rendering_resolution_used"])
        key = f"{code}.{noise}.{options[0]}.{side}"
        if key not in made:
            camera = Camera.from_label(io["c"])[: len(s)]
            jitter = _jitter(io, options[0])
            made[key] = generator.synthesize(s, camera, noise=noise, neural_resolution=side, jitter=jitter)
        out = made[key]
        ours = {"image": out.image, "image_raw": out.raw, "image_depth": out.depth}[what]
        yield name, ours[:1] if "sample0" in options else ours, theirs
    if isinstance(generator, EG3D):
        planes = generator.planes(generator.styles(io["wplus"]).to(kind))
        yield "planes.stride16", planes[..., ::16, ::16], io["planes.wplus.const.stride16"]
        yield "planes.mean", planes.double().mean((-2, -1)), io["planes.wplus.const.mean"]
        yield "planes.meansq", planes.double().square().mean((-2, -1)), io["planes.wplus.const.meansq"]
        density, features = generator.density(planes, io["points"])
        yield "points.sigma", density.unsqueeze(-1), io["points.sigma"]
        yield "points.rgb", features, io["points.rgb"]


def gradients(generator: Generator, config: dict, io: Recorded) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Compare gradients with respect to w."""
    for name, theirs in io.items():
        if not name.startswith("grad_ws."):
            continue
        what = name.split(".")[1]
        ws = io["wplus"].clone().requires_grad_()
        if isinstance(generator, EG3D):
            out = generator.synthesize(
                generator.styles(ws),
                Camera.from_label(io["c"]),
                neural_resolution=config["neural_rendering_resolution_used"],
                jitter=_jitter(io, "rand"),
            )
            made = {"image": out.image, "image_raw": out.raw, "image_depth": out.depth}[what]
            weight = io[f"grad_weight.{what}"]
        else:
            made, weight = generator.synthesize(generator.styles(ws)).image, io["grad_weight"]
        (made * weight / 64).mean().backward()
        yield name, ws.grad, theirs


def main() -> None:
    """Print the table; exit with 1 if a limit is passed."""
    root = os.environ.get("SAT3D_FIXTURES")
    if not root:
        print("SAT3D_FIXTURES names no folder of recordings: nothing to compare")
        return
    folders = sorted(p for p in Path(root).iterdir() if (p / "weights.safetensors").is_file())
    rows = [row for folder in folders for row in compare(folder)]
    print("| recording | quantity | relative L2 error | limit |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.recording} | {row.quantity} | {row.error:.1e} | {row.limit:.0e} |")
    sys.exit(any(not row.error <= row.limit for row in rows))


if __name__ == "__main__":
    main()
