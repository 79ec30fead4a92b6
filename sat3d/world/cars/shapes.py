"""A car's surface as a signed distance, and its colours (needs numba)."""

from __future__ import annotations

import math
from typing import Any

from sat3d.world.cars.measures import GROUND
from sat3d.world.compilation import kernel
from sat3d.world.primitives import Colour, rounded_box, row, scaled, smooth_max, smooth_min

BODY, ROOF, WINDOWS, TYRES, RIMS, HEADLIGHTS, TAILLIGHTS, GRILLE, BUMPERS, ROOF_RACK, SPOILER, INTERIOR = range(1, 13)

PANE = 0.020  # from a window's edge to the cabin's
RIM = 0.66  # of a wheel's radius
FAR = 0.06  # from the box around a car: that distance will do


@kernel
def _box(x: float, y: float, z: float, a: float, b: float, c: float, r: float) -> float:
    """Distance to a box with half sides a, b, c and edges of radius r."""
    x, y, z = abs(x) - a + r, abs(y) - b + r, abs(z) - c + r
    outside = math.sqrt(max(x, 0.0) ** 2 + max(y, 0.0) ** 2 + max(z, 0.0) ** 2)
    return outside + min(max(x, max(y, z)), 0.0) - r


@kernel
def _planes(ax: float, y: float, z: float, p: Any) -> tuple[float, float, float]:
    """Distances to the planes of the windscreen, the rear window and the side windows."""
    h = y - p.belt
    front = (z - p.front) * p.front_cos + h * p.front_sin
    rear = (p.rear - z) * p.rear_cos + h * p.rear_sin
    side = (ax - p.cabin_w) * p.side_cos + h * p.side_sin
    # bent a little, as panes are
    bend = 0.45 * min(ax, 0.25) ** 2
    front += bend
    rear += bend
    return front, rear, side


@kernel
def _lid(ax: float, y: float, z: float, p: Any) -> float:
    """Height over the roof, which is arched."""
    s = min(abs(z - 0.5 * (p.roof_f + p.roof_r)), 0.25)
    return y - p.roof + 0.35 * min(ax, 0.25) ** 2 + 0.18 * s * s


@kernel
def _wheel(y: float, z: float, p: Any) -> float:
    """Distance to the nearest axle."""
    s = abs(z - p.middle) - p.base
    y -= p.axle
    return math.sqrt(s * s + y * y)


@kernel
def _lamp(ax: float, y: float, p: Any) -> float:
    """Distance in the picture of the front to a headlight."""
    if p.headlight_shape < 0.5:
        dx, dy = ax - p.width + 0.060, y - p.lamp_y - 0.014
        return math.sqrt(dx * dx + dy * dy) - 0.056
    if p.headlight_shape < 1.5:
        return rounded_box(ax - p.width + 0.052, y - p.lamp_y + 0.002, 0.046, 0.038, 0.006)
    return rounded_box(ax - p.width + 0.070, y - p.lamp_y - 0.008 - 0.15 * (ax - p.width + 0.07), 0.070, 0.019, 0.012)


@kernel
def _tail(ax: float, y: float, p: Any) -> float:
    """Distance in the picture of the back to a taillight."""
    if p.taillight_shape < 0.5:
        dx, dy = ax - p.width + 0.062, y - p.tail_y
        return math.sqrt(dx * dx + dy * dy) - 0.041
    return rounded_box(ax, y - p.tail_y, p.width + 0.02, 0.028, 0.012)


@kernel
def _grille(ax: float, y: float, p: Any) -> float:
    """Distance in the picture of the front to the grille."""
    if p.grille < 0.5:
        return rounded_box(ax, y - p.lamp_y, 0.040, 0.024, 0.020)
    return rounded_box(ax, y - p.lamp_y, p.width - 0.034, 0.040, 0.016)


