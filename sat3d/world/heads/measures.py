"""From attribute values to a head's measures and colours, which the renderer reads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sat3d.world.attributes import AttributeTable, Floats

TABLE = AttributeTable("heads")

FIELDS = (
    # kinds, as numbers that the renderer branches on
    "hair_length",
    "hair_curl",
    "glasses",
    "beard",
    "moustache",
    "hat",
    # measures in world units
    "face",  # half width of the skull
    "jaw",  # half width of the jaw
    "eye_r",
    "eye_x",
    "eye_z",
    "nose_r",
    "nose_z",
    "ear_r",
    "brow_r",
    "brow_z_in",
    "brow_z_mid",
    "brow_z_out",
    "mouth_w",
    "mouth_c",  # height of the corners over the middle
    "mouth_o",  # opening
    "moustache_z_in",
    "moustache_z_out",
    "glasses_z",
)
RECORD = np.dtype([(field, np.float64) for field in FIELDS])
"""One head's measures."""

COLOURS = ("background", "skin", "hair", "hat", "shirt", "iris")
"""Rows of a head's palette, linear RGB."""

# The skull and the jaw are ellipsoids; the face's features sit at fixed heights.
SKULL_Y, SKULL_Z, SKULL_H, SKULL_D = 0.045, -0.01, 0.252, 0.258
JAW_Y, JAW_Z, JAW_H, JAW_D = -0.118, 0.03, 0.172, 0.203
EYE_Y, BROW_Y, NOSE_Y, MOUTH_Y = 0.042, 0.130, -0.040, -0.155


def measure(values: Floats) -> tuple[npt.NDArray[np.void], Floats]:
    """Give heads of attribute values their measures and palettes.

    Args:
        values: (B, A): continuous ones in [0, 1], categorical ones as class indices.

    Returns:
        Records (B,) of dtype `RECORD` and linear RGB palettes (B, len(COLOURS), 3).
    """
    v = {a.name: values[:, i] for i, a in enumerate(TABLE.attributes)}
    head = np.zeros(len(values), RECORD)
    for kind in FIELDS[:6]:
        head[kind] = v[kind]
    head["face"] = 0.232 + 0.050 * v["face_width"]
    head["jaw"] = head["face"] * (0.58 + 0.34 * v["jaw"])
    head["eye_r"] = 0.043 + 0.025 * v["eye_size"]
    head["eye_x"] = 0.085 + 0.033 * v["eye_spacing"]
    head["eye_z"] = _front(head, head["eye_x"], EYE_Y) - 0.008
    head["nose_r"] = 0.028 + 0.030 * v["nose_size"]
    head["nose_z"] = _front(head, 0.0 * head["face"], NOSE_Y) + 0.2 * head["nose_r"]
    head["ear_r"] = 0.042 + 0.042 * v["ear_size"]
    head["brow_r"] = 0.009 + 0.018 * v["eyebrows"]
    head["brow_z_in"] = _front(head, head["eye_x"] - 0.055, BROW_Y) + 0.002
    head["brow_z_mid"] = _front(head, head["eye_x"], BROW_Y) + 0.002
    head["brow_z_out"] = _front(head, head["eye_x"] + 0.058, BROW_Y) + 0.002
    head["mouth_w"] = 0.104
    head["mouth_c"] = -0.060 + 0.125 * v["smile"]
    head["mouth_o"] = 0.092 * v["mouth_open"]
    head["moustache_z_in"] = _front(head, 0.0 * head["face"] + 0.015, -0.1) + 0.008
    head["moustache_z_out"] = _front(head, 0.0 * head["face"] + 0.085, -0.12) + 0.006
    head["glasses_z"] = np.maximum(head["eye_z"] + 0.05, _front(head, 0.0 * head["face"], EYE_Y) + 0.012)
    return head, _palette(v)


def _front(head: npt.NDArray[np.void], x: Floats, y: float) -> Floats:
    """Find how far in front the bare face lies at (x, y)."""
    skull = 1 - (x / head["face"]) ** 2 - ((y - SKULL_Y) / SKULL_H) ** 2
    jaw = 1 - (x / head["jaw"]) ** 2 - ((y - JAW_Y) / JAW_H) ** 2
    return np.asarray(
        np.maximum(SKULL_Z + SKULL_D * np.sqrt(np.maximum(skull, 0.02)), JAW_Z + JAW_D * np.sqrt(np.maximum(jaw, 0.0)))
    )


def _palette(v: dict[str, Floats]) -> Floats:
    light, middle, dark = TABLE.colours("skin_tone")
    tone = v["skin_tone"][:, None]
    skin = np.where(tone < 0.5, light + 2 * tone * (middle - light), middle + (2 * tone - 1) * (dark - middle))
    rows = [
        TABLE.colours("background")[v["background"].astype(int)],
        skin,
        TABLE.colours("hair_colour")[v["hair_colour"].astype(int)],
        TABLE.colours("hat_colour")[v["hat_colour"].astype(int)],
        TABLE.colours("shirt_colour")[v["shirt_colour"].astype(int)],
        TABLE.colours("eye_colour")[v["eye_colour"].astype(int)],
    ]
    return np.ascontiguousarray(np.stack(rows, axis=1))
