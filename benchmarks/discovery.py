"""StyleSpace's discovery through the door, from nothing to figures: seconds and memory, one process and two.

    python benchmarks/discovery.py --out docs/benchmarks/discovery-cpu.json     # make bench-discovery

Every case is a `lightning fit` in a process of its own, so that imports count. `two processes` runs the first case
under `ddp` with one thread each and tells how many rows of the table of channels differ from the single process's: in
names, regions and attributes exactly, in numbers by more than 1e-4. `stylegan2-256` is a full-width network of random
weights with feature clusters for regions: a smoke run that tells the time a picture takes.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.generators import hardware

ROOT = Path(__file__).resolve().parents[1]

TOYFACES = ["--config", "experiments/toyfaces/stylespace.yaml"]
CASES = {
    "toyfaces64, G = 16": ["--model.init_args.grid=16"],
    "two processes": ["--model.init_args.grid=16", "--trainer.devices=2", "--trainer.strategy=ddp"],
    "toyfaces64, G = 32": ["--model.init_args.grid=32"],
    "stylegan2-256": ["--model.init_args.grid=32"],
}


def released(folder: Path, pictures: int) -> list[str]:
    """Write a full-width 256 px StyleGAN2 of random weights; return the settings that run it."""
    from sat3d.generators import save_generator
    from sat3d.generators.stylegan2 import StyleGAN2, StyleGAN2Options

    torch.manual_seed(0)
    save_generator(StyleGAN2(StyleGAN2Options()).freeze(), file := folder / "stylegan2-256.safetensors")
    model = {"generator": file, "clip": "toyfaces-clip", "clip_pretrained": "null", "descriptors": "toyfaces"}
    model |= {"pictures": pictures, "scored": 40, "positives": 10, "regions.clusters": 6, "regions.codes": 16}
    settings = {f"model.init_args.{key}": value for key, value in model.items()}
    settings |= {"data.init_args.generator": file, "data.init_args.epoch_size": 2000, "data.init_args.val_size": 2}
    config = "experiments/stylegan2-ffhq/stylespace.yaml"
    return ["--config", config, *(f"--{key}={value}" for key, value in settings.items())]


def run(arguments: Sequence[str], folder: Path, threads: int) -> dict[str, float]:
    """Run one fit; return seconds and the largest memory of a process, MB."""
    command = [sys.executable, "-m", "sat3d.cli", "fit", *arguments, f"--run.dir={folder}", "--trainer.accelerator=cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    told = json.loads((folder / "fit.json").read_text())
    return {
        "seconds": time.perf_counter() - started,
        "fit_seconds": told["seconds"],
        "seconds_a_step": told["seconds_per_step"],
        "peak_mb": told["peak_memory_mib"] * 1.048576,
    }


def differing(one: Path, other: Path, tolerance: float = 1e-4) -> int:
    """Return how many rows of two tables of channels differ."""
    tables = [list(csv.DictReader((folder / "channels.csv").open())) for folder in (one, other)]
    return sum(not _alike(a, b, tolerance) for a, b in zip(*tables, strict=True))


def _alike(a: dict[str, str], b: dict[str, str], tolerance: float) -> bool:
    for key, value in a.items():
        if value == b[key]:
            continue
        if key in ("layer", "channel", "kind", "region", "local", "attribute"):
            return False
        x, y = float(value), float(b[key])
        if abs(x - y) > tolerance * max(1.0, abs(x)):
            return False
    return True


def main() -> None:
    """Run the cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cases", default="", help="only the cases that contain this; two processes take the first along"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=3, help="gradient maps of the random StyleGAN2")
    parser.add_argument("--out", help="a JSON file for the figures")
    chosen = parser.parse_args()
    table: dict[str, dict[str, float]] = {}
    print(
        "| case | seconds | of the fit | a step | peak, MB | rows that differ |\n|---|---|---|---|---|---|", flush=True
    )
    with tempfile.TemporaryDirectory() as place:
        folders = {case: Path(place) / str(i) for i, case in enumerate(CASES)}
        for case, extra in CASES.items():
            if chosen.cases not in case and not (chosen.cases in "two processes" and case == next(iter(CASES))):
                continue
            start = released(Path(place), chosen.pictures) if case == "stylegan2-256" else TOYFACES
            threads = 1 if case == "two processes" else chosen.threads
            row = table[case] = run([*start, *extra], folders[case], threads)
            if case == "two processes":
                row["rows_that_differ"] = differing(folders["toyfaces64, G = 16"], folders[case])
            times = f"{row['seconds']:.0f} | {row['fit_seconds']:.0f} | {row['seconds_a_step']:.2f}"
            print(f"| {case} | {times} | {row['peak_mb']:.0f} | {row.get('rows_that_differ', '')} |", flush=True)
    if chosen.out:
        facts = {"date": date.today().isoformat(), "hardware": hardware("cpu"), "torch": torch.__version__}
        Path(chosen.out).parent.mkdir(parents=True, exist_ok=True)
        Path(chosen.out).write_text(json.dumps({**facts, "threads": chosen.threads, "cases": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