@kernel
def _rack(ax: float, y: float, z: float, p: Any) -> float:
    """Distance to what is on the roof: rails with bars across, or suitcases."""
    middle, half = 0.5 * (p.roof_f + p.roof_r), 0.5 * (p.roof_f - p.roof_r)
    y, z = y - p.roof, z - middle
    across = p.cabin_w - (p.roof - p.belt) * p.side_sin / p.side_cos
    if p.roof_rack < 1.5:
        half = max(min(half - 0.005, 0.15), 0.06)
        rail = _box(ax - across + 0.024, y - 0.030, z, 0.015, 0.014, half, 0.012)
        bar = _box(ax, y - 0.030, abs(z) - half + 0.026, across - 0.02, 0.013, 0.016, 0.010)
        foot = _box(ax - across + 0.024, y - 0.010, abs(z) - half + 0.026, 0.013, 0.024, 0.014, 0.008)
        return min(rail, min(bar, foot))
    half = max(min(half - 0.01, 0.105), 0.06)
    case = _box(ax, y - 0.030, z, across - 0.026, 0.036, half, 0.014)
    upper = _box(ax, y - 0.084, z + 0.012, across - 0.050, 0.024, half - 0.026, 0.012)
    return min(case, upper)


@kernel
def _spoiler(ax: float, y: float, z: float, p: Any) -> float:
    """Distance to the spoiler: a lip at the edge, or a wing on two posts between end plates."""
    y, z = y - p.spoiler_y, z - p.spoiler_z
    if p.spoiler < 1.5:
        tilted = y - 0.016 + 0.45 * z
        return 0.80 * _box(ax, tilted, z + 0.012, p.spoiler_w, 0.018, 0.036, 0.010)
    tilted = y - p.wing + 0.18 * z
    wing = 0.91 * _box(ax, tilted, z, p.spoiler_w + 0.012, 0.015, 0.046, 0.010)
    plate = _box(ax - p.spoiler_w - 0.004, y - p.wing, z, 0.013, 0.034, 0.050, 0.010)
    post = _box(ax - 0.6 * p.spoiler_w, y - 0.5 * p.wing, z, 0.014, 0.5 * p.wing + 0.01, 0.022, 0.008)
    return min(wing, min(plate, post))


