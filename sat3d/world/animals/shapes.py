"""An animal's surface as a signed distance, the union of its parts, and its colours (needs numba)."""

from __future__ import annotations

import math
from typing import Any

from sat3d.world.animals.measures import EYE_Y, SKULL_Y, SKULL_Z
from sat3d.world.compilation import kernel
from sat3d.world.primitives import Colour, ellipse, ellipsoid, mix, row, scaled, segment, smooth_max, smooth_min

FUR, MUZZLE, NOSE, EYES, EARS, MOUTH, COLLAR, CHEST = range(1, 9)


@kernel
def ear(ax: float, y: float, z: float, p: Any) -> float:
    """Distance to the ear: a triangle, a disc, or a lobe that hangs."""
    s = p.ear_s
    if p.ear_shape < 0.5:
        u, v = ax - 0.60 * p.skull_w, y - 0.165
        u, v = 0.961 * u - 0.276 * v, 0.276 * u + 0.961 * v  # leans outwards
        h = 0.215 * s
        d = smooth_max(0.894 * abs(u) + 0.447 * (v - h), -v - 0.02, 0.04)
        return 0.95 * smooth_max(d, abs(z + 0.035) - 0.020 - 0.20 * max(h - v, 0.0), 0.03)
    if p.ear_shape < 1.5:
        r = 0.092 * s
        return ellipsoid(ax - 0.80 * p.skull_w, y - 0.195 - 0.25 * r, z + 0.03, r, r, 0.45 * r)
    u, v = ax - p.skull_w - 0.012, y - 0.055
    u, v = 0.970 * u + 0.243 * v, -0.243 * u + 0.970 * v
    top, _ = segment(ax, y, z, 0.62 * p.skull_w, 0.19, 0.0, p.skull_w - 0.015, 0.15, 0.01)
    lobe = ellipsoid(u, v + 0.035 * s, z - 0.015, 0.047, 0.145 * s, 0.080)
    return smooth_min(lobe, top - 0.045, 0.05)


@kernel
def mane(x: float, y: float, z: float, p: Any) -> float:
    """Distance to the mane: a lobed disc behind the face."""
    r = 0.082 + p.skull_w
    d = ellipse(x, y - 0.01, r, 0.305)
    if d > 0.06:
        return max(d - 0.02, abs(z + 0.085) - 0.085)
    d += 0.013 * math.cos(11.0 * math.atan2(x, y - 0.01))
    return 0.93 * smooth_max(d, abs(z + 0.085) - 0.075, 0.09)


@kernel
def tufts(ax: float, y: float, z: float, p: Any) -> float:
    """Distance to the tufts of the cheek."""
    w = p.skull_w
    a, s = segment(ax, y, z, 0.55 * w, -0.010, 0.015, 0.86 * w + 0.95 * p.fluff, -0.035 - 0.1 * p.fluff, 0.0)
    b, t = segment(ax, y, z, 0.45 * w, -0.060, 0.025, 0.66 * w + 0.85 * p.fluff, -0.105 - 0.5 * p.fluff, 0.015)
    return 0.93 * smooth_min(a - 0.075 + 0.045 * s, b - 0.075 + 0.045 * t, 0.04)


@kernel
def neckwear(x: float, y: float, z: float, p: Any) -> float:
    """Distance to the collar and to what hangs on it."""
    ring = math.sqrt(x * x + (z + 0.055) ** 2) - 0.168
    slope = 0.96 * (y + 0.245) + 0.28 * z
    d = math.sqrt(ring * ring + max(abs(slope) - 0.014, 0.0) ** 2) - 0.024
    if p.collar > 2.5:
        return min(d, math.sqrt(x * x + (y + 0.335) ** 2 + (z - 0.150) ** 2) - 0.060)
    if p.collar > 1.5:
        ax, dy, dz = abs(x), y + 0.292, z - 0.150 + 0.45 * abs(x)
        wing = smooth_max(abs(dy) - 0.028 - 0.36 * ax, ax - 0.150, 0.03)
        wing = 0.86 * smooth_max(wing, abs(dz) - 0.030, 0.03)
        knot = ellipsoid(x, dy, z - 0.160, 0.036, 0.042, 0.034)
        return min(d, min(wing, knot))
    return d


