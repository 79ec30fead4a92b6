"""Throughput of every trainer through the door: samples a second, time to the first step, and where a step's time goes.

    python benchmarks/training.py --out docs/benchmarks/training-cpu.json     # make bench-training
    python benchmarks/training.py --study scaling --out docs/benchmarks/scaling-cpu.json
    python benchmarks/training.py --study exactness --out docs/benchmarks/exactness-cpu.json

`steps` runs each experiment for a few steps in a process of its own with Lightning's profiler, without validations.
`streaming` is the share of a step that is spent on getting the next batch: its numbers, z → w → s, the transfer.
`first step` counts from the start of the process, imports included. Editors fitted in one pass count codes as samples.

`scaling` compares SAT3D under DDP on two one-core processes with two independent one-core runs at the same time: the
work, the memory traffic and the clock are the same, so the ratio is what the processes' talking, and their waiting for
each other, costs. `lockstep` is what waiting alone would leave: the independent runs' steps, each as long as the slower
of the two.

`exactness` trains the demo for 50 steps with batches of 8 in one process and of 4 in each of two, in float32, and
compares the masks; beside it stands one process whose initial weights are changed in their last digit.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

LABELLED = ["--data.init_args.source.init_args.count=1600"]
PICTURES = ["--data.init_args.count=512", "--data.init_args.val_count=16", "--data.init_args.test_count=16"]
DRAWN = [*PICTURES, "--data.init_args.generated_count=128"]
# Experiment, steps, options that make its data small: the steps are those of the experiment.
CASES: dict[str, tuple[str, int, list[str]]] = {
    "SAT3D": ("toyfaces/sat3d", 40, []),
    "StyleAE, pictures": ("toyfaces/styleae", 30, LABELLED),
    "StyleAE, codes": ("toyfaces/styleae-code", 200, LABELLED),
    "PluGeN": ("toyfaces/plugen", 40, LABELLED),
    "StyleFlow": ("toyfaces/styleflow", 100, LABELLED),
    "StyleSpace": ("toyfaces/stylespace", 8, ["--model.init_args.pictures=8", "--data.init_args.epoch_size=1600"]),
    "StyleCLIP": ("toyfaces/styleclip", 4, ["--model.init_args.pictures=4"]),
    "Editing in Style": ("toyfaces/editing-in-style", 4, ["--data.init_args.batch_size=10"]),
    "InterFaceGAN": ("toyfaces/interfacegan", 20, LABELLED),
    "GANSpace": ("toyfaces/ganspace", 40, []),
    "SeFa": ("toyfaces/sefa", 4, []),
    "toyfaces64 (pretraining)": ("pretraining/generator", 10, [*PICTURES, "--model.init_args.mapping_steps=1"]),
    "CLIP (pretraining)": ("pretraining/clip", 10, DRAWN),
    "labeller (pretraining)": ("pretraining/labeller", 12, DRAWN),
}
TWO = ["--config", "experiments/trainer/ddp.yaml", "--trainer.accelerator=cpu", "--trainer.devices=2"]
STREAMING = ("train_dataloader_next", "batch_to_device")


def measure(words: list[str], folder: str) -> dict[str, Any]:
    """Run a fit in this process and read its profiler and its clock."""
    from lightning.pytorch import Callback
    from lightning.pytorch.profilers import SimpleProfiler

    from sat3d.commands.trainer import SatCLI

    ends: list[float] = []

    class Clock(Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            ends.append(time.time())

    class Door(SatCLI):
        def instantiate_trainer(self, **kwargs: Any) -> Any:
            trainer = super().instantiate_trainer(**kwargs)
            trainer.callbacks.insert(0, Clock())
            trainer.profiler = SimpleProfiler()
            return trainer

    cli = Door.open(["fit", *words, "--run.dir", f"{folder}/{os.environ.get('LOCAL_RANK', 0)}"])
    half = len(ends) // 2
    steps = [b - a for a, b in zip(ends[half - 1 : -1], ends[half:], strict=True)]
    spent: dict[str, float] = {}
    for action, seconds in cli.trainer.profiler.recorded_durations.items():  # type: ignore[attr-defined]
        if len(seconds) >= len(ends):  # once a step; the last half, as above
            each = len(seconds) // len(ends)
            spent[action] = sum(seconds[-each * len(steps) :]) / len(steps)
    step = statistics.fmean(steps)
    streaming = sum(s for action, s in spent.items() if action.endswith(STREAMING))
    parts = {name: _share(spent, name, step) for name in ("training_step", "backward", "optimizer_step")}
    return {
        "batch": int(cli.datamodule.batch_size),
        "steps": len(steps),
        "step_s": step,
        "samples_per_s": cli.datamodule.batch_size / step,
        "first_step_s": ends[0] - float(os.environ["STARTED"]),
        "streaming": streaming / step,
        "parts": parts,
        "durations": [round(seconds, 4) for seconds in steps],
    }


def _share(spent: dict[str, float], name: str, step: float) -> float:
    """Return the share of a strategy's or module's own action; `optimizer_step` contains the others."""
    found = [s for action, s in spent.items() if action.endswith(f".{name}") and "Callback" not in action]
    return max(found, default=0.0) / step


def started(words: list[str], threads: int, folder: str) -> subprocess.Popen[str]:
    """Start a measurement in a process of its own."""
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "STARTED": str(time.time()), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, "--one", json.dumps(words), folder]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(child: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a measurement.

    Raises:
        RuntimeError: if it failed.
    """
    out, err = child.communicate()
    if child.returncode:
        raise RuntimeError(err[-3000:])
    return dict(json.loads(next(line for line in out.splitlines() if line.startswith('{"batch"'))))


