"""Seconds and peak memory of the released networks' sizes, against the plain way to compute them.

    python benchmarks/generators.py                      # make bench-generators
    python benchmarks/generators.py --device cuda --precision bf16 --out docs/benchmarks/generators-cuda.json

Every case runs in a process of its own, with random weights and float32 unless told otherwise: first once to warm up,
then several times; the median counts. Processes differ by as much as a fifth (by where memory comes to lie), so that
short cases have three, baseline and ours in turn, of which the median counts again. Memory is the peak of the whole run
minus what was resident after loading. The baseline, `benchmarks/plain.py`, runs the same weights; the outputs of both
are compared first, at a small size.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import plain
from sat3d.generators.eg3d import EG3D, EG3DOptions
from sat3d.generators.stylegan2 import StyleGAN2, StyleGAN2Options
from sat3d.ops import Camera

CASES = {
    "stylegan2-256 forward": "both",
    "stylegan2-256 forward + backward": "both",
    "eg3d-512/64 forward": "both",
    "eg3d-512/64 forward + backward": "both",
    "eg3d-512/128 forward": "both",
    "eg3d-512/128 forward + backward": "both",
    "eg3d-512/64 sat3d step": "both",
    "eg3d-512/64 sat3d step, source and reference kept": "ours",
    "eg3d-512/64 sat3d step, kept, raw resolution": "ours",
    "eg3d-512/64 orbit: planes": "ours",
    "eg3d-512/64 orbit: one camera": "ours",
    "eg3d-512/64 orbit: 8 cameras": "both",
}
MOST_DIFFERENCE = 1e-4
ROUNDS, SHORT = 3, 20.0  # processes of a short case; seconds that its first ones may take


def resident(field: str) -> int:
    """Return a figure of this process's memory in bytes (Linux)."""
    line = next(y for y in Path("/proc/self/status").read_text().splitlines() if y.startswith(field))
    return int(line.split()[1]) * 1024


class Memory:
    """Measure the peak beyond what is resident now."""

    def __init__(self, device: str) -> None:
        self.cuda = device == "cuda"
        gc.collect()
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated()
        else:
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
            self.before = resident("VmRSS")

    def peak(self) -> int:
        """Return it in bytes."""
        if self.cuda:
            return torch.cuda.max_memory_allocated() - self.before
        return resident("VmHWM") - self.before


def eg3d(small: bool = False) -> EG3D:
    """Build an EG3D with random weights: the released FFHQ network's sizes, or few channels."""
    torch.manual_seed(0)
    options = EG3DOptions()
    if small:
        channels = type(options.backbone)(channel_base=2048, channel_max=32)
        sampling = type(options.rendering)(depth_resolution=12, depth_resolution_importance=12)
        options = EG3DOptions(backbone=channels, rendering=sampling)
    net = EG3D(options)
    net.freeze()
    return net


def stylegan2(small: bool = False) -> StyleGAN2:
    """Build a StyleGAN2 of 256 px with random weights."""
    torch.manual_seed(0)
    options = StyleGAN2Options()
    if small:
        options = StyleGAN2Options(synthesis=type(options.synthesis)(channel_base=2048, channel_max=32))
    net = StyleGAN2(options)
    net.freeze()
    return net


def work(case: str, path: str, device: str, dtype: torch.dtype, small: bool = False) -> Callable[[], Tensor]:
    """Return what a case repeats; it gives pictures, or the gradient."""
    ours = path == "ours"
    if case.startswith("stylegan2"):
        two = stylegan2(small).to(device, dtype)
        ws = two.map(torch.randn(1, two.z_dim, device=device, dtype=dtype))
        draw = (lambda s: two.synthesize(s).image) if ours else (lambda s: plain.stylegan2(two, s))
        return (lambda: gradient(draw, two.styles, ws)) if "backward" in case else (lambda: look(draw, two.styles(ws)))
    net = eg3d(small).to(device, dtype)
    side = int(case.split("/")[1].split()[0])
    camera = Camera.look_at(0.2, 0.1, pivot=(0.0, 0.0, 0.2)).to(device)
    ws = net.map(torch.randn(2, net.z_dim, device=device, dtype=dtype))

    def draw(s: Tensor, raw: bool = False) -> Tensor:
        if ours:
            return net.synthesize(s, camera, neural_resolution=side, superresolution=not raw).image
        return plain.eg3d(net, s, camera.expand(len(s)), side)

    if "orbit" in case:
        s = net.styles(ws[:1])
        cameras = net.cameras.orbit(8) if net.cameras else Camera.look_at(torch.linspace(-0.5, 0.5, 8), torch.zeros(8))
        cameras = cameras.to(device)
        kept = net.planes(s)
        if case.endswith("planes"):
            return lambda: quiet(lambda: net.planes(s))
        if case.endswith("one camera"):
            return lambda: quiet(lambda: net.render(kept, s, cameras[:1], neural_resolution=side).image)
        if ours:
            return lambda: quiet(lambda: net.render(net.planes(s), s, cameras, neural_resolution=side).image)
        return lambda: quiet(lambda: torch.cat([plain.eg3d(net, s, cameras[k : k + 1], side) for k in range(8)]))
    if "step" in case:
        styles = net.styles(ws)
        kept_pictures = "kept" in case

        def step() -> Tensor:
            mask = torch.full_like(styles[:1], 0.1).requires_grad_()
            if not kept_pictures:
                for k in (0, 1):
                    look(draw, styles[k : k + 1])
            edit = draw(torch.lerp(styles[:1], styles[1:], mask), "raw" in case)
            (made,) = torch.autograd.grad(edit.square().mean(), mask)
            return made

        return step
    return (
        (lambda: gradient(draw, net.styles, ws[:1])) if "backward" in case else (lambda: look(draw, net.styles(ws[:1])))
    )


