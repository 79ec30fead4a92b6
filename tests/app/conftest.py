from functools import partial

import pytest

from sat3d.generators import save_generator, tiny_generator
from sat3d.inversion import InversionOptions, PictureInverter, PoseOptions, Recipe
from tests.methods.conftest import toys  # noqa: F401


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Return the file of a tiny generator that goes by a name for which a perceptual network is shipped."""
    net = tiny_generator(0)
    net.name = "toyfaces-tiny"
    path = tmp_path_factory.mktemp("tiny") / "generator.safetensors"
    save_generator(net, path)
    return str(path)


@pytest.fixture(scope="module")
def quick_inversion():
    """Let page and command line take four steps of a hundred and look from three sides of 45, by the same code."""
    quick = partial(PictureInverter, recipe=Recipe(InversionOptions(steps=4, pose=PoseOptions(yaws=3, pitches=1))))
    with pytest.MonkeyPatch.context() as patch:
        for module in ("sat3d.inversion", "sat3d.app.uploads"):
            patch.setattr(f"{module}.PictureInverter", quick)
        yield
