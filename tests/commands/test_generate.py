import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from PIL import Image

from sat3d.commands.generate import main
from sat3d.commands.seeds import parse_seeds, styles_of
from sat3d.generators import load_generator
from sat3d.visualization import to_uint8


def test_pictures_are_those_of_the_seeds(toys, tmp_path):
    main(toys.generator, "0-2,9", str(tmp_path), frames=3, yaw=0.3)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {*(f"seed{i:04d}.png" for i in (0, 1, 2, 9)), "grid.png", "depth.png", "orbit.mp4"}
    net = load_generator(toys.generator)
    image = net.synthesize(styles_of(net, [9], 1.0), camera=net.cameras.at(0.3, 0.0)).image[0]
    written = np.asarray(Image.open(tmp_path / "seed0009.png")).astype(int)
    assert np.abs(written - to_uint8(image)).max() <= 1
    assert len(imageio.mimread(tmp_path / "orbit.mp4")) == 3


def test_flat_generator_takes_no_camera(toys, tmp_path):
    main(toys.flat, "0", str(tmp_path / "flat"))
    assert {path.name for path in (tmp_path / "flat").iterdir()} == {"seed0000.png", "grid.png"}
    with pytest.raises(ValueError, match="2-D generator and takes no camera"):
        main(toys.flat, "0", str(tmp_path / "other"), yaw=0.1)
    assert not (tmp_path / "other").exists()


def test_truncation_to_nothing_is_the_mean(toys):
    net = load_generator(toys.generator)
    a, b = styles_of(net, [1, 2], 0.0)
    assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("text", ["", "a", "3-1", "-2", "1;2"])
def test_bad_seeds_are_explained(text, tmp_path):
    with pytest.raises(ValueError, match="such as 0-15"):
        main(seeds=text, out=str(tmp_path))


def test_seeds():
    assert parse_seeds("0-2,7, 4") == [0, 1, 2, 7, 4]


def test_unwritable_folder_is_named(toys, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="name another folder"):
        main(toys.generator, "0", str(tmp_path / "file"))
