"""A head's surface as a signed distance, the union of its parts, and its colours (needs numba)."""

from __future__ import annotations

import math
from typing import Any

from sat3d.world.compilation import kernel
from sat3d.world.heads.measures import (
    BROW_Y,
    EYE_Y,
    JAW_D,
    JAW_H,
    JAW_Y,
    JAW_Z,
    MOUTH_Y,
    NOSE_Y,
    SKULL_D,
    SKULL_H,
    SKULL_Y,
    SKULL_Z,
    TABLE,
)
from sat3d.world.primitives import (
    Colour,
    ellipse,
    ellipsoid,
    mix,
    rounded_box,
    row,
    scaled,
    segment,
    smooth_max,
    smooth_min,
)

SKIN, NOSE, EYES, EYEBROWS, MOUTH, HAIR, BEARD, MOUSTACHE, GLASSES, HAT, SHIRT = range(1, len(TABLE.parts))
LIP = 0.018  # thickness of a lip


@kernel
def mouth(x: float, y: float, p: Any) -> tuple[float, float, float]:
    """Describe the mouth in the face's plane: distance to the opening, height of its upper and of its lower edge."""
    u = x / p.mouth_w
    beyond = max(abs(u) - 1.0, 0.0) * p.mouth_w
    u = min(max(u, -1.0), 1.0)
    middle = MOUTH_Y + p.mouth_c * (u * u - 0.45)
    opening = p.mouth_o * (1.0 - u * u * u * u)
    upper, lower = middle + 0.25 * opening, middle - 0.75 * opening
    slope = 2.0 * p.mouth_c * u / p.mouth_w
    q = max(y - upper, lower - y) / math.sqrt(1.0 + 0.7 * slope * slope)
    if beyond > 0.0:
        q = math.sqrt(beyond * beyond + max(q, 0.0) ** 2)
    return q, upper, lower


@kernel
def hat_plane(y: float, z: float) -> float:
    """Height over the tilted plane on which every hat sits."""
    return 0.985 * (y - 0.142) - 0.172 * z


@kernel
def hairline(x: float) -> float:
    """Height of the hairline over the forehead, with a notch where the hair parts."""
    s = (x - 0.075) / 0.06
    return 0.152 + 0.05 / (1.0 + s * s)


@kernel
def hair(x: float, y: float, z: float, p: Any) -> float:
    """Distance to the hair: a cap on the skull and, when longer, a curtain around back and sides."""
    puff = 0.034 + 0.014 * p.hair_curl
    s = (x - 0.075) / 0.022
    puff -= 0.012 / (1.0 + s * s) * (1.0 - p.hair_curl)
    d = ellipsoid(x, y - SKULL_Y, z - SKULL_Z, p.face, SKULL_H, SKULL_D) - puff
    if p.hair_length < 1.5:
        d = smooth_max(d, (0.03 + 0.60 * z - y) * 0.857, 0.02)
        d = smooth_max(d, min(hairline(x) - y, z - 0.08), 0.02)
    else:
        low = -0.185 if p.hair_length < 2.5 else -0.385
        flare = p.face + puff + 0.004 + 0.06 * max(0.05 - y, 0.0) - 0.9 * max(-0.1 - y, 0.0) ** 2
        around = ellipse(x, z + 0.05, flare, 0.245)
        curtain = smooth_max(around, abs(y - 0.5 * (low + 0.08)) - 0.5 * (0.08 - low), 0.09)
        d = smooth_min(d, curtain, 0.03)
        window = max(max(abs(x) - p.face + 0.012, 0.03 - z), y - hairline(x))
        d = smooth_max(d, -window, 0.03)
    if p.hair_curl > 0.5 and d < 0.06:
        d -= 0.017 * math.sin(43.0 * x + 1.0) * math.sin(43.0 * y) * math.sin(43.0 * z + 0.5)
    if p.hat > 0.5:
        d = max(d, hat_plane(y, z))
    return d


