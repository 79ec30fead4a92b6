"""`compare`: methods on the same codes at an equal change of their targets, with intervals, pictures and a report."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sat3d.commands.companions import required
from sat3d.commands.seeds import device_of, writable
from sat3d.configs import find_config
from sat3d.modules import import_modules
from sat3d.shipped import companion

if TYPE_CHECKING:
    from sat3d.evaluation.comparison.plan import Entry

Plain = None | bool | int | float | str | list | dict  # type: ignore[type-arg]
"""A setting as YAML has it. (jsonargparse would make an object of an `Any` with a class path.)"""


@dataclass
class Method:
    """Name a method by how its editors come about: trained from configs, or runs that are there.

    Args:
        config: Experiment, or several that stack; trained once for each seed, and then reused.
        options: Settings in place of the configs' own, by dotted name.
        varies: Settings that take the seed.
        runs: Run folders in place of training, one for each seed.
    """

    config: str | list[str] | None = None
    options: dict[str, Plain] = field(default_factory=dict)
    varies: list[str] = field(default_factory=list)
    runs: list[str] | None = None

    @property
    def configs(self) -> list[str]:
        """The experiments, as a list."""
        return [self.config] if isinstance(self.config, str) else list(self.config or ())


@dataclass
class Search:
    """Say how strengths are matched.

    Args:
        wanted: Probability of a class that an edit must reach; continuous attributes must reach a reference's value.
        trials: Renderings of a code by the search, at most.
        tolerance: Share of the change that may be missing.
    """

    wanted: float = 0.8
    trials: int = 5
    tolerance: float = 0.1


PASSED_ON = ("seeds", "quick", "train_only", "marked", "jobs", "device")
"""What may be said of all domains at once; the rest is said in each one's config."""


