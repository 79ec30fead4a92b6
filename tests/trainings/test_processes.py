"""Every module, in every way to run it: precisions, processes of one machine, machines."""

import copy
import json
import math
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks.kills import differing, end_of, fit, rows_of
from tests.trainings.cases import write
from tests.trainings.test_resuming import NAMES

ROOT = Path(__file__).parents[2]
METHODS = [name for name in NAMES if not name.startswith("pretraining")]
DDP = ["--config", "experiments/trainer/ddp.yaml", "--trainer.accelerator=cpu", "--trainer.devices=2"]
MACHINES = ["--config", "experiments/trainer/multinode.yaml", "--trainer.accelerator=cpu", "--trainer.devices=1"]
# Closed forms agree to rounding, and so does what Adam trains, but for the flow: its solver's steps depend on the batch
# within `tolerance`, and Adam takes whole steps for gradients of that size. StyleCLIP's are differences of embeddings.
# The encoder has weights that see almost nothing of tiny random pictures, and Adam takes whole steps for them too.
ALLOWED = dict.fromkeys(METHODS, 1e-6) | {"sat3d": 1e-5, "styleflow": 0.05, "styleclip": 1e-4, "encoder": 5e-3}
# Only these look at pictures while they train; a few tiny random networks' steps differ by what bfloat16 rounds.
ALLOWED_IN_BFLOAT16 = ALLOWED | {"sat3d": 0.3, "styleae": 0.02, "encoder": 0.3}
PICTURES = {
    "sat3d": "EditGrid", "ganspace": "EditStrips", "sefa": "EditStrips", "stylespace": "ChannelFigures",
    "editing-in-style": "CatalogueFigures",
}  # fmt: skip
SAVES = {"class_path": "sat3d.callbacks.RunCheckpoints", "init_args": {"steps": 2}}


def line(case, name, folder, *more, halve=False, **trainer):
    """Return the command line of a case; for two processes each of them takes half of the batch."""
    if halve:
        case = copy.deepcopy(case)
        case["data"]["init_args"]["batch_size"] //= 2
    words = ["fit", "--config", str(write(case, folder / f"{name}.yaml", **trainer)), *more]
    if halve and name.startswith("pretraining"):
        # Parts of these nets have their turn in parts of the training, and DDP wants to be told.
        words.append("--trainer.strategy=ddp_find_unused_parameters_true")
    return [*words, "--run.dir", str(folder / name)]


def environment(**more):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    told = {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, "GLOO_SOCKET_IFNAME": "lo", "GRPC_VERBOSITY": "NONE"}
    return {**os.environ, **told, **more}


def run(command, lines, folder, **more):
    """Let `tests/trainings/run_all.py` run command lines."""
    (folder / "lines.json").write_text(json.dumps(lines))
    script = [str(ROOT / "tests" / "trainings" / "run_all.py"), str(folder / "lines.json")]
    with (folder / "log").open("w") as log:
        env = environment(**more)
        done = subprocess.run([*command, *script], cwd=ROOT, env=env, stdout=log, stderr=log, timeout=1200)
    assert done.returncode == 0, (folder / "log").read_text()[-3000:]


@pytest.fixture(scope="module")
def one_process(cases, tmp_path_factory):
    """Return the folder with every case's run by one process."""
    folder = tmp_path_factory.mktemp("one")
    run([sys.executable], [line(cases[name], name, folder) for name in NAMES], folder)
    return folder


def far(one, other):
    """Return the largest difference of tensors of the same names, relative to each one's largest value."""
    assert one.keys() == other.keys()
    worst = 0.0
    for key in one:
        a, b = one[key].double().nan_to_num(-1.0), other[key].double().nan_to_num(-1.0)
        worst = max(worst, float((a - b).abs().max() / b.abs().max().clamp_min(0.1)) if a.numel() else 0.0)
    return worst


def told(folder):
    """Return the last value of everything that validations logged."""
    return {k: float(v) for row in rows_of(folder) for k, v in row.items() if k.startswith("val/")}


def check_equal(one_process, folder):
    """Hold what two processes learnt and logged against the single process's."""
    report = {}
    for name in METHODS:
        report[name] = far(end_of(folder / name)["state_dict"], end_of(one_process / name)["state_dict"])
        assert told(folder / name) == pytest.approx(told(one_process / name), rel=2e-3, abs=1e-5, nan_ok=True), name
    print(json.dumps(report, indent=1))
    assert all(value < ALLOWED[name] for name, value in report.items()), report
    for name in NAMES:
        assert all(bool(t.isfinite().all()) for t in floats(end_of(folder / name)["state_dict"], name)), name


