"""From attribute values to a car's measures and colours, which the renderer reads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sat3d.world.attributes import AttributeTable, Floats

TABLE = AttributeTable("cars")

KINDS = ("roof_rack", "spoiler", "stripe", "headlight_shape", "taillight_shape", "grille")
"""Kinds, as numbers that the renderer branches on."""

FIELDS = (
    *KINDS,
    "open",  # 1 for a convertible: no roof, but seats
    "bed",  # 1 for a pickup
    # measures in world units; slopes are sine and cosine of a plane's normal over the horizontal
    "length",  # half, as width
    "width",
    "corner",  # radius of the body's corners seen from above
    "sill",  # heights of the body's lower and upper edge
    "belt",
    "cowl",  # where the bonnet begins to slope
    "bonnet_sin",
    "bonnet_cos",
    "boot",  # where the boot begins to slope
    "boot_sin",
    "boot_cos",
    "nose",  # height of the bonnet's front edge
    "wheel",  # radius
    "axle",  # height
    "base",  # half the wheelbase
    "middle",  # of the wheelbase
    "cabin_w",  # half width of the cabin at the belt
    "front",  # where windscreen and rear window meet the belt
    "rear",
    "front_sin",
    "front_cos",
    "rear_sin",
    "rear_cos",
    "side_sin",
    "side_cos",
    "roof",  # height of the roof
    "roof_f",  # ends of the roof
    "roof_r",
    "pillar",  # where the pillar between the side windows stands
    "hollow_f",  # ends of the hollow (seats or bed)
    "hollow_r",
    "hollow_y",  # and its floor
    "lamp_y",
    "tail_y",
    "spoiler_y",
    "spoiler_z",
    "spoiler_w",
    "wing",  # height of the wing over its foot
    "top",  # height of everything
)
RECORD = np.dtype([(field, np.float64) for field in FIELDS])
"""One car's measures."""

COLOURS = ("background", "body", "roof", "windows", "rims", "bumpers", "spoiler")
"""Rows of a car's palette, linear RGB."""

GROUND = -0.235

# Per body type: sports, convertible, sedan, hatchback, suv, pickup.
_LENGTH = (0.99, 0.99, 0.99, 0.87, 0.96, 0.99)
_WIDTH = (1.05, 1.00, 1.00, 0.95, 0.97, 1.04)
_CORNER = (0.125, 0.105, 0.095, 0.120, 0.076, 0.078)
_BODY = (0.152, 0.166, 0.170, 0.174, 0.206, 0.192)
_CABIN = (0.096, 0.108, 0.124, 0.168, 0.152, 0.138)
_CABIN_W = (0.88, 0.86, 0.86, 0.90, 0.93, 0.84)
_SIDE = (0.50, 0.30, 0.32, 0.36, 0.12, 0.14)
_FRONT = (0.125, 0.115, 0.165, 0.190, 0.195, 0.235)
_FRONT_SLOPE = (1.30, 0.70, 0.80, 0.75, 0.42, 0.50)
_REAR = (-0.375, -0.200, -0.265, -0.345, -0.395, -0.045)
_REAR_SLOPE = (1.90, 0.40, 0.85, 0.38, 0.10, 0.06)
_BONNET = (0.20, 0.10, 0.10, 0.20, 0.04, 0.04)
_BOOT = (0.05, 0.16, 0.09, 0.02, 0.01, 0.00)