def main(
    methods: dict[str, Method] = {},  # noqa: B006 - never changed
    domains: dict[str, str] = {},  # noqa: B006 - never changed
    generator: str = "toyfaces64",
    attributes: list[str] | None = None,
    labeller: str | None = None,
    judge: str | None = None,
    identity: str | None = "own",
    perceptual: str | None = "own",
    parser: str | None = "own",
    parts: dict[str, list[str]] | None = None,
    world: bool = False,
    codes: int = 100,
    references: int = 200,
    order: int = 24,
    truth: int = 24,
    clip: str | None = "own",
    seeds: list[int] = [1, 2, 3],  # noqa: B006 - never changed
    truncation: float = 1.0,
    yaw: tuple[float, float] | Literal["near"] | None = "near",
    pitch: tuple[float, float] | Literal["near"] | None = "near",
    other_yaw: float = 0.3,
    seed: int = 0,
    search: Search = Search(),  # noqa: B008 - never changed
    examples: int = 4,
    clips: list[str] = [],  # noqa: B006 - never changed
    title: str = "Attribute editing, compared at an equal change",
    marked: bool = False,
    quick: bool = False,
    train_only: bool = False,
    editors: str = "runs/editors",
    modules: list[str] = [],  # noqa: B006 - never changed
    jobs: int | None = None,
    device: str = "cpu",
    out: str = "runs/compare",
) -> None:
    """Compare methods fairly: same codes, cameras and references, each edit as strong as its code needs.

    What is missing is trained first. A code is asked for what it does not show; the labeller's reading of a reference
    is what each method must reach, and sets its strength; all else is measured there. A stopped comparison goes on
    where it was. Writes report.html (pictures, sliders, clips, curves, tables), results.json, edits.csv, table.md.
    Of several domains each is compared as its own config says, and one report.html has a tab for each.

    Args:
        methods: By name, see each; those that look at references and those that are told values may be mixed.
        domains: By name, configs of comparisons in place of methods; what goes with them is title, out, seeds,
            quick, train_only, marked, jobs and device.
        generator: Name or file.
        attributes: What is edited; all that labeller, judge and methods share, if not given.
        labeller: Attribute predictor that chooses strengths; what is shipped for the generator, if not given.
        judge: Attribute predictor that grades, likewise; one that taught a method is refused.
        identity: Identity embedder, also a TorchScript file of an ArcFace (.pt); own is what is shipped for the
            generator (if there is any), here and below; null leaves identities out.
        perceptual: lpips, or an observer whose activations serve in its place (own is the judge); null leaves the
            distance out.
        parser: Part parser that tells regions; null leaves locality out.
        parts: By attribute, the parser's parts in which it shows; the embedded world's own if not given.
        world: Compare with the ideal edits of the embedded world (its generators only, truncation 1).
        codes: Held-out codes, of the test stream.
        references: Codes of the validation stream, from which references are drawn.
        order: Codes on which A then B is held against B then A.
        truth: With world, codes on which measures are held against the truth; 0 leaves that out.
        clip: Text-image model that is held against it, too; or null.
        seeds: Trainings of each method.
        truncation: Truncation ψ of the codes.
        yaw: Camera range in radians; null for the generator's own, near for ±0.35 around its view (its own, where
            cameras stand on all sides).
        pitch: The same; near is ±0.25.
        other_yaw: How far to the other side the second camera stands, radians; how far on, where they stand all round.
        seed: Of the streams of codes.
        search: Of strengths.
        examples: Codes whose edits the report shows.
        clips: Attributes whose edits of the first code the report shows from all sides; 3-D only.
        title: Of the report.
        marked: Mark the cells of a judge that taught a method, rather than refuse it.
        quick: One seed and 24 codes.
        train_only: Train what is missing, tell what it took, and stop.
        editors: Folder of the trained runs.
        modules: Modules of yours to import first, where editors are of classes of your own; looked for here, too.
        jobs: Processes of one thread each; as many as there are cores, one on a GPU, if not given.
        device: Where to compute.
        out: Folder for the results.
    """
    if domains:
        _compare_domains(dict(locals()))
        return
    if not methods:
        raise ValueError("methods: name at least one, with a config or with runs; or name domains")
    for name, method in methods.items():
        if (method.config is None) == (method.runs is None):
            raise ValueError(f"methods.{name}: give either config (trained when missing) or runs (that are there)")
        if method.runs is not None and len(method.runs) < len(seeds):
            raise ValueError(f"methods.{name}.runs: {len(method.runs)} runs for {len(seeds)} seeds")
    if world and truncation != 1:
        raise ValueError(f"truncation={truncation}: the ideal edit is known for 1 only; set --world false for others")
    if quick:
        seeds, codes, order, truth = seeds[:1], min(codes, 24), min(order, 12), min(truth, 12)
    where = str(device_of(device))
    workers = jobs or (1 if where.startswith("cuda") else os.cpu_count() or 1)
    folder = writable(out)

    import_modules(modules)
    entries, seconds = _trained(methods, seeds, Path(editors), workers)
    if train_only:
        print(f"{editors}: {len(entries)} editors; trained now: {len(seconds)}, in {sum(seconds):.0f} s of processes")
        return

    from sat3d.evaluation.comparison.plan import Plan
    from sat3d.evaluation.comparison.protocol import Rules

    labeller, judge = labeller or required(generator, "labeller"), judge or required(generator, "judge")
    identity, parser, clip = (
        companion(generator, role) if name == "own" else name
        for role, name in (("identity", identity), ("parser", parser), ("clip", clip))
    )
    perceptual = companion(generator, "judge") if perceptual == "own" else perceptual
    names = attributes or _shared_attributes(entries, generator, labeller, judge)
    rules = Rules(search.wanted, trials=search.trials, tolerance=search.tolerance)
    plan = Plan(
        generator=generator, attributes=tuple(names), labeller=labeller, judge=judge, identity=identity,
        perceptual=perceptual, parser=parser, parts=parts, world=world, codes=codes, references=references,
        order=order, truth=truth, clip=clip, truncation=truncation, **_ranges(generator, yaw, pitch),
        other_yaw=other_yaw,
        seed=seed, rules=rules,
    )  # fmt: skip
    from sat3d.evaluation.comparison.compare import compare

    command = "sat3d compare " + " ".join(sys.argv[2:]) if "compare" in sys.argv[1:2] else "sat3d compare"
    table = compare(
        plan, entries, folder, jobs=workers, device=where, title=title, command=command, examples=examples,
        clips=clips, strict=not marked, modules=modules,
    )  # fmt: skip
    print(table)
    print(f"{folder}: report.html, results.json, edits.csv, table.md, pictures/")


