"""From attribute values to an animal's measures and colours, which the renderer reads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sat3d.world.attributes import AttributeTable, Floats

TABLE = AttributeTable("animals")

FIELDS = (
    # kinds, as numbers that the renderer branches on
    "species",
    "fur_pattern",
    "face_marking",
    "ear_shape",
    "mouth",
    "collar",
    # measures in world units
    "skull_w",  # half axes of the skull
    "skull_h",
    "skull_d",
    "eye_r",
    "eye_x",
    "eye_z",
    "lid",  # height of the upper lid's rim, in eye radii
    "ear_s",  # scale
    "fluff",  # how far the tufts on the cheeks reach
    "pad_x",  # the muzzle is a mirrored ellipsoid: its centre and half axes
    "pad_y",
    "pad_z",
    "pad_w",
    "pad_h",
    "pad_d",
    "bridge_r",
    "tip_z",  # the muzzle's front
    "nose_r",
    "nose_y",
    "nose_z",
    "chin_w",  # half axes of the chin, and its centre
    "chin_h",
    "chin_d",
    "chin_y",
    "chin_z",
)
RECORD = np.dtype([(field, np.float64) for field in FIELDS])
"""One animal's measures."""

COLOURS = ("background", "fur", "pattern", "marking", "iris", "nose", "collar")
"""Rows of an animal's palette, linear RGB."""

SKULL_Y, SKULL_Z = 0.052, -0.035
EYE_Y, PAD_Y = 0.075, -0.062

# By species: cat, wild, dog.
_SKULL_W, _SKULL_H, _SKULL_D = (0.242, 0.238, 0.200), (0.182, 0.198, 0.206), (0.186, 0.196, 0.198)
_LENGTH, _STRETCH = (0.000, 0.035, 0.068), (0.085, 0.100, 0.115)
_PAD_X, _PAD_W, _PAD_H = (0.043, 0.058, 0.036), (0.060, 0.072, 0.064), (0.050, 0.066, 0.073)
_NOSE, _CHIN, _BRIDGE = (0.038, 0.047, 0.050), (0.044, 0.064, 0.050), (0.034, 0.054, 0.054)
_NOSE_UP = (0.036, 0.046, 0.050)


def measure(values: Floats) -> tuple[npt.NDArray[np.void], Floats]:
    """Give animals of attribute values their measures and palettes.

    Args:
        values: (B, A): continuous ones in [0, 1], categorical ones as class indices.

    Returns:
        Records (B,) of dtype `RECORD` and linear RGB palettes (B, len(COLOURS), 3).
    """
    v = {a.name: values[:, i] for i, a in enumerate(TABLE.attributes)}
    a = np.zeros(len(values), RECORD)
    for kind in FIELDS[:6]:
        a[kind] = v[kind]
    species = v["species"].astype(int)

    def of(by_species: tuple[float, float, float]) -> Floats:
        return np.asarray(by_species)[species]

    a["skull_w"] = of(_SKULL_W) * (0.90 + 0.20 * v["head_width"])
    a["skull_h"], a["skull_d"] = of(_SKULL_H), of(_SKULL_D)
    a["eye_r"] = 0.046 + 0.022 * v["eye_size"]
    a["eye_x"] = 0.077 + 0.037 * v["eye_spacing"]
    a["eye_z"] = _front(a, a["eye_x"], EYE_Y) - 0.006
    a["lid"] = 1.06 - 0.98 * v["eyelids"]
    a["ear_s"] = 0.78 + 0.42 * v["ear_size"]
    a["fluff"] = 0.105 * v["cheek_fluff"]

    length = of(_LENGTH) + of(_STRETCH) * v["muzzle_length"]
    girth = 0.82 + 0.40 * v["muzzle_width"]
    base = _front(a, 0.0 * length, PAD_Y)
    a["pad_x"], a["pad_w"], a["pad_h"] = of(_PAD_X) * girth, of(_PAD_W) * girth, of(_PAD_H)
    a["pad_y"] = PAD_Y + 0.012 - 0.032 * v["muzzle_length"]  # a long one hangs
    a["pad_z"] = base + 0.5 * length - 0.02
    a["pad_d"] = 0.5 * length + 0.060
    a["bridge_r"] = of(_BRIDGE)
    a["tip_z"] = a["pad_z"] + a["pad_d"]
    a["nose_r"] = of(_NOSE) * (0.84 + 0.48 * v["nose_size"])
    a["nose_y"] = a["pad_y"] + of(_NOSE_UP)
    # the nose sits on whichever is in front there, the fold between the pads or the bridge's end
    fold = (
        1
        - (np.maximum(a["pad_x"] - 0.6 * a["nose_r"], 0) / a["pad_w"]) ** 2
        - ((a["nose_y"] - a["pad_y"]) / a["pad_h"]) ** 2
    )
    end = a["bridge_r"] ** 2 - (a["nose_y"] - a["pad_y"] - 0.3 * a["pad_h"]) ** 2
    a["nose_z"] = np.maximum(
        a["pad_z"] + a["pad_d"] * np.sqrt(np.maximum(fold, 0.0)), a["tip_z"] - 0.075 + np.sqrt(np.maximum(end, 0.0))
    )
    a["nose_z"] += 0.010
    chin, opened = of(_CHIN), v["mouth"] == 1
    a["chin_w"], a["chin_h"], a["chin_d"] = 1.15 * chin, np.where(opened, 0.62, 1.0) * chin, 0.50 * a["pad_d"] + 0.02
    a["chin_y"] = a["pad_y"] - a["pad_h"] - np.where(opened, 0.35 * chin + 0.046, 0.10 * chin)
    a["chin_z"] = a["pad_z"] + 0.25 * a["pad_d"]
    return a, _palette(v)


def _front(a: npt.NDArray[np.void], x: Floats, y: float) -> Floats:
    """Find how far in front the bare skull lies at (x, y)."""
    rest = 1 - (x / a["skull_w"]) ** 2 - ((y - SKULL_Y) / a["skull_h"]) ** 2
    return np.asarray(SKULL_Z + a["skull_d"] * np.sqrt(np.maximum(rest, 0.02)))


def _palette(v: dict[str, Floats]) -> Floats:
    coat = v["fur_colour"].astype(int)
    rows = [
        TABLE.colours("background")[v["background"].astype(int)],
        TABLE.colours("fur_colour")[coat],
        TABLE.colours("pattern")[coat],
        TABLE.colours("marking")[coat],
        TABLE.colours("eye_colour")[v["eye_colour"].astype(int)],
        TABLE.colours("nose_colour")[v["nose_colour"].astype(int)],
        TABLE.colours("collar_colour")[v["collar_colour"].astype(int)],
    ]
    return np.ascontiguousarray(np.stack(rows, axis=1))
