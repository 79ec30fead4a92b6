"""What is shipped is as good as its card says, within what a small sample allows."""

import json
import math

import pytest

from sat3d.commands.trainer import SatCLI
from sat3d.configs import experiments_folder
from sat3d.shipped import manifest
from sat3d.world import WORLDS, load_world

pytest.importorskip("numba")
PICTURES = 128
SLACK = 0.08  # four standard errors of an accuracy of 0.96 on the pictures that are asked about
OBSERVERS = {  # test figure → a floor; figures are asked for in the names of the manifest
    "clip": {"generator/mean": 0.9},
    "labeller": {"world/accuracy/categorical": 0.95, "generator/accuracy/categorical": 0.92},
    "judge": {"world/accuracy/categorical": 0.95, "generator/accuracy/categorical": 0.92},
    "parser": {"generator/iou/mean": 0.8},
    "identity": {"generator/auc": 0.85},
}
LOWER = {("cars", "parser"): {"generator/iou/mean": 0.7}}  # lamps and grilles of few pixels


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Run `lightning test` on what is shipped, on the first held-out pictures."""
    folder = tmp_path_factory.mktemp("shipped")

    def run(world, role, *more):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setenv("SAT3D_CACHE", str(folder))
            cli = SatCLI.open(
                [
                    *("test", "--config", str(experiments_folder() / "pretraining" / f"{role}.yaml")),
                    *(f"--model.init_args.world={world}", f"--data.init_args.world={world}"),
                    *("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"),
                    *("--data.init_args.count=128", f"--data.init_args.val_count={PICTURES}"),
                    *(f"--data.init_args.test_count={PICTURES}", *more),
                ]
            )
        return {key.removeprefix("test/"): float(v) for key, v in cli.trainer.callback_metrics.items()}

    return run


@pytest.mark.parametrize("world", WORLDS)
def test_generator_is_as_good_as_its_card_says(graded, world):
    found, card = graded(world, "generator"), manifest()[f"{load_world(world).domain.generator}64"]["metrics"]
    for name, slack in (("psnr", 1.0), ("psnr_object", 1.0), ("depth_correlation", 0.03)):
        assert math.isclose(found[name], card[name], abs_tol=slack), name
    assert found["psnr"] > 23 and found["depth_correlation"] > 0.87
    assert found["probe_z"] < 0.6 and math.isclose(found["probe_w"], card["probe_w"], abs_tol=0.02)


@pytest.mark.parametrize("role", OBSERVERS)
@pytest.mark.parametrize("world", WORLDS)
def test_observer_is_as_good_as_its_card_says(graded, world, role):
    name = f"{load_world(world).domain.generator}-{role}"
    if name not in manifest():
        pytest.skip(f"checkpoints lack {name}")
    found = graded(world, role, "--data.init_args.generated_count=128", "--data.init_args.batch_size=64")
    card = manifest()[name]["metrics"]
    for key, floor in LOWER.get((world, role), OBSERVERS[role]).items():
        assert found[key] >= floor and math.isclose(found[key], card[key], abs_tol=SLACK), (key, json.dumps(found))


def test_all_of_it_is_small():
    assert sum(entry["bytes"] for entry in manifest().values()) <= 45e6
