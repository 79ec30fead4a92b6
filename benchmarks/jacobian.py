"""Gradient maps of one picture's style channels, against one backward pass per output cell and colour, in a loop.

    python benchmarks/jacobian.py                                   # make bench-jacobian
    python benchmarks/jacobian.py --cases "toyfaces64, G = 16" --cells 0   # all cells compared, minutes

The loop's 3·G² passes are not all run: a few, at cells all over the picture, between runs of the engine in the same
process, tell what one takes; the graph is built once and kept. Ratios are told of seconds on the clock and of processor
time, which other work on the machine disturbs less. Errors are of each channel's map against the same loop in float64:
root mean square over the compared cells, divided by the map's; over all cells, with `--cells 0`, the relative L2 error.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from datetime import date
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.generators import hardware
from sat3d.generators import Generator, load_generator
from sat3d.generators.stylegan2 import StyleGAN2, StyleGAN2Options
from sat3d.methods.stylespace import GradientMaps
from sat3d.ops import Camera

CASES = {  # case: (generator, G, channels: all of them or the paper's, those of convolutions)
    "toyfaces64, G = 32": ("toyfaces64", 32, "all"),
    "toyfaces64, G = 16": ("toyfaces64", 16, "all"),
    "toyfaces64, G = 16, convolutions": ("toyfaces64", 16, "conv"),
    "stylegan2-256, G = 32": ("stylegan2-256", 32, "all"),
    "stylegan2-256, G = 16": ("stylegan2-256", 16, "all"),
}


def build(name: str) -> tuple[Generator, Tensor, Camera | None]:
    """Return a generator, a code and a camera."""
    torch.manual_seed(0)
    generator = (
        StyleGAN2(StyleGAN2Options()).freeze() if name == "stylegan2-256" else load_generator(name, trainable=True)
    )
    generator.freeze()
    s = generator.styles(generator.map(torch.randn(1, generator.z_dim), truncation=0.7)).detach()
    camera = generator.cameras.orbit(5)[1] if generator.cameras is not None else None
    return generator, s, camera


class Loop:
    """Pull one pooled cell and colour back at a time."""

    def __init__(self, generator: Generator, s: Tensor, camera: Camera | None, grid: int) -> None:
        self.s = s.clone().requires_grad_()
        image = generator.synthesize(self.s, camera).image
        self.pooled = F.adaptive_avg_pool2d(image, grid)[0].flatten(1)

    def cell(self, at: int) -> Tensor:
        """Return |gradient| (C,) at a cell, mean over colours."""
        rows = [torch.autograd.grad(p[at], self.s, retain_graph=True)[0][0].abs() for p in self.pooled]
        return torch.stack(rows).mean(0)


def spread(count: int, grid: int) -> list[int]:
    """Return cells all over the grid, all of them for 0."""
    if not count:
        return list(range(grid**2))
    return torch.randperm(grid**2, generator=torch.Generator().manual_seed(1))[:count].tolist()


def measure(name: str, grid: int, channels: str, repeats: int, passes: int, compared: int) -> dict[str, float]:
    """Measure one case."""
    generator, s, camera = build(name)
    mask = generator.style_space.mask(("conv",), ("backbone", "superresolution")) if channels == "conv" else None
    engine, loop = GradientMaps(generator, grid, mask), Loop(generator, s, camera, grid)
    places = spread(passes, grid)
    once: list[tuple[float, float]] = []
    whole: list[tuple[float, float]] = []
    loop.cell(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(repeats):
        for at in places:
            started = clocks()
            loop.cell(at)
            once.append(since(started))
        started = clocks()
        maps = engine(s, camera)
        whole.append(since(started))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    del loop
    exact = Loop(generator.double(), s.double(), camera, grid)
    cells = spread(compared, grid)
    expected = torch.stack([exact.cell(at) for at in cells], dim=1)
    expected = expected if mask is None else expected[mask]
    maps = maps.flatten(1).double()
    size = maps.square().mean(1).sqrt().clamp_min(1e-300)
    errors = (maps[:, cells] - expected).square().mean(1).sqrt() / size
    (ours, ours_cpu), (theirs, theirs_cpu) = (
        [statistics.median(c) for c in zip(*t, strict=True)] for t in (whole, once)
    )
    theirs, theirs_cpu = theirs * grid**2, theirs_cpu * grid**2
    return {
        "channels": len(maps), "loop_seconds": theirs, "engine_seconds": ours, "faster": theirs / ours,
        "loop_cpu": theirs_cpu, "engine_cpu": ours_cpu, "faster_cpu": theirs_cpu / ours_cpu,
        "worst_error": float(errors.max()), "median_error": float(errors.median()), "cells_compared": len(cells),
        "peak_mb": peak / 1e3, "before_mb": before / 1e3,
    }  # fmt: skip


def clocks() -> tuple[float, float]:
    """Return seconds on the clock, and of the processors."""
    return time.perf_counter(), time.process_time()


def since(started: tuple[float, float]) -> tuple[float, float]:
    """Return what has passed since."""
    now = clocks()
    return now[0] - started[0], now[1] - started[1]


def main() -> None:
    """Run all cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--passes", type=int, default=3, help="cells that tell the loop's time, each time")
    parser.add_argument("--cells", type=int, default=3, help="cells that are compared with float64, 0 for all")
    parser.add_argument("--cases", default="", help="only the cases that contain this")
    parser.add_argument("--out", help="a JSON file for the figures")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    table = {}
    print("| case | channels | loop, s | engine, s | faster | by processor time | worst | median error | peak, MB |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for case, (name, grid, channels) in CASES.items():
        if chosen.cases in case:
            r = table[case] = measure(name, grid, channels, chosen.repeats, chosen.passes, chosen.cells)
            times = f"{r['loop_seconds']:.0f} | {r['engine_seconds']:.1f} | {r['faster']:.1f}× | {r['faster_cpu']:.1f}×"
            errors = f"{r['worst_error']:.1e} | {r['median_error']:.1e}"
            print(f"| {case} | {r['channels']} | {times} | {errors} | {r['peak_mb']:.0f} |", flush=True)
    if chosen.out:
        facts = {"date": date.today().isoformat(), "hardware": hardware("cpu"), "torch": torch.__version__}
        facts |= {"threads": chosen.threads, "repeats": chosen.repeats, "passes": chosen.passes}
        Path(chosen.out).parent.mkdir(parents=True, exist_ok=True)
        Path(chosen.out).write_text(json.dumps({**facts, "cases": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
