"""One page that holds whole comparisons: tables, pictures, curves; it needs no network and no other file."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template
from typing import Any

from sat3d.visualization import replacing

FORMAT = 1
ASSETS = Path(__file__).parent / "assets"
DRAWING = ("elements.js", "tables.js", "plots.js", "pictures.js", "page.js")
TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif"}


def write_report(folder: Path) -> Path:
    """Write `report.html` from `results.json` and the pictures it names, all in one file.

    The page's own script and style are allowed by their hashes and nothing else is, so that a browser neither runs what
    a name in the results may hold nor asks the network for anything.

    Args:
        folder: of a comparison.

    Returns:
        The path of the page.

    Raises:
        FileNotFoundError: if `results.json` or a picture that it names is missing.
        ValueError: if the results are of another format, or name a file that is no picture inside the folder.
    """
    comparison = read_comparison(folder)
    title = str(comparison["results"]["title"])
    return write_page(folder, title, fill("comparison.html", title=html.escape(title)), [comparison])


def read_comparison(folder: Path, name: str = "") -> dict[str, Any]:
    """Return what a page is told of a comparison: its results and pictures, and what its ids begin with.

    Raises:
        FileNotFoundError: see `write_report`.
        ValueError: see `write_report`.
    """
    # Python writes NaN where JSON has no word for it; the page knows only numbers and null.
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"), parse_constant=lambda _: None)
    if results.get("format") != FORMAT:
        raise ValueError(f"{folder / 'results.json'}: format {results.get('format')!r}, where {FORMAT} is read")
    files = {name: _data_uri(folder, name) for name in _pictures(results.get("pictures") or {})}
    return {"id": name, "results": results, "files": files}


def write_page(folder: Path, title: str, body: str, comparisons: Sequence[dict[str, Any]]) -> Path:
    """Write `report.html`: a body, and comparisons that script draws into the elements of their ids."""
    data = json.dumps(comparisons, ensure_ascii=False, separators=(",", ":"))
    # The parts that draw a comparison stand in a function, so that each has its methods, colours and ids to itself.
    drawing = "".join(map(_asset, DRAWING))
    script = f"function draw({{ results: R, files, id }}, home) {{\n{drawing}}}\n\n{_asset('start.js')}"
    style = _asset("page.css")
    text = fill(
        "page.html",
        title=html.escape(title),
        body=body,
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        data=data.replace("<", "\\u003c"),  # neither `</script>` nor `<!--` ends the block early
    )
    with replacing(folder / "report.html") as path:
        path.write_text(text, encoding="utf-8")
    return folder / "report.html"


def fill(asset: str, /, **words: str) -> str:
    """Return a part of the page with words (HTML already) in its places."""
    return Template(_asset(asset)).substitute(words)


def _pictures(pictures: dict[str, Any]) -> Iterator[str]:
    """Yield every file that the page shows."""
    for example in pictures.get("examples") or []:
        yield example["source"]
        for strip in example["strips"].values():
            if strip.get("reference"):
                yield strip["reference"]
            yield from (method["strip"] for method in strip["methods"].values())
    for clip in pictures.get("clips") or []:
        yield from (clip["file"], clip["still"])


def _data_uri(folder: Path, name: str) -> str:
    """Return a picture as an address that holds it."""
    path = folder / name
    if path.suffix not in TYPES or not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name!r} is no picture inside {folder}")
    return f"data:{TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _asset(name: str) -> str:
    """Read a part of the page."""
    return (ASSETS / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return what a Content-Security-Policy knows an inline script or style by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
