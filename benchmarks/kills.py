"""Kill a run (SIGKILL) at random moments, go on with it each time, and compare its end with the uninterrupted run's.

    python benchmarks/kills.py                    # the demo, 100 kills, one process
    python benchmarks/kills.py --processes 2      # two processes (DDP over gloo), killed together

Everything is imported before the runs are forked, so that a life of the run lasts seconds and not half a minute.
"""

import argparse
import csv
import json
import os
import platform
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch

from sat3d.callbacks.checkpoints import is_readable
from sat3d.cli import main


def fit(
    words: list[str], log: Path, processes: int = 1, seconds: float | None = None, after: Path | None = None
) -> bool:
    """Run a command line of the door in forked processes, and kill them all after some seconds.

    Args:
        words: the command line.
        log: gets what they print.
        processes: how many.
        seconds: after which they are killed; `None` for never.
        after: the seconds count from the first change of this file on.

    Returns:
        Whether it came to its end before.

    Raises:
        RuntimeError: if it failed.
    """
    port = _free_port()
    children = [_forked(words, log, rank, processes, port) for rank in range(processes)]
    before, counting = _stamp(after), time.monotonic() if after is None else None
    left, failed = set(children), False
    while left:
        if counting is None and _stamp(after) != before:
            counting = time.monotonic()
        for child in list(left):
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                left.remove(child)
                failed |= status != 0
        if failed or (seconds is not None and counting is not None and time.monotonic() - counting >= seconds):
            break
        time.sleep(0.005)
    for child in left:
        os.kill(child, signal.SIGKILL)
    for child in left:
        os.waitpid(child, 0)
    if failed:
        raise RuntimeError(f"{' '.join(words)} failed: {log.read_text()[-2000:]}")
    return not left


def _stamp(path: Path | None) -> int:
    return path.stat().st_mtime_ns if path is not None and path.exists() else 0


def _forked(words: list[str], log: Path, rank: int, processes: int, port: int) -> int:
    if child := os.fork():
        return child
    try:
        with log.open("a") as file:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
                os.dup2(file.fileno(), stream.fileno())
        if processes > 1:  # what torchrun tells its processes
            told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
            told |= {"GROUP_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": port}
            os.environ.update({name: str(value) for name, value in told.items()})
            from lightning.pytorch.utilities import rank_zero_only

            rank_zero_only.rank = rank
        main(words)
    except BaseException as error:
        print(type(error).__name__, error, file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def lives(words: list[str], folder: Path, kills: int, seconds: float, processes: int = 1, seed: int = 0) -> dict:
    """Start a run and kill it at random moments, again and again; then let it come to its end.

    A fifth of the lives end at any moment of their first `seconds`, the others at any of the `seconds` after their
    first checkpoint, so that the run gets on. Checkpoints that cannot be read are counted after every kill.
    """
    draw, done, unreadable, steps = random.Random(seed), 0, 0, []
    last = folder / "run" / "checkpoints" / "last.ckpt"
    for _ in range(kills):
        after = None if draw.random() < 0.2 else last
        ended = fit(words, folder / "log", processes, draw.uniform(0, seconds), after)
        found = list((folder / "run" / "checkpoints").glob("[!.]*.ckpt"))
        unreadable += sum(not is_readable(path) for path in found)
        steps.append(torch.load(last, weights_only=True)["global_step"] if last.exists() else 0)
        if ended:
            break
        done += 1
    fit(words, folder / "log", processes)
    return {"kills": done, "unreadable": unreadable, "steps": steps}


def end_of(run: Path) -> dict:
    """Return what a run's last checkpoint holds that must not depend on kills."""
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    parts = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch", "editor")
    return {part: checkpoint[part] for part in parts if part in checkpoint}


def rows_of(run: Path) -> list[dict[str, str]]:
    """Return the rows of metrics.csv without what a clock tells."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in sorted(row.items()) if "second" not in k and v != ""} for row in rows]


def differing(one: object, other: object, at: str = "") -> list[str]:
    """Return the places in which two nested structures of tensors are not the same, bit by bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same = one.dtype == other.dtype and torch.equal(one.nan_to_num(-1.0), other.nan_to_num(-1.0))
        return [] if same else [at]
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [place for key in one for place in differing(one[key], other[key], f"{at}/{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [place for i, pair in enumerate(zip(one, other, strict=True)) for place in differing(*pair, f"{at}/{i}")]
    return [] if one == other else [at]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="experiments/toyfaces/demo.yaml")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=2.5, help="see `lives`")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a JSON file that gets the result")
    parser.add_argument("options", nargs="*", help="further options of the fit, after --")
    return parser.parse_args()


def measure(args: argparse.Namespace, folder: Path) -> dict:
    """Run the experiment uninterrupted, then with kills, and compare."""
    saves = "[{class_path: sat3d.callbacks.RunCheckpoints, init_args: {steps: 1}}]"
    words = ["fit", "--config", args.config, "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    words += [f"--trainer.callbacks={saves}", *args.options]
    if args.processes > 1:
        words += [f"--trainer.devices={args.processes}", "--trainer.strategy=ddp"]
    whole, killed = folder / "whole", folder / "killed"
    for path in (whole, killed):
        path.mkdir()
    started = time.monotonic()
    fit([*words, "--run.dir", str(whole / "run")], whole / "log", args.processes)
    seconds = time.monotonic() - started
    again = [*words, "--run.dir", str(killed / "run"), "--run.resume=true"]
    found = lives(again, killed, args.kills, args.seconds, args.processes, args.seed)
    return {
        "config": args.config,
        "processes": args.processes,
        "kills": found["kills"],
        "unreadable_checkpoints": found["unreadable"],
        "differing_tensors": len(differing(end_of(whole / "run"), end_of(killed / "run"))),
        "equal_metrics": rows_of(whole / "run") == rows_of(killed / "run"),
        "steps": end_of(killed / "run")["global_step"],
        "steps_at_kills": found["steps"],
        "seconds_uninterrupted": round(seconds, 1),
        "seconds_with_kills": round(time.monotonic() - started - seconds, 1),
        "machine": f"{platform.machine()}, torch {torch.__version__}",
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    import sat3d.callbacks
    import sat3d.commands.trainer
    import sat3d.data
    import sat3d.methods  # noqa: F401
    from sat3d.generators import load_generator  # memoised, so that the forks need not read it

    load_generator("toyfaces64")

    arguments, place = parse(), Path(tempfile.mkdtemp(prefix="sat3d-kills-"))
    result = measure(arguments, place)
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    failed = result["differing_tensors"] or not result["equal_metrics"] or result["unreadable_checkpoints"]
    if not failed:
        shutil.rmtree(place)
    sys.exit(bool(failed))
