"""Sphere tracing of a world's shapes: anti-aliased colour, exact parts and depth at pixel centres (needs numba)."""

from __future__ import annotations

import math
from typing import Any

from numba.extending import overload

from sat3d.world.compilation import kernel
from sat3d.world.primitives import Colour

BOUND = 0.497  # everything lies in this sphere around the origin

TILE = 8  # pixels of a square of rays that set out together
CLOSE = 0.0012  # a hit, world units
NOWHERE = 1e6  # the depth of rays that meet nothing (fast maths knows no infinity)
CAUTION = 0.92  # of the distance: some parts know theirs to first order only

SHAPES: dict[tuple[str, ...], Any] = {}
"""The modules that hold `distance` and `paint`, by the fields of the records that describe what they draw."""


def distance(x: float, y: float, z: float, p: Any) -> tuple[float, int]:
    """Stand for the signed distance and nearest part of whatever a record describes; the compiler puts in the world's.

    Functions that are handed over at run time would cost every step of every ray a call that cannot be inlined.
    """
    raise NotImplementedError


def paint(x: float, y: float, z: float, part: int, p: Any, palette: Any) -> tuple[Colour, int, float]:
    """Stand for the colour, the part and the evenness of light at a point of the surface, as `distance` does."""
    raise NotImplementedError


@overload(distance, strict=False, jit_options={"fastmath": True})
def _distance_of(x: Any, y: Any, z: Any, p: Any) -> Any:
    found = SHAPES[tuple(p.fields)].distance
    return lambda x, y, z, p: found(x, y, z, p)


@overload(paint, strict=False, jit_options={"fastmath": True})
def _paint_of(x: Any, y: Any, z: Any, part: Any, p: Any, palette: Any) -> Any:
    found = SHAPES[tuple(p.fields)].paint
    return lambda x, y, z, part, p, palette: found(x, y, z, part, p, palette)


@kernel
def _march(
    ox: float, oy: float, oz: float, dx: float, dy: float, dz: float, t: float, far: float, p: Any
) -> tuple[float, int]:
    part = 0
    for _ in range(64):
        d, part = distance(ox + t * dx, oy + t * dy, oz + t * dz, p)
        if d < CLOSE:
            return t, part
        t += CAUTION * d
        if t > far:
            return far, 0
    return t, part


@kernel
def _sphere(ox: float, oy: float, oz: float, dx: float, dy: float, dz: float, radius: float) -> tuple[float, float]:
    """Where a ray enters and leaves the sphere around the origin; the first is beyond the second if it misses."""
    b = ox * dx + oy * dy + oz * dz
    c = ox * ox + oy * oy + oz * oz - radius * radius
    h = b * b - c
    if h <= 0.0:
        return 1.0, 0.0
    h = math.sqrt(h)
    return max(-b - h, 0.0), -b + h


@kernel
def _shade(x: float, y: float, z: float, part: int, p: Any, palette: Any, lights: Any) -> tuple[float, float, float]:
    e = 0.0025
    a, _ = distance(x + e, y - e, z - e, p)
    b, _ = distance(x - e, y - e, z + e, p)
    c, _ = distance(x - e, y + e, z - e, p)
    d, _ = distance(x + e, y + e, z + e, p)
    nx, ny, nz = a - b - c + d, -a - b + c + d, -a + b - c + d
    n = 1.0 / (math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12)
    nx, ny, nz = nx * n, ny * n, nz * n

    albedo, part, even = paint(x, y, z, part, p, palette)

    near, _ = distance(x + 0.025 * nx, y + 0.025 * ny, z + 0.025 * nz, p)
    wide, _ = distance(x + 0.080 * nx, y + 0.080 * ny, z + 0.080 * nz, p)
    occlusion = 8.0 * max(0.025 - near, 0.0) + 4.5 * max(0.080 - wide, 0.0)
    ambient = 1.0 - min(occlusion, 0.75)

    kx, ky, kz = lights[0, 0], lights[0, 1], lights[0, 2]
    lambert = nx * kx + ny * ky + nz * kz
    light = 1.0
    if lambert > -0.2:
        t = 0.03
        for _ in range(7):
            s, _ = distance(x + t * kx + 0.008 * nx, y + t * ky + 0.008 * ny, z + t * kz + 0.008 * nz, p)
            light = min(light, 0.5 + 0.5 * s / (0.16 * t))
            if light <= 0.0 or t > 0.40:
                break
            t += min(max(s, 0.02), 0.12)
        light = max(light, 0.0)
        light = light * light * (3.0 - 2.0 * light)
    wrapped = max((lambert + 0.22) / 1.22, 0.0)
    key = 1.02 * wrapped * (0.25 + 0.75 * light)
    sky = ambient * (lights[2, 0] + lights[2, 1] * ny + lights[2, 2] * nz)
    rim = 0.22 * max(nx * lights[1, 0] + ny * lights[1, 1] + nz * lights[1, 2], 0.0) * ambient
    key += even * (0.35 - 0.45 * key)
    sky += even * (0.15 - 0.3 * sky)
    r = albedo[0] * (1.06 * key + 0.97 * sky + 0.95 * rim)
    g = albedo[1] * (1.00 * key + 1.00 * sky + 1.00 * rim)
    b = albedo[2] * (0.93 * key + 1.05 * sky + 1.10 * rim)
    return r, g, b


