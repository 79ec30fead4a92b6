"""Faces cropped by landmarks, against the paper's equations by hand and against a face that is known as a function."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sat3d.generators.catalogue import entries
from sat3d.inversion.alignment import align_picture, crop_quad, expected_alignment, prepare_picture
from sat3d.inversion.landmarks import LandmarkError, Landmarks, find_landmarks, read_landmarks
from sat3d.inversion.pictures import fit_picture

POINTS = np.array([[-1.0, 0.0], [1.0, 0.0], [-0.7, 2.1], [0.7, 2.1]])  # eyes and mouth of a face around its own origin
SIDE, CENTRE = 8.0, np.array([0.0, 0.21])  # of its crop: max(4 * 2, 3.6 * 2.1), and a tenth of 2.1 below the eyes


def face(q):
    """Return the colours of a smooth face and its surroundings at places of its own: (..., 2) to (..., 3), 0 to 255."""
    x, y = q[..., 0], q[..., 1]
    spots = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / 0.15) for a, b in POINTS)
    waves = np.stack([np.sin(1.3 * x + 0.4 * y), np.cos(0.9 * x - 1.1 * y), np.sin(1.7 * y + 0.3 * x)], -1)
    return 128 + 60 * waves - 50 * spots[..., None] * np.array([1.0, 0.5, -0.5])


def photograph(scale, degrees, at, size):
    """Draw the face, exactly, as a photograph that a similarity transform leads to; and its landmarks there."""
    a = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    rows, columns = np.mgrid[: size[1], : size[0]]
    q = (np.stack([columns, rows], -1) - at) @ np.linalg.inv(turn).T
    picture = np.clip(np.round(face(q)), 0, 255).astype(np.uint8)
    return picture, Landmarks.of_points(POINTS @ turn.T + at)


def true_crop(resolution, fine=4):
    """Average the face over the pixels of its crop."""
    t = ((np.arange(resolution * fine) + 0.5) / (resolution * fine) - 0.5) * SIDE
    q = np.stack(np.meshgrid(t, t), -1) + CENTRE
    return face(q).reshape(resolution, fine, resolution, fine, 3).mean((1, 3))


def levels(crop):
    return ((crop[0].numpy() + 1) * 127.5).transpose(1, 2, 0)


def test_the_crop_of_an_upright_face_by_hand():
    # x' = (40, 0), y' = (0, -50): c = (120, 105), s = max(160, 180), x = (1, 0), y = (0, -1)
    quad = crop_quad(Landmarks.of_points([[100, 100], [140, 100], [105, 150], [135, 150]]))
    assert np.allclose(quad, [[30, 15], [210, 15], [210, 195], [30, 195]])
    # x' = (60, 0), y' = (0, -50): c = (130, 105), s = max(240, 180)
    quad = crop_quad(Landmarks.of_points([[100, 100], [160, 100], [100, 150], [160, 150]]))
    assert np.allclose(quad, [[10, -15], [250, -15], [250, 225], [10, 225]])


def test_the_crop_of_a_crooked_face_by_hand():
    # x' = (30, 40), y' = (40, -50): Rotate90(y') = (-50, -40), x = (80, 80) / |.|, c = (115, 120) - (4, -5)
    quad = crop_quad(Landmarks.of_points([[100, 100], [130, 140], [60, 160], [90, 180]]))
    s = max(4 * 50, 3.6 * np.hypot(40, 50))
    x, y = np.array([1, 1]) / np.sqrt(2), np.array([1, -1]) / np.sqrt(2)
    c = np.array([111, 125])
    assert np.allclose(quad, [c + s / 2 * v for v in (-x + y, x + y, x - y, -x - y)])


@pytest.mark.parametrize("degrees", [0, 20, 90, 180, 271])
def test_the_crop_follows_a_similarity_transform(degrees):
    _, landmarks = photograph(30.0, degrees, np.array([200.0, 170.0]), (8, 8))
    a = np.deg2rad(degrees)
    turn = 30 * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    corners = CENTRE + SIDE / 2 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    assert np.allclose(crop_quad(landmarks), corners @ turn.T + [200, 170])


@pytest.mark.parametrize(
    ("scale", "degrees", "at", "size"),
    [
        (30.0, 0, (180.0, 160.0), (360, 340)),
        (30.5, 33, (230.3, 219.7), (460, 450)),
        (44.0, -71, (330.0, 300.5), (640, 620)),
        (31.0, 180, (200.0, 170.0), (400, 360)),
        (11.0, 15, (80.0, 90.0), (160, 180)),  # enlarged
        (130.0, 8, (700.0, 650.0), (1400, 1360)),  # shrunk eightfold, in two steps
        (30.5, 33, (700.2, 519.7), (1200, 900)),  # a small part of the picture
    ],
)
def test_an_aligned_face_does_not_depend_on_how_it_was_photographed(scale, degrees, at, size):
    picture, landmarks = photograph(scale, degrees, np.array(at), size)
    crop = align_picture(picture, landmarks, 128)
    assert crop.shape == (1, 3, 128, 128) and crop.dtype == torch.float32
    error = abs(levels(crop) - true_crop(128))
    assert error.mean() < 0.6 and error.max() < 4, (error.mean(), error.max())


def test_eyes_and_corners_of_the_mouth_may_come_in_any_order():
    picture, landmarks = photograph(30.5, 133, np.array([230.3, 219.7]), (460, 450))
    swapped = Landmarks(landmarks.eyes[::-1].copy(), landmarks.mouth[::-1].copy())
    assert np.array_equal(swapped.eyes, landmarks.eyes)
    assert torch.equal(align_picture(picture, swapped, 32), align_picture(picture, landmarks, 32))


def test_fine_structure_becomes_grey_not_a_pattern():
    stripes = np.indices((1200, 1200))[1] // 2 % 2 * 255
    picture = np.repeat(stripes[..., None], 3, -1).astype(np.uint8)
    _, landmarks = photograph(120.0, 0, np.array([590.0, 560.0]), (8, 8))
    for turned in (landmarks, photograph(105.0, 11, np.array([590.0, 560.0]), (8, 8))[1]):
        assert abs(align_picture(picture, turned, 64)).max() < 0.03


def test_what_is_outside_the_picture_is_mirrored_and_blurred():
    whole, _ = photograph(30.0, 14, np.array([260.0, 260.0]), (420, 400))
    _, landmarks = photograph(30.0, 14, np.array([70.0, 95.0]), (8, 8))
    picture = whole[165:365, 190:350]  # the face's left and top are cut off
    stripes = picture.copy()
    stripes[:, ::2] = 255 - stripes[:, ::2]
    # Independent of grid_sample's own mirroring: the picture is mirrored first, and its crop stays inside.
    for source in (picture, stripes):
        mirrored = np.pad(source, ((160, 160), (160, 160), (0, 0)), mode="symmetric")
        moved = Landmarks(landmarks.eyes + 160, landmarks.mouth + 160)
        crop, reference = levels(align_picture(source, landmarks, 120)), levels(align_picture(mirrored, moved, 120))
        columns, rows = _places(landmarks, 120)
        deep = np.maximum(np.maximum(-columns, columns - 159), np.maximum(-rows, rows - 199))
        assert (deep > 20).any() and (deep < -2).sum() > 3000
        assert abs(crop - reference)[deep < -2].max() < 0.1
        far = deep > 20
        if source is stripes:
            assert _roughness(crop, far) < 0.35 * _roughness(reference, far)
        else:
            assert abs(crop - reference)[far].mean() < 6


def _places(landmarks, resolution):
    quad, t = crop_quad(landmarks), (np.arange(resolution) + 0.5) / resolution
    places = quad[0] + t[None, :, None] * (quad[1] - quad[0]) + t[:, None, None] * (quad[3] - quad[0])
    return places[..., 0], places[..., 1]


def _roughness(crop, where):
    return abs(np.diff(crop, axis=1))[where[:, 1:] & where[:, :-1]].mean()


def test_a_face_in_a_corner_is_mirrored_from_what_there_is():
    plain = np.full((200, 160, 3), 90, np.uint8)
    for at in ((2.0, 2.0), (155.0, 190.0), (80.0, 3.0)):
        _, landmarks = photograph(25.0, 40, np.array(at), (8, 8))
        centre = crop_quad(landmarks).mean(0)
        if (centre < 0).any() or (centre > [159, 199]).any():
            continue
        assert abs(levels(align_picture(plain, landmarks, 64)) - 90).max() < 0.01


def test_faces_that_cannot_be_cropped():
    picture, landmarks = photograph(30.0, 0, np.array([180.0, 160.0]), (360, 340))
    right = np.array([1000, 0])
    with pytest.raises(LandmarkError, match=r"me\.png: landmarks around \(1180, 166\) are outside its 360x340 pixels"):
        align_picture(picture, Landmarks(landmarks.eyes + right, landmarks.mouth + right), 64, name="me.png")
    with pytest.raises(LandmarkError, match="are 10 pixels wide; give a larger picture"):
        align_picture(picture, photograph(1.25, 0, np.array([180.0, 160.0]), (8, 8))[1], 64)
    with pytest.raises(ValueError, match="resolution=0"):
        align_picture(picture, landmarks, 0)
    for points in (np.zeros((4, 2)), [[0, 0], [9, 9], [20, 20], [30, 30]], [[0, 0], [9, 0], [2, 0.5], [7, 0.5]]):
        with pytest.raises(LandmarkError, match="no face's"):
            Landmarks.of_points(points)
    for points in ([[np.nan, 0], [1, 0], [0, 2], [1, 2]], [[0, 0], [np.inf, 0], [0, 2], [1, 2]]):
        with pytest.raises(LandmarkError, match="finite numbers"):
            Landmarks.of_points(points)
    for points in ([], [[1, 2]], np.zeros((468, 3)), np.zeros((98, 2)), 7):
        with pytest.raises(LandmarkError, match="68, 5 or 4 points of x and y"):
            Landmarks.of_points(points)
    for points in ([[1, 2], [3]], "face", [["a", "b"]] * 4, [[10**400, 1]] * 4, {"eyes": 1}):
        with pytest.raises(LandmarkError, match="numbers, x and y"):
            Landmarks.of_points(points)


def test_layouts_of_landmarks():
    points = np.random.default_rng(0).uniform(0, 99, (68, 2))
    points[36:48, 1] = 10 + points[36:48, 1] / 50
    points[36:42, 0], points[42:48, 0] = points[36:42, 0] / 9 + 20, points[42:48, 0] / 9 + 60
    points[48], points[54] = (25, 80), (75, 82)
    found = Landmarks.of_points(points)
    assert np.allclose(found.eyes, [np.mean(points[36:42], 0), np.mean(points[42:48], 0)])
    assert np.array_equal(found.mouth, [[25, 80], [75, 82]])
    five = Landmarks.of_points([[1, 2], [9, 2], [5, 5], [3, 8], [7, 8]])
    four = Landmarks.of_points([[1, 2], [9, 2], [3, 8], [7, 8]])
    assert np.array_equal(five.eyes, four.eyes) and np.array_equal(five.mouth, [[3, 8], [7, 8]])
    assert np.array_equal(five.mouth, four.mouth)


FOUR = [[10.5, 20], [50, 21], [18, 60], [44, 61]]


def test_landmarks_are_read_from_files(tmp_path):
    expected = Landmarks.of_points(FOUR)
    (tmp_path / "a.json").write_text(json.dumps(FOUR))
    (tmp_path / "b.json").write_text("\ufeff" + json.dumps({"eyes": FOUR[:2], "mouth": FOUR[2:], "of": "me"}), "utf-8")
    lines = "\n".join(f"{x}, {y}" for x, y in FOUR)
    (tmp_path / "c.csv").write_text("x,y\n" + lines + "\n\n")
    (tmp_path / "d.CSV").write_text(lines.replace("\n", "\r\n"))
    np.save(tmp_path / "e.npy", np.array(FOUR, np.float32))
    np.save(tmp_path / "f.npy", np.asfortranarray([[10.5, 20], [50, 21], [0, 0], [18, 60], [44, 61]]))
    for path in sorted(tmp_path.iterdir()):
        found = read_landmarks(path)
        assert np.array_equal(found.eyes, expected.eyes) and np.array_equal(found.mouth, expected.mouth), path
    assert len(list(tmp_path.iterdir())) == 6


class Trap:
    def __reduce__(self):
        return Path.touch, (Path("trap"),)


def test_files_that_hold_no_landmarks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("pickled.npy", np.array([Trap()] * 4), allow_pickle=True)
    Path("trap").unlink(missing_ok=True)
    Path("pickle.npy").write_bytes(pickle.dumps(Trap()))
    np.savez("zip.npz", a=np.array(FOUR))
    Path("zip.npz").rename("zip.npy")
    np.save("words.npy", np.array([["a", "b"]] * 4))
    np.save("rows.npy", np.zeros((68, 3)))
    claim = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 2), }"
    Path("claim.npy").write_bytes(claim.ljust(127) + b"\n" + bytes(64))
    for file, text in {
        "empty.json": "",
        "broken.json": "[[1, 2], [3",
        "deep.json": "[" * 100_000,
        "nan.json": "[[NaN, 1], [2, 3], [4, 5], [6, 7]]",
        "one.json": json.dumps({"eyes": FOUR[:2]}),
        "odd.json": json.dumps({"eyes": FOUR[:2], "mouth": "wide"}),
        "three.json": json.dumps({"eyes": FOUR[:2], "mouth": [[1, 2, 3]]}),
        "words.csv": "a,b\nc,d\n",
        "ragged.csv": "1,2\n3\n",
        "nul.csv": "1,2\n\0,3\n",
        "empty.csv": "",
    }.items():
        Path(file).write_text(text)
    Path("bytes.json").write_bytes(b"\xff\xfe\x00")
    Path("large.csv").write_text("1,2\n" * 300_000)
    Path("points.txt").write_text("1 2")
    Path("folder.json").mkdir()
    for path in [*sorted(Path().iterdir()), Path("none.json")]:
        with pytest.raises(LandmarkError) as caught:
            read_landmarks(path, name="marks")
        told = str(caught.value)
        assert told.startswith(f"marks='{path}'") and "\n" not in told and len(told) < 200
    assert not Path("trap").exists()


FFHQ = {
    *(f"eg3d-{data}512-{side}" for data in ("ffhq", "ffhqrebalanced") for side in (64, 128)),
    *(f"stylegan2-ada-{data}" for data in ("ffhq", "metfaces", "ffhq256", "ffhq512", "ffhq1024", "celebahq256")),
    *(f"stylegan2-ffhq-{side}x{side}" for side in (256, 512, 1024)),
    "stylegan2-metfaces-1024x1024",
    "stylegan2-celebahq-256x256",
}


def test_which_generators_expect_aligned_faces():
    assert {name for name in entries() if expected_alignment(name) == "ffhq"} == FFHQ
    files = ("nets/ffhq512-128.pkl", "ffhq-res1024-mirror-stylegan2-noaug.pkl", "My-FFHQ.safetensors")
    assert {expected_alignment(name) for name in files} == {"ffhq"}
    others = ("toyfaces64", "ffhq/cats.pkl", "stylegan2-ffhqu-256x256", "stylegan2-metfacesu-1024x1024", "")
    assert {expected_alignment(name) for name in others} == {"none"}


def test_pictures_are_prepared_as_asked():
    picture, landmarks = photograph(30.5, 33, np.array([230.3, 219.7]), (460, 450))
    assert torch.equal(prepare_picture(picture, 64), fit_picture(picture, 64))
    aligned = prepare_picture(picture, 64, align="ffhq", landmarks=landmarks)
    assert torch.equal(aligned, align_picture(picture, landmarks, 64))
    with pytest.raises(LandmarkError, match="of no use"):
        prepare_picture(picture, 64, landmarks=landmarks)


def test_what_to_install_is_said(monkeypatch):
    monkeypatch.setattr("sat3d.inversion.landmarks.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"sat3d\[landmarks\].*or give a file of landmarks"):
        find_landmarks(np.zeros((64, 64, 3), np.uint8))


@pytest.fixture(scope="module")
def portrait():
    """A photograph that comes with matplotlib (Rear Admiral Grace Hopper, public domain), where dlib is installed."""
    pytest.importorskip("dlib")
    cbook = pytest.importorskip("matplotlib.cbook")
    try:
        find_landmarks(np.zeros((64, 64, 3), np.uint8))
    except ImportError as error:
        pytest.skip(str(error))
    except LandmarkError:
        pass
    return np.array(Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB"))


def test_a_face_is_found_and_stays_where_it_is_whatever_is_done_to_the_picture(portrait):
    found = find_landmarks(portrait)
    (left, right), mouth = found.eyes, found.mouth.mean(0)
    assert np.hypot(*(left - [223, 191])) < 8 and np.hypot(*(right - [306, 188])) < 8  # read off the picture by eye
    assert np.hypot(*(mouth - [265, 280])) < 8
    upright = align_picture(portrait, found, 128)
    turned = Image.fromarray(portrait).rotate(12, Image.Resampling.BICUBIC, expand=True, fillcolor=(200, 200, 200))
    tall = turned.resize((turned.width * 3, turned.height * 3), Image.Resampling.BICUBIC)  # more than is looked at
    large = np.array(tall)
    a, middle = np.deg2rad(12), (np.array(portrait.shape[1::-1]) - 1) / 2
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])  # against the clock, y down
    expected = (np.concatenate([found.eyes, found.mouth]) - middle) @ turn.T * 3 + (
        np.array(large.shape[1::-1]) - 1
    ) / 2
    again = find_landmarks(large)
    off = np.hypot(*(np.concatenate([again.eyes, again.mouth]) - expected).T)
    assert off.max() < 0.03 * np.hypot(*np.diff(crop_quad(again)[:2], axis=0)[0]), off
    difference = abs(levels(align_picture(large, again, 128)) - levels(upright))[20:110, 20:110]
    assert difference.mean() < 16, difference.mean()


def test_no_face_and_no_model_are_told(portrait, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    with pytest.raises(LandmarkError, match=r"sky\.png: no face is found; turn"):
        find_landmarks(noise, name="sky.png")
    (tmp_path / "model.dat").write_bytes(b"none")
    for path in (tmp_path / "model.dat", tmp_path / "missing.dat"):
        with pytest.raises(LandmarkError, match="is no shape predictor"):
            find_landmarks(portrait, model=path)
