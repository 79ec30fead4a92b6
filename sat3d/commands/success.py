"""`success`: editors of labelled codes, each edit as strong as its code needs, decided by the judge in other views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from sat3d.commands.companions import required
from sat3d.commands.seeds import device_of, writable
from sat3d.configs import find_config
from sat3d.modules import import_modules
from sat3d.shipped import companion

if TYPE_CHECKING:
    import torch

    from sat3d.data import LabelledLatentDataModule, SampledLatents, StyleCodeDataModule
    from sat3d.evaluation.success.pose import PoseReader

POSES = 400
"""Codes from which poses are learned."""


def main(
    runs: list[str],
    names: list[str] | None = None,
    codes: str | None = None,
    attributes: list[str] | None = None,
    split: Literal["val", "test"] = "test",
    count: int = 100,
    judge: str | None = None,
    identity: str | None = "own",
    wanted: float = 0.8,
    strengths: list[float] = [0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0],  # noqa: B006 - never changed
    yaws: list[float] = [-0.3, 0.0, 0.3],  # noqa: B006 - never changed
    references: int = 200,
    examples: int = 3,
    transitions: str | None = None,
    kept: list[str] | None = None,
    seed: int = 0,
    modules: list[str] = [],  # noqa: B006 - never changed
    device: str = "cpu",
    out: str = "runs/success",
) -> None:
    """Ask every held-out code for what it does not show, and tell how often an edit succeeds and what else it changes.

    The labeller that labelled the training codes sets each edit's strength: the least at which it sees the target with
    the wanted probability, from the code's own camera. The judge decides from other cameras. Runs of one name are
    seeds of one method. Writes successes.csv (a row per edit), successes.json and table.md (means with 95 % intervals
    over codes and seeds), and edits.png.

    Args:
        runs: Run folders of `lightning fit`, or editors in them (`RUN/editors/050`).
        names: What to call their methods; the folders above the runs if not given.
        codes: Config whose LabelledLatentDataModule tells the held-out codes, the labeller and the generator; the one
            of the first run that has labelled codes, if not given.
        attributes: What is edited; all that the scorers know and the editors share, if not given.
        split: Held-out codes: those of the test, or of the validation.
        count: How many of them.
        judge: Attribute predictor that decides; what is shipped for the generator, if not given. The labeller itself
            may, on the validation codes only.
        identity: Identity embedder; own is what is shipped for the generator, null leaves the identity out.
        wanted: Probability of the target that the labeller must see.
        strengths: Grid of the search, rising; between two of them it is halved four times.
        yaws: The judge's cameras in radians; a 2-D generator has one view for both.
        references: Validation codes (for validation, training codes) from which editors that transfer attributes take
            theirs: for each edit one that shows the target.
        examples: Codes of edits.png, 0 for none.
        transitions: Categorical attribute of which every code is asked for every other class, too: transitions.csv and
            transitions.md tell success and what is kept by change (cat → dog, ...), and how far things turn.
        kept: Attributes that transitions.md tells to be kept; all categorical ones if not given.
        seed: Of the draw of the target among several other classes.
        modules: Modules of yours to import first, where editors are of classes of your own; looked for here, too.
        device: Where to compute.
        out: Folder for the files.
    """
    import_modules(modules)

    from sat3d.evaluation.roster import find_run, labelled_data

    places = [find_run(path) for path in runs]
    names = names or [place.run.resolve().parent.name for place in places]
    if not places or len(names) != len(places):
        raise ValueError(f"names: {len(names)} for {len(places)} runs")
    if sorted(strengths) != strengths or strengths[0] <= 0:
        raise ValueError(f"strengths={strengths} must rise from above 0")
    where = device_of(device)
    folder = writable(out)

    import torch

    from sat3d.evaluation import (
        Contestant,
        SuccessProtocol,
        grade_all,
        opposite_tasks,
        shared_attributes,
        success_grid,
        write_successes,
    )
    from sat3d.evaluation.success.table import write_rows
    from sat3d.evaluation.success.transitions import grade_transitions, transition_table
    from sat3d.methods import load_editor
    from sat3d.perception import IdentityEmbedder, Scorer, load_observer
    from sat3d.visualization import write_picture

    given = None if codes is None else labelled_data(find_config(codes))
    data = [labelled_data(place.run / "config.yaml") for place in places]
    shared = _shared([given, *data], [f"codes={codes}", *runs])
    source = cast("SampledLatents", shared.source)
    net, labeller = source.stream.generator.to(where), source.scorer.to(where)
    judge = judge or required(net.name, "judge")
    grader = load_observer(judge).to(where)
    if not isinstance(grader, Scorer):
        raise ValueError(f"judge={judge!r} is no attribute predictor")
    if grader.hash == labeller.hash and split == "test":
        raise ValueError(f"judge={judge!r} labelled the training codes and sets strengths; it cannot decide the test")
    identity = companion(net.name, "identity") if identity == "own" else identity
    embedder = None if identity is None else load_observer(identity).to(where)
    if embedder is not None and not isinstance(embedder, IdentityEmbedder):
        raise ValueError(f"identity={identity!r} is no identity embedder")
    rows = shared.rows[split]
    if not 0 < count <= len(rows):
        raise ValueError(f"count={count}: the runs have {len(rows)} {split} codes")
    numbers = range(rows.start, rows.start + count)
    seeds = [str(names[:i].count(name)) for i, name in enumerate(names)]
    loaded = [load_editor(place.editor, net).to(where) for place in places]
    labels = [None if own is None else own.latents(numbers, where).labels for own in data]
    contestants = [Contestant(*entry) for entry in zip(names, seeds, loaded, labels, strict=True)]

    cameras = None if net.cameras is None else net.cameras.turned(torch.tensor(yaws)).to(where)
    held_out = source.stream.codes("train", numbers, where)
    pool = shared.rows["val" if split == "test" else "train"]
    asked_for = any(editor.needs_reference for editor in loaded)
    shown = source.stream.codes("train", pool[:references], where) if asked_for else None
    pose = None if transitions is None else _pose(source.stream, judge, where)
    protocol = SuccessProtocol(
        net, held_out, labeller, grader, cameras, embedder, strengths, wanted, references=shown, pose=pose
    )
    targets = attributes or shared_attributes([c.editor for c in contestants], labeller, grader)
    tasks = opposite_tasks(labeller, protocol.log_odds, targets, seed)
    graded = grade_all(protocol, contestants, tasks)
    print(write_successes(graded, folder, {c.name: c.facts(held_out) for c in reversed(contestants)}))
    if examples:
        write_picture(folder / "edits.png", success_grid(protocol, contestants, tasks, graded, examples))
    if transitions is not None:
        changes = grade_transitions(protocol, contestants, transitions)
        write_rows(changes, folder / "transitions.csv")
        told = transition_table(changes, kept)
        (folder / "transitions.md").write_text(told)
        print(told)
    written = ["successes.csv", "successes.json", "table.md", *(["edits.png"] if examples else [])]
    print(f"{folder}: {', '.join([*written, *(['transitions.csv', 'transitions.md'] if transitions else [])])}")


def _pose(data: StyleCodeDataModule, judge: str, where: torch.device) -> PoseReader | None:
    """Learn to read poses off the pictures of a 3-D generator, from all around; `None` for a 2-D one."""
    from sat3d.data import StyleCodeDataModule
    from sat3d.evaluation.success.pose import PoseReader
    from sat3d.perception import load_perceptual

    net = data.generator.to(where)
    if net.cameras is None:
        return None
    every = StyleCodeDataModule(
        data.generator_name, batch="codes", seed=data.seed, truncation=data.truncation, yaw=None, pitch=None
    )
    reader = PoseReader(load_perceptual(judge).to(where), net, every.codes("val", range(POSES), where))
    print(f"poses are read off pictures to within {reader.error:.1f} degrees (median, held-out codes)")
    return reader


def _shared(data: list[LabelledLatentDataModule | None], names: list[str]) -> LabelledLatentDataModule:
    """Return the first labelled codes, which all that there are must share.

    Raises:
        ValueError: if they do not, or there are none.
    """
    known = [(one, name) for one, name in zip(data, names, strict=True) if one is not None]
    if not known:
        raise ValueError("codes: none of the runs has labelled codes; name a config that has, such as a labelled run's")
    first, first_name = known[0]
    for other, name in known:
        mine, theirs = (cast("SampledLatents", one.source).samples for one in (first, other))
        if mine != theirs or other.rows != first.rows:
            raise ValueError(f"{name} and {first_name} have other codes, labels or splits, so they do not compare")
    return first
