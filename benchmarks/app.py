"""Time the web page: how long a picture takes after a slider moved, without a page, and in a browser.

    python benchmarks/app.py --editors '["runs/sat3d/0/editor"]' --out docs/benchmarks/app.json

Every move is to a strength that nobody asked for before, so nothing is answered from what is kept. In the browser the
clock runs from the slider's event until the picture of the answer is decoded. Without Chromium that part is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from sat3d.app.methods import CHANNELS, load_methods
from sat3d.app.session import Session
from sat3d.app.visits import Visit
from sat3d.generators import load_generator

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
# Moves a slider, and waits until the stage has been drawn again and every picture on it is decoded.
MOVE = """async ([slider, value]) => {
    const drawn = () => document.querySelector('.stage').dataset.drawn, before = drawn(), start = performance.now();
    slider.value = value;
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    while (drawn() === before) await new Promise((done) => requestAnimationFrame(done));
    await Promise.all([...document.querySelectorAll('.stage img')].map((one) => one.decode()));
    return performance.now() - start;
}"""


def summary(seconds: list[float]) -> dict[str, float]:
    """Return median, 95th percentile and worst, milliseconds."""
    ms = sorted(1000 * s for s in seconds)
    return {
        "median_ms": round(statistics.median(ms), 1),
        "p95_ms": round(ms[min(len(ms) - 1, int(0.95 * len(ms)))], 1),
        "worst_ms": round(ms[-1], 1),
    }


def timed(work: Any) -> float:
    """Return how long something takes, seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def strengths(span: tuple[float, float], count: int, seed: int) -> list[float]:
    """Return strengths inside a slider's span, none twice."""
    drawn = random.Random(seed)
    return [round(drawn.uniform(*span), 4) for _ in range(count)]


def without_a_page(session: Session, moves: int) -> dict[str, Any]:
    """Time the answers themselves: a slider of each method, an orbit, and the search for channels."""
    first = f"{session.generator.style_space.names[0]}/0"
    session.picture(Visit(), "source")
    found: dict[str, Any] = {}
    for name, method in session.methods.items():
        if method.trouble:
            continue
        attribute = first if name == CHANNELS else method.editor.attributes[0]
        visits = [Visit().moved(name, attribute, x) for x in strengths(method.span, moves + 3, 0)]
        found[name] = summary([timed(lambda v=v, n=name: session.picture(v, n)) for v in visits][3:])
    views = [Visit().with_view(x, 0.0) for x in strengths((-0.7, 0.7), moves, 1)]
    found["orbit"] = summary([timed(lambda v=v: session.picture(v, "source")) for v in views])
    places = [(random.Random(i).random(), random.Random(-i).random()) for i in range(min(moves, 20))]
    found["channels of a place"] = summary([timed(lambda p=p: session.explore(Visit(), "source", *p)) for p in places])
    return found


def in_a_browser(session: Session, moves: int) -> dict[str, Any] | None:
    """Time the same sliders on the page, with the pictures of all methods beside each other."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        return None
    from playwright.sync_api import sync_playwright

    from sat3d.app.server import serve

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        served = serve(session, Path(folder))
        browser = play.chromium.launch(executable_path=program, args=OPTIONS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(served.url)
        page.wait_for_selector(".stage img")
        closed = page.locator("button.label-wrap:not(.open)")
        while closed.count():
            closed.first.click()
            page.wait_for_timeout(300)
        offset = 4  # truncation, yaw, pitch; and one for all methods where there are several
        offset -= len([m for m in session.methods.values() if not m.trouble]) < 3
        for name, method in session.methods.items():
            if method.trouble or name == CHANNELS:
                continue
            slider = page.locator("input[type=range]").nth(offset).element_handle()
            values = strengths(method.span, moves + 3, 2)
            found[name] = summary([page.evaluate(MOVE, [slider, x]) / 1000 for x in values][3:])
            offset += len(method.editor.attributes)
        yaw = page.get_by_label("range slider for yaw, radians", exact=True).element_handle()
        values = strengths((-0.7, 0.7), moves + 3, 3)
        found["orbit"] = summary([page.evaluate(MOVE, [yaw, x]) / 1000 for x in values][3:])
        browser.close()
        served.close()
    return found


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", default="toyfaces64")
    parser.add_argument("--editors", default="[]", help="JSON list of folders")
    parser.add_argument("--moves", type=int, default=60)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    net = load_generator(options.generator)
    methods = load_methods(json.loads(options.editors), net)
    results = {
        "generator": options.generator,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processor": platform.machine(),
        "torch": torch.__version__,
        "load_before": [round(x, 2) for x in os.getloadavg()],
        "moves": options.moves,
        "without a page": without_a_page(Session(net, methods, options.generator), options.moves),
        "in a browser": in_a_browser(Session(net, methods, options.generator), options.moves),
    }
    print(json.dumps(results, indent=2))
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
