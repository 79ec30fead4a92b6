from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from sat3d.generators import save_generator, tiny_generator
from sat3d.perception import AttributePredictor, PartParser, PredictedAttribute, PredictorConfig, save_observer
from sat3d.perception.parsing import ParserConfig

ATTRIBUTES = (
    PredictedAttribute("hat", "categorical", ("none", "cap", "beanie")),
    PredictedAttribute("smile", "continuous"),
    PredictedAttribute("beard", "categorical", ("no", "yes")),
)


@dataclass
class Toys:
    """Files of tiny random networks, so that modules can name them as they name real ones."""

    generator: str
    flat: str
    scorer: str
    judge: str
    parser: str
    folder: Path


def predictor(seed: int) -> AttributePredictor:
    torch.manual_seed(seed)
    observer = AttributePredictor(PredictorConfig(ATTRIBUTES, widths=(4, 8), resolution=32))
    observer.head.weight.data *= 20  # random networks hardly tell random pictures apart
    observer.column_std.fill_(0.1)
    return observer.freeze()


@pytest.fixture(scope="session")
def toys(tmp_path_factory) -> Toys:
    folder = tmp_path_factory.mktemp("toys")
    names = ("generator", "flat", "scorer", "judge", "parser")
    files = {name: str(folder / f"{name}.safetensors") for name in names}
    with torch.random.fork_rng(devices=[]):
        save_generator(tiny_generator(0), files["generator"])
        save_generator(tiny_generator(0, "stylegan2"), files["flat"])
        for seed, name in enumerate(("scorer", "judge")):
            save_observer(predictor(seed), files[name])
        save_observer(PartParser(ParserConfig(("background", "head"), (4, 8), 32)).freeze(), files["parser"])
    return Toys(**files, folder=folder)
