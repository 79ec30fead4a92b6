from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image

from sat3d.cli import main as door
from sat3d.commands.generate import main
from sat3d.commands.seeds import parse_seeds, ws_of
from sat3d.generators import build_generator, load_generator, save_generator, tiny_generator
from sat3d.ops.camera import Camera
from sat3d.visualization import extract_mesh, resized, to_uint8


def picture(folder: Path, seed: int) -> np.ndarray:
    return np.asarray(Image.open(folder / f"seed{seed:04d}.png")).astype(int)


def near(written: np.ndarray, image: torch.Tensor) -> bool:
    return bool(np.abs(written.astype(int) - to_uint8(image)).max() <= 1)


@pytest.fixture(scope="module")
def classes(tmp_path_factory) -> str:
    """A file of a 2-D generator of three classes whose noise shows."""
    config = tiny_generator(0, "stylegan2").config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = build_generator({**config, "c_dim": 3})
    for name, parameter in net.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(0.5)
    path = tmp_path_factory.mktemp("classes") / "classes.safetensors"
    save_generator(net, path)
    return str(path)


@pytest.fixture
def clips(monkeypatch) -> dict[str, np.ndarray]:
    """The frames of the clips that are written, by file name."""
    written: dict[str, np.ndarray] = {}

    def keep(path, frames):
        written[path.name] = np.stack(list(frames))
        return path

    monkeypatch.setattr("sat3d.visualization.write_clip", keep)
    return written


def test_pictures_are_those_of_the_seeds(toys, tmp_path):
    main(toys.generator, "0-2,9", str(tmp_path), frames=3, yaw=0.3)
    names = {path.name for path in tmp_path.iterdir()}
    pictures = {f"seed{i:04d}.png" for i in (0, 1, 2, 9)}
    assert names == {*pictures, "grid.png", "depth.png", "orbit.mp4", "orbit-depth.mp4"}
    net = load_generator(toys.generator)
    assert near(
        picture(tmp_path, 9), net.synthesize(net.styles(ws_of(net, [9], 1.0)), camera=net.cameras.at(0.3, 0.0)).image[0]
    )
    for name in ("orbit.mp4", "orbit-depth.mp4"):
        assert [frame.shape for frame in imageio.mimread(tmp_path / name)] == [(128, 4 * 128, 3)] * 3


def test_flat_generator_takes_no_camera(toys, tmp_path):
    main(toys.flat, "0", str(tmp_path / "flat"))
    assert {path.name for path in (tmp_path / "flat").iterdir()} == {"seed0000.png", "grid.png"}
    for setting in ({"yaw": 0.1}, {"fov": 20.0}, {"neural_resolution": 8}, {"amplitude": (0.1, 0.1)}):
        with pytest.raises(ValueError, match=f"{next(iter(setting))}: .*2-D generator and takes no camera"):
            main(toys.flat, "0", str(tmp_path / "other"), **setting)
    with pytest.raises(ValueError, match="is a 2-D generator and has no density"):
        main(toys.flat, "0", str(tmp_path / "other"), mesh="ply")
    assert not (tmp_path / "other").exists()


def test_a_class_is_drawn_as_asked(classes, toys, tmp_path):
    net = load_generator(classes)
    ws = (ws_of(net, [4], 1.0, condition=one) for one in torch.eye(3).split(1))
    expected = [net.synthesize(net.styles(w)).image[0] for w in ws]
    for label in range(3):
        main(classes, "4", str(tmp_path), label=label)
        assert [near(picture(tmp_path, 4), image) for image in expected] == [i == label for i in range(3)]
    for label, given in ((None, ""), (3, "=3"), (-1, "=-1")):
        with pytest.raises(ValueError, match=f"label{given}: .* one of 3 classes; give --label 0 to 2"):
            main(classes, "4", str(tmp_path / "other"), label=label)
    for file in (toys.flat, toys.generator):
        with pytest.raises(ValueError, match="label=1: this generator has no classes"):
            main(file, "4", str(tmp_path / "other"), label=1)
    assert not (tmp_path / "other").exists()


def test_noise_is_constant_absent_or_the_seeds_own(classes, tmp_path):
    def drawn(seeds: str, noise: str) -> np.ndarray:
        main(classes, seeds, str(tmp_path), label=0, noise=noise)
        return picture(tmp_path, 5)

    alone, among = drawn("5", "random"), drawn("2-6", "random")
    assert np.array_equal(alone, among)
    assert not np.array_equal(picture(tmp_path, 4), drawn("4,5", "const"))
    const, none = picture(tmp_path, 5), drawn("5", "none")
    assert all(np.abs(a - b).max() > 1 for a, b in ((alone, const), (const, none), (none, alone)))


