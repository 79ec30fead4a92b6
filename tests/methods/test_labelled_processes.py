"""Two processes with half a batch each train the labelled methods as one does with the whole."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from sat3d.methods import PluGeN, StyleAE, StyleFlow
from sat3d.methods.styleflow import MovingNorm
from tests.methods.planted import COLUMNS, WIDTH, planted_files, trainer

pytest.importorskip("torchdiffeq")

MAKE = {
    "styleae": lambda **kw: StyleAE(reconstruction="code", lr=0.1, **kw),
    "plugen": lambda **kw: PluGeN(hidden=16, lr=0.01, sigma_decay=0.7, **kw),
    "styleflow": lambda **kw: StyleFlow(hidden=(16,), regressor=(16,), tolerance=1e-6, lr=0.01, **kw),
}


def fit_all(folder, devices):
    """Train each method for two epochs, and leave what it learnt: a file for each process."""
    for name, make in MAKE.items():
        model = make()
        # Not Adam: where a gradient is next to nothing, rounding decides the sign of its step.
        model.configure_optimizers = lambda m=model: torch.optim.SGD(
            [p for p in m.parameters() if p.requires_grad], lr=m.hparams["lr"]
        )
        data = planted_files(folder, 70, batch_size=16 // devices)  # 54 to train on: the last batch is a smaller one
        done = trainer(folder, max_epochs=2, devices=devices, strategy="ddp" if devices > 1 else "auto")
        done.fit(model, datamodule=data)
        told = {k: float(v) for k, v in done.callback_metrics.items() if k.startswith("val")}
        out = {"state": model.state_dict(), "told": told, "steps": done.global_step}
        torch.save(out, f"{folder}/{name}-{devices}-{done.global_rank}.pt")


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path):
    fit_all(tmp_path, 1)
    (tmp_path / "run.py").write_text(
        f"from pathlib import Path\nfrom {__name__} import fit_all\nfit_all(Path({str(tmp_path)!r}), 2)\n"
    )
    path = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    subprocess.run([sys.executable, str(tmp_path / "run.py")], check=True, env=env, timeout=250)
    for name in MAKE:
        one, first, second = (torch.load(tmp_path / f"{name}-{run}.pt") for run in ("1-0", "2-0", "2-1"))
        initial = MAKE[name](columns=COLUMNS, code_width=WIDTH)
        assert one["steps"] == first["steps"] == 8
        for key, value in one["state"].items():
            assert torch.equal(first["state"][key], second["state"][key]), (name, key)
            torch.testing.assert_close(first["state"][key], value, rtol=1e-5, atol=2e-5, msg=f"{name}: {key}")
        start = initial.state_dict()
        trained = [k for k, p in initial.named_parameters() if p.requires_grad]
        assert min(float((one["state"][k] - start[k]).abs().max()) for k in trained) > 1e-4, name
        assert first["told"] == pytest.approx(one["told"], rel=1e-4), name


def observe(folder, rank):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save(watched([slice(0, 9), slice(9, 12)][rank]), folder / f"{rank}.pt")
    dist.barrier()


def watched(rows):
    """Return the moving statistics of some rows of two batches, far from 0 and of very different spread."""
    norm = MovingNorm(3)
    for seed in range(2):
        x = torch.randn(12, 3, generator=torch.Generator().manual_seed(seed)) * torch.tensor([1e-2, 1.0, 30.0])
        norm.observe(100 * seed + x[rows])
    return norm.state_dict()


def test_moving_norms_see_the_batches_of_all_processes(tmp_path):
    context = multiprocessing.get_context("fork")  # children that import nothing anew
    children = [context.Process(target=observe, args=(tmp_path, rank), daemon=True) for rank in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout=120)
    assert [child.exitcode for child in children] == [0, 0]
    expected = watched(slice(None))
    for rank in range(2):
        for key, value in torch.load(tmp_path / f"{rank}.pt").items():
            torch.testing.assert_close(value, expected[key], rtol=1e-5, atol=1e-6)
