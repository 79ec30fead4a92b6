import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from PIL import Image

from sat3d.visualization import colour_depth, difference, picture_grid, replacing, to_uint8, write_clip, write_picture


def test_bytes_of_known_values():
    image = torch.tensor([-1.0, 0.0, 1.0])[:, None, None] * torch.ones(3, 1, 2)
    assert to_uint8(image)[0, 1].tolist() == [0, 128, 255]
    assert to_uint8(torch.full((3, 1, 1), 7.0)).max() == 255


def test_a_failed_write_leaves_what_was_there(tmp_path):
    (tmp_path / "a.png").write_text("old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "a.png") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a.png").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_grid_places_every_picture_and_label(tmp_path):
    images = torch.rand(2, 3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    page = picture_grid(images, ["a", "long label"], ["x", "y", "z"], scale=2)
    read = np.asarray(Image.open(write_picture(tmp_path / "grid.png", page)))
    last = to_uint8(images[1, 2]).repeat(2, 0).repeat(2, 1)
    assert np.array_equal(read[-20:-4, -20:-4], last)
    assert (read[:18] < 200).any() and (read[20:, :30] < 200).any()
    with pytest.raises(ValueError, match="do not fit"):
        picture_grid(images, ["a"])


def test_labels_wider_than_their_column_are_broken_into_lines() -> None:
    images = torch.zeros(1, 2, 3, 64, 64)
    one, two = picture_grid(images, columns=["hat", "smile"]), picture_grid(images, columns=["hat", "headlight_shape"])
    assert two.shape[1] == one.shape[1] and len(two) == len(one) + 14
    inked = (two[: len(two) - 72] < 128).all(-1).any(0)  # above the pictures
    between = slice(4 + 64, 4 + 64 + 4)
    assert inked[4:68].any() and inked[72:136].any() and not inked[between].any() and not inked[140:].any()


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif", "clip.webp"])
def test_clip_can_be_read_back(tmp_path, name):
    frames = np.zeros((5, 33, 48, 3), np.uint8)
    frames[:, :, :24] = 200
    path = write_clip(tmp_path / name, frames)
    read = [np.asarray(frame)[..., :3] for frame in imageio.mimread(path)]
    assert len(read) in (1, 5)  # a GIF may join equal frames
    assert abs(int(read[0][10, 5].mean()) - 200) < 12 and read[0][10, 40].mean() < 12
    with pytest.raises(ValueError, match=r"\.mp4, \.gif or \.webp"):
        write_clip(tmp_path / "clip.avi", frames)


def test_depth_orders_near_and_far_and_leaves_nothing_white():
    depth = torch.tensor([[[1.0, 2.0, float("inf")]]])
    near, far, nothing = colour_depth(depth)[0, 0].astype(int)
    assert near.sum() > far.sum() and nothing.tolist() == [255, 255, 255]


def test_difference_is_white_where_pictures_agree():
    a, b = torch.zeros(3, 1, 2), torch.zeros(3, 1, 2)
    b[:, 0, 1] = 0.5
    assert difference(a, b)[0, 0].tolist() == [1.0, 0.0]