def test_truncation_to_nothing_is_the_mean_of_the_first_layers(toys, tmp_path):
    net = load_generator(toys.generator)
    a, b = net.styles(ws_of(net, [1, 2], 0.0))
    assert torch.allclose(a, b, atol=1e-5)
    main(toys.flat, "1", str(tmp_path), truncation=0.0, cutoff=3)
    flat = load_generator(toys.flat)
    ws = flat.styles(ws_of(flat, [1], 1.0)), flat.styles(ws_of(flat, [1], 0.0))
    parts = [flat.style_space.split(s) for s in ws]
    mixed = [parts[layer.ws_index < 3][i] for i, layer in enumerate(flat.style_space.layers)]
    assert near(picture(tmp_path, 1), flat.synthesize(torch.cat(mixed, dim=1)).image[0])
    assert not near(picture(tmp_path, 1), flat.synthesize(ws[0]).image[0])
    with pytest.raises(ValueError, match="cutoff=9: this generator has 8 w, so give 0 to 8"):
        main(toys.flat, "1", str(tmp_path / "other"), cutoff=9)


def test_cameras_are_changed_as_asked(tmp_path, capsys):
    main("toyfaces64", "1", str(tmp_path), radius=3.0, fov=20.0, neural_resolution=8, frames=0)
    net = load_generator("toyfaces64")
    camera = Camera.look_at(0.0, 0.0, radius=3.0, fov=20.0)
    s = net.styles(ws_of(net, [1], 1.0))
    assert near(picture(tmp_path, 1), net.synthesize(s, camera, neural_resolution=8).image[0])
    for other in (net.synthesize(s, camera), net.synthesize(s, net.cameras.frontal(), neural_resolution=8)):
        assert not near(picture(tmp_path, 1), other.image[0])
    assert {path.name for path in tmp_path.iterdir()} == {"seed0001.png", "grid.png", "depth.png"}
    assert "radius 3, field of view 20 degrees; see --radius, --fov" in capsys.readouterr().out


def test_a_3d_generator_of_unknown_cameras_is_drawn_with_those_of_faces(tmp_path, capsys):
    net = tiny_generator(3)
    net.cameras = None
    save_generator(net, tmp_path / "g.safetensors")
    main(str(tmp_path / "g.safetensors"), "0", str(tmp_path / "out"), frames=0)
    assert "radius 2.7, field of view 18.837 degrees; see --radius, --fov" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "angles"),
    [
        ("orbit", [(0.1, 0.4), (0.5, 0.2), (0.1, 0.0), (-0.3, 0.2)]),
        ("yaw", [(0.1, 0.2), (0.5, 0.2), (0.1, 0.2), (-0.3, 0.2)]),
        ("pitch", [(0.1, 0.4), (0.1, 0.2), (0.1, 0.0), (0.1, 0.2)]),
        ("turn", [(0.1 + i * np.pi / 2, 0.2) for i in range(4)]),
    ],
)
def test_clips_follow_their_path_around_the_view(tmp_path, clips, path, angles):
    amplitude = None if path == "turn" else (0.4, 0.2)
    seeds = (0, 3)
    main("toyfaces64", "0,3", str(tmp_path), yaw=0.1, pitch=0.2, path=path, amplitude=amplitude, frames=4, tile=64)
    net = load_generator("toyfaces64")
    assert clips.keys() == {f"{path}.mp4", f"{path}-depth.mp4"} and clips[f"{path}.mp4"].shape == (4, 64, 128, 3)
    for frame, (yaw, pitch) in zip(clips[f"{path}.mp4"], angles, strict=True):
        for i, seed in enumerate(seeds):
            image = net.synthesize(net.styles(ws_of(net, [seed], 1.0)), net.cameras.at(yaw, pitch)).image[0]
            assert near(frame[:, 64 * i : 64 * (i + 1)], image)


