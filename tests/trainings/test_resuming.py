"""A run that dies and is gone on with is the uninterrupted one: every module, through the door, in this process."""

import pytest
import torch
from lightning.pytorch import Callback

from benchmarks.kills import differing, end_of, rows_of
from sat3d.cli import main
from sat3d.commands.trainer import SatCLI
from tests.trainings.cases import write

NAMES = ("sat3d", "styleae", "plugen", "styleflow", "stylespace", "styleclip", "interfacegan", "ganspace", "sefa",
         "editing-in-style", "encoder", "pretraining-clip", "pretraining-labeller", "pretraining-parser",
         "pretraining-identity", "pretraining-generator")  # fmt: skip


class Killed(BaseException):
    """What no handler of errors knows."""


class Kill(Callback):
    """End the process, as far as one can from within, before the backward pass of a step, or (-1) after the last."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.global_step == self.step:
            raise Killed

    def on_train_end(self, trainer, pl_module):  # before `RunCheckpoints`, which comes last
        if self.step == -1:
            raise Killed

    def on_exception(self, trainer, *_):
        for logger in trainer.loggers:  # a dead process would flush nothing
            logger.finalize = lambda status: None


@pytest.fixture(scope="session")
def wholes(cases, tmp_path_factory):
    """Return the folder of a case's uninterrupted run, and the bytes of what it trains."""
    made = {}

    def whole(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("whole")
            cli = SatCLI.open(["fit", "--config", str(write(cases[name], folder / "config.yaml")), *at(folder)])
            made[name] = folder / "run", sum(p.nbytes for p in cli.model.parameters() if p.requires_grad)
        return made[name]

    return whole


def at(folder):
    return ["--run.dir", str(folder / "run")]


def stopped_and_gone_on_with(case, folder, stops):
    """Kill a run at some steps, go on each time, and return its folder."""
    saved = {"class_path": "sat3d.callbacks.RunCheckpoints", "init_args": {"steps": 2}}
    again = [*at(folder), "--run.resume=true"]
    for stop in stops:
        kill = {"class_path": f"{__name__}.Kill", "init_args": {"step": stop}}
        config = write(case, folder / "config.yaml", callbacks=[saved, kill])
        with pytest.raises(Killed):
            main(["fit", "--config", str(config), *again])
    main(["fit", "--config", str(write(case, folder / "config.yaml", callbacks=[saved])), *again])
    return folder / "run"


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_run_goes_on_to_the_same_end(wholes, cases, tmp_path, name):
    whole, _ = wholes(name)
    resumed = stopped_and_gone_on_with(cases[name], tmp_path, [end_of(whole)["global_step"] // 2 + 1])
    assert differing(end_of(whole), end_of(resumed)) == []
    assert rows_of(whole) == rows_of(resumed)


@pytest.mark.parametrize("name", ["sat3d", "styleflow", "interfacegan", "pretraining-identity"])
def test_so_does_one_that_is_killed_between_the_last_step_and_the_end(wholes, cases, tmp_path, name):
    whole, _ = wholes(name)
    resumed = stopped_and_gone_on_with(cases[name], tmp_path, [-1])
    assert differing(end_of(whole), end_of(resumed)) == []
    assert rows_of(whole) == rows_of(resumed)


def test_checkpoints_of_other_callbacks_stay_as_lightning_makes_them_and_are_gone_on_with(wholes, cases, tmp_path):
    """Where they are newer than `last.ckpt`, in the middle of an epoch, rows that came after them are dropped."""
    whole, _ = wholes("sat3d")
    other = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
             "init_args": {"dirpath": "{run}/checkpoints", "every_n_train_steps": 3}}  # fmt: skip
    kill = {"class_path": f"{__name__}.Kill", "init_args": {"step": 5}}
    again = [*at(tmp_path), "--run.resume=true"]
    with pytest.raises(Killed):
        main(["fit", "--config", str(write(cases["sat3d"], tmp_path / "config.yaml", callbacks=[other, kill])), *again])
    (made,) = (tmp_path / "run" / "checkpoints").glob("*.ckpt")
    loop = torch.load(made, weights_only=True)["loops"]["fit_loop"]
    assert loop["epoch_progress"]["total"] == {"ready": 1, "completed": 0, "started": 1, "processed": 0}
    (tmp_path / "run" / "metrics.csv").write_text("epoch,step,train/loss\n0,1,0.5\n0,3,0.5\n")  # the process lived on
    main(["fit", "--config", str(write(cases["sat3d"], tmp_path / "config.yaml", callbacks=[other])), *again])
    assert differing(end_of(whole), end_of(tmp_path / "run")) == []
    assert [row["step"] for row in rows_of(tmp_path / "run")] == [row["step"] for row in rows_of(whole)]


@pytest.mark.parametrize("name, stops", [("sat3d", [5]), ("sat3d", [6, 8]), ("styleae", [4, 5]), ("styleae", [6, 11])])
def test_a_finished_run_goes_on_with_more_steps_as_if_it_had_had_them(wholes, cases, tmp_path, name, stops):
    """Within an epoch, and at the end of one; both have six steps."""
    whole, _ = wholes(name)
    config = ["fit", "--config", str(write(cases[name], tmp_path / "config.yaml")), *at(tmp_path), "--run.resume=true"]
    for steps in stops:
        main([*config, f"--trainer.max_steps={steps}"])
    main(config)
    assert differing(end_of(whole), end_of(tmp_path / "run")) == []
    assert rows_of(whole) == rows_of(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_so_does_one_that_is_killed_at_every_step(wholes, cases, tmp_path, name):
    whole, _ = wholes(name)
    resumed = stopped_and_gone_on_with(cases[name], tmp_path, range(end_of(whole)["global_step"]))
    assert differing(end_of(whole), end_of(resumed)) == []
    assert rows_of(whole) == rows_of(resumed)


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_hold_what_is_trained_and_nothing_that_is_frozen(wholes, name):
    whole, trained = wholes(name)
    checkpoint = torch.load(whole / "checkpoints" / "last.ckpt", weights_only=True)
    state = checkpoint["state_dict"]
    frozen = ("scorer.", "labeller.", "judge.", "parser.", "likeness.", "clip.", "named_by.")
    assert not [key for key in state if key.startswith(frozen)]
    own = trained + nbytes(checkpoint["optimizer_states"])
    if trained == 4:  # closed form: nothing is trained but a clock
        own = nbytes({key: value for key, value in state.items() if not key.startswith("generator.")})
    if name == "pretraining-generator":  # its mapping network is learned too, but by an optimizer that is gone
        own += nbytes({key: value for key, value in state.items() if key.startswith("generator.backbone.mapping.")})
    assert nbytes(checkpoint) <= 2 * own


def nbytes(held):
    """Return the bytes of all tensors in nested structures."""
    if isinstance(held, torch.Tensor):
        return held.nbytes
    parts = held.values() if isinstance(held, dict) else held if isinstance(held, list | tuple) else ()
    return sum(nbytes(part) for part in parts)