@kernel
def _tone(c: float) -> float:
    """Bend highlights over and encode as sRGB (gamma 2.2)."""
    c = max(c, 0.0)
    if c > 0.6:
        c = 0.6 + 0.4 * (1.0 - math.exp(-(c - 0.6) / 0.4))
    return math.pow(c, 1.0 / 2.2)


@kernel
def _ray(u: float, v: float, pose: Any, lens: Any) -> tuple[float, float, float]:
    """Direction of the ray through (u, v) in [0, 1]², OpenCV axes."""
    y = (v - lens[1, 2]) / lens[1, 1]
    x = (u - lens[0, 2] - lens[0, 1] * y) / lens[0, 0]
    n = 1.0 / math.sqrt(x * x + y * y + 1.0)
    return (
        (pose[0, 0] * x + pose[0, 1] * y + pose[0, 2]) * n,
        (pose[1, 0] * x + pose[1, 1] * y + pose[1, 2]) * n,
        (pose[2, 0] * x + pose[2, 1] * y + pose[2, 2]) * n,
    )


@kernel
def _set_out(u: float, v: float, half: float, pose: Any, lens: Any, p: Any) -> float:
    """March a cone around a tile's rays, and return how far all can go unseen; NOWHERE if none meets anything."""
    ox, oy, oz = pose[0, 3], pose[1, 3], pose[2, 3]
    dx, dy, dz = _ray(u, v, pose, lens)
    ex, ey, ez = _ray(u + half, v + half, pose, lens)
    fx, fy, fz = _ray(u - half, v + half, pose, lens)
    spread = 1.1 * math.sqrt(
        max((dx - ex) ** 2 + (dy - ey) ** 2 + (dz - ez) ** 2, (dx - fx) ** 2 + (dy - fy) ** 2 + (dz - fz) ** 2)
    )
    reach = math.sqrt(ox * ox + oy * oy + oz * oz)
    t, far = _sphere(ox, oy, oz, dx, dy, dz, BOUND + spread * (reach + BOUND))
    if t > far:
        return NOWHERE
    for _ in range(40):
        d, _ = distance(ox + t * dx, oy + t * dy, oz + t * dz, p)
        gap = CAUTION * d - spread * t
        if gap < 0.004:
            return max(t, 0.0)
        t += gap / (1.0 + spread)
        if t > far:
            return NOWHERE
    return t


@kernel
def render_one(
    p: Any, palette: Any, pose: Any, lens: Any, lights: Any, samples: int, rgb: Any, segmentation: Any, depth: Any
) -> None:
    """Render one record into rgb (3, H, H) float32 in [0, 1], segmentation (H, H) uint8 and depth (H, H) float32.

    Colour averages samples² rays a pixel; segmentation and depth are those of the ray through its centre.
    """
    size = depth.shape[0]
    ox, oy, oz = pose[0, 3], pose[1, 3], pose[2, 3]
    wall = (math.pow(palette[0, 0], 1 / 2.2), math.pow(palette[0, 1], 1 / 2.2), math.pow(palette[0, 2], 1 / 2.2))
    for top in range(0, size, TILE):
        for left in range(0, size, TILE):
            u, v = (left + 0.5 * TILE) / size, (top + 0.5 * TILE) / size
            start = _set_out(u, v, 0.5 * TILE / size, pose, lens, p)
            for i in range(top, min(top + TILE, size)):
                for j in range(left, min(left + TILE, size)):
                    depth[i, j] = NOWHERE
                    segmentation[i, j] = 0
                    if start >= NOWHERE:
                        rgb[0, i, j], rgb[1, i, j], rgb[2, i, j] = wall
                        continue
                    dx, dy, dz = _ray((j + 0.5) / size, (i + 0.5) / size, pose, lens)
                    near, far = _sphere(ox, oy, oz, dx, dy, dz, BOUND)
                    if near < far:
                        t, part = _march(ox, oy, oz, dx, dy, dz, max(start, near), far, p)
                        if part > 0:
                            depth[i, j] = t
                            _, part, _ = paint(ox + t * dx, oy + t * dy, oz + t * dz, part, p, palette)
                            segmentation[i, j] = part
                    red, green, blue = 0.0, 0.0, 0.0
                    for k in range(samples * samples):
                        dx, dy, dz = _ray(
                            (j + (k % samples + 0.5) / samples) / size,
                            (i + (k // samples + 0.5) / samples) / size,
                            pose,
                            lens,
                        )
                        near, far = _sphere(ox, oy, oz, dx, dy, dz, BOUND)
                        part, t = 0, 0.0
                        if near < far:
                            t, part = _march(ox, oy, oz, dx, dy, dz, max(start, near), far, p)
                        if part > 0:
                            r, g, b = _shade(ox + t * dx, oy + t * dy, oz + t * dz, part, p, palette, lights)
                            red, green, blue = red + _tone(r), green + _tone(g), blue + _tone(b)
                        else:
                            red, green, blue = red + wall[0], green + wall[1], blue + wall[2]
                    n = 1.0 / (samples * samples)
                    rgb[0, i, j], rgb[1, i, j], rgb[2, i, j] = red * n, green * n, blue * n


@kernel
def render_all(
    records: Any,
    palettes: Any,
    poses: Any,
    lenses: Any,
    lights: Any,
    samples: int,
    rgb: Any,
    segmentation: Any,
    depth: Any,
) -> None:
    """Render a batch of records, each as `render_one` does."""
    for i in range(len(records)):
        render_one(records[i], palettes[i], poses[i], lenses[i], lights, samples, rgb[i], segmentation[i], depth[i])
