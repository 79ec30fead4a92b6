import csv

import pytest
import torch

from sat3d.generators import build_generator, save_generator, tiny_generator
from sat3d.world import HeadWorld
from tests.methods.conftest import toys  # noqa: F401
from tests.trainings.cases import methods, pretrainings


@pytest.fixture(scope="session")
def world_generator(tmp_path_factory):
    """A generator of random weights that takes the world's codes."""
    tiny = tiny_generator(0)
    generator = build_generator({**tiny.config, "z_dim": HeadWorld().z_dim})
    generator.cameras = tiny.cameras
    path = tmp_path_factory.mktemp("generator") / "tiny.safetensors"
    save_generator(generator, path)
    return path


@pytest.fixture(scope="session")
def cases(toys, world_generator, tmp_path_factory):  # noqa: F811
    """Every training of the project, tiny; see `tests.trainings.cases`."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAT3D_CACHE", str(cache))
        yield methods(toys, cache / "codes") | pretrainings(world_generator, cache, cache / "export")


def kept(folder, name="last.ckpt"):
    """Return what a run's checkpoint holds that must not depend on stops."""
    checkpoint = torch.load(folder / "checkpoints" / name, weights_only=True)
    parts = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch", "editor")
    return {part: checkpoint[part] for part in parts if part in checkpoint}


def rows(folder):
    """Return the rows of metrics.csv without what a clock tells."""
    with (folder / "metrics.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    return [{k: v for k, v in sorted(row.items()) if "second" not in k and v != ""} for row in found]


def differing(one, other, at=""):
    """Return the places in which two nested structures of tensors are not the same, bit by bit."""
    if isinstance(one, torch.Tensor):
        same = one.dtype == other.dtype and torch.equal(one.nan_to_num(-1.0), other.nan_to_num(-1.0))
        return [] if same else [at]
    if isinstance(one, dict) and one.keys() == other.keys():
        return [place for key in one for place in differing(one[key], other[key], f"{at}/{key}")]
    if isinstance(one, list | tuple) and len(one) == len(other):
        return [place for i, pair in enumerate(zip(one, other, strict=True)) for place in differing(*pair, f"{at}/{i}")]
    return [] if one == other else [at]
