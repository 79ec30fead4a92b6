import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from sat3d.commands.seeds import ws_of
from sat3d.generators import tiny_generator
from sat3d.methods.stylespace import Examples
from sat3d.methods.stylespace.positives import Likeness, read_pictures, seeded_styles, stored_styles
from tests.methods.conftest import predictor

G = tiny_generator(0)


class Colours(torch.nn.Module):
    """In the place of CLIP: a picture's mean colour, as a unit vector."""

    def encode_image(self, images):
        return torch.nn.functional.normalize(images.mean((2, 3)) + 1e-3, dim=1)


def test_seeds_are_those_of_the_command_line():
    assert torch.equal(seeded_styles(G, (3, 8), 0.7), G.styles(ws_of(G, [3, 8], 0.7)))


@pytest.mark.parametrize("kind", ["s.npy", "s.safetensors", "w.safetensors"])
def test_codes_are_read_from_files(kind, tmp_path):
    ws = G.map(torch.randn(2, G.z_dim))
    styles, path = G.styles(ws), tmp_path / kind
    if kind.endswith("npy"):
        np.save(path, styles.numpy())
    else:
        save_file({"codes": (ws if kind.startswith("w") else styles).contiguous()}, path)
    torch.testing.assert_close(stored_styles(G, str(path)), styles)


def test_what_cannot_be_read_says_why(tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((2, 3)))
    with pytest.raises(ValueError, match=rf"holds \(2, 3\); wanted are styles \(N, {G.style_space.size}\)"):
        stored_styles(G, str(tmp_path / "wide.npy"))
    with pytest.raises(FileNotFoundError, match="no file"):
        stored_styles(G, str(tmp_path / "none.npy"))
    with pytest.raises(FileNotFoundError, match="0 pictures in"):
        read_pictures(str(tmp_path), 8)
    for wrong, message in (
        ({}, "exactly one of seeds, indices, codes and pictures, not none"),
        ({"seeds": (1, 2), "pictures": "x"}, "not seeds, pictures"),
        ({"indices": (4,)}, "two different numbers"),
        ({"seeds": (3, 3)}, "two different numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            Examples(**wrong)


def test_photographs_are_turned_upright(tmp_path):
    page = np.zeros((8, 8, 3), dtype=np.uint8)
    page[:, :4] = 255
    turned = Image.Exif()
    turned[0x0112] = 6  # shown turned by a right angle: what is at the left comes on top
    for name, exif in (("a", Image.Exif()), ("b", turned)):
        Image.fromarray(page).save(tmp_path / f"{name}.png", exif=exif)
    plain, upright = read_pictures(str(tmp_path), 8)
    assert (plain[:, :, :4] == 1).all() and (upright[:, :4] == 1).all() and (upright[:, 4:] == -1).all()


def test_example_pictures_rank_what_looks_like_them_first(tmp_path):
    for i in range(3):  # red, on a grey that all pictures share; not square
        page = np.full((20, 30, 3), (150 + 30 * i, 60, 60), dtype=np.uint8)
        Image.fromarray(page).save(tmp_path / f"{i}.png")
    likeness = Likeness(None, None, Colours(), {"red": str(tmp_path)})
    likeness.compare(torch.rand(16, 3, 8, 8) * 0.1)
    pictures = torch.zeros(3, 3, 8, 8)
    pictures[0, 1], pictures[1, 0], pictures[2, :2] = 0.8, 0.8, 0.8
    found = likeness(pictures)[:, 0]
    assert likeness.names == ("red",) and found.argmax() == 1 and found.argmin() == 0


def test_scores_are_log_odds_of_columns_with_the_sign_of_the_tail():
    scorer = predictor(0)
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    found = Likeness(scorer, ["hat/cap", "-smile"], None, {})(images)
    odds = scorer.log_odds(images)
    torch.testing.assert_close(found, torch.stack([odds[:, 1], -odds[:, 3]], dim=1))
    assert Likeness(scorer, None, None, {}).names == scorer.columns


def test_impossible_settings():
    with pytest.raises(ValueError, match="name a scorer, or clip"):
        Likeness(None, ["smile"], None, {})
    with pytest.raises(ValueError, match="compared by CLIP"):
        Likeness(predictor(0), ["smile"], None, {"red": "folder"})