@kernel
def distance(x: float, y: float, z: float, p: Any) -> tuple[float, int]:
    """Signed distance from a point to an animal, and the part that is nearest.

    Parts that are absent, or farther than what was found by their bounds, are not evaluated.
    """
    ax = abs(x)
    d = ellipsoid(x, y - SKULL_Y, z - SKULL_Z, p.skull_w, p.skull_h, p.skull_d)
    part = FUR
    if y < 0.10 and math.sqrt((ax - 0.19) ** 2 + (y + 0.07) ** 2 + z * z) - 0.21 < d:
        d = smooth_min(d, tufts(ax, y, z, p), 0.07)
    if 0.5 < p.species < 1.5 and abs(z + 0.085) - 0.085 < d:
        d = min(d, mane(x, y, z, p))

    if y < 0.0:
        neck, _ = segment(x, y, z, 0.0, -0.05, -0.055, 0.0, -0.40, -0.055)
        neck -= 0.152
        chest = smooth_min(neck, ellipsoid(x, y + 0.450, z + 0.050, 0.290, 0.200, 0.205), 0.09)
        chest = smooth_max(chest, math.sqrt(x * x + y * y + z * z) - 0.488, 0.03)
        if chest < d:
            part = CHEST
        d = smooth_min(d, chest, 0.02)
        if p.collar > 0.5 and abs(y + 0.27) - 0.14 < d:
            band = neckwear(x, y, z, p)
            if band < d:
                d, part = band, COLLAR
    else:
        # the parts below are far from here: their bound keeps steps over the chin honest
        d = min(d, y + 0.21)

    if math.sqrt((ax - 0.20) ** 2 + (y - 0.12) ** 2 + (z + 0.01) ** 2) - 0.31 < d:
        lug = ear(ax, y, z, p)
        if lug < d:
            part = EARS
        d = smooth_min(d, lug, 0.015)

    if z > -0.06 and math.sqrt(x * x + (y + 0.04) ** 2 + (z - 0.17) ** 2) - 0.27 < d:
        pad = ellipsoid(ax - p.pad_x, y - p.pad_y, z - p.pad_z, p.pad_w, p.pad_h, p.pad_d)
        bridge, _ = segment(x, y, z, 0.0, 0.055, p.pad_z - 0.05, 0.0, p.pad_y + 0.3 * p.pad_h, p.tip_z - 0.075)
        muzzle = smooth_min(pad, bridge - p.bridge_r, 0.05)
        chin = ellipsoid(x, y - p.chin_y, z - p.chin_z, p.chin_w, p.chin_h, p.chin_d)
        muzzle = smooth_min(muzzle, chin, 0.012)
        if muzzle < d:
            part = MUZZLE
        d = smooth_min(d, muzzle, 0.03)
        if p.mouth > 0.5:
            low = p.pad_y - 0.82 * p.pad_h
            if p.mouth < 1.5:
                tongue = ellipsoid(
                    x, y - low + 0.030, z - p.pad_z, 0.75 * p.pad_w + 0.4 * p.pad_x, 0.052, 0.86 * p.pad_d
                )
            else:
                tongue, _ = segment(x, y, z, 0.0, low - 0.02, p.tip_z - 0.05, 0.0, low - 0.080, p.tip_z - 0.010)
                tongue = 0.8 * smooth_max(tongue - 0.046, abs(z - p.tip_z + 0.024) - 0.034, 0.03)
            if tongue < d:
                d, part = tongue, MOUTH
        nose = ellipsoid(x, y - p.nose_y, z - p.nose_z, 1.25 * p.nose_r, 0.92 * p.nose_r, 0.75 * p.nose_r)
        if nose < d:
            d, part = nose, NOSE
        eye = ellipsoid(ax - p.eye_x, y - EYE_Y, z - p.eye_z, p.eye_r, p.eye_r, 0.034)
        if eye < d:
            d, part = eye, EYES
    return d, part


