import pytest

from sat3d.generators import build_generator, save_generator, tiny_generator
from sat3d.world import load_world
from tests.methods.conftest import toys  # noqa: F401
from tests.trainings.cases import methods, pretrainings


@pytest.fixture(scope="session")
def world_generator(tmp_path_factory):
    """A generator of random weights that takes the world's codes."""
    tiny = tiny_generator(0)
    generator = build_generator({**tiny.config, "z_dim": load_world("heads").z_dim})
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
