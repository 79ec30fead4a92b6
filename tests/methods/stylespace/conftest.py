from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from sat3d.generators import load_generator
from sat3d.perception import load_observer, save_observer
from tests.methods.stylespace.discovery import fit, module


@pytest.fixture(scope="session")
def toys(toys):
    """Shift the parser so that each of its two parts is about half of what the generator draws."""
    parser, generator = deepcopy(load_observer(toys.parser)), load_generator(toys.generator)
    z = torch.randn(8, generator.z_dim, generator=torch.Generator().manual_seed(1))
    logits = parser(generator.synthesize(generator.styles(generator.map(z)), camera=generator.cameras.frontal()).image)
    with torch.no_grad():
        parser.head.bias[1] += (logits[:, 0] - logits[:, 1]).median()
    file = str(toys.folder / "halves.safetensors")
    save_observer(parser, file)
    return replace(toys, parser=file)


@pytest.fixture(scope="session")
def run(toys, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    model = module(toys)
    trainer, data = fit(model, folder)
    return model, data, trainer, folder