def quiet(do: Callable[[], Tensor]) -> Tensor:
    """Run without gradients."""
    with torch.no_grad():
        return do()


def look(draw: Callable[[Tensor], Tensor], s: Tensor) -> Tensor:
    """Make a picture."""
    return quiet(lambda: draw(s))


def gradient(draw: Callable[[Tensor], Tensor], styles: Callable[[Tensor], Tensor], ws: Tensor) -> Tensor:
    """Make a picture, and return the gradient of its mean square to w."""
    ws = ws.detach().requires_grad_()
    (made,) = torch.autograd.grad(draw(styles(ws)).square().mean(), ws)
    return made


def measure(case: str, path: str, device: str, precision: str, repeats: int, compiled: bool) -> dict[str, float]:
    """Measure one case in this process."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    do = work(case, path, device, dtype)
    if compiled:
        do = torch.compile(do)
    memory = Memory(device)
    started = time.perf_counter()
    do()
    wait(device)
    first = time.perf_counter() - started
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        do()
        wait(device)
        times.append(time.perf_counter() - started)
    return {"seconds": statistics.median(times), "first": first, "memory_mb": memory.peak() / 1e6}


def wait(device: str) -> None:
    """Wait until the device has done its work."""
    if device == "cuda":
        torch.cuda.synchronize()


def check() -> None:
    """Compare the baseline's outputs and gradients with ours, at few channels."""
    for case, paths in CASES.items():
        if paths == "both":
            ours, theirs = (work(case, path, "cpu", torch.float32, small=True)() for path in ("ours", "plain"))
            difference = float((ours - theirs).norm() / theirs.norm())
            print(f"  {case}: relative difference {difference:.1e}", file=sys.stderr)
            if not difference <= MOST_DIFFERENCE:
                raise SystemExit(f"{case}: the baseline computes something else")


def hardware(device: str) -> str:
    """Name the processor."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    names = [y for y in Path("/proc/cpuinfo").read_text().splitlines() if y.startswith("model name")]
    return names[0].split(":")[1].strip() if names else platform.processor()


def main() -> None:
    """Run all cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile ours; its time stands beside the first call"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cases", default="", help="only the cases that contain this")
    parser.add_argument("--out", help="a JSON file for the figures")
    parser.add_argument("--one", nargs=2, metavar=("CASE", "PATH"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    common = (chosen.device, chosen.precision, chosen.repeats)
    if chosen.one:
        print(json.dumps(measure(*chosen.one, *common, chosen.compile and chosen.one[1] == "ours")))
        return
    if chosen.device == "cpu" and chosen.precision == "fp32":
        check()
    table: dict[str, dict[str, dict[str, float]]] = {}
    for case, paths in CASES.items():
        if chosen.cases not in case:
            continue
        found: dict[str, list[dict[str, float]]] = {
            path: [] for path in (("plain", "ours") if paths == "both" else ("ours",))
        }
        started = time.perf_counter()
        for k in range(ROUNDS):
            if k and time.perf_counter() - started > SHORT * k * len(found):
                break
            for path, rows in found.items():
                arguments = [a for a in sys.argv[1:] if a != "--out" and a != chosen.out]
                command = [sys.executable, __file__, *arguments, "--one", case, path]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                rows.append(json.loads(done.stdout.splitlines()[-1]))
                print(f"  {case}, {path}: {rows[-1]['seconds']:.2f} s", file=sys.stderr, flush=True)
        table[case] = {
            path: {key: statistics.median(r[key] for r in rows) for key in rows[0]} for path, rows in found.items()
        }
    report(table)
    if chosen.out:
        facts = {"date": date.today().isoformat(), "hardware": hardware(chosen.device), "torch": torch.__version__}
        facts |= {"threads": chosen.threads, "precision": chosen.precision, "repeats": chosen.repeats}
        Path(chosen.out).parent.mkdir(parents=True, exist_ok=True)
        Path(chosen.out).write_text(json.dumps({**facts, "compiled": chosen.compile, "cases": table}, indent=1) + "\n")


def report(table: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print the figures as a Markdown table."""
    print("| case | plain, s | ours, s | faster | plain, MB | ours, MB | memory |")
    print("|---|---|---|---|---|---|---|")
    for case, row in table.items():
        ours, base = row["ours"], row.get("plain")
        cells = [f"{ours['seconds']:.2f}", f"{ours['memory_mb']:.0f}"]
        if base is None:
            print(f"| {case} | | {cells[0]} | | | {cells[1]} | |")
            continue
        faster, less = base["seconds"] / ours["seconds"], ours["memory_mb"] / base["memory_mb"]
        base_cells = [f"{base['seconds']:.2f}", f"{base['memory_mb']:.0f}"]
        row_cells = [case, base_cells[0], cells[0], f"{faster:.2f}×", base_cells[1], cells[1], f"{less:.2f}×"]
        print("| " + " | ".join(row_cells) + " |")
    parts = [table.get(f"eg3d-512/64 orbit: {name}", {}).get("ours") for name in ("planes", "one camera", "8 cameras")]
    if all(parts):
        planes, one, eight = (part["seconds"] for part in parts if part)
        print(f"\nOrbit: 8 cameras take {eight / (planes + 8 * one):.3f} of the planes and 8 times one camera.")


if __name__ == "__main__":
    main()