@kernel
def _step(x: float, width: float) -> float:
    """Rise smoothly from 0 to 1 as x passes zero."""
    t = min(max(0.5 + 0.5 * x / width, 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@kernel
def _coat(x: float, y: float, z: float, p: Any, palette: Any) -> Colour:
    """Colour of fur with its pattern."""
    fur = row(palette, 1)
    if p.fur_pattern < 0.5:
        return fur
    ax = abs(x)
    if p.fur_pattern < 1.5:
        # blobs around the points of a body-centred lattice, turned so that no row of them lines up with the face
        a, b = 0.80 * ax + 0.60 * y, 0.80 * y - 0.60 * ax
        b, c = 0.80 * b + 0.60 * z, 0.80 * z - 0.60 * b
        a, b, c = math.cos(39.0 * a + 0.2), math.cos(39.0 * b + 1.2), math.cos(39.0 * c + 1.4)
        t = _step(a * b + b * c + c * a - 0.50, 0.40)
    else:
        t = _step(math.sin(43.0 * (y - 0.50 * ax) + 1.0) - 0.1, 0.45)
    return mix(fur, row(palette, 2), t)


@kernel
def _face(x: float, y: float, z: float, p: Any, palette: Any) -> Colour:
    """Colour of the face: coat and marking; a mane is darker."""
    coat = _coat(x, y, z, p, palette)
    if z < 0.02:
        return coat
    if p.face_marking > 1.5:
        q = ellipse(abs(x) - p.eye_x - 0.008, y - EYE_Y, p.eye_r + 0.036, p.eye_r + 0.042)
        return mix(coat, row(palette, 3), _step(-q, 0.012))
    if p.face_marking > 0.5:
        q = abs(x) - 0.030 - 0.22 * max(y - 0.05, 0.0)
        return mix(coat, row(palette, 3), _step(-q, 0.010))
    return coat


@kernel
def _eye(x: float, y: float, p: Any, palette: Any) -> Colour:
    side = 1.0 if x > 0.0 else -1.0
    dx, dy = (x - side * p.eye_x) / p.eye_r, (y - EYE_Y) / p.eye_r
    rim = p.lid - 0.12 * dx * dx
    if dy > rim:
        fur = row(palette, 1)
        return mix(scaled(fur, 0.62), (0.05, 0.04, 0.04), 0.15)
    if dy > rim - 0.15:
        return 0.012, 0.010, 0.012
    if (dx + 0.26) ** 2 + (dy - min(0.28, p.lid - 0.42)) ** 2 < 0.040:
        return 0.95, 0.95, 0.95
    r = math.sqrt(dx * dx + dy * dy)
    pupil = ellipse(dx, dy, 0.20, 0.50) if p.species < 0.5 else r - 0.36
    if pupil < 0.0:
        return 0.008, 0.007, 0.010
    if r > 0.90:
        return 0.02, 0.017, 0.02
    return row(palette, 4)


@kernel
def _inner_ear(x: float, y: float, z: float, p: Any, palette: Any) -> Colour:
    """Colour of an ear: fur outside, rosy inside."""
    ax, s = abs(x), p.ear_s
    fur = scaled(row(palette, 1), 0.72)
    if p.ear_shape > 1.5:
        return fur
    if p.ear_shape < 0.5:
        u, v = ax - 0.60 * p.skull_w, y - 0.165
        u, v = 0.961 * u - 0.276 * v, 0.276 * u + 0.961 * v
        q = 0.894 * abs(u) + 0.447 * (v - 0.215 * s) + 0.034
        front = z + 0.035
    else:
        r = 0.092 * s
        q = math.sqrt((ax - 0.80 * p.skull_w) ** 2 + (y - 0.195 - 0.25 * r) ** 2) - 0.62 * r
        front = z + 0.03
    if front < 0.0:
        return fur
    return mix(fur, mix((0.80, 0.36, 0.34), row(palette, 1), 0.25), _step(-q, 0.010))


@kernel
def paint(x: float, y: float, z: float, part: int, p: Any, palette: Any) -> tuple[Colour, int, float]:
    """Give the linear colour at a point of the surface, its part (the mouth's line is painted on), and its evenness."""
    if part == EYES:
        return _eye(x, y, p, palette), part, 1.0
    if part == NOSE:
        return row(palette, 5), part, 0.6
    if part == MOUTH:
        low = p.pad_y - 0.82 * p.pad_h
        if p.mouth < 1.5 and y > low - 0.030:
            return (0.075, 0.012, 0.016), part, 1.0
        return (0.80, 0.20, 0.24), part, 1.0
    if part == COLLAR:
        if p.collar > 2.5 and x * x + (y + 0.335) ** 2 + (z - 0.150) ** 2 < 0.0039:
            if abs(y + 0.345) < 0.011 and z > 0.150:
                return (0.10, 0.05, 0.01), part, 0.0
            return (0.90, 0.58, 0.08), part, 0.3
        if 1.5 < p.collar < 2.5 and ellipse(x, y + 0.292, 0.037, 0.043) < 0.0 and z > 0.14:
            return scaled(row(palette, 6), 0.55), part, 0.0
        return row(palette, 6), part, 0.0
    if part == EARS:
        return _inner_ear(x, y, z, p, palette), part, 0.2
    if part == MUZZLE:
        fur = row(palette, 1)
        if z > p.pad_z and p.mouth < 0.5:
            ax = abs(x)
            u = ax / (p.pad_x + 0.62 * p.pad_w)
            line = p.pad_y - (0.78 - 0.62 * u * u) * p.pad_h
            q = 0.75 * abs(y - line) if u < 1.0 else 1.0
            if y > line:
                q = min(q, ax + 0.004)
            if q < 0.014 and y < p.nose_y:
                return mix((0.05, 0.012, 0.015), fur, 0.06), MOUTH, 1.0
        soft = mix(fur, (0.95, 0.90, 0.82), 0.06)
        return soft, part, 0.2
    if part == CHEST:
        return _coat(x, y, z, p, palette), part, 0.0
    if 0.5 < p.species < 1.5 and z < -0.008 and ellipse(x, y - 0.01, p.skull_w + 0.02, 0.225) > 0.0:
        return scaled(mix(row(palette, 1), row(palette, 2), 0.62), 0.9), part, 0.0
    return _face(x, y, z, p, palette), part, 0.0
