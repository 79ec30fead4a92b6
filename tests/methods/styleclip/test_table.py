"""The table of directions, against loops and against what was planted."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sat3d.generators import load_generator
from sat3d.methods.shares import spread
from sat3d.methods.styleclip import channel_directions
from sat3d.methods.styleclip.table import DirectionMean
from tests.methods.styleclip.planted import fit, module


@pytest.mark.parametrize("kind", ["generator", "flat"])
def test_table_equals_a_loop_over_pictures_and_channels(toys, tmp_path, eyes, kind):
    model = module(getattr(toys, kind), kinds=("conv",), parts=("backbone",), max_resolution=8, pictures=2, shift=3.0)
    data = fit(model, tmp_path)
    generator = load_generator(getattr(toys, kind))
    known = np.concatenate([data.codes("train", [i]).styles.numpy() for i in range(30)]).astype(np.float64)
    mean, std = known.mean(0), known.std(0)
    names = [y for y in generator.style_space.layers if y.kind == "conv" and y.part == "backbone" and y.resolution <= 8]
    flat = [c for y in names for c in range(y.start, y.start + y.size)]
    assert model.channels.tolist() == flat and 0 < len(flat) < generator.style_space.size

    found = np.zeros((len(flat), 16))
    for number in spread(2, 40).tolist():
        code = data.codes("train", [number])
        for row, channel in enumerate(flat):
            seen = []
            for sign in (1, -1):
                styles = code.styles.clone()
                styles[0, channel] = mean[channel] + sign * 3.0 * std[channel]
                image = generator.synthesize(styles, camera=code.camera).image
                seen.append(eyes.encode_image(image)[0].double().numpy())
            change = seen[0] - seen[1]
            found[row] += change / np.linalg.norm(change)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    # Rounding is what is left of channels that hardly show.
    agree = (model.directions.double().numpy() * found).sum(1)
    assert np.quantile(agree, 0.1) > 0.9999 and agree.min() > 0.95
    np.testing.assert_allclose(model.population.numpy(), [mean, std], rtol=1e-5, atol=1e-7)


def test_planted_channels_are_found(planted, eyes):
    rows = planted.directions
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(12))
    # A unit vector's change is not quite along the pixel: it loses what all pixels share.
    assert (rows @ eyes.turn[:12].T).argmax(1).tolist() == list(range(12))
    moved = planted.editor().channels_of("wanted")
    assert [entry[:2] for entry in moved[:2]] in (
        [("b4.conv1", 5), ("b4.conv1", 2)],
        [("b4.conv1", 2), ("b4.conv1", 5)],
    )
    assert {entry[1]: entry[2] > 0 for entry in moved[:2]} == {5: True, 2: False}
    assert abs(moved[2][2]) < 0.5 * abs(moved[1][2])


def test_channels_without_effect_have_no_direction():
    look = lambda s: torch.nn.functional.normalize(s[:, :2] + 1, dim=1)  # noqa: E731
    found = channel_directions(look, torch.rand(3), torch.arange(3), torch.zeros(3), torch.full((3,), 0.5), batch=4)
    torch.testing.assert_close(found.norm(dim=1), torch.tensor([1.0, 1.0, 0.0]))
    mean = DirectionMean(3, 2)
    for _ in range(2):
        mean.update(found)
    torch.testing.assert_close(mean.compute(), found)
    assert int(mean.pictures) == 2


def test_an_earlier_table_is_taken_over(planted, pixels, tmp_path, monkeypatch):
    tensors = load_file(tmp_path / "channel_directions.safetensors")
    assert torch.equal(tensors["directions"], planted.directions)
    card = json.loads((tmp_path / "channel_directions.json").read_text())
    assert card["generator"] == pixels.hash and card["codes"]["truncation"] == 1.0

    monkeypatch.setattr(pixels, "synthesize", None)  # nothing is rendered
    other = {"kinds": ("conv", "torgb"), "texts": {"other": ["channel 1", "channel 0"]}, "table": str(tmp_path)}
    again = module("pixels", **other)
    fit(again, tmp_path / "again", data={"epoch_size": 5})
    assert torch.equal(again.directions, planted.directions) and torch.equal(again.population, planted.population)
    assert {entry[1] for entry in again.editor().channels_of("other")[:2]} == {0, 1}
    assert (tmp_path / "again" / "channel_directions.json").read_text() == (
        tmp_path / "channel_directions.json"
    ).read_text()


def test_a_table_of_something_else_is_refused(planted, pixels, tmp_path):
    ask = {"kinds": ("conv", "torgb"), "table": str(tmp_path / "channel_directions.json")}
    for changes, data, message in (
        ({"shift": 4.0}, {}, r"table: .* made with shift=5.0, not 4.0"),
        ({"kinds": ("conv",)}, {}, r"made with kinds=\['conv', 'torgb'\], not \['conv'\]"),
        ({}, {"seed": 1}, r"made with codes=.*'seed': 0.*, not .*'seed': 1"),
        ({"table": str(tmp_path / "none")}, {}, "no file"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            fit(module("pixels", **{**ask, **changes}), tmp_path / "again", data=data)
    pixels.affine.bias.data += 1
    with pytest.raises(ValueError, match="made with generator="):
        fit(module("pixels", **ask), tmp_path / "again")
    (tmp_path / "channel_directions.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match="truncated or damaged"):
        fit(module("pixels", **ask), tmp_path / "again")
