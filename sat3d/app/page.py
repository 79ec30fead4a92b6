"""The page: what stands where, and what happens when something is moved. What it means is the session's business."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from sat3d.app.downloads import forget_uploads, fresh_folder, write
from sat3d.app.markup import movers, script, stage
from sat3d.app.session import Session
from sat3d.app.uploads import CODES
from sat3d.app.visits import REFERENCE, SOURCE, Visit, number
from sat3d.commands.sources import CHANNELS

SUFFIXES = [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", CODES]
TURN, CLICK = "Drag a picture to turn the camera.", "Click on a picture to find the channels that move this place."


def look_of(gradio: Any) -> dict[str, Any]:
    """Return what the page looks like: fonts of the visitor's own machine, since others would be fetched."""
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    return {"theme": gradio.themes.Default(**fonts), "css": script("page.css")}


def build(gradio: Any, session: Session, scratch: Path) -> Any:
    """Lay the page out.

    Args:
        gradio: the module.
        session: that it shows.
        scratch: folder for files to download.

    Returns:
        `gradio.Blocks`.
    """
    quiet = {"analytics_enabled": False, "delete_cache": (600, 3600)}  # seconds between looks, and of a file's life
    with gradio.Blocks(title=f"sat3d: {session.given}", fill_width=True, **quiet) as page:
        Page(gradio, session, scratch).lay_out(page)
    return page


