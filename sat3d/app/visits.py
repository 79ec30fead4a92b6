"""What one visitor has chosen, as small plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

Origin = int | str
"""A seed, or the key of a picture that was uploaded."""
MOST_SEED = 2**63 - 1
SOURCE, REFERENCE = "source", "reference"


@dataclass(frozen=True)
class Visit:
    """Hold a visitor's choices; those of one say nothing of another's.

    Args:
        source: what is edited.
        reference: what transfers take from.
        truncation: ψ of seeds.
        view: yaw and pitch of the camera, radians; `None` for the uploaded picture's own, or frontal.
        changes: by method the strength of each attribute, in the order in which they were first moved.
    """

    source: Origin = 0
    reference: Origin = 1
    truncation: float = 1.0
    view: tuple[float, float] | None = None
    changes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def with_source(self, source: Origin) -> Visit:
        """Return a visit that edits something else, seen from its own view where it is a picture."""
        return replace(self, source=_origin(source), view=self.view if isinstance(source, int) else None)

    def with_reference(self, reference: Origin) -> Visit:
        """Return a visit with another reference."""
        return replace(self, reference=_origin(reference))

    def with_truncation(self, truncation: float) -> Visit:
        """Return a visit with another ψ.

        Raises:
            ValueError: if it is no number from -2 to 2.
        """
        return replace(self, truncation=number(truncation, "truncation", 2.0))

    def with_view(self, yaw: float, pitch: float) -> Visit:
        """Return a visit that looks from elsewhere; angles in radians, rounded so that commands stay short.

        Raises:
            ValueError: for angles that are no numbers.
        """
        angles = number(yaw, "yaw", 2 * math.pi), number(pitch, "pitch", math.pi / 2)
        return replace(self, view=(round(angles[0], 4), round(angles[1], 4)))

    def moved(self, method: str, attribute: str, strength: float) -> Visit:
        """Return a visit with one slider moved; at 0 the attribute is as if it had never been.

        Raises:
            ValueError: for a strength that is no number.
        """
        own = {**self.changes.get(method, {}), attribute: number(strength, "strength", 1000.0)}
        changes = {**self.changes, method: {name: x for name, x in own.items() if x}}
        return replace(self, changes={name: moved for name, moved in changes.items() if moved})

    def cleared(self) -> Visit:
        """Return a visit without changes."""
        return replace(self, changes={})

    def of(self, method: str) -> tuple[tuple[str, float], ...]:
        """Return what a method changes, and how much."""
        return tuple(self.changes.get(method, {}).items())


def number(value: object, name: str, most: float) -> float:
    """Return a number that came from a browser.

    Raises:
        ValueError: if it is none, or beyond ±most.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > most:
        raise ValueError(f"{name}: {str(value)[:40]} is no number from {-most:g} to {most:g}")
    return float(value)


def _origin(origin: Origin) -> Origin:
    if isinstance(origin, str):
        return origin
    if isinstance(origin, bool) or origin != int(origin) or not 0 <= origin <= MOST_SEED:
        raise ValueError(f"seed: {origin} is no whole number from 0 on")
    return int(origin)
