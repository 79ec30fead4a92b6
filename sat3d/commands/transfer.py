"""`transfer`: editors against copying, chance and the ideal edit, at equal drift."""

from __future__ import annotations

from typing import Literal

from sat3d.commands.companions import required
from sat3d.commands.seeds import writable
from sat3d.modules import import_modules


def main(
    editors: list[str],
    names: list[str] | None = None,
    generator: str = "toyfaces64",
    judge: str | None = None,
    attributes: list[str] | None = None,
    strengths: list[float] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0],  # noqa: B006 - never changed
    pairs: int = 100,
    batch_size: int = 20,
    truncation: float = 1.0,
    yaw: tuple[float, float] | Literal["near"] | None = "near",
    pitch: tuple[float, float] | Literal["near"] | None = "near",
    seed: int = 0,
    ideal: bool = True,
    modules: list[str] = [],  # noqa: B006 - never changed
    device: str = "cpu",
    out: str = "runs/transfer",
) -> None:
    """Let a judge compare editors with copying all channels, a random mask and the ideal edit, on held-out pairs.

    Writes curves.csv (gain and drift over strength), readings.csv and table.md. Methods are read at strength 1, and at
    equal drift: half of what copying drifts.

    Args:
        editors: Folders of editors, or checkpoints.
        names: What to call them; their folders' names if not given.
        generator: Name or file of the generator.
        judge: Attribute predictor that grades; the generator's own if not given (toycars-judge for toycars64).
        attributes: Targets; all that the editors and the judge share, if not given.
        strengths: Editing intensities of the curves, rising, with 1 among them.
        pairs: Number of held-out pairs, from the test stream.
        batch_size: Pairs at a time.
        truncation: Truncation ψ of the codes; 1 where the ideal edit is asked for.
        yaw: Camera range in radians; null for the generator's own, near for ±0.35 around its view.
        pitch: The same; near is ±0.25.
        seed: Of the stream and of the random masks.
        ideal: Compare with the ideal edit of the embedded world (its generators only).
        modules: Modules of yours to import first, where editors are of classes of your own; looked for here, too.
        device: Where to compute.
        out: Folder for the files.
    """
    import_modules(modules)
    names = names or [name.rstrip("/").removesuffix("/editor") for name in editors]
    if len(names) != len(editors) or len(set(names)) != len(names) or not names:
        raise ValueError(f"names: {len(names)} different names for {len(editors)} editors are needed")
    if 1.0 not in strengths or sorted(strengths) != strengths:
        raise ValueError(f"strengths={strengths} must rise and contain 1.0")
    if ideal and truncation != 1:
        raise ValueError(f"truncation={truncation}: the ideal edit is known for 1 only; set --ideal false for others")

    from tqdm.auto import tqdm

    from sat3d.data import StyleCodeDataModule
    from sat3d.evaluation import (
        IdealEdit,
        compare_transfer,
        copy_editor,
        markdown,
        participating,
        random_editor,
        write_results,
    )
    from sat3d.generators import load_generator
    from sat3d.methods import MaskEditor, load_editor
    from sat3d.methods.grading import picture_of
    from sat3d.perception import Scorer, load_observer

    net = load_generator(generator).to(device)
    judge = judge or required(generator, "judge")
    grader = load_observer(judge).to(device)
    if not isinstance(grader, Scorer):
        raise ValueError(f"judge={judge!r} is no attribute predictor")
    loaded = {name: load_editor(path, net).to(device) for name, path in zip(names, editors, strict=True)}
    shared = [a for a in grader.attributes if all(a in editor.attributes for editor in loaded.values())]
    if unknown := set(attributes or ()) - set(shared):
        raise ValueError(f"attributes: unknown {sorted(unknown)}; editors and judge share {', '.join(shared)}")
    targets = attributes or shared
    if not targets:
        raise ValueError("attributes: editors and judge share none")
    folder = writable(out)

    methods = {name: picture_of(net, editor) for name, editor in loaded.items()}
    first = next(iter(loaded.values()))
    if isinstance(first, MaskEditor):
        channels = participating(first, net)
        methods["random mask"] = picture_of(net, random_editor(first, channels, seed).to(device))
        methods["copy"] = picture_of(net, copy_editor(net, first.attributes, channels).to(device))
    ideals = {}
    if ideal:
        from sat3d.world import known_world

        world = known_world(net.name)
        ideals = {k: IdealEdit(world, g, net.resolution) for k, g in (("generator", net), ("world", None))}
        methods["ideal"] = ideals["generator"]
    data = StyleCodeDataModule(generator, seed=seed, truncation=truncation, yaw=yaw, pitch=pitch)
    starts = range(0, pairs, batch_size)
    batches = (data.pairs("test", range(i, min(i + batch_size, pairs)), device) for i in tqdm(starts, desc="Grading"))
    results = compare_transfer(methods, batches, net, grader, targets, strengths, ideals)
    write_results(results, folder)
    print(markdown(results))
    print(f"{folder}: curves.csv, readings.csv, table.md")
