"""Steps of trainings ask nothing of the device: a GPU would have to finish its work before every answer."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import sat3d.methods
from sat3d.cli import main
from sat3d.data import StyleCodeDataModule
from tests.trainings.cases import methods, write

ANSWERS = {"_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "_unique2", "equal", "unique_dim"}
# What asks on purpose: the solver of the flow's differential equation chooses its steps by the error that it sees.
ASKING = {"styleflow"}


class Asked(TorchDispatchMode):
    """Note every operation whose result the host must know."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation.overloadpacket.__name__
        indexed = name in ("index", "index_put_") and any(
            isinstance(i, torch.Tensor) and i.dtype in (torch.bool, torch.uint8) for i in args[1]
        )
        if (name in ANSWERS or indexed) and not _bookkeeping(args):
            self.found.append(name)
        return operation(*args, **(kwargs or {}))


def _bookkeeping(args):
    """Tell whether an operation is about numbers of codes, which stay on the CPU."""
    return isinstance(args[0], torch.Tensor) and args[0].dtype == torch.long


@pytest.mark.parametrize("name", ["sat3d", "styleae", "plugen", "styleflow"])
def test_steps_of_trainings_ask_nothing(toys, tmp_path, monkeypatch, name):
    case = methods(toys, tmp_path / "codes")[name]
    found = []
    cls = getattr(sat3d.methods, case["model"]["class_path"].rpartition(".")[2])
    step = cls.training_step

    def watched(self, batch, batch_idx):
        with Asked() as asked:
            loss = step(self, batch, batch_idx)
            loss.backward(retain_graph=True)
        found.append(asked.found)
        self.zero_grad()
        return loss

    monkeypatch.setattr(cls, "training_step", watched)
    config = write(case, tmp_path / "config.yaml", limit_val_batches=0)
    main(["fit", "--config", str(config), "--run.dir", str(tmp_path / "run")])
    assert len(found) > 9
    later = found[6:]  # the first epoch makes pictures that are remembered
    assert (any(later)) == (name in ASKING), later


def test_numbers_of_codes_stay_on_the_cpu(toys, tmp_path):
    pairs = StyleCodeDataModule(toys.generator, num_codes=8, block_size=4).pairs("train", range(4)).to("meta")
    assert pairs.source.device.type == pairs.u.device.type == "meta"
    assert {getattr(pairs, f"{name}_index").device.type for name in ("source", "reference", "camera")} == {"cpu"}
    assert pairs.block.tolist() and len(pairs[torch.tensor([0, 2])]) == 2
