"""StyleAE, StyleFlow and PluGeN on the same 10,000 labelled codes: success, what else changes, and seconds.

    python benchmarks/labelled.py --study methods      # train all, three seeds, one core each; grade; hours
    python benchmarks/labelled.py --study attributes   # all attributes of the world, and widths
    python benchmarks/labelled.py --study ablations    # layers, width and λ of StyleAE

Everything goes through `lightning fit` and `sat3d success`, two runs at a time with one thread each; what a stopped
study has trained and graded is not done again. `--table` writes docs/benchmarks/labelled.json from what there is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tqdm.auto import tqdm

EIGHT = "[hair_length, glasses, smile, mouth_open, beard, moustache, eyebrows, hat]"
MODEL, DATA, CALLBACKS = "model.init_args", "data.init_args", "trainer.callbacks"
RESULTS = Path("docs/benchmarks/labelled.json")
EVERY_5 = [f"{percent:03d}" for percent in range(5, 101, 5)]


@dataclass(frozen=True)
class Training:
    """Say how one editor is trained: an experiment, and what differs from it."""

    name: str
    experiment: str
    settings: dict[str, object] = field(default_factory=dict)
    seeds: Sequence[int] = (0, 1, 2)
    budget_s: float = 480


METHODS = [
    Training("StyleAE, codes", "styleae-code"),
    Training("StyleFlow", "styleflow"),
    Training("PluGeN", "plugen"),
    Training("StyleAE, pictures", "styleae"),
    Training("StyleAE, pictures after codes", "styleae", {f"{MODEL}.code_steps": 3000}),
]


def attribute_trainings() -> list[Training]:
    """Return trainings on 8 and on all 21 attributes, each with three widths."""
    found = []
    for method, experiment, option in (
        ("StyleAE, codes", "styleae-code", "[{0}, {0}, {0}]"),
        ("PluGeN", "plugen", "{0}"),
        ("StyleFlow", "styleflow", "[{0}, {0}, {0}]"),
    ):
        widths = (32, 64, 128) if method == "StyleFlow" else (64, 256, 512)
        for count in (8, 21):
            for width in widths:
                settings: dict[str, object] = {f"{MODEL}.hidden": option.format(width)}
                if count == 21:
                    settings[f"{DATA}.labels"] = "null"
                found.append(Training(f"{method}; {count} attributes; {width}", experiment, settings, budget_s=120))
    return found


def ablation_trainings() -> list[Training]:
    """Return layers × width × λ on the code loss, and four of them on pictures after a start on codes."""
    found = []
    for layers in (1, 3, 5):
        for width in (64, 256):
            for weight in (0.1, 0.3, 0.9):
                settings: dict[str, object] = {
                    f"{MODEL}.hidden": str([width] * layers),
                    f"{MODEL}.label_weight": weight,
                }
                name = f"{layers} × {width}, λ {weight}"
                found.append(Training(f"codes; {name}", "styleae-code", settings, (0,), 90))
                if layers != 5 and width == 256 and weight != 0.1:
                    settings = {**settings, f"{MODEL}.code_steps": 3000}
                    found.append(Training(f"pictures; {name}", "styleae", settings, (0,), 240))
    return found


STUDIES = {"methods": lambda: METHODS, "attributes": attribute_trainings, "ablations": ablation_trainings}


def folder_of(root: Path, one: Training, seed: int) -> Path:
    """Return the run folder of a training."""
    return root / one.name.replace("; ", "-").replace(", ", "-").replace(" × ", "x").replace(" ", "_") / str(seed)


def run(words: list[str], log: Path) -> None:
    """Run the door with one thread, its output into a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with log.open("w") as file:
        done = subprocess.run(
            [sys.executable, "-m", "sat3d.cli", *words], stdout=file, stderr=file, env=os.environ | threads
        )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\nfailed: see {log}")


def train(root: Path, one: Training, seed: int) -> None:
    """Train an editor, unless that has been done."""
    folder = folder_of(root, one, seed)
    if (folder / "editor/card.json").is_file():
        return
    log = f"logs/{folder.parent.name}-{seed}"
    callbacks = [
        {
            "class_path": "sat3d.callbacks.TimedEditors",
            "init_args": {"budget_s": one.budget_s, "editors": 20, "clock": "processor"},
        },
        {"class_path": "sat3d.callbacks.Summary"},
    ]
    settings = {
        f"{MODEL}.seed": seed,
        f"{DATA}.seed": seed,
        f"{DATA}.labels": EIGHT,
        **one.settings,
        "trainer.accelerator": "cpu",
        "trainer.enable_progress_bar": "false",
        CALLBACKS: json.dumps(callbacks),
    }
    configs = [f"--config=experiments/toyfaces/{one.experiment}.yaml", "--config=experiments/trainer/timed.yaml"]
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped: it had minutes
    run(["fit", *configs, *(f"--{k}={v}" for k, v in settings.items()), f"--run.dir={folder}"], root / f"{log}.log")


def grade(root: Path, one: Training, seed: int, split: str, count: int, editor: str = "editor") -> float:
    """Grade an editor, unless that has been done; return its success.

    Args:
        root: of the study.
        one: its training.
        seed: of the training.
        split: `test`: the judge decides. `val`: the labeller does, of whose verdict the judge hears nothing.
        count: codes.
        editor: folder in the run.
    """
    folder = folder_of(root, one, seed)
    out = folder / "graded" / f"{split}-{editor.replace('/', '-')}"
    if not (out / "successes.json").is_file():
        judge = "toyfaces-judge" if split == "test" else "toyfaces-labeller"
        words = [f"--runs=[{folder / editor}]", f"--names=['{one.name}']", f"--split={split}", f"--count={count}"]
        examples = 3 if split == "test" else 0
        run(["success", *words, f"--judge={judge}", f"--examples={examples}", f"--out={out}"], out / "log")
    (summary,) = json.loads((out / "successes.json").read_text()).values()
    return float(summary["success"][0])


def main() -> None:
    """Train and grade."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", choices=STUDIES, default="methods")
    parser.add_argument("--seeds", type=int, default=3, help="of the trainings; studies with fewer keep theirs")
    parser.add_argument("--folder", type=Path, default=Path("runs/labelled"), help="runs and grades")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--count", type=int, default=100, help="test codes")
    asked = parser.parse_args()
    root = asked.folder / asked.study
    trainings = STUDIES[asked.study]()
    work = [(one, seed) for seed in range(asked.seeds) for one in trainings if seed in one.seeds]
    with ThreadPoolExecutor(asked.jobs) as pool:
        jobs = [pool.submit(train, root, one, seed) for one, seed in work]
        for job in tqdm(jobs, desc="Training"):
            job.result()
        jobs = [pool.submit(grade, root, one, seed, "test", asked.count) for one, seed in work]
        for job in tqdm(jobs, desc="Grading"):
            job.result()


if __name__ == "__main__":
    main()
