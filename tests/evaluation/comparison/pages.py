"""A made-up comparison, and how to look at the page that shows it."""

import io
import json

import numpy as np
from PIL import Image

from sat3d.evaluation.comparison.page import write_report

STRENGTHS = [0, 0.5, 1, 1.5]
HOSTILE = '<b>&"'
METHODS = {"SAT3D": "reference", "StyleAE": "value", HOSTILE: "value", "Editing in Style": "reference"}
ATTRIBUTES = ["smile", "hair length"]


def colour(code, attribute, method, frame):
    """Return what a frame is filled with: no two are alike."""
    i, j = ATTRIBUTES.index(attribute), list(METHODS).index(method)
    return 60 * frame + 10, 50 * j + 20, 100 * i + 60 * (code == 42) + 20


def save(folder, name, picture, **options):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return name


def strip(folder, code, attribute, method):
    frames = [Image.new("RGB", (16, 16), colour(code, attribute, method, k)) for k in range(len(STRENGTHS))]
    picture = Image.fromarray(np.concatenate([np.asarray(frame) for frame in frames], axis=1))
    return save(folder, f"pictures/{code}/{attribute}/{list(METHODS).index(method)}.png", picture)


def pictures(folder):
    examples = []
    for code, attributes in ((17, ATTRIBUTES), (42, ATTRIBUTES[:1])):
        strips = {
            a: {
                "target": f"{a} up",
                "reference": save(folder, f"pictures/{code}/{a}/ref.png", Image.new("RGB", (16, 16), "teal")),
                "methods": {m: {"strip": strip(folder, code, a, m), "reached": m != "StyleAE"} for m in METHODS},
            }
            for a in attributes
        }
        source = save(folder, f"pictures/{code}/source.png", Image.new("RGB", (16, 16), (code, 0, 0)))
        examples.append({"code": code, "source": source, "strips": strips})
    turns = [Image.new("RGB", (16, 16), c) for c in ("navy", "gold")]
    file = save(folder, "pictures/clips/a.webp", turns[0], save_all=True, append_images=turns[1:], duration=80, loop=0)
    still = save(folder, "pictures/clips/a.png", turns[0])
    clips = [{"method": m, "attribute": "smile", "code": 17, "file": file, "still": still} for m in list(METHODS)[:2]]
    return {"strengths": STRENGTHS, "examples": examples, "frame": 16, "clips": clips}


def comparison(folder):
    """Return results of which every number is known; `pictures/` lie in the folder."""
    measures = [
        {"key": "reach", "title": "share that gets there", "short": "reach", "unit": "%", "better": "higher"},
        {"key": "ad_mean", "title": "attribute dependency, mean", "short": "AD mean", "unit": "σ", "better": "lower"},
        {"key": "clip", "title": "agreement with the text", "short": "CLIP", "unit": "", "better": None},
        {"key": "psnr", "title": "likeness of pictures", "short": "likeness", "unit": "dB", "better": "higher"},
        {"key": "background", "title": "change of backgrounds", "short": "background", "unit": "", "better": "lower"},
    ]
    means = {"reach": [80, 90, 70, 60], "ad_mean": [0.2, 0.4, 0.1, 0.123], "clip": [1.0, None, 3.0, 2.0]}
    means |= {"psnr": [20.0] * 4, "background": [0.5] * 4}
    cells = {
        name: {
            key: {"mean": v[i], "low": v[i] and v[i] * 0.9, "high": v[i] and v[i] * 1.1, "best": v[i] in (90, 0.1)}
            for key, v in means.items()
        }
        for i, name in enumerate(METHODS)
    }
    change = [0.5, 1.0, 1.5]
    return {
        "format": 1,
        "title": "Edits <held> & compared",
        "generator": "toyfaces64",
        "date": "2026-11-26",
        "device": "two cores",
        "command": "sat3d compare --methods '[sat3d]' </script><script>window.hacked = 1</script>",
        "versions": {"sat3d": "0.1.0", "torch": "2.15.0"},
        "settings": {"change": {"target": 1.0}, "strengths": STRENGTHS, "hostile": HOSTILE},
        "codes": 100,
        "seeds": [1, 2, 3],
        "attributes": ATTRIBUTES,
        "warnings": ["<!-- <script> a warning"],
        "measures": [{**m, "digits": 2, "about": f"About {m['key']}."} for m in measures],
        "methods": [
            {
                "name": name,
                "kind": kind,
                "seeds": 3,
                "marks": {"clip": "The CLIP that trained it."} if name == "SAT3D" else {},
                "facts": {"fit, s": str(100 + i), "parameters": ["8,704", "912", "10,001", "5"][i]},
            }
            for i, (name, kind) in enumerate(METHODS.items())
        ],
        "tables": {"shared": {"edits": 412, "cells": cells}, "all": {"edits": 2400, "cells": cells}},
        "by_attribute": {
            "ad_mean": {
                m: {a: {"mean": 0.2 + i, "low": 0.1, "high": 1.9} for a in ATTRIBUTES} for i, m in enumerate(METHODS)
            }
        },
        "curves": {
            m: {
                "change": change,
                "drift": [0.1, 0.2 * 4**i, None],
                "low": [0.1, 0.1, None],
                "high": [0.2, 0.4 * 4**i, None],
                "edits": [9, 8, 0],
            }
            for i, m in enumerate(METHODS)
        },
        "rescoring": {
            "attributes": ATTRIBUTES,
            "read": ATTRIBUTES,
            "values": {m: [[1.0 + i, -0.25], [None, 0.75]] for i, m in enumerate(METHODS)},
        },
        "pictures": pictures(folder),
        "truth": [{"title": "Ideal edits", "about": "Known.", "head": ["method", "rmse"], "rows": [["SAT3D", 0.1]]}],
    }


def written(folder, results):
    (folder / "results.json").write_text(json.dumps(results))
    return write_report(folder)


def settle(page):
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def centre(locator):
    picture = Image.open(io.BytesIO(locator.screenshot())).convert("RGB")
    return picture.getpixel((picture.width // 2, picture.height // 2))


def part(page, name):
    """Return a part of a page by its id."""
    return page.locator(f"[id='{name}']")


def shown(page, edits="edits"):
    """Return the colours that the frames of the edits show, by method."""
    figures = part(page, edits).locator(".shelf").nth(1).locator("figure")
    settle(page)
    return {f.locator(".named").inner_text().strip(): centre(f.locator(".frame")) for f in figures.all()}


def expected(code, attribute, frame):
    return {name: colour(code, attribute, name, frame) for name in METHODS}


def slide(page, place, slider="strength"):
    part(page, slider).fill(str(place))