@kernel
def distance(x: float, y: float, z: float, p: Any) -> tuple[float, int]:
    """Signed distance from a point to a car, and the part that is nearest."""
    ax = abs(x)
    far = _box(ax, y - 0.5 * (p.top + GROUND), z, p.width + 0.045, 0.5 * (p.top - GROUND), p.length + 0.045, 0.0)
    if far > FAR:
        return far, BODY
    h = y - p.belt
    part = BODY

    # the body: its plan under bonnet, belt and boot
    centre = min(max(y - 0.5 * (p.sill + p.belt), -0.11), 0.11)
    plan = rounded_box(ax, z, p.width, p.length, p.corner) + 1.6 * centre * centre
    lid = smooth_max(h, h * p.bonnet_cos + (z - p.cowl) * p.bonnet_sin, 0.03)
    lid = smooth_max(lid, h * p.boot_cos + (p.boot - z) * p.boot_sin, 0.03)
    hull = smooth_max(smooth_max(plan, lid, 0.055), p.sill - y, 0.03)
    d = hull
    if p.open + p.bed > 0.5:
        hollow_z = abs(z - 0.5 * (p.hollow_f + p.hollow_r)) - 0.5 * (p.hollow_f - p.hollow_r)
        hollow = smooth_max(smooth_max(ax - p.width + 0.040, hollow_z, 0.05), p.hollow_y - y, 0.02)
        if -hollow > d - 0.006:
            part = INTERIOR
        d = smooth_max(d, -hollow, 0.012)

    # wheels in their houses, under fenders
    radius = _wheel(y, z, p)
    fender = smooth_max(radius - p.wheel - 0.044, abs(ax - p.width + 0.046) - 0.048, 0.035)
    d = smooth_min(d, max(fender, p.sill + 0.01 - y), 0.03)
    arch = max(radius - p.wheel - 0.014, p.width - 0.085 - ax)
    if -arch > d:
        part = TYRES  # the dark of the wheel's house
    d = smooth_max(d, -arch, 0.012)

    tyre = max(radius - p.wheel, abs(ax - p.width + 0.028) - 0.036)
    if tyre < d:
        a, b = radius - p.wheel + 0.018, abs(ax - p.width + 0.028) - 0.018
        tyre = math.sqrt(max(a, 0.0) ** 2 + max(b, 0.0) ** 2) + min(max(a, b), 0.0) - 0.018
        dish = max(radius - RIM * p.wheel, p.width - 0.002 - ax)
        tyre = smooth_max(tyre, -dish, 0.008)
        if tyre < d:
            d, part = tyre, TYRES

    # what is set into the body, or lies on it
    if hull < d + 0.045:
        ends = p.length - 0.105 - abs(z)
        bumper = smooth_max(max(hull - 0.019, ends), abs(y - p.sill - 0.022) - 0.021, 0.016)
        if bumper < d:
            d, part = bumper, BUMPERS
        if z > 0.0:
            depth = p.length - 0.085 - z
            mouth = smooth_max(max(hull - 0.006, depth), _grille(ax, y, p), 0.008)
            if mouth < d:
                d, part = mouth, GRILLE
            bulge = _lamp(ax, y, p)
            lamp = smooth_max(max(hull - 0.015, depth), bulge, 0.012)
            if p.headlight_shape < 0.5:  # a dome
                lamp = smooth_max(0.75 * (hull - 0.014 + 0.45 * max(bulge, -0.05)), bulge, 0.010)
                lamp = max(lamp, depth)
            if lamp < d:
                d, part = lamp, HEADLIGHTS
        else:
            depth = p.length - 0.075 + z
            lamp = smooth_max(max(max(hull - 0.013, -0.018 - hull), depth), _tail(ax, y, p), 0.012)
            if lamp < d:
                d, part = lamp, TAILLIGHTS

    # the cabin
    if max(-0.08 - h, y - p.roof) < d:
        front, rear, side = _planes(ax, y, z, p)
        if p.open < 0.5:
            cabin = smooth_max(smooth_max(front, rear, 0.02), side, 0.035)
            cabin = max(smooth_max(cabin, _lid(ax, y, z, p), 0.035), -h - 0.03)
            if cabin < d:
                d, part = cabin, ROOF
        else:
            pane = smooth_max(smooth_max(abs(front + 0.014) - 0.014, side, 0.02), y - p.roof, 0.02)
            pane = max(pane, -h - 0.03)
            if pane < d:
                d, part = pane, WINDOWS
            seat = 0.5 * (p.hollow_f + p.hollow_r) - 0.035
            back = 0.88 * _box(ax - 0.068, y - p.belt + 0.015, z - seat + 0.25 * h, 0.052, 0.062, 0.026, 0.022)
            if back < d:
                d, part = back, INTERIOR
    mirror = _box(ax - p.cabin_w - 0.024, h - 0.018, z - p.front + 0.040, 0.034, 0.021, 0.019, 0.017)
    if mirror < d + 0.01:
        if mirror < d:
            part = BODY
        d = smooth_min(d, mirror, 0.01)

    if p.open < 0.5 and p.roof_rack > 0.5 and y - p.roof > -d - 0.02:
        rack = _rack(ax, y, z, p)
        if rack < d:
            d, part = rack, ROOF_RACK
    if p.spoiler > 0.5 and z - p.spoiler_z - 0.07 < d:
        fin = _spoiler(ax, y, z, p)
        if fin < d:
            d, part = fin, SPOILER
    return d, part


