import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sat3d.cli import main
from sat3d.commands.invert import folder_names
from sat3d.commands.seeds import ws_of
from sat3d.generators import load_generator
from sat3d.inversion import load_codes, read_card, with_tuning
from sat3d.visualization import to_uint8


@pytest.fixture
def photos(toys, tmp_path, monkeypatch):
    """Go to a folder with pictures of the tiny generator, in photos/, and return its file."""
    monkeypatch.chdir(tmp_path)
    net = load_generator(toys.generator)
    Path("photos").mkdir()
    with torch.no_grad():
        for seed in range(3):
            camera = net.cameras.at(0.2 * seed, 0.1)
            image = net.synthesize(net.styles(ws_of(net, [seed], 1.0)), camera=camera).image
            Image.fromarray(to_uint8(image[0])).save(f"photos/{seed}.png")
    return toys.generator


def invert(photos, toys, *words):
    networks = ["--perceptual_network", toys.scorer, "--encoder", "none", "--steps", "3"]
    main(["invert", *words, "--generator", photos, *networks, "--out", "codes"])


def table():
    with Path("codes/inversion.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_a_folder_of_pictures_becomes_codes_a_table_and_a_grid(photos, toys, capsys):
    invert(photos, toys, "photos", "--batch_size", "2")
    assert "3 pictures inverted" in capsys.readouterr().out
    assert table().keys() == {"0", "1", "2"}
    net = load_generator(photos)
    for name, row in table().items():
        codes = load_codes(f"codes/{name}/code.safetensors", net)
        with torch.no_grad():
            drawn = to_uint8(codes.show(net).image[0]).astype(int)
        kept = np.asarray(Image.open(f"codes/{name}/inversion.png")).astype(int)
        assert np.abs(drawn - kept).max() <= 1
        given = np.asarray(Image.open(f"codes/{name}/picture.png"))
        assert np.array_equal(given, np.asarray(Image.open(f"photos/{name}.png")))
        mse = ((given.astype(float) - kept) ** 2).mean() / 255**2
        assert float(row["psnr"]) == pytest.approx(-10 * np.log10(mse), abs=0.1)
        assert codes.card["picture"] == f"{name}.png" and codes.card["inversion"]["space"] == "s"
        assert float(row["yaw"]) == codes.card["figures"]["yaw"]
    with Image.open("codes/grid.png") as grid:
        assert grid.height > 3 * 64 and grid.width > 3 * 64


def test_what_was_inverted_the_same_way_is_not_inverted_again(photos, toys, capsys):
    invert(photos, toys, "photos/0.png", "photos/1.png")
    stamps = {name: Path(f"codes/{name}/code.safetensors").stat().st_mtime_ns for name in "01"}
    Path("codes/1/code.safetensors").write_bytes(b"half of a file")
    capsys.readouterr()
    invert(photos, toys, "photos")  # a run that was stopped goes on
    assert "2 pictures inverted, 1 were inverted before" in capsys.readouterr().out
    assert Path("codes/0/code.safetensors").stat().st_mtime_ns == stamps["0"]
    assert Path("codes/1/code.safetensors").stat().st_mtime_ns != stamps["1"]
    invert(photos, toys, "photos/0.png", "--space", "w")  # another way
    assert read_card("codes/0/code.safetensors")["inversion"]["space"] == "w"
    stamp = Path("codes/0/code.safetensors").stat().st_mtime_ns
    invert(photos, toys, "photos/0.png", "--space", "w", "--redo", "true")
    assert Path("codes/0/code.safetensors").stat().st_mtime_ns != stamp


def test_pictures_that_cannot_be_read_are_told_and_the_others_done(photos, toys, capsys):
    Path("photos/1.png").write_bytes(Path("photos/1.png").read_bytes()[:100])
    Path("photos/2.png").write_text("<html>")
    with pytest.raises(ValueError, match=r"2 of 3 pictures were left out:\n.*1\.png.*\n.*2\.png") as told:
        invert(photos, toys, "photos")
    assert len(str(told.value).splitlines()) == 3
    assert table().keys() == {"0"}
    with pytest.raises(ValueError, match="does not exist"):
        invert(photos, toys, "none.png")
    with pytest.raises(ValueError, match="1 of 1 pictures"):
        invert(photos, toys, "photos/2.png")


def test_a_known_camera_is_used(photos, toys):
    invert(photos, toys, "photos/2.png", "--yaw", "0.4", "--pitch", "0.1")
    card = read_card("codes/2/code.safetensors")
    assert card["inversion"]["pose"] == "given"
    assert (card["figures"]["yaw"], card["figures"]["pitch"]) == pytest.approx((0.4, 0.1), abs=1e-4)
    with pytest.raises(ValueError, match="a known camera has both"):
        invert(photos, toys, "photos/2.png", "--yaw", "0.4")


def test_tuning_is_kept_in_the_file_and_what_was_drawn_is_the_tuned_generators(photos, toys):
    invert(photos, toys, "photos/0.png", "--tune", "2", "--space", "w")
    net = load_generator(photos)
    codes = load_codes("codes/0/code.safetensors", net)
    assert codes.tuned and codes.card["tuning"]["steps"] == 2
    kept = np.asarray(Image.open("codes/0/inversion.png")).astype(int)
    with torch.no_grad():
        drawn = to_uint8(codes.show(with_tuning(net, codes.tuned)).image[0]).astype(int)
    assert np.abs(drawn - kept).max() <= 1


def test_two_dimensional_generators_have_no_camera(toys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((40, 50, 3), 90, np.uint8)).save("a.png")
    invert(toys.flat, toys, "a.png")
    assert load_codes("codes/a/code.safetensors", load_generator(toys.flat)).camera is None
    with pytest.raises(ValueError, match="2-D generator and takes no camera"):
        invert(toys.flat, toys, "a.png", "--yaw", "0.1", "--pitch", "0.1")


def test_landmarks_are_read_from_a_file_or_a_folder(photos, toys):
    points = {"landmarks": [[20.0, 28.0], [44.0, 28.0], [24.0, 46.0], [40.0, 46.0]]}
    Path("points").mkdir()
    Path("points/0.json").write_text(json.dumps(points["landmarks"]))
    invert(photos, toys, "photos/0.png", "--align", "ffhq", "--landmarks", "points/0.json")
    aligned = np.asarray(Image.open("codes/0/picture.png")).astype(int)
    assert np.abs(aligned - np.asarray(Image.open("photos/0.png"))).mean() > 1
    invert(photos, toys, "photos/0.png", "--align", "ffhq", "--landmarks", "points", "--redo", "true")
    assert np.array_equal(aligned, np.asarray(Image.open("codes/0/picture.png")).astype(int))
    with pytest.raises(ValueError, match=r"1\.json"):
        invert(photos, toys, "photos/1.png", "--align", "ffhq", "--landmarks", "points")


def test_folders_have_names_of_their_own():
    paths = [Path(p) for p in ("a/x.png", "b/x.jpg", "x", "c/y.png")]
    assert folder_names(paths) == ["x", "x-2", "x-3", "y"]
    assert folder_names([Path("x.png"), Path("a/x.png"), Path("x-2.png")]) == ["x", "x-2", "x-2-2"]
