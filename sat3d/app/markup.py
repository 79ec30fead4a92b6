"""What the page shows as HTML; every name in it is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import UInt8

from sat3d.app.visits import REFERENCE, SOURCE, Visit
from sat3d.commands.sources import CHANNELS

if TYPE_CHECKING:
    import numpy as np

    from sat3d.app.explorer import Mover
    from sat3d.app.session import Session

SMALL = 128  # pixels, below which pictures are sent as they are and enlarged without smoothing
_drawn = count()


def script(name: str) -> str:
    """Return a file that stands beside this one."""
    return (Path(__file__).parent / name).read_text()


def picture_url(picture: UInt8[np.ndarray, "h w 3"]) -> str:
    """Return a picture as a `data:` URL: PNG if it is small, else WebP that is made fast."""
    from PIL import Image

    data, kind = io.BytesIO(), "png" if len(picture) <= SMALL else "webp"
    options = {"compress_level": 1} if kind == "png" else {"quality": 90, "method": 1}
    Image.fromarray(picture).save(data, kind.upper(), **options)
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"


def stage(session: Session, visit: Visit, shown: Sequence[str], draft: bool = False) -> str:
    """Draw pictures side by side.

    Args:
        session: draws them.
        visit: what is chosen.
        shown: which pictures.
        draft: see `Session.picture`.
    """
    (yaw_low, yaw_high), (pitch_low, pitch_high) = session.ranges()
    yaw, pitch = session.angles(visit)
    # counted, so that every answer changes something, and the page knows that it came
    facts = {"yaw": yaw, "pitch": pitch, "yaw-low": yaw_low, "yaw-high": yaw_high, "pitch-low": pitch_low}
    facts |= {"pitch-high": pitch_high, "turns": int(session.generator.is_3d), "drawn": next(_drawn)}
    data = " ".join(f'data-{name}="{value}"' for name, value in facts.items())
    figures = "".join(_figure(session, visit, name, draft) for name in shown)
    return f'<div class="stage" {data}>{figures}</div>'


def _figure(session: Session, visit: Visit, shown: str, draft: bool) -> str:
    caption = _caption(session, visit, shown)
    picture = session.picture(visit, shown, draft)
    small = "small" if len(picture) <= SMALL else ""
    turns = "arrow keys turn the camera, " if session.generator.is_3d else ""
    help_ = f"{turns}Enter finds the channels that move the middle"
    return (
        f'<figure tabindex="0" data-shown="{escape(shown)}" aria-label="{escape(caption)}; {help_}">'
        f'<img data-live="1" class="{small}" draggable="false" alt="{escape(caption)}" src="{picture_url(picture)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _caption(session: Session, visit: Visit, shown: str) -> str:
    if shown in (SOURCE, REFERENCE):
        origin = visit.source if shown == SOURCE else visit.reference
        return f"{shown}: " + (f"seed {origin}" if isinstance(origin, int) else session.uploads[origin].name)
    changes = [f"{name.rpartition('synthesis.')[2]} {amount:+.2f}" for name, amount in visit.of(shown)]
    return f"{shown}: " + (", ".join(changes) or "unchanged")


def movers(found: Sequence[Mover], visit: Visit, span: tuple[float, float]) -> str:
    """Draw the table of channels that move a place.

    Args:
        found: from `Session.explore`.
        visit: tells where the sliders stand.
        span: strengths that the sliders reach.
    """
    whole = f'<div class="movers" data-drawn="{next(_drawn)}">'  # so that every answer is news
    if not found:
        return whole + "<p>No channel moves this place.</p></div>"
    amounts = dict(visit.of(CHANNELS))
    rows = []
    for mover in found:
        name, amount = escape(mover.name), amounts.get(mover.name, 0.0)
        slider = (
            f'<input type="range" min="{span[0]}" max="{span[1]}" step="0.5" value="{amount}" data-channel="{name}" '
            f'aria-label="strength of {name}"> <output>{amount:.1f}</output>'
        )
        rows.append(
            f'<tr><td><img alt="where {name} acts" src="{picture_url(mover.map)}"></td><td>{escape(mover.layer)}</td>'
            f'<td class="number">{mover.channel}</td><td class="number">{mover.effect:.1f}</td>'
            f'<td class="number">{mover.reach:.1f}</td><td>{slider}</td></tr>'
        )
    head = "".join(f"<th>{name}</th>" for name in ("acts", "layer", "channel", "here", "at most", "strength, σ"))
    about = "<p>Change by one standard deviation σ of the channel, in grey levels: of the mean colour here, to first "
    about += "order, and where it is largest. Red is where the channel acts.</p>"
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"{whole}{table}{about}</div>"