def measure(values: Floats) -> tuple[npt.NDArray[np.void], Floats]:
    """Give cars of attribute values their measures and palettes.

    Args:
        values: (B, A): continuous ones in [0, 1], categorical ones as class indices.

    Returns:
        Records (B,) of dtype `RECORD` and linear RGB palettes (B, len(COLOURS), 3).
    """
    v = {a.name: values[:, i] for i, a in enumerate(TABLE.attributes)}
    kind = v["body_type"].astype(int)
    car = np.zeros(len(values), RECORD)
    for name in KINDS:
        car[name] = v[name]
    car["open"] = kind == 1
    car["bed"] = kind == 5

    scale = (0.93 + 0.07 * v["length"]) * np.take(_LENGTH, kind)
    car["length"] = 0.430 * scale
    car["width"] = (0.184 + 0.024 * v["width"]) * np.take(_WIDTH, kind)
    car["corner"] = np.take(_CORNER, kind)
    car["wheel"] = 0.070 + 0.036 * v["wheel_size"]
    car["axle"] = GROUND + car["wheel"]
    car["base"] = scale * (0.236 + 0.032 * v["wheelbase"])
    car["middle"] = 0.005
    car["sill"] = GROUND + 0.042 + 0.062 * v["ride_height"]
    car["belt"] = car["sill"] + np.take(_BODY, kind)

    shift = 0.035 * (v["cabin_position"] - 0.5)
    car["front"] = np.take(_FRONT, kind) * scale + shift
    car["rear"] = np.take(_REAR, kind) * scale + np.where((kind == 3) | (kind == 4), 0.0, shift)
    for name, slope in (("front", _FRONT_SLOPE), ("rear", _REAR_SLOPE), ("side", _SIDE)):
        tangent = np.take(slope, kind)
        car[f"{name}_sin"] = tangent / np.hypot(1, tangent)
        car[f"{name}_cos"] = 1 / np.hypot(1, tangent)
    car["cabin_w"] = car["width"] * np.take(_CABIN_W, kind)
    height = np.take(_CABIN, kind) + 0.022 * (v["cabin_height"] - 0.5)
    car["roof"] = car["belt"] + height
    car["roof_f"] = car["front"] - height * np.take(_FRONT_SLOPE, kind)
    car["roof_r"] = car["rear"] + height * np.take(_REAR_SLOPE, kind)
    car["pillar"] = 0.5 * (car["front"] + car["rear"]) - 0.015 - 9.0 * (car["bed"] + (kind == 0))

    bonnet = np.take(_BONNET, kind) + 0.16 * v["bonnet_slope"]
    car["cowl"] = car["front"] + 0.01
    car["bonnet_sin"], car["bonnet_cos"] = bonnet / np.hypot(1, bonnet), 1 / np.hypot(1, bonnet)
    car["nose"] = car["belt"] - bonnet * (car["length"] - car["cowl"])
    boot = np.take(_BOOT, kind)
    car["boot"] = np.maximum(car["rear"], -car["length"] + 0.02)
    car["boot_sin"], car["boot_cos"] = boot / np.hypot(1, boot), 1 / np.hypot(1, boot)
    tail = car["belt"] - boot * (car["length"] + car["boot"])
    car["lamp_y"] = 0.5 * (car["nose"] + car["sill"]) + 0.020
    car["tail_y"] = 0.5 * (tail + car["sill"]) + 0.020

    car["hollow_f"] = np.where(kind == 5, car["rear"] - 0.022, car["front"] - 0.035)
    car["hollow_r"] = np.where(kind == 5, -car["length"] + 0.032, car["rear"])
    car["hollow_y"] = car["belt"] - np.where(kind == 5, 0.090, 0.075)

    high = (kind == 3) | (kind == 4)
    car["spoiler_y"] = np.where(high, car["roof"] - 0.012, tail)
    car["spoiler_z"] = np.where(high, car["roof_r"] + 0.028, -car["length"] + 0.056)
    car["spoiler_w"] = np.where(high, car["cabin_w"] - 0.036, car["width"] - 0.042)
    car["wing"] = np.where(high, 0.048, np.where(kind == 5, 0.060, 0.072))
    load = np.where((car["open"] > 0.5) | (v["roof_rack"] < 0.5), 0.002, np.where(v["roof_rack"] < 1.5, 0.046, 0.110))
    fin = np.where(v["spoiler"] < 0.5, 0.0, np.where(v["spoiler"] < 1.5, 0.060, car["wing"] + 0.036))
    car["top"] = np.maximum(car["roof"] + load, car["spoiler_y"] + fin)
    car["top"] = np.maximum(car["top"], car["belt"] + 0.062)
    return car, _palette(v, high)


def _palette(v: dict[str, Floats], high: npt.NDArray[np.bool_]) -> Floats:
    def coloured(name: str) -> Floats:
        return np.asarray(TABLE.colours(name)[v[name].astype(int)])

    body = coloured("body_colour")
    roof = np.where(v["roof_colour"][:, None] < 0.5, body, coloured("roof_colour"))
    clear, tinted = TABLE.colours("window_tint") ** (1 / 2.2)
    glass = (clear + v["window_tint"][:, None] * (tinted - clear)) ** 2.2
    black = TABLE.colours("roof_colour")[1]
    # a spoiler is black, but on a black roof as the body
    spoiler = np.where((high & (v["roof_colour"] == 1))[:, None], body, 0.6 * black)
    white = np.broadcast_to(np.ones(3), body.shape)
    rows = [white, body, roof, glass, coloured("rim_colour"), coloured("bumper_colour"), spoiler]
    return np.ascontiguousarray(np.stack(rows, axis=1))
