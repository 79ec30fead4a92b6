"""StyleAE, StyleFlow and PluGeN on the same 10,000 labelled codes: success, what else changes, and seconds.

    python benchmarks/labelled.py --study methods      # train all, three seeds, one core each; grade; hours
    python benchmarks/labelled.py --study attributes   # all attributes of the world, and widths
    python benchmarks/labelled.py --study ablations    # layers, width and λ of StyleAE
    python benchmarks/labelled.py --study baselines    # methods that are fitted in closed form, on the same test codes

Everything goes through `lightning fit` and `sat3d success`, two runs at a time with one thread each; what a stopped
study has trained and graded is not done again. docs/benchmarks/labelled.json takes what comes out.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path

from tqdm.auto import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sat3d.evaluation.roster import fit_editor, run_door
from sat3d.evaluation.success.table import difference, markdown, summarise

EIGHT = "[hair_length, glasses, smile, mouth_open, beard, moustache, eyebrows, hat]"
EDITABLE = EIGHT[:-1] + ", hair_colour, hair_curl, shirt_colour, hat_colour, background]"
MODEL, DATA, CALLBACKS = "model.init_args", "data.init_args", "trainer.callbacks"
CODES = "experiments/toyfaces/styleae-code.yaml"  # the 10,000 labelled codes, of which the last 500 are tested
RESULTS = Path("docs/benchmarks/labelled.json")
VALIDATION = 12


@dataclass(frozen=True)
class Training:
    """Say how one editor is trained, and how it is graded.

    Args:
        name: of the method.
        experiment: its YAML.
        settings: what differs from it.
        seeds: of the trainings.
        budget_s: processor seconds; `None` for what ends by itself.
        count: test codes.
        identity: tell how far identities move; not where their attributes are edited.
        varies: the option that a seed sets, beside the codes' order; of which codes or what chance decides.
        strengths: of the search, a grid; the command's own if not given.
        graded: attributes; all that the editor knows if not given.
    """

    name: str
    experiment: str
    settings: dict[str, object] = field(default_factory=dict)
    seeds: Sequence[int] = (0, 1, 2)
    budget_s: float | None = 300
    count: int = 64
    identity: bool = True
    varies: Sequence[str] = (f"{MODEL}.seed", f"{DATA}.seed")
    strengths: str | None = None
    graded: str | None = None


METHODS = [
    Training("StyleAE, codes", "styleae-code"),
    Training("StyleFlow", "styleflow"),
    Training("PluGeN", "plugen"),
    Training("StyleAE, pictures", "styleae"),
    Training("StyleAE, pictures after codes", "styleae", {f"{MODEL}.code_steps": 3000}),
]


def attribute_trainings() -> list[Training]:
    """Return trainings on 8, on the 13 editable and on all 21 attributes of the world, graded on the 8 of all."""
    labels = {8: EIGHT, 13: EDITABLE, 21: "null"}
    found = []
    for method, experiment, width, count in (
        *(("StyleAE, codes", "styleae-code", 64, count) for count in (8, 21)),
        *(("StyleAE, codes", "styleae-code", 256, count) for count in labels),
        *(("PluGeN", "plugen", 256, count) for count in (8, 21)),
        *(("StyleFlow", "styleflow", 64, count) for count in (8, 21)),
    ):
        hidden = width if method == "PluGeN" else [width] * 3
        settings: dict[str, object] = {f"{MODEL}.hidden": hidden, f"{DATA}.labels": labels[count]}
        name = f"{method}; {count} attributes; width {width}"
        found.append(Training(name, experiment, settings, budget_s=60, count=12, identity=False, graded=EIGHT))
    return found


def ablation_trainings() -> list[Training]:
    """Return layers × width × λ on the code loss, and four of them on pictures after a start on codes."""
    found = []
    for layers in (1, 3, 5):
        for width in (64, 256):
            for weight in (0.1, 0.3, 0.9):
                settings: dict[str, object] = {f"{MODEL}.hidden": [width] * layers, f"{MODEL}.label_weight": weight}
                name = f"{layers} × {width}; λ {weight}"
                found.append(Training(f"codes; {name}", "styleae-code", settings, (0,), 30, 12))
                if layers != 5 and width == 256 and weight != 0.1:
                    settings = {**settings, f"{MODEL}.code_steps": 3000}
                    found.append(Training(f"pictures; {name}", "styleae", settings, (0,), 120, 12))
    return found


def baseline_trainings() -> list[Training]:
    """Return one fit of each closed-form method for each seed; graded with a grid wide enough for channels, too."""
    stream, model = (f"{DATA}.seed",), (f"{MODEL}.seed",)
    nothing: dict[str, object] = {}
    methods = [
        ("InterFaceGAN, w", "interfacegan", nothing, model),
        ("InterFaceGAN, w, the others kept", "interfacegan", {f"{MODEL}.keep": "everything"}, model),
        ("InterFaceGAN, s", "interfacegan-s", nothing, model),
        ("GANSpace", "ganspace", nothing, stream),
        ("SeFa", "sefa", nothing, stream),
        ("StyleCLIP", "styleclip", nothing, stream),
        ("Editing in Style", "editing-in-style", nothing, stream),
    ]
    grid = "[0.25,0.5,1,2,4,8,16,32]"
    found = []
    for name, experiment, settings, varies in methods:
        unseen = {} if varies == model else {f"{MODEL}.labeller": "null"}  # nothing is graded on the way
        options = {"varies": varies, "strengths": grid, "graded": EIGHT}
        found.append(Training(name, experiment, {**settings, **unseen}, (1, 2, 3), None, 32, **options))
    return found


STUDIES: dict[str, Callable[[], list[Training]]] = {
    "methods": lambda: METHODS,
    "attributes": attribute_trainings,
    "ablations": ablation_trainings,
    "baselines": baseline_trainings,
}


def folder_of(root: Path, one: Training, seed: int) -> Path:
    """Return the run folder of a training."""
    return root / one.name.replace("; ", "-").replace(", ", "-").replace(" × ", "x").replace(" ", "_") / str(seed)


def train(root: Path, one: Training, seed: int) -> None:
    """Train an editor with one thread, unless that has been done."""
    folder = folder_of(root, one, seed)
    configs = [f"experiments/toyfaces/{one.experiment}.yaml"]
    settings: dict[str, object] = {**dict.fromkeys(one.varies, seed), "trainer.accelerator": "cpu"}
    if one.budget_s is not None:
        settings |= {f"{DATA}.labels": EIGHT, CALLBACKS: timed(one.budget_s)}
        configs.append("experiments/trainer/timed.yaml")
    fit_editor(configs, settings | one.settings, folder, root / f"logs/{folder.parent.name}-{seed}.log")


def timed(budget_s: float) -> list[dict[str, object]]:
    """Return callbacks that stop a training, and keep editors on the way."""
    return [
        {
            "class_path": "sat3d.callbacks.TimedEditors",
            "init_args": {"budget_s": budget_s, "editors": 20, "clock": "processor"},
        },
        {"class_path": "sat3d.callbacks.Summary"},
    ]


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
        words += [] if one.identity else ["--identity=null"]
        if one.budget_s is None:
            words.append(f"--codes={CODES}")
        words += [] if one.graded is None else [f"--attributes={one.graded}"]
        words += [] if one.strengths is None else [f"--strengths={one.strengths}"]
        run_door(["success", *words, f"--judge={judge}", f"--examples={examples}", f"--out={out}"], out / "log")
    (summary,) = json.loads((out / "successes.json").read_text()).values()
    return float(summary["success"][0])


def means(work: Sequence[tuple[Training, int]], values: Sequence[object]) -> dict[str, float]:
    """Return the mean over seeds, by method."""
    names = dict.fromkeys(one.name for one, _ in work)
    told = [(one.name, float(str(value))) for (one, _), value in zip(work, values, strict=True)]
    return {name: statistics.fmean(v for n, v in told if n == name) for name in names}


def seconds_to(root: Path, one: Training, seed: int, wanted: float) -> float | None:
    """Return the training seconds after which the success on validation codes is first what is wanted."""
    for percent in range(5, 101, 5):
        editor = f"editors/{percent:03d}"
        if grade(root, one, seed, "val", VALIDATION, editor) >= wanted:
            return float(json.loads((folder_of(root, one, seed) / editor / "card.json").read_text())["seconds"])
    return None


def report(root: Path, work: Sequence[tuple[Training, int]]) -> dict[str, object]:
    """Return summaries of all methods, their table, and their paired differences."""
    rows: list[dict[str, str | float]] = []
    facts: dict[str, dict[str, str]] = {}
    for one, seed in work:
        folder = folder_of(root, one, seed)
        graded = folder / "graded/test-editor"
        with (graded / "successes.csv").open() as file:
            rows += [{**row, "seed": str(seed)} for row in csv.DictReader(file)]
        told = json.loads((folder / "fit.json").read_text())
        (summary,) = json.loads((graded / "successes.json").read_text()).values()
        new = {**summary["facts"], "steps": f"{told['steps']:,}", "fit, s": f"{told['seconds']:.0f}"}
        old = facts.setdefault(one.name, new)
        for key in ("ms per edit", "ms, batch"):  # the least of the seeds': others had more company on the machine
            old[key] = min(old[key], new[key], key=float)
    found = summarise(rows)
    measures = ("success", *next(iter(found.values())).own)
    gaps = {f"{a} − {b}": {m: difference(rows, a, b, m) for m in measures} for a, b in combinations(found, 2)}
    summaries = {name: asdict(one) | {"facts": facts[name]} for name, one in found.items()}
    return {"summaries": summaries, "differences": gaps, "table": markdown(found, facts)}


def main() -> None:
    """Train and grade."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", choices=STUDIES, default="methods")
    parser.add_argument("--seeds", type=int, default=3, help="of the trainings; studies with fewer keep theirs")
    parser.add_argument("--only", nargs="*", default=[""], help="methods whose names begin so")
    parser.add_argument("--folder", type=Path, default=Path("runs/labelled"), help="runs and grades")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--out", type=Path, default=RESULTS, help="what all studies found, as JSON")
    asked = parser.parse_args()
    root = asked.folder / asked.study
    trainings = [one for one in STUDIES[asked.study]() if one.name.startswith(tuple(asked.only))]
    work = [(one, seed) for k in range(asked.seeds) for one in trainings for seed in one.seeds[k : k + 1]]
    with ThreadPoolExecutor(asked.jobs) as pool:

        def each(what: str, does: Callable[[Training, int], object]) -> list[object]:
            jobs = [pool.submit(does, one, seed) for one, seed in work]
            return [job.result() for job in tqdm(jobs, desc=what)]

        each("Training", lambda one, seed: train(root, one, seed))
        each("Grading", lambda one, seed: grade(root, one, seed, "test", one.count))
        found = report(root, work)
        if asked.study == "methods":
            final = each("Validation", lambda one, seed: grade(root, one, seed, "val", VALIDATION))
            wanted = 0.8 * min(means(work, final).values())
            reached = each("Seconds", lambda one, seed: seconds_to(root, one, seed, wanted))
            seconds = {one.name: [s for (o, _), s in zip(work, reached, strict=True) if o is one] for one in trainings}
            found |= {"validation": means(work, final), "wanted": wanted, "seconds": seconds}
    told = json.loads(asked.out.read_text()) if asked.out.is_file() else {}
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(told | {asked.study: found}, indent=1) + "\n")
    print(found["table"])


if __name__ == "__main__":
    main()
