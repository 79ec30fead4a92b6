"""Files that visitors give: read within limits, turned into codes, and named so that nothing in a name is obeyed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from sat3d.app.keeping import Kept, Turn
from sat3d.commands.sources import read_aligned
from sat3d.generators import Generator
from sat3d.inversion import PictureCodes, PictureInverter, load_codes

MOST_BYTES, MOST_SIDE = 10 * 2**20, 4096
CODES = ".safetensors"
Progress = Callable[[float, str], object]
"""Told what share is done, and of what."""


@dataclass(frozen=True)
class Upload:
    """Hold what became of a file.

    Args:
        name: of the file, without anything that a shell or a page could take for more.
        codes: (1, …).
    """

    name: str
    codes: PictureCodes


class Uploads:
    """Turn files into codes; the pictures themselves are not kept.

    Args:
        generator: whose codes.
        turn: held while the generator is at work, and passed on after each step.
        most: how many codes are kept, for all visitors.
    """

    def __init__(self, generator: Generator, turn: Turn, most: int = 256) -> None:
        self.generator, self.turn = generator, turn
        self._kept: Kept[Upload] = Kept(most)
        self._inverted: Kept[PictureCodes] = Kept(most)

    def __getitem__(self, key: str) -> Upload:
        found = self._kept.get(key)
        if found is None:
            raise ValueError("this picture is not kept any more, since many newer ones came; upload it again")
        return found

    @cached_property
    def _inverter(self) -> PictureInverter:
        return PictureInverter(self.generator)

    def add(self, path: Path, name: str, progress: Progress = lambda share, what: None) -> str:
        """Read a file and return the key of its codes: a picture is inverted, as `sat3d edit --source FILE` does.

        Args:
            path: where the file is.
            name: what the visitor calls it.
            progress: told after each step.

        Raises:
            ValueError: for a file that is no picture, no codes of this generator, or too large.
            ImportError: if a face has to be found, and what finds it is not installed.
        """
        size = path.stat().st_size
        called = plain_name(name)
        if size > MOST_BYTES:
            raise ValueError(f"{called} has {size / 2**20:.1f} MiB; give at most {MOST_BYTES / 2**20:.0f}")
        data = path.read_bytes()
        codes = self._codes(path, called) if called.endswith(CODES) else self._inverted_picture(data, called, progress)
        key = hashlib.sha256(called.encode() + b"\0" + data).hexdigest()
        self._kept.put(key, Upload(called, codes))
        return key

    def _inverted_picture(self, data: bytes, name: str, progress: Progress) -> PictureCodes:
        with self.turn:
            picture = read_aligned(data, self.generator, option=name, most_bytes=MOST_BYTES, most_side=MOST_SIDE)
            key = self._inverter.key(picture, None)
            if (known := self._inverted.get(key)) is not None:
                return known

            def told(step: int, steps: int, loss: float) -> None:
                progress(step / steps, f"inverting {name}")
                self.turn.pass_on()

            (found,) = self._inverter(picture, progress=told)
        return self._inverted.put(key, found.codes)

    def _codes(self, path: Path, name: str) -> PictureCodes:
        try:
            codes = load_codes(path, self.generator)
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), name)) from error
        if len(codes) != 1 or not all(t.isfinite().all() for t in (codes.ws, codes.styles)):
            raise ValueError(f"{name} does not hold the code of one picture")
        if codes.tuned:
            raise ValueError(f"{name} comes with tuned weights, which this page does not take; `sat3d edit` does")
        if codes.camera is not None and not codes.camera.label().isfinite().all():
            raise ValueError(f"{name} holds no camera that one can look through")
        return codes if self.generator.is_3d else replace(codes, camera=None)


def plain_name(name: str) -> str:
    """Return the last part of a file's name, of letters, digits and `._-` alone, and not too long."""
    last = re.split(r"[/\\]", name)[-1]
    plain = re.sub(r"[^\w.-]+", "_", last, flags=re.ASCII).lstrip(".-") or "picture"
    return plain if len(plain) <= 80 else f"{plain[:60]}{plain[-20:]}"


def seed_codes(generator: Generator, seed: int, truncation: float) -> PictureCodes:
    """Return the codes of a seed, as `sat3d edit` has them."""
    from sat3d.commands.seeds import ws_of

    with torch.no_grad():
        ws = ws_of(generator, [seed], truncation)
        return PictureCodes(ws, generator.styles(ws))