@kernel
def paint(x: float, y: float, z: float, part: int, p: Any, palette: Any) -> tuple[Colour, int, float]:
    """Give the linear colour at a point of the surface, its part, and how evenly it is lit.

    Windows are painted on the cabin, rims on the wheels.
    """
    ax = abs(x)
    cream = (0.87, 0.80, 0.62)
    if part == BODY:
        if p.stripe > 1.5:
            dy, dz = y - 0.5 * (p.sill + p.belt) - 0.006, z - p.middle
            if ax < 0.042 or (ax > 0.8 * p.width and dy * dy + dz * dz < 0.0030):
                return cream, BODY, 0.0
        elif p.stripe > 0.5 and y < 0.4 * p.sill + 0.6 * p.belt:
            return cream, BODY, 0.0
        return row(palette, 1), BODY, 0.0
    if part == ROOF:
        return _cabin(ax, y, z, p, palette)
    if part == WINDOWS:
        if y > p.roof - 0.018:
            return row(palette, 1), BODY, 0.0
        return row(palette, 3), WINDOWS, 0.0
    if part == TYRES:
        radius = _wheel(y, z, p)
        if radius < RIM * p.wheel and ax > p.width - 0.02:
            if radius < 0.15 * p.wheel:
                return scaled(row(palette, 4), 0.35), RIMS, 0.6
            return row(palette, 4), RIMS, 0.6
        return (0.020, 0.020, 0.023), TYRES, 0.0
    if part == HEADLIGHTS:
        if _lamp(ax, y, p) > -0.011:
            return (0.03, 0.03, 0.035), HEADLIGHTS, 0.5
        if p.headlight_shape < 0.5:
            return (1.0, 0.72, 0.22), HEADLIGHTS, 1.0
        if p.headlight_shape < 1.5:
            return (0.97, 0.98, 1.0), HEADLIGHTS, 1.0
        return (0.55, 0.86, 1.0), HEADLIGHTS, 1.0
    if part == TAILLIGHTS:
        if _tail(ax, y, p) > -0.010:
            return (0.03, 0.02, 0.025), TAILLIGHTS, 0.5
        return (0.85, 0.025, 0.03), TAILLIGHTS, 1.0
    if part == GRILLE:
        if _grille(ax, y, p) > -0.009:
            return (0.55, 0.57, 0.60), GRILLE, 0.5
        return (0.018, 0.018, 0.022), GRILLE, 0.0
    if part == BUMPERS:
        return row(palette, 5), BUMPERS, 0.0
    if part == ROOF_RACK:
        if p.roof_rack > 1.5:
            if y - p.roof > 0.063:
                return (0.50, 0.25, 0.09), ROOF_RACK, 0.0
            if abs(ax - 0.05) < 0.013:
                return (0.50, 0.25, 0.09), ROOF_RACK, 0.0
            return (0.20, 0.075, 0.028), ROOF_RACK, 0.0
        return (0.42, 0.19, 0.065), ROOF_RACK, 0.0
    if part == SPOILER:
        return row(palette, 6), SPOILER, 0.0
    if p.bed > 0.5:
        return (0.07, 0.07, 0.08), INTERIOR, 0.0
    return (0.50, 0.26, 0.11), INTERIOR, 0.0


@kernel
def _cabin(ax: float, y: float, z: float, p: Any, palette: Any) -> tuple[Colour, int, float]:
    """Paint the cabin: panes between pillars, under the roof; a racing stripe goes over it."""
    front, rear, side = _planes(ax, y, z, p)
    if y < p.belt + 0.010:
        return row(palette, 1), BODY, 0.0
    glass = _lid(ax, y, z, p) < -PANE
    if side > max(front, rear):
        glass = glass and max(front, rear) < side - PANE and abs(z - p.pillar) > 0.013
    else:
        glass = glass and side < max(front, rear) - PANE
    if glass:
        return row(palette, 3), WINDOWS, 0.0
    if p.stripe > 1.5 and ax < 0.042:
        return (0.87, 0.80, 0.62), ROOF, 0.0
    return row(palette, 2), ROOF, 0.0
