"""Load an EG3D checkpoint of 512 px: seconds, and memory beyond what was resident before, against the file's size.

    python benchmarks/load_checkpoint.py

Two files of the released format with random weights are written to a temporary folder: with G, D and G_ema, as
trainings leave them, and with G_ema alone. Each is loaded in a process of its own, which has imported what it needs.
Limits: 3 s, and 1.3 times the file's size.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sat3d.generators.official import declare_official
from tests.generators.released_format import EG3D_KWARGS, Part, dump, network, random_tensors

SECONDS, MEMORY = 3.0, 1.3
KWARGS = {
    **EG3D_KWARGS, "z_dim": 512, "w_dim": 512, "img_resolution": 512, "channel_base": 32768, "channel_max": 512,
    "rendering_kwargs": {
        **EG3D_KWARGS["rendering_kwargs"], "depth_resolution": 48, "depth_resolution_importance": 48,
        "superresolution_module": "training.superresolution.SuperresolutionHybrid8XDC",
    },
}  # fmt: skip
DISCRIMINATOR = 29_000_000
MEASURED = """
import sys, time
from pathlib import Path
import torch
from sat3d.generators import load_generator, tiny_generator

def status(name):
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith(name))
    return int(line.split()[1]) * 1024

torch.set_num_threads(1)
tiny_generator()
Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
before, start = status("VmRSS"), time.perf_counter()
generator = load_generator(sys.argv[1])
print(time.perf_counter() - start, status("VmHWM") - before, sum(p.numel() for p in generator.parameters()))
"""


def generator(seed: int) -> Part:
    """Return a network of the released size with random weights."""
    config = {"class_name": "TriPlaneGenerator", "init_kwargs": KWARGS}
    shapes = {name: tuple(tensor.shape) for name, tensor in declare_official(config).state_dict().items()}
    return network("TriPlaneGenerator", KWARGS, random_tensors(shapes, seed), {"neural_rendering_resolution": 64})


def main() -> None:
    """Print the table; exit with 1 if a limit is passed."""
    passed = False
    print("| file | MB | weights | seconds | memory / file |\n|---|---|---|---|---|")
    for what in ("G, D, G_ema", "G_ema"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.pkl"
            value = {"G_ema": generator(0)}
            if "D" in what:
                weights = random_tensors({f"b{i}.weight": (DISCRIMINATOR // 50,) for i in range(50)})
                value = {"G": generator(1), "D": network("DualDiscriminator", {}, weights), **value}
            path.write_bytes(dump(value))
            del value
            done = subprocess.run(
                [sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=True
            )
            seconds, extra, weights = map(float, done.stdout.split())
            size = path.stat().st_size
        passed = passed or seconds > SECONDS or extra > MEMORY * size
        print(f"| {what} | {size / 1e6:.0f} | {weights / 1e6:.1f} M | {seconds:.2f} | {extra / size:.2f} |")
    print(f"limits: {SECONDS} s, {MEMORY} times the file")
    sys.exit(passed)


if __name__ == "__main__":
    main()