def test_the_colours_of_depth_mean_the_same_in_all_frames(tmp_path, clips):
    main("toyfaces64", "0", str(tmp_path), amplitude=(0.0, 0.0), frames=2, clip="gif", tile=16)
    still = np.asarray(Image.open(tmp_path / "depth.png"))[4:-4, 4:-4]
    assert len(np.unique(still)) > 10
    assert all(np.array_equal(frame, still) for frame in clips["orbit-depth.gif"])
    main("toyfaces64", "0", str(tmp_path), amplitude=(0.0, 0.6), frames=6, tile=32)
    net = load_generator("toyfaces64")
    track, s = net.cameras.orbit(6, 0.0, 0.6), net.styles(ws_of(net, [0], 1.0))
    seen = [net.synthesize(s, track[i]) for i in range(6)]
    near_ends = np.array([float(r.depth[r.opacity >= 0.5].min()) for r in seen])
    yellow = np.array(colormaps["cividis_r"](0.0, bytes=True)[:3])
    has_yellow = (np.abs(clips["orbit-depth.mp4"] - yellow.astype(int)) <= 1).all(-1).any((1, 2))
    span = max(float(r.depth[r.opacity >= 0.5].max()) for r in seen) - near_ends.min()
    assert has_yellow[near_ends.argmin()] and not has_yellow[near_ends > near_ends.min() + span / 100].any()
    assert (near_ends > near_ends.min() + span / 100).any()


def test_clips_can_be_played_as_gif(tmp_path):
    options = ["--seeds", "0", "--frames", "3", "--clip", "gif", "--path", "yaw", "--amplitude", "[0.4,0.2]"]
    door(["generate", *options, "--out", str(tmp_path)])
    for name in ("yaw.gif", "yaw-depth.gif"):
        assert len(imageio.mimread(tmp_path / name)) == 3


def test_every_seed_has_its_mesh(tmp_path, capsys):
    trimesh = pytest.importorskip("trimesh")
    main("toyfaces64", "2,4", str(tmp_path), frames=0, mesh="obj", mesh_resolution=32)
    net = load_generator("toyfaces64")
    printed = capsys.readouterr().out
    for seed in (2, 4):
        expected, report = extract_mesh(net, net.styles(ws_of(net, [seed], 1.0)), resolution=32)
        read = trimesh.load(tmp_path / f"seed{seed:04d}.obj")
        assert np.allclose(read.bounds, expected.bounds, atol=1e-6) and read.is_watertight
        assert f"seed{seed:04d}.obj: {report}" in printed and "watertight" in str(report)
    assert "2 meshes" in printed


def test_many_seeds_and_large_pictures_fit_the_page(toys, tmp_path, clips):
    main(toys.flat, "0-69", str(tmp_path), tile=8)
    assert len(list(tmp_path.glob("seed*.png"))) == 70
    page = np.asarray(Image.open(tmp_path / "grid.png"))
    assert page.shape == (8 * 12 + 4, 8 * 12 + 4, 3)
    assert np.array_equal(page[4:12, 16:24], resized(picture(tmp_path, 1).astype(np.uint8), 8))
    main(toys.generator, "0-9", str(tmp_path / "solid"), frames=2)
    assert clips["orbit.mp4"].shape == (2, 128, 8 * 128, 3)


def test_a_clip_that_cannot_be_finished_leaves_nothing(toys, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("imageio.v2.get_writer", full)
    with pytest.raises(OSError, match="No space"):
        main(toys.generator, "0", str(tmp_path), frames=2)
    assert {path.name for path in tmp_path.iterdir()} == {"seed0000.png", "grid.png", "depth.png"}


@pytest.mark.parametrize("text", ["", "a", "3-1", "-2", "1;2"])
def test_bad_seeds_are_explained(text, tmp_path):
    with pytest.raises(ValueError, match="such as 0-15"):
        main(seeds=text, out=str(tmp_path))


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"frames": -1}, "frames=-1: give a number from 0 on"),
        ({"tile": 0}, "tile=0: give a number from 1 on"),
        ({"neural_resolution": 0}, "neural_resolution=0: give a number from 1 on"),
        ({"radius": 0.0}, "radius=0.0: give a distance above 0"),
        ({"fov": 180.0}, "fov=180.0: give degrees between 0 and 180"),
        ({"path": "turn", "amplitude": (0.1, 0.1)}, "amplitude: a turn has none"),
        ({"device": "gpu"}, r"device='gpu': .*\(cpu always works"),
        ({"device": "cuda:99"}, r"device='cuda:99': .*\(cpu always works"),
    ],
)
def test_bad_settings_are_explained_and_leave_nothing(setting, reason, toys, tmp_path):
    with pytest.raises(ValueError, match=reason):
        main(toys.generator, "0", str(tmp_path / "other"), **setting)
    assert not (tmp_path / "other").exists()


def test_seeds():
    assert parse_seeds("0-2,7, 4") == [0, 1, 2, 7, 4]


def test_unwritable_folder_is_named(toys, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="name another folder"):
        main(toys.generator, "0", str(tmp_path / "file"))
