"""What the page shows, without a page: codes, edits, views, channels and files for any number of visitors."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from sat3d.app.explorer import Mover, acting_map, effects_at, strongest
from sat3d.app.keeping import Kept, Turn
from sat3d.app.methods import Method
from sat3d.app.reproduction import command_of
from sat3d.app.uploads import Progress, Uploads, seed_codes
from sat3d.app.visits import REFERENCE, SOURCE, Origin, Visit
from sat3d.commands.seeds import camera_of
from sat3d.commands.sources import CHANNELS
from sat3d.generators import Generator
from sat3d.inversion import PictureCodes
from sat3d.methods import ChannelEditor
from sat3d.methods.base import edited_styles
from sat3d.ops.camera import Camera
from sat3d.visualization import Look, PathClip, look, morph_pages, to_uint8, write_clip

SLOW = 0.15  # seconds, above which pictures are drafts while a camera moves
T = TypeVar("T")


class Session:
    """Answer what visitors ask of one generator and its editors, one after the other.

    Pictures are those of `sat3d edit`: the same functions make them, in the same order.

    Args:
        generator: that is shown.
        methods: from `load_methods`.
        given: what `--generator` takes.

    Raises:
        ValueError: for a generator with classes, which a seed alone does not tell.

    Example:
        >>> G = load_generator("toyfaces64")
        >>> session = Session(G, load_methods(["runs/sat3d/0/editor"], G), "toyfaces64")
        >>> session.picture(Visit(source=3, reference=7).moved("SAT3D", "hat", 1.0), "SAT3D").shape
        (64, 64, 3)
    """

    def __init__(self, generator: Generator, methods: Mapping[str, Method], given: str) -> None:
        if generator.c_dim and not generator.is_3d:
            raise ValueError("generator: the page shows none with classes; `sat3d generate --label` does")
        self.generator, self.methods, self.given = generator, dict(methods), given
        self.turn = Turn()
        self.uploads = Uploads(generator, self.turn)
        self.seconds = 0.0  # of the last whole rendering
        self._codes: Kept[PictureCodes] = Kept(64)
        self._styles: Kept[Tensor] = Kept(256)
        self._looks: Kept[Look] = Kept(24)
        self._pictures: Kept[np.ndarray] = Kept(256)

    # Codes ------------------------------------------------------------------------------------------------------------

    def codes(self, origin: Origin, truncation: float = 1.0) -> PictureCodes:
        """Return the codes of a seed or of an upload.

        Raises:
            ValueError: for an upload that is not kept any more.
        """
        if isinstance(origin, str):
            return self.uploads[origin].codes
        make = lambda: seed_codes(self.generator, origin, truncation)  # noqa: E731
        return self._codes.get_or_make((origin, truncation), make)

    def styles(self, visit: Visit, shown: str) -> Tensor:
        """Return what a picture shows, (1, C).

        Args:
            visit: what is chosen.
            shown: `source`, `reference`, or the name of a method.

        Raises:
            ValueError: for another name, and what the method's editor refuses.
        """
        if shown in (SOURCE, REFERENCE):
            return self.codes(visit.source if shown == SOURCE else visit.reference, visit.truncation).styles
        method = self._method(shown)
        source, changes = self.codes(visit.source, visit.truncation), visit.of(shown)
        if not changes:
            return source.styles
        reference = self.codes(visit.reference, visit.truncation) if method.editor.needs_reference else None

        def make() -> Tensor:
            names, amounts = zip(*changes, strict=True)
            with torch.no_grad():
                return edited_styles(self.generator, method.editor, source, names, amounts, reference=reference)

        return self._styles.get_or_make(self._key(visit, shown), make)

    def angles(self, visit: Visit) -> tuple[float, float]:
        """Return yaw and pitch of the camera, radians; 0 for a 2-D generator."""
        own = self.codes(visit.source, visit.truncation).camera
        if visit.view is not None or own is None or not self.generator.is_3d:
            return visit.view or (self.generator.cameras.view if self.generator.cameras else (0.0, 0.0))
        yaw, pitch = own.angles()[0].tolist()
        return yaw, pitch

    def camera(self, visit: Visit) -> Camera | None:
        """Return where pictures are taken from, as `sat3d edit` decides it; `None` for a 2-D generator."""
        own = self.codes(visit.source, visit.truncation).camera
        if not self.generator.is_3d or (visit.view is None and own is not None):
            return own
        return camera_of(self.generator, *(visit.view or (None, None)))

    # Pictures ---------------------------------------------------------------------------------------------------------

    def picture(self, visit: Visit, shown: str, draft: bool = False) -> UInt8[np.ndarray, "h w 3"]:
        """Return a picture; see `styles`.

        Args:
            visit: what is chosen.
            shown: which of the pictures.
            draft: whether rays may be fewer where the generator is slow.
        """
        with self.turn:
            draft = draft and self.generator.is_3d and self.seconds > SLOW
            key = (self._key(visit, shown), self._view_key(visit), draft)
            return self._pictures.get_or_make(key, lambda: self._drawn(visit, shown, draft))

    def _drawn(self, visit: Visit, shown: str, draft: bool) -> UInt8[np.ndarray, "h w 3"]:
        started = time.perf_counter()
        with torch.no_grad():
            image = self._look(visit, shown, draft)(self.camera(visit)).image[0]
        picture = to_uint8(image)
        if not draft:
            self.seconds = time.perf_counter() - started
        return picture

    def _look(self, visit: Visit, shown: str, draft: bool = False) -> Look:
        net: Any = self.generator
        side = max(8, net.options.neural_resolution // 2) if draft else None
        with torch.no_grad():
            make = lambda: look(net, self.styles(visit, shown), neural_resolution=side)  # noqa: E731
            return self._looks.get_or_make((self._key(visit, shown), draft), make)

    def _key(self, visit: Visit, shown: str) -> Hashable:
        source, reference = (
            (o, visit.truncation if isinstance(o, int) else 1) for o in (visit.source, visit.reference)
        )
        if shown in (SOURCE, REFERENCE):
            return source if shown == SOURCE else reference
        method, changes = self._method(shown), visit.of(shown)
        return (shown, changes, source, reference if method.editor.needs_reference else None) if changes else source

    def _view_key(self, visit: Visit) -> Hashable:
        return visit.view if visit.view is not None else visit.source if isinstance(visit.source, str) else None

    def _method(self, name: str) -> Method:
        if name not in self.methods:
            raise ValueError(f"there is no method {name[:40]!r}; there are {', '.join(self.methods)}")
        method = self.methods[name]
        if method.trouble:
            raise ValueError(f"{name}: {method.trouble}")
        return method

    def check(self, method: str, attribute: str) -> None:
        """Refuse what a method does not know.

        Raises:
            ValueError: for an unknown method or attribute, and a method that cannot edit here.
        """
        if not self._method(method).editor.knows(attribute):
            raise ValueError(f"{method} knows no {attribute[:80]!r}")

    # Channels ---------------------------------------------------------------------------------------------------------

    def explore(self, visit: Visit, shown: str, x: float, y: float, count: int = 8) -> list[Mover]:
        """Return the channels that move a place most, the strongest first, and where each of them acts.

        Args:
            visit: what is chosen.
            shown: in which picture.
            x: place from left, a share of the side.
            y: from the top.
            count: how many channels.

        Raises:
            ValueError: for a place outside the picture.
        """
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError(f"({x:.3g}, {y:.3g}) is outside the picture")
        net, tool = self.generator, self.methods[CHANNELS].editor
        assert isinstance(tool, ChannelEditor)
        with self.turn:
            styles, camera = self.styles(visit, shown), self.camera(visit)
            found = strongest(effects_at(net, styles, camera, x, y), tool.std, count)
            movers = []
            with torch.no_grad():
                before = look(net, styles)(camera).image[0]
                for flat, effect in found:
                    self.turn.pass_on()
                    moved = styles.clone()
                    moved[0, flat] += tool.std[flat]
                    page, reach = acting_map(before, look(net, moved)(camera).image[0])
                    movers.append(Mover(*net.style_space.locate(flat), effect, reach, page))
        return movers

    # Files ------------------------------------------------------------------------------------------------------------

    def command(self, visit: Visit, shown: str) -> str:
        """Return the command line that makes a picture."""
        return command_of(self, visit, shown)

    def save_code(self, visit: Visit, shown: str, path: Path) -> Path:
        """Write the code of a picture with its camera and command; the page and `sat3d edit` take it as a source."""
        with self.turn:
            ws = self.codes(visit.reference if shown == REFERENCE else visit.source, visit.truncation).ws
            codes = PictureCodes(ws, self.styles(visit, shown), self.camera(visit))
            return codes.save(path, self.generator, command=self.command(visit, shown))

    def save_clip(
        self,
        visit: Visit,
        shown: str,
        path: Path,
        frames: int = 30,
        progress: Progress = lambda share, what: None,
    ) -> Path:
        """Write the clip that the command makes too.

        Args:
            visit: what is chosen.
            shown: which edit; of a 3-D generator source and reference stand beside it, as in `orbit.mp4` of
                `sat3d edit`. Of a 2-D one the edit comes and goes, as in `morph.mp4`.
            path: of the clip.
            frames: how many.
            progress: told after each frame.
        """
        net = self.generator
        with self.turn, torch.no_grad():
            if net.cameras is not None:
                transfers = shown == REFERENCE or self.transfers(shown)
                names = [SOURCE, *([REFERENCE] if transfers else []), *([shown] if shown in self.methods else [])]
                looks = [self._look(visit, name) for name in names]
                camera = self.camera(visit)
                assert camera is not None
                yaw, pitch = camera.angles()[0].tolist()
                track = net.cameras.orbit(frames, around=(yaw, pitch)).to(net.device)
                pages = PathClip(looks, track, net.resolution * 2, shared=True).pictures()
            else:
                pages = morph_pages(
                    net, lambda share: self._partly(visit, shown, share), 1.0, None, 2 * net.resolution, frames
                )
            return write_clip(path, self._passing_on(pages, frames, progress))

    def transfers(self, shown: str) -> bool:
        """Tell whether a picture takes from the reference."""
        return shown in self.methods and self.methods[shown].editor.needs_reference

    def _partly(self, visit: Visit, shown: str, share: float) -> Tensor:
        for name, amount in visit.of(shown):
            visit = visit.moved(shown, name, share * amount)
        return self.styles(visit, shown)

    def _passing_on(self, pages: Iterator[T], count: int, progress: Progress) -> Iterator[T]:
        for i, page in enumerate(pages):
            progress((i + 1) / count, "drawing the clip")
            yield page
            self.turn.pass_on()

    def ranges(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the yaws and pitches that sliders reach, radians."""
        cameras = self.generator.cameras
        if cameras is None:
            return (0.0, 0.0), (0.0, 0.0)
        return tuple((max(low, -math.pi), min(high, math.pi)) for low, high in (cameras.yaw, cameras.pitch))  # type: ignore[return-value]
