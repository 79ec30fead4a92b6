"""The observers that go with a generator, where nobody named others."""

from __future__ import annotations

from sat3d.shipped import companion


def required(generator: str, role: str) -> str:
    """Return the observer of a role that is shipped for a generator.

    Args:
        generator: its name.
        role: `labeller` or `judge`.

    Raises:
        ValueError: if there is none; the message names the option.
    """
    found = companion(generator, role)
    if found is None:
        raise ValueError(f"--{role}: no {role} is shipped for generator={generator!r}; name an attribute predictor")
    return found
