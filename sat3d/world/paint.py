"""What colour a head has at a point of its surface, and which part it is (needs numba)."""

from __future__ import annotations

import math
from typing import Any

from sat3d.world.anatomy import EYE_Y
from sat3d.world.compilation import kernel
from sat3d.world.surface import (
    EYEBROWS,
    EYES,
    GLASSES,
    HAIR,
    HAT,
    LIP,
    MOUTH,
    NOSE,
    SHIRT,
    SKIN,
    hat_plane,
    mouth,
)

Colour = tuple[float, float, float]


@kernel
def _mix(a: Colour, b: Colour, t: float) -> Colour:
    return a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2])


@kernel
def _scaled(a: Colour, t: float) -> Colour:
    return a[0] * t, a[1] * t, a[2] * t


@kernel
def _row(palette: Any, i: int) -> Colour:
    return palette[i, 0], palette[i, 1], palette[i, 2]


@kernel
def paint(x: float, y: float, z: float, part: int, p: Any, palette: Any) -> tuple[Colour, int]:
    """Give the linear colour at a point of the surface, and its part: lips are painted on the skin."""
    skin = _row(palette, 1)
    if part in (SKIN, NOSE):
        if z > 0.05:
            q, upper, lower = mouth(x, y, p)
            if q < LIP and part == SKIN:
                return _lips(x, y, q, upper, lower, p, skin), MOUTH
            cheek = ((abs(x) - 0.125) ** 2 + (y + 0.065) ** 2) / 0.0022
            blush = 0.35 / (1.0 + cheek * cheek)
            if part == NOSE:
                blush = 0.30
            return _mix(skin, (0.75 * skin[0] + 0.1, 0.45 * skin[1], 0.42 * skin[2]), blush), part
        return skin, part
    if part == EYES:
        return _eye(x, y, p, palette), part
    if part == GLASSES:
        if p.glasses > 2.5:
            return (0.010, 0.011, 0.016), part
        return (0.020, 0.018, 0.022), part
    if part == HAT:
        return _felt(x, y, z, p, palette), part
    if part == SHIRT:
        return _row(palette, 4), part
    locks = _row(palette, 2)
    if part == EYEBROWS:
        return _scaled(locks, 0.50), part
    if part == HAIR and p.hair_curl < 0.5:
        strand = math.sin(20.0 * math.atan2(x - 0.075, z + 0.06))
        return _scaled(locks, 1.0 + 0.12 * strand), part
    return locks, part


@kernel
def _lips(x: float, y: float, q: float, upper: float, lower: float, p: Any, skin: Colour) -> Colour:
    gap = upper - lower
    if q < 0.0 and gap > 0.010:
        if y > upper - min(0.024, 0.45 * gap):
            return 0.85, 0.84, 0.80
        if y < lower + min(0.024, 0.3 * gap):
            return 0.50, 0.10, 0.11
        return 0.035, 0.008, 0.010
    if q < 0.0055 and gap < 0.02:
        return 0.10, 0.015, 0.02
    return _mix((0.55, 0.075, 0.085), (0.75 * skin[0], 0.55 * skin[1], 0.55 * skin[2]), 0.35)


@kernel
def _eye(x: float, y: float, p: Any, palette: Any) -> Colour:
    side = 1.0 if x > 0.0 else -1.0
    dx, dy = (x - side * p.eye_x) / p.eye_r, (y - EYE_Y) / p.eye_r
    if dy > 0.66:
        return _scaled(_row(palette, 1), 0.9)
    if dy > 0.50:
        return 0.03, 0.02, 0.02
    if (dx + 0.24) ** 2 + (dy - 0.20) ** 2 < 0.034:
        return 0.95, 0.95, 0.95
    r = math.sqrt(dx * dx + (dy + 0.06) ** 2)
    if r < 0.30:
        return 0.008, 0.007, 0.010
    if r < 0.66:
        return _row(palette, 5)
    return 0.88, 0.88, 0.87


@kernel
def _felt(x: float, y: float, z: float, p: Any, palette: Any) -> Colour:
    felt = _row(palette, 3)
    plane = hat_plane(y, z)
    if p.hat < 1.5:
        if x * x + (y - 0.392) ** 2 + (z + 0.01) ** 2 < 0.0044:
            return _mix(felt, (0.9, 0.9, 0.88), 0.75)
        rib = math.sin(18.0 * math.atan2(x, z))
        if plane < 0.045:
            return _scaled(_mix(felt, (0.9, 0.9, 0.88), 0.22), 1.0 + 0.12 * rib)
        return _scaled(felt, 1.0 + 0.10 * rib)
    if 1.5 < p.hat < 2.5 and plane < 0.03 - 0.42 * max(z - 0.2, 0.0) and z > 0.1:
        return _scaled(felt, 0.5)
    if p.hat > 2.5 and 0.03 < plane < 0.085 and x * x + z * z < 0.105:
        return _scaled(felt, 0.22)
    return felt