def floats(state, name):
    unknown = ("minimum", "maximum", "ranking", "rate", "theta")  # where nothing was seen there is no number
    return [t for k, t in state.items() if t.is_floating_point() and not any(u in k for u in unknown)]


@pytest.mark.slow
@pytest.mark.timeout(1300)
def test_two_processes_of_one_machine_learn_what_one_learns(cases, one_process, tmp_path):
    lines = [line(cases[name], name, tmp_path, *DDP, halve=True, **drawn(name)) for name in NAMES]
    run([sys.executable], lines, tmp_path)
    check_equal(one_process, tmp_path)
    for name in PICTURES:
        assert any((tmp_path / name / "pictures").iterdir()), name


def drawn(name):
    """Return the callbacks that a method's experiments have, if it is one of those with pictures."""
    known = (PICTURES[name], "Summary") if name in PICTURES else ()
    return {"callbacks": [{"class_path": f"sat3d.callbacks.{callback}"} for callback in known]} if known else {}


@pytest.mark.slow
def test_masks_after_fifty_steps_are_those_of_one_process(cases, tmp_path):
    case = copy.deepcopy(cases["sat3d"])
    case["trainer"] |= {"max_steps": 50, "val_check_interval": 50}
    case["data"]["init_args"] |= {"batch_size": 8}
    masks = []
    for name, more, halve in (("one", [], False), ("two", DDP, True)):
        (tmp_path / name).mkdir()
        run([sys.executable], [line(case, "sat3d", tmp_path / name, *more, halve=halve)], tmp_path / name)
        masks.append(end_of(tmp_path / name / "sat3d")["editor"]["tensors"]["masks"])
    assert float((masks[0] - masks[0].mean(1, keepdim=True)).abs().max()) > 0.05  # something was learnt
    assert float((masks[0] - masks[1]).abs().max()) < 1e-5


@pytest.fixture
def two_machines():
    """Return how to start a command on two machines: two network namespaces joined by a cable, else the loopback."""
    if not shutil.which("ip") or subprocess.run(["ip", "netns", "add", "sat3d0"], capture_output=True).returncode:
        port = socket.create_server(("127.0.0.1", 0)).getsockname()[1]
        yield [[], []], "127.0.0.1", port, ["lo", "lo"]
        return
    try:
        subprocess.run(["ip", "netns", "add", "sat3d1"], check=True)
        subprocess.run(["ip", "link", "add", "sat3d0", "type", "veth", "peer", "name", "sat3d1"], check=True)
        for k in range(2):
            name = f"sat3d{k}"
            subprocess.run(["ip", "link", "set", name, "netns", name], check=True)
            inside = ["ip", "netns", "exec", name, "ip"]
            subprocess.run([*inside, "addr", "add", f"10.77.0.{k + 1}/24", "dev", name], check=True)
            for device in ("lo", name):
                subprocess.run([*inside, "link", "set", device, "up"], check=True)
        yield [["ip", "netns", "exec", f"sat3d{k}"] for k in range(2)], "10.77.0.1", 29511, ["sat3d0", "sat3d1"]
    finally:
        for k in range(2):
            subprocess.run(["ip", "netns", "del", f"sat3d{k}"], check=False)


@pytest.mark.slow
@pytest.mark.timeout(1300)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_two_machines_learn_what_one_process_learns(cases, one_process, tmp_path, two_machines, precision):
    """Processes of torchrun, one on each machine, that see each other over the cable alone."""
    inside, address, port, devices = two_machines
    more = [*MACHINES, f"--trainer.precision={precision}"]
    lines = [line(cases[name], name, tmp_path, *more, halve=True) for name in NAMES]
    (tmp_path / "lines.json").write_text(json.dumps(lines))
    script = [str(ROOT / "tests" / "trainings" / "run_all.py"), str(tmp_path / "lines.json")]
    nodes = []
    for k in range(2):
        launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", f"--node_rank={k}", "--nproc_per_node=1"]
        launch += [f"--master_addr={address}", f"--master_port={port}"]
        env = environment(GLOO_SOCKET_IFNAME=devices[k], PYTHONPATH=str(ROOT))  # the cable is all there is
        with (tmp_path / f"log{k}").open("w") as log:
            command = [*inside[k], *launch, *script]
            nodes.append(subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log))
    codes = [node.wait(timeout=1200) for node in nodes]
    assert codes == [0, 0], (tmp_path / "log0").read_text()[-3000:]
    if precision == "32-true":
        check_equal(one_process, tmp_path)
    else:
        check_near(one_process, tmp_path)


