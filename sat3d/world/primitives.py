"""What the shapes of all worlds are built from: signed distances, how they join, colours (needs numba)."""

from __future__ import annotations

import math
from typing import Any

from sat3d.world.compilation import kernel

Colour = tuple[float, float, float]
"""Linear RGB."""


@kernel
def smooth_min(a: float, b: float, k: float) -> float:
    """Join two distances with a fillet of width k."""
    h = max(k - abs(a - b), 0.0) / k
    return min(a, b) - h * h * k * 0.25


@kernel
def smooth_max(a: float, b: float, k: float) -> float:
    """Intersect two distances with a rounded edge of width k."""
    h = max(k - abs(a - b), 0.0) / k
    return max(a, b) + h * h * k * 0.25


@kernel
def ellipsoid(x: float, y: float, z: float, a: float, b: float, c: float) -> float:
    """Distance to an ellipsoid with half axes a, b, c, to first order at its surface."""
    x, y, z = x / a, y / b, z / c
    k0 = math.sqrt(x * x + y * y + z * z)
    x, y, z = x / a, y / b, z / c
    k1 = math.sqrt(x * x + y * y + z * z) + 1e-9
    return k0 * (k0 - 1.0) / k1


@kernel
def ellipse(x: float, y: float, a: float, b: float) -> float:
    """Distance in the plane to an ellipse with half axes a, b, to first order at its rim."""
    x, y = x / a, y / b
    k0 = math.sqrt(x * x + y * y)
    x, y = x / a, y / b
    return k0 * (k0 - 1.0) / (math.sqrt(x * x + y * y) + 1e-9)


@kernel
def rounded_box(x: float, y: float, a: float, b: float, r: float) -> float:
    """Distance in the plane to a rectangle with half sides a, b and corners of radius r."""
    x, y = abs(x) - a + r, abs(y) - b + r
    outside = math.sqrt(max(x, 0.0) ** 2 + max(y, 0.0) ** 2)
    return outside + min(max(x, y), 0.0) - r


@kernel
def segment(
    x: float, y: float, z: float, ax: float, ay: float, az: float, bx: float, by: float, bz: float
) -> tuple[float, float]:
    """Distance to the segment from a to b, and how far along it (0 to 1) the nearest point lies."""
    x, y, z = x - ax, y - ay, z - az
    bx, by, bz = bx - ax, by - ay, bz - az
    t = min(max((x * bx + y * by + z * bz) / (bx * bx + by * by + bz * bz), 0.0), 1.0)
    x, y, z = x - t * bx, y - t * by, z - t * bz
    return math.sqrt(x * x + y * y + z * z), t


@kernel
def mix(a: Colour, b: Colour, t: float) -> Colour:
    """Go from colour a to colour b by the share t."""
    return a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2])


@kernel
def scaled(a: Colour, t: float) -> Colour:
    """Brighten or darken a colour."""
    return a[0] * t, a[1] * t, a[2] * t


@kernel
def row(palette: Any, i: int) -> Colour:
    """Read a palette's colour."""
    return palette[i, 0], palette[i, 1], palette[i, 2]
