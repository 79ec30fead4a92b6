"""Two processes with half a batch each fit the closed-form methods as one does with the whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from sat3d.data import LabelledLatentDataModule, SampledLatents, StyleCodeDataModule
from sat3d.methods import GANSpace, InterFaceGAN, SeFa

pytest.importorskip("sklearn")


def labelled(net, scorer, folder, size):
    source = SampledLatents(net, scorer, count=64, truncation=1.0, root=str(folder))
    return LabelledLatentDataModule(source, val=8, test=8, batch_size=size)


def streamed(net, scorer, folder, size):
    return StyleCodeDataModule(net, batch="codes", batch_size=size, epoch_size=40, val_size=4, truncation=1.0)


QUICK = {"named": 3, "named_codes": 4, "graded_codes": 4}
MAKE = {
    "interfacegan": (lambda net, scorer: InterFaceGAN(net, ratio=0.1), labelled),
    "ganspace": (lambda net, scorer: GANSpace(net, scorer=scorer, labeller=scorer, **QUICK), streamed),
    "sefa": (lambda net, scorer: SeFa(net, scorer=scorer, **QUICK), streamed),
}


def fit_all(net, scorer, folder, devices):
    """Fit each method, and leave its editor's directions and what was logged: a file for each process."""
    for name, (make, data) in MAKE.items():
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
        strategy = "ddp" if devices > 1 else "auto"
        done = Trainer(
            accelerator="cpu", devices=devices, strategy=strategy, max_epochs=1, logger=False, default_root_dir=folder,
            **quiet,
        )  # fmt: skip
        model = make(net, scorer)
        done.fit(model, datamodule=data(net, scorer, folder, 8 // devices))
        told = {k: float(v) for k, v in done.callback_metrics.items()}
        torch.save(
            {"found": model.editor().directions, "told": told}, f"{folder}/{name}-{devices}-{done.global_rank}.pt"
        )


@pytest.mark.slow
def test_two_processes_fit_what_one_fits(toys, tmp_path):
    fit_all(toys.generator, toys.scorer, tmp_path, 1)
    words = [toys.generator, toys.scorer]
    (tmp_path / "run.py").write_text(
        f"from pathlib import Path\nfrom {__name__} import fit_all\nfit_all(*{words!r}, Path({str(tmp_path)!r}), 2)\n"
    )
    path = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    subprocess.run([sys.executable, str(tmp_path / "run.py")], check=True, env=env, timeout=250)
    for name in MAKE:
        one, first, second = (torch.load(tmp_path / f"{name}-{run}.pt") for run in ("1-0", "2-0", "2-1"))
        assert torch.equal(first["found"], second["found"]), name
        torch.testing.assert_close(first["found"], one["found"], rtol=1e-5, atol=1e-6, msg=name)
        assert one["told"].keys() == first["told"].keys()
        assert first["told"] == pytest.approx(one["told"], rel=1e-3, nan_ok=True), name