class Page:
    """Hold the parts of the page while they are laid out and wired.

    Args:
        gradio: the module.
        session: that it shows.
        scratch: folder for files to download.
    """

    def __init__(self, gradio: Any, session: Session, scratch: Path) -> None:
        self.gr, self.session, self.scratch = gradio, session, scratch
        self.able = [name for name, method in session.methods.items() if not method.trouble]
        self.transfers = any(session.transfers(name) for name in self.able)
        self.sliders: dict[tuple[str, str], Any] = {}

    def lay_out(self, page: Any) -> None:
        """Make the parts, left to right, and wire them."""
        gr = self.gr
        self.visit, self.shown = gr.State(Visit()), gr.State(self._first_shown())
        name = escape(self.session.given)
        gr.Markdown(f"## sat3d · {name}\n{TURN if self.session.generator.is_3d else ''} {CLICK}")
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                self._lay_out_sources()
            with gr.Column(scale=3):
                self.stage = gr.HTML(elem_id="stage", js_on_load=script("stage.js"))
                self.status = gr.Markdown("", elem_id="status")
                self._lay_out_files()
                self._lay_out_explorer()
            with gr.Column(scale=1, min_width=280):
                self._lay_out_methods()
        self.answers = [self.visit, self.stage, self.command]
        self._wire()
        page.load(self._answer(lambda visit: visit), [self.visit, self.shown, self.which], self.answers, **_fast())

    def _first_shown(self) -> list[str]:
        edits = [name for name in self.able if name != CHANNELS] or [CHANNELS]
        return [SOURCE, *([REFERENCE] if self.transfers else []), *edits]

    # Parts ------------------------------------------------------------------------------------------------------------

    def _lay_out_sources(self) -> None:
        gr = self.gr
        self.origins: dict[str, tuple[Any, Any, Any, Any]] = {}
        for name, first in ((SOURCE, 0), (REFERENCE, 1)):
            if name == REFERENCE and not self.transfers:
                continue
            with gr.Group():
                seed = gr.Number(first, label=f"{name}: seed", precision=0, minimum=0, elem_id=f"{name}-seed")
                with gr.Row():
                    other = gr.Button("another", size="sm", elem_id=f"{name}-other")
                    upload = gr.UploadButton(
                        "a picture of mine", size="sm", file_types=SUFFIXES, type="filepath", elem_id=f"{name}-upload"
                    )
            self.origins[name] = (seed, other, upload, gr.State(None))
        self.truncation = gr.Slider(0, 1, 1, step=0.05, label="truncation ψ of seeds", elem_id="truncation")
        seen = self.session.generator.is_3d
        (yaw_low, yaw_high), (pitch_low, pitch_high) = self.session.ranges() if seen else ((0, 1), (0, 1))
        with gr.Group(visible=seen):
            self.yaw = gr.Slider(yaw_low, yaw_high, 0, step=0.01, label="yaw, radians", elem_id="yaw")
            self.pitch = gr.Slider(pitch_low, pitch_high, 0, step=0.01, label="pitch, radians", elem_id="pitch")
            self.front = gr.Button("view of the source", size="sm", elem_id="front")

    def _lay_out_methods(self) -> None:
        gr = self.gr
        choices = [SOURCE, *([REFERENCE] if self.transfers else []), *self.able]
        self.chosen = gr.CheckboxGroup(choices, value=self._first_shown(), label="side by side", elem_id="chosen")
        names = dict.fromkeys(a for m in self.able for a in self.session.methods[m].editor.attributes)
        if len([m for m in self.able if m != CHANNELS]) > 1:
            with gr.Group():
                self.together = gr.Dropdown(list(names), label="the same in all methods", elem_id="together")
                self.share = gr.Slider(-1, 1, 0, step=0.05, label="share of each method's range", elem_id="share")
        else:
            self.together = self.share = None
        for name, method in self.session.methods.items():
            if name == CHANNELS:
                continue
            with gr.Accordion(name, open=len(self.session.methods) < 4 or not self.sliders):
                if method.trouble:
                    gr.Markdown(f"Cannot edit here: {escape(method.trouble)}")
                    continue
                for attribute in method.editor.attributes:
                    low, high = method.span
                    step = 0.05 if high <= 5 else 0.5
                    slider = gr.Slider(low, high, 0, step=step, label=attribute, elem_classes=["strength"])
                    self.sliders[name, attribute] = slider
        self.reset = gr.Button("all to 0", size="sm", elem_id="reset")

    def _lay_out_explorer(self) -> None:
        self.movers = self.gr.HTML(elem_id="movers", js_on_load=script("movers.js"))

    def _lay_out_files(self) -> None:
        gr = self.gr
        with gr.Row():
            self.which = gr.Dropdown(self._first_shown(), value=self._first_shown()[-1], label="take away", scale=1)
            for name in ("picture", "clip", "code", "command"):
                setattr(self, f"give_{name}", gr.Button(f"{name}", elem_id=f"give-{name}", scale=0, min_width=110))
        self.file = gr.DownloadButton("file", visible="hidden", elem_id="file")
        self.command = gr.Textbox(
            label="the command that makes this picture", interactive=False, buttons=["copy"], elem_id="command", lines=2
        )

    # Wiring -----------------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        for name in self.origins:
            self._wire_origin(name)
        self._on(self.truncation, lambda visit, x: visit.with_truncation(x))
        self._on(self.yaw, lambda visit, yaw: visit.with_view(yaw, self.session.angles(visit)[1]))
        self._on(self.pitch, lambda visit, pitch: visit.with_view(self.session.angles(visit)[0], pitch))
        angles = [self.yaw, self.pitch]
        front = self._turned(lambda visit: replace(visit, view=None))
        self.front.click(front, [self.visit, self.shown, self.which], [*self.answers, *angles], **_fast())
        orbit = self._orbit()
        self.stage.orbit(orbit, [self.visit, self.shown, self.which], [*self.answers, *angles], **_fast(each=True))
        for (method, attribute), slider in self.sliders.items():
            self._on(slider, functools.partial(self._moved, method, attribute))
        self.stage.explore(self._explore(), [self.visit], [self.movers], **_slow("draw"))
        self.movers.strength(
            self._strength(),
            [self.visit, self.shown, self.which],
            [*self.answers, self.shown, self.chosen, self.which],
            **_fast(each=True),
        )
        self.chosen.input(
            self._choose(),
            [self.visit, self.chosen, self.which],
            [*self.answers, self.shown, self.which],
            **_fast(),
        )
        self.which.input(
            self._answer(lambda visit: visit), [self.visit, self.shown, self.which], self.answers, **_fast()
        )
        sliders = [*self.sliders.values(), *([self.share] if self.share else [])]
        reset = self._reset(len(sliders))
        self.reset.click(reset, [self.visit, self.shown, self.which], [*self.answers, self.movers, *sliders], **_fast())
        if self.share is not None:
            self.share.input(
                self._all_moved(),
                [self.visit, self.shown, self.which, self.together, self.share],
                [*self.answers, *self.sliders.values()],
                **_fast(),
            )
        for kind in ("picture", "clip", "code", "command"):
            button = getattr(self, f"give_{kind}")
            done = button.click(self._give(kind), [self.visit, self.which], [self.file, self.status], **_slow("files"))
            done.success(None, None, None, js="() => document.querySelector('#file').click()")

    def _on(self, slider: Any, change: Callable[..., Visit]) -> None:
        """Follow a slider while it moves, and where its own button puts it back."""
        inputs = [self.visit, self.shown, self.which, slider]
        for listener in (slider.input, slider.release):
            listener(self._answer(change), inputs, self.answers, **_fast())

    def _wire_origin(self, name: str) -> None:
        seed, other, upload, arrived = self.origins[name]
        put = Visit.with_source if name == SOURCE else Visit.with_reference
        inputs, outputs = [self.visit, self.shown, self.which], [*self.answers, self.yaw, self.pitch]
        seed.input(self._turned(put), [*inputs, seed], outputs, **_fast())
        other.click(lambda: random.randrange(10_000), None, seed, **_fast("other")).then(
            self._turned(put), [*inputs, seed], outputs, **_fast()
        )
        upload.upload(self._take(), upload, [arrived, self.status], **_slow("slow")).success(
            self._turned(put), [*inputs, arrived], outputs, **_fast()
        )

    # Answers ----------------------------------------------------------------------------------------------------------

    def _answer(self, change: Callable[..., Visit], *more: Any) -> Callable[..., Any]:
        """Return what is done when something is moved: the choices change, and pictures and command with them."""

        def answer(visit: Visit, shown: list[str], which: str, *values: Any) -> list[Any]:
            return self._drawn(change(visit, *values), shown, which)

        return self._told(answer)

    def _drawn(self, visit: Visit, shown: Sequence[str], which: str, draft: bool = False) -> list[Any]:
        page = stage(self.session, visit, [name for name in shown if name in (SOURCE, REFERENCE, *self.able)], draft)
        return [visit, page, self._command(visit, which)]

    def _turned(self, change: Callable[..., Visit]) -> Callable[..., Any]:
        """Likewise, where the camera's sliders may have to follow."""

        def answer(visit: Visit, shown: list[str], which: str, *values: Any) -> list[Any]:
            if any(value is None for value in values):
                return [self.gr.skip()] * 5
            visit = change(visit, *values)
            return [*self._drawn(visit, shown, which), *(round(angle, 2) for angle in self.session.angles(visit))]

        return self._told(answer)

    def _orbit(self) -> Callable[..., Any]:
        gr = self.gr

        def orbit(visit: Visit, shown: list[str], which: str, event: Any) -> list[Any]:
            asked: dict[str, Any] = event._data or {}
            visit = visit.with_view(asked["yaw"], asked["pitch"])
            drawn = self._drawn(visit, shown, which, draft=not asked.get("final"))
            return [*drawn, *(round(angle, 2) for angle in self.session.angles(visit))]

        orbit.__annotations__["event"] = gr.EventData
        return self._told(orbit)

    def _moved(self, method: str, attribute: str, visit: Visit, strength: float) -> Visit:
        self.session.check(method, attribute)
        return visit.moved(method, attribute, strength)

    def _all_moved(self) -> Callable[..., Any]:
        def move(visit: Visit, shown: list[str], which: str, attribute: str, share: float) -> list[Any]:
            updates = []
            for method, name in self.sliders:
                if name == attribute:
                    low, high = self.session.methods[method].span
                    strength = max(low, high * share)
                    visit = self._moved(method, name, visit, strength)
                    updates.append(strength)
                else:
                    updates.append(self.gr.skip())
            return [*self._drawn(visit, shown, which), *updates]

        return self._told(move)

    def _explore(self) -> Callable[..., Any]:
        gr = self.gr

        def explore(visit: Visit, event: Any) -> str:
            asked: dict[str, Any] = event._data or {}
            x, y = (number(asked[name], name, 1.0) for name in "xy")
            found = self.session.explore(visit, str(asked["shown"]), x, y)
            return movers(found, visit, self.session.methods[CHANNELS].span)

        explore.__annotations__["event"] = gr.EventData
        return self._told(explore)

    def _strength(self) -> Callable[..., Any]:
        gr = self.gr

        def strength(visit: Visit, shown: list[str], which: str, event: Any) -> list[Any]:
            asked: dict[str, Any] = event._data or {}
            visit = self._moved(CHANNELS, str(asked["channel"]), visit, asked["amount"])
            if CHANNELS in shown:
                return [*self._drawn(visit, shown, which), *[gr.skip()] * 3]
            shown = [*shown, CHANNELS]
            return [*self._drawn(visit, shown, CHANNELS), shown, shown, gr.update(choices=shown, value=CHANNELS)]

        strength.__annotations__["event"] = gr.EventData
        return self._told(strength)

    def _choose(self) -> Callable[..., Any]:
        def choose(visit: Visit, chosen: list[str], which: str) -> list[Any]:
            order = [name for name in (SOURCE, REFERENCE, *self.able) if name in chosen] or [SOURCE]
            which = which if which in order else order[-1]
            return [*self._drawn(visit, order, which), order, self.gr.update(choices=order, value=which)]

        return self._told(choose)

    def _reset(self, count: int) -> Callable[..., Any]:
        def reset(visit: Visit, shown: list[str], which: str) -> list[Any]:
            return [*self._drawn(visit.cleared(), shown, which), "", *[0] * count]

        return self._told(reset)

    # Files ------------------------------------------------------------------------------------------------------------

    def _take(self) -> Callable[..., Any]:
        gr = self.gr

        def take(path: str, progress: Any = gr.Progress()) -> list[Any]:  # noqa: B008 - as Gradio wants it
            file = Path(path)
            try:
                key = self.session.uploads.add(file, file.name, lambda share, what: progress(share, desc=what))
            finally:
                file.unlink(missing_ok=True)  # with its EXIF and all
                forget_uploads(self.scratch)
            return [key, f"{self.session.uploads[key].name} is in."]

        return self._told(take)

    def _give(self, kind: str) -> Callable[..., Any]:
        gr = self.gr

        def give(visit: Visit, which: str, progress: Any = gr.Progress()) -> list[Any]:  # noqa: B008
            folder = fresh_folder(self.scratch)
            name = "".join(letter if letter.isalnum() else "-" for letter in which.lower())
            path = write(
                self.session, kind, visit, which, folder / name, lambda share, what: progress(share, desc=what)
            )
            return [str(path), f"{path.name} is ready."]

        return self._told(give)

    def _command(self, visit: Visit, which: str) -> str:
        return self.session.command(visit, which)

    def _told(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """Show what is wrong as a message; the page goes on."""

        @functools.wraps(handler)
        def guarded(*args: Any, **options: Any) -> Any:
            try:
                return handler(*args, **options)
            except (ValueError, OSError, ImportError, KeyError) as error:
                raise self.gr.Error(escape(str(error)), duration=15, print_exception=False) from error

        return guarded


def _fast(queue: str = "draw", each: bool = False) -> dict[str, Any]:
    """Return how quick events are handled; `each`: none is left out, for parts that wait for answers themselves."""
    return {
        "concurrency_id": queue,
        "concurrency_limit": 1,
        "trigger_mode": "multiple" if each else "always_last",
        "show_progress": "hidden",
        "api_visibility": "private",
    }


def _slow(queue: str) -> dict[str, Any]:
    return {"concurrency_id": queue, "concurrency_limit": 1, "show_progress": "minimal", "api_visibility": "private"}