def words_of(case: str, steps: int | None = None) -> list[str]:
    """Return the options of a case's fit."""
    name, own, more = CASES[case]
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]
    quiet += ["--trainer.limit_val_batches=0", f"--trainer.max_steps={steps or own}", "--trainer.callbacks=[]"]
    if name.startswith("pretraining"):
        quiet.append("--model.init_args.export.enabled=false")
    return ["--config", f"experiments/{name}.yaml", *more, *quiet]


def study_steps(cases: list[str], threads: int) -> dict[str, Any]:
    """Measure every trainer."""
    rows = {}
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            found = finished(started(words_of(case), threads, folder))
        rows[case] = found
        parts = ", ".join(f"{name} {share:.0%}" for name, share in found["parts"].items())
        del found["durations"]
        print(
            f"{case:26} {found['samples_per_s']:9.1f} samples/s  step {1e3 * found['step_s']:8.1f} ms  "
            f"first step {found['first_step_s']:5.1f} s  streaming {found['streaming']:.2%}  {parts}",
            flush=True,
        )
    return rows


def study_scaling(repeats: int, steps: int) -> dict[str, Any]:
    """Measure SAT3D under DDP on two processes against two independent runs."""
    words, rows = words_of("SAT3D", steps), []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            both = [started(words, 1, f"{folder}/{k}") for k in range(2)]
            alone = [finished(child) for child in both]
            joined = finished(started([*words, *TWO], 1, folder))
        independent = sum(run["samples_per_s"] for run in alone)
        pairs = list(zip(*(run["durations"] for run in alone), strict=True))
        lockstep = statistics.fmean(map(statistics.fmean, pairs)) / statistics.fmean(map(max, pairs))
        ddp = 2 * joined["samples_per_s"]
        told = {"independent_samples_per_s": independent, "ddp_samples_per_s": ddp, "ratio": ddp / independent}
        rows.append({**told, "lockstep": lockstep})
        print(
            f"two runs {independent:.2f} samples/s, DDP {ddp:.2f}: {ddp / independent:.3f}, lockstep {lockstep:.3f}",
            flush=True,
        )
    return {"repeats": rows, "ratio": statistics.median(row["ratio"] for row in rows)}


def study_exactness(steps: int = 50) -> dict[str, Any]:
    """Compare the masks of two processes, and of initial weights with other last digits, with those of one process."""
    import torch

    demo = ["--config", "experiments/toyfaces/demo.yaml", "--trainer.callbacks=[]", "--trainer.limit_val_batches=0"]
    demo += ["--trainer.accelerator=cpu", f"--trainer.max_steps={steps}", "--trainer.enable_progress_bar=false"]
    nudge = ["--model.init_args.init_std=0.010000001"]
    ways = {"one process": [], "two processes": [*TWO, "--data.init_args.batch_size=4"], "last digits": nudge}
    masks = {}
    for way, more in ways.items():
        with tempfile.TemporaryDirectory() as folder:
            finished(started([*demo, *more], 1, folder))
            last = torch.load(f"{folder}/0/checkpoints/last.ckpt", weights_only=True)
            masks[way] = last["editor"]["tensors"]["masks"]
    found = {}
    for way in ("two processes", "last digits"):
        apart = (masks[way] - masks["one process"]).abs()
        found[way] = {"most": float(apart.max()), "share_above_1e-5": float((apart > 1e-5).float().mean())}
        print(f"{way}: masks differ by {apart.max():.1e} at most, {(apart > 1e-5).float().mean():.2%} above 1e-5")
    return found


def main() -> None:
    """Run a study and write its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", choices=("steps", "scaling", "exactness"), default="steps")
    parser.add_argument("--cases", default="", help="only the cases that contain this")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="of the scaling study")
    parser.add_argument("--steps", type=int, default=40, help="of the scaling study; the last half counts")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    parser.add_argument("--one", nargs=2, metavar=("WORDS", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        found = measure(json.loads(args.one[0]), args.one[1])
        if int(os.environ.get("LOCAL_RANK", 0)) == 0:
            print("\n" + json.dumps(found), flush=True)
        return
    from benchmarks.generators import hardware

    studies = {
        "steps": lambda: study_steps([case for case in CASES if args.cases in case], args.threads),
        "scaling": lambda: study_scaling(args.repeats, args.steps),
        "exactness": study_exactness,
    }
    result = studies[args.study]()
    if args.out:
        about = {"date": date.today().isoformat(), "hardware": hardware("cpu"), "threads": args.threads}
        args.out.write_text(json.dumps({**about, args.study: result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