@kernel
def beard(x: float, y: float, z: float, core: float, p: Any) -> float:
    """Distance to the beard: a shell on the jaw that leaves the mouth free; a long one hangs from the chin."""
    ax = abs(x)
    d = core - 0.020
    line = -0.135 + 0.9 * max(ax - 0.11, 0.0)
    d = smooth_max(d, y - line, 0.02)
    d = smooth_max(d, 0.02 - z, 0.02)
    if p.beard > 1.5:
        d = smooth_min(d, ellipsoid(x, y + 0.285, z - 0.13, 0.155, 0.145, 0.105), 0.05)
    if z > 0.0:
        q, _, _ = mouth(x, y, p)
        d = smooth_max(d, LIP + 0.007 - q, 0.012)
    return d


@kernel
def glasses(x: float, y: float, z: float, p: Any) -> float:
    """Distance to the glasses: two frames (or dark lenses), a bridge and temples to the ears."""
    ax = abs(x)
    dx, dy, dz = ax - p.eye_x, y - EYE_Y, z - p.glasses_z
    if p.glasses < 1.5:
        rim = math.sqrt(dx * dx + dy * dy) - 0.076
        d = math.sqrt(rim * rim + dz * dz) - 0.0125
        width = 0.076
    elif p.glasses < 2.5:
        rim = rounded_box(dx, dy, 0.076, 0.062, 0.016)
        d = math.sqrt(rim * rim + dz * dz) - 0.0125
        width = 0.076
    else:
        rim = rounded_box(dx, dy + 0.006, 0.082, 0.064, 0.045)
        d = smooth_max(rim, abs(dz) - 0.010, 0.008)
        width = 0.080
    bridge, _ = segment(ax, y, z, 0.0, EYE_Y + 0.018, p.glasses_z + 0.004, p.eye_x - width, EYE_Y + 0.012, p.glasses_z)
    side = max(p.face + 0.010, p.eye_x + width)
    a, _ = segment(ax, y, z, p.eye_x + width, EYE_Y + 0.014, p.glasses_z, side, EYE_Y + 0.014, 0.10)
    b, _ = segment(ax, y, z, side, EYE_Y + 0.014, 0.10, p.face + 0.012, EYE_Y + 0.010, -0.05)
    return min(d, min(bridge, min(a, b)) - 0.0115)


@kernel
def hat(x: float, y: float, z: float, p: Any) -> float:
    """Distance to the hat: a dome with a rolled band and pompon, a visor, or a brim."""
    plane = hat_plane(y, z)
    zs = z - SKULL_Z
    if p.hat < 1.5:
        dome = ellipsoid(x, y - SKULL_Y, zs, p.face + 0.050, SKULL_H + 0.055, SKULL_D + 0.050)
        d = max(dome, -plane)
        ring = ellipse(x, zs, p.face + 0.035, SKULL_D + 0.032)
        band = math.sqrt(ring * ring + max(abs(plane - 0.012) - 0.012, 0.0) ** 2) - 0.030
        d = smooth_min(d, band, 0.01)
        return min(d, math.sqrt(x * x + (y - 0.392) ** 2 + zs * zs) - 0.064)
    if p.hat < 2.5:
        dome = ellipsoid(x, y - SKULL_Y, zs, p.face + 0.048, SKULL_H + 0.045, SKULL_D + 0.048)
        d = smooth_max(dome, -plane, 0.01)
        sheet = abs(plane - 0.016 + 0.42 * max(z - 0.2, 0.0) + x * x) - 0.010
        visor = smooth_max(max(ellipse(x, z - 0.13, 0.225, 0.325), 0.10 - z), sheet, 0.012)
        d = min(d, 0.85 * visor)
        return min(d, math.sqrt(x * x + (y - 0.352) ** 2 + zs * zs) - 0.024)
    dome = ellipsoid(x, y - SKULL_Y, zs, p.face + 0.046, SKULL_H + 0.095, SKULL_D + 0.046)
    dome = smooth_max(dome, y - 0.345, 0.06)
    d = smooth_max(dome, -plane, 0.01)
    sheet = abs(plane - 0.018 - 0.45 * x * x) - 0.010
    brim = smooth_max(ellipse(x, z, 0.415, 0.415), sheet, 0.014)
    return smooth_min(d, 0.9 * brim, 0.02)