def _compare_domains(asked: dict[str, Any]) -> None:
    """Compare within each domain, as its config says, and write one report of all."""
    from inspect import signature

    from jsonargparse import ArgumentError, ArgumentParser

    from sat3d.evaluation.comparison.domains import addresses, write_domains

    given = {name: asked[name] for name, p in signature(main).parameters.items() if asked[name] != p.default}
    if unknown := given.keys() - {"domains", "title", "out", *PASSED_ON}:
        raise ValueError(f"{', '.join(sorted(unknown))}: cannot be said of all domains; say it in their configs")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_function_arguments(main)
    folder = writable(asked["out"])
    plans = {}
    for address, (name, config) in zip(addresses(asked["domains"]), asked["domains"].items(), strict=True):
        try:  # all, before any is begun
            plan = parser.instantiate_classes(parser.parse_path(find_config(config))).as_dict()
        except ArgumentError as error:
            raise ValueError(f"domains.{name}: {config}: {error}") from error
        if plan["domains"] or not plan["methods"]:
            raise ValueError(f"domains.{name}: {config} must name methods, and no domains")
        plans[name] = plan | {key: given[key] for key in PASSED_ON if key in given}
        if asked["quick"]:  # what is there at full length stays
            plans[name]["out"] = str(folder / address)
    if len({folder.resolve(), *(Path(plan["out"]).resolve() for plan in plans.values())}) <= len(plans):
        raise ValueError("out: each domain, and the report of all, needs a folder of its own")
    for name, plan in plans.items():
        print(f"{name}:")
        main(**plan)
    if not asked["train_only"]:
        print(write_domains({name: Path(plan["out"]) for name, plan in plans.items()}, folder, asked["title"]))
        size = (folder / "report.html").stat().st_size / 1e6
        print(f"{folder}: report.html ({size:.1f} MB, {', '.join(plans)}), table.md")


def _ranges(generator: str, yaw: Any, pitch: Any) -> dict[str, tuple[float, float] | None]:
    """Return the camera ranges in numbers, so that a comparison tells what they were."""
    from sat3d.generators import load_generator

    own = load_generator(generator).cameras
    if own is None:
        return {name: None if asked == "near" else asked for name, asked in (("yaw", yaw), ("pitch", pitch))}
    within = own.within(yaw, pitch)
    return {"yaw": within.yaw, "pitch": within.pitch}


def _trained(
    methods: dict[str, Method], seeds: list[int], editors: Path, jobs: int
) -> tuple[list["Entry"], list[float]]:
    """Train what is missing, several at a time; return the runs, and the seconds of those that were trained."""
    from concurrent.futures import ThreadPoolExecutor, as_completed

    from tqdm.auto import tqdm

    from sat3d.evaluation.comparison.plan import Entry
    from sat3d.evaluation.comparison.work import timed
    from sat3d.evaluation.roster import find_run, fit_editor, slug

    entries, missing = [], []
    for name, method in methods.items():
        for i, seed in enumerate(seeds):
            run = editors / slug(name) / str(seed) if method.runs is None else Path(method.runs[i])
            entries.append(Entry(name, seed, run))
            if method.runs is None:
                configs = [str(find_config(config)) for config in method.configs]
                options = {**method.options, **dict.fromkeys(method.varies, seed)}
                missing.append((configs, options, run, editors / f"logs/{slug(name)}-{seed}.log"))
    seconds: list[float] = []

    def train(work: tuple[list[str], dict[str, Any], Path, Path]) -> None:
        done: list[bool] = []
        took = timed(lambda: done.append(fit_editor(*work)))
        if done[0]:
            seconds.append(took)

    with ThreadPoolExecutor(jobs) as pool:
        work = [pool.submit(train, one) for one in missing]
        try:
            for done in tqdm(as_completed(work), total=len(work), desc="Editors", disable=not missing):
                done.result()
        except BaseException:  # what has not begun is left
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for entry in entries:
        find_run(entry.run)
    return entries, seconds


def _shared_attributes(entries: list["Entry"], generator: str, labeller: str, judge: str) -> list[str]:
    from sat3d.evaluation import shared_attributes
    from sat3d.evaluation.roster import find_run
    from sat3d.generators import load_generator
    from sat3d.methods import load_editor
    from sat3d.perception import Scorer, load_observer

    net = load_generator(generator)
    loaded = [load_editor(find_run(entry.run).editor, net) for entry in entries]
    scorers = [one for name in (labeller, judge) if isinstance(one := load_observer(name), Scorer)]
    if len(scorers) < 2:
        raise ValueError(f"labeller={labeller!r}, judge={judge!r}: both must be attribute predictors")
    return shared_attributes(loaded, *scorers)