def check_near(one_process, folder):
    """Hold a run in bfloat16 against float32: what does not look at pictures is equal, the rest nearly."""
    report = {}
    for name in METHODS:
        found, wanted = end_of(folder / name), end_of(one_process / name)
        assert found["global_step"] == wanted["global_step"]
        assert all(t.dtype != torch.bfloat16 for t in found["state_dict"].values()), name
        assert all(bool(t.isfinite().all()) for t in floats(found["state_dict"], name)), name
        report[name] = far(found["state_dict"], wanted["state_dict"])
    print(json.dumps(report, indent=1))
    assert all(value < ALLOWED_IN_BFLOAT16[name] for name, value in report.items()), report


@pytest.mark.slow
@pytest.mark.timeout(1300)
def test_bfloat16_trains_every_module(cases, one_process, tmp_path):
    more = ["--config", "experiments/trainer/bf16.yaml"]
    run([sys.executable], [line(cases[name], name, tmp_path, *more) for name in NAMES], tmp_path)
    check_near(one_process, tmp_path)


@pytest.mark.gpu
@pytest.mark.parametrize("config", ["gpu", "bf16", "fp16"])
def test_every_module_trains_on_a_gpu(cases, tmp_path, config):
    more = ["--config", "experiments/trainer/gpu.yaml", "--config", f"experiments/trainer/{config}.yaml"]
    run([sys.executable], [line(cases[name], name, tmp_path, *more) for name in NAMES], tmp_path)
    for name in NAMES:
        assert all(bool(t.isfinite().all()) for t in floats(end_of(tmp_path / name)["state_dict"], name)), name


# -- killed ------------------------------------------------------------------------------------------------------------


def saved(case):
    return {**case, "trainer": {**case["trainer"], "callbacks": [SAVES]}}


def test_two_processes_that_are_killed_go_on_to_the_same_end(cases, tmp_path):
    """One of them is killed, the other ends with it; the same command line goes on."""
    case = saved(cases["sat3d"])
    ends = []
    for name in ("whole", "killed"):
        folder = tmp_path / name
        folder.mkdir()
        words = [*line(case, "sat3d", folder, *DDP, halve=True), "--run.resume=true"]
        command = [str(Path(sys.executable).parent / "lightning"), *words]
        if name == "killed":
            with (folder / "log").open("w") as log:
                child = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=log, stderr=log)
                checkpoint = folder / "sat3d" / "checkpoints" / "last.ckpt"
                while child.poll() is None and not checkpoint.exists():
                    time.sleep(0.01)
                others = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
                other = next(int(p) for p in others if b"lightning" in Path(f"/proc/{p}/cmdline").read_bytes())
                os.kill(other, signal.SIGKILL)
                assert child.wait(timeout=120) != 0
            assert 0 < end_of(folder / "sat3d")["global_step"] < 10
        subprocess.run(command, cwd=ROOT, env=environment(), check=True, capture_output=True, timeout=250)
        ends.append(folder / "sat3d")
    assert differing(*map(end_of, ends)) == []
    assert rows_of(ends[0]) == rows_of(ends[1])


@pytest.mark.slow
@pytest.mark.timeout(1300)
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_a_run_killed_at_random_moments_goes_on_to_the_same_end(cases, tmp_path, name, processes):
    """Every fork of this process is one life of the run."""
    case, ends = saved(cases[name]), []
    draw = random.Random(f"{name} {processes}")
    for part in ("whole", "killed"):
        folder = tmp_path / part
        folder.mkdir()
        more = DDP if processes == 2 else []
        words = [*line(case, name, folder, *more, halve=processes == 2), "--run.resume=true"]
        started = time.monotonic()
        if part == "whole":
            fit(words, folder / "log", processes)
            seconds = time.monotonic() - started
        else:
            while fit(words, folder / "log", processes, draw.uniform(0.2, 1.0) * seconds):
                seconds /= 2  # the whole run was slower: it made pictures that are kept
                shutil.rmtree(folder / name)
            for _ in range(3):
                fit(words, folder / "log", processes, draw.uniform(0.2, 1.0) * seconds)
            fit(words, folder / "log", processes)
        ends.append(folder / name)
    assert differing(*map(end_of, ends)) == []
    assert rows_of(ends[0]) == rows_of(ends[1])


def test_infinite_differences_are_seen():
    """The yardstick itself: equal tensors are 0 apart, others by their largest difference."""
    one = {"a": torch.tensor([1.0, math.nan]), "b": torch.zeros(0)}
    assert far(one, one) == 0
    assert far({"a": torch.tensor([2.0, 3.0])}, {"a": torch.tensor([2.0, 4.0])}) == 0.25