@kernel
def distance(x: float, y: float, z: float, p: Any) -> tuple[float, int]:
    """Signed distance from a point to a head, and the part that is nearest.

    Parts that are absent, or farther than what was found by their bounding spheres, are not evaluated.
    """
    ax = abs(x)
    skull = ellipsoid(x, y - SKULL_Y, z - SKULL_Z, p.face, SKULL_H, SKULL_D)
    jaw = ellipsoid(x, y - JAW_Y, z - JAW_Z, p.jaw, JAW_H, JAW_D)
    core = smooth_min(skull, jaw, 0.09)
    d, part = core, SKIN

    ear = math.sqrt((ax - p.face) ** 2 + (y - 0.02) ** 2 + (z + 0.02) ** 2) - p.ear_r
    if ear < d and p.hair_length < 1.5:  # longer hair covers them
        ear = ellipsoid(ax - p.face, y - 0.02, z + 0.02, 0.026 + 0.25 * p.ear_r, p.ear_r, 0.7 * p.ear_r)
        d = smooth_min(d, ear, 0.02)

    if y < 0.0:
        neck = math.sqrt(x * x + (z + 0.02) ** 2) - 0.098
        neck = max(neck, -y - 0.40)
        d = smooth_min(d, neck, 0.03)
        shirt = ellipsoid(x, y + 0.475, z + 0.015, 0.245, 0.135, 0.185)
        collar = math.sqrt((math.sqrt(x * x + (z + 0.02) ** 2) - 0.108) ** 2 + (y + 0.352 + 0.25 * z) ** 2) - 0.026
        shirt = smooth_min(shirt, collar, 0.012)
        shirt = smooth_max(shirt, math.sqrt(x * x + y * y + z * z) - 0.492, 0.02)
        if shirt < d:
            d, part = shirt, SHIRT
    else:
        # the parts below are far from here: their bound keeps steps over the chin honest
        d = min(d, y + 0.26)

    face = math.sqrt(x * x + (y - 0.0) ** 2 + (z - 0.21) ** 2) - 0.225
    if face < d:
        q, _, _ = mouth(x, y, p)
        if core < 0.05 and z > 0.0 and q < LIP:
            if q < 0.0:
                d += min(-1.5 * q, 0.016)
            else:
                t = q / LIP
                d -= 0.014 * 4.0 * t * (1.0 - t)
        nose = ellipsoid(x, y - NOSE_Y, z - p.nose_z, p.nose_r, 0.9 * p.nose_r, 0.95 * p.nose_r)
        if nose < d + 0.02:
            if nose < d:
                part = NOSE
            d = smooth_min(d, nose, 0.02)
        eye = ellipsoid(ax - p.eye_x, y - EYE_Y, z - p.eye_z, p.eye_r, p.eye_r * 1.08, 0.034)
        if eye < d:
            d, part = eye, EYES
        a, t = segment(
            ax, y, z,
            p.eye_x - 0.056, BROW_Y - 0.006, p.brow_z_in,
            p.eye_x, BROW_Y + 0.004, p.brow_z_mid,
        )  # fmt: skip
        b, s = segment(
            ax, y, z,
            p.eye_x, BROW_Y + 0.004, p.brow_z_mid,
            p.eye_x + 0.058, BROW_Y - 0.014, p.brow_z_out,
        )  # fmt: skip
        brow = min(a, b + 0.3 * p.brow_r * s) - p.brow_r
        if brow < d:
            d, part = brow, EYEBROWS
        if p.moustache > 0.5:
            tip = MOUTH_Y + 0.040 + 0.55 * p.mouth_c
            whisker, t = segment(ax, y, z, 0.018, -0.098, p.moustache_z_in, 0.092, tip, p.moustache_z_out)
            whisker -= 0.024 - 0.011 * t
            if whisker < d:
                d, part = whisker, MOUSTACHE

    if p.beard > 0.5:
        bristle = beard(x, y, z, core, p)
        if bristle < d:
            d, part = bristle, BEARD
    if p.hair_length > 0.5:
        lock = hair(x, y, z, p)
        if lock < d:
            d, part = lock, HAIR
    if p.hat > 0.5 and y > min(0.03 - d, 0.03):
        felt = hat(x, y, z, p)
        if felt < d:
            d, part = felt, HAT
    if p.glasses > 0.5 and abs(y - EYE_Y) - 0.085 < d:
        frame = glasses(x, y, z, p)
        if frame < d:
            d, part = frame, GLASSES
    return d, part


@kernel
def paint(x: float, y: float, z: float, part: int, p: Any, palette: Any) -> tuple[Colour, int, float]:
    """Give the linear colour at a point of the surface, its part (lips are painted on the skin), and evenness.

    Eyes and mouth are small and inset: they are lit evenly, to be read at 64 pixels.
    """
    colour, part = _paint(x, y, z, part, p, palette)
    return colour, part, 1.0 if part in (EYES, MOUTH) else 0.0


@kernel
def _paint(x: float, y: float, z: float, part: int, p: Any, palette: Any) -> tuple[Colour, int]:
    skin = row(palette, 1)
    if part in (SKIN, NOSE):
        if z > 0.05:
            q, upper, lower = mouth(x, y, p)
            if q < LIP and part == SKIN:
                return _lips(x, y, q, upper, lower, p, skin), MOUTH
            cheek = ((abs(x) - 0.125) ** 2 + (y + 0.065) ** 2) / 0.0022
            blush = 0.35 / (1.0 + cheek * cheek)
            if part == NOSE:
                blush = 0.30
            return mix(skin, (0.75 * skin[0] + 0.1, 0.45 * skin[1], 0.42 * skin[2]), blush), part
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
        return row(palette, 4), part
    locks = row(palette, 2)
    if part == EYEBROWS:
        return scaled(locks, 0.50), part
    if part == HAIR and p.hair_curl < 0.5:
        strand = math.sin(20.0 * math.atan2(x - 0.075, z + 0.06))
        return scaled(locks, 1.0 + 0.12 * strand), part
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
    return mix((0.55, 0.075, 0.085), (0.75 * skin[0], 0.55 * skin[1], 0.55 * skin[2]), 0.35)


@kernel
def _eye(x: float, y: float, p: Any, palette: Any) -> Colour:
    side = 1.0 if x > 0.0 else -1.0
    dx, dy = (x - side * p.eye_x) / p.eye_r, (y - EYE_Y) / p.eye_r
    if dy > 0.66:
        return scaled(row(palette, 1), 0.9)
    if dy > 0.50:
        return 0.03, 0.02, 0.02
    if (dx + 0.24) ** 2 + (dy - 0.20) ** 2 < 0.034:
        return 0.95, 0.95, 0.95
    r = math.sqrt(dx * dx + (dy + 0.06) ** 2)
    if r < 0.30:
        return 0.008, 0.007, 0.010
    if r < 0.66:
        return row(palette, 5)
    return 0.88, 0.88, 0.87


@kernel
def _felt(x: float, y: float, z: float, p: Any, palette: Any) -> Colour:
    felt = row(palette, 3)
    plane = hat_plane(y, z)
    if p.hat < 1.5:
        if x * x + (y - 0.392) ** 2 + (z + 0.01) ** 2 < 0.0044:
            return mix(felt, (0.9, 0.9, 0.88), 0.75)
        rib = math.sin(18.0 * math.atan2(x, z))
        if plane < 0.045:
            return scaled(mix(felt, (0.9, 0.9, 0.88), 0.22), 1.0 + 0.12 * rib)
        return scaled(felt, 1.0 + 0.10 * rib)
    if 1.5 < p.hat < 2.5 and plane < 0.03 - 0.42 * max(z - 0.2, 0.0) and z > 0.1:
        return scaled(felt, 0.5)
    if p.hat > 2.5 and 0.03 < plane < 0.085 and x * x + z * z < 0.105:
        return scaled(felt, 0.22)
    return felt
