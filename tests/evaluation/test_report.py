"""The page of a comparison, in a browser: what people see, do, and never see."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from sat3d.evaluation.report import write_report

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


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Return the page alone, away from its results and pictures."""
    folder = tmp_path_factory.mktemp("comparison")
    path = written(folder, comparison(folder))
    return path.rename(tmp_path_factory.mktemp("elsewhere") / "report.html")


@pytest.fixture
def opened(browser):
    """Open pages that may ask for nothing but themselves, and say nothing on the console."""
    wrong, contexts = [], []

    def open_page(path, width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda r: (
                None if r.url.split("#")[0] in (path.as_uri(),) or r.url.startswith("data:") else wrong.append(r.url)
            ),
        )
        page.goto(path.as_uri())
        page.wait_for_selector("#made")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def settle(page):
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def centre(locator):
    picture = Image.open(io.BytesIO(locator.screenshot())).convert("RGB")
    return picture.getpixel((picture.width // 2, picture.height // 2))


def shown(page):
    """Return the colours that the frames of the edits show, by method."""
    figures = page.locator("#edits .shelf").nth(1).locator("figure")
    settle(page)
    return {f.locator(".named").inner_text().strip(): centre(f.locator(".frame")) for f in figures.all()}


def expected(code, attribute, frame):
    return {name: colour(code, attribute, name, frame) for name in METHODS}


def slide(page, place):
    page.locator("#strength").fill(str(place))


def column(page, table, i):
    return [
        row.locator("th, td").nth(i).inner_text().split("\n")[0]
        for row in page.locator(f"{table} tbody tr:not(.group)").all()
    ]


TABLE = ".scroll[aria-label='All edits'] table"


def test_one_slider_moves_all_strips(opened, report):
    page = opened(report)
    assert shown(page) == expected(17, "smile", 2)  # starts at the matched strength
    for place, strength in enumerate(STRENGTHS):
        slide(page, place)
        assert shown(page) == expected(17, "smile", place)
        assert str(strength) in page.locator("#strength").get_attribute("aria-valuetext")
        assert all(
            f"strength {strength}" in alt
            for alt in page.locator("img.strip").evaluate_all("all => all.map(i => i.alt)")
        )
    assert page.locator("#edits .miss").count() == 1


def test_code_and_attribute_choose_the_pictures(opened, report):
    page = opened(report)
    page.get_by_label("Attribute", exact=True).select_option("hair length")
    assert shown(page) == expected(17, "hair length", 2)
    slide(page, 3)
    page.get_by_label("Code", exact=True).select_option("code 42")  # which has no strip of hair length
    assert shown(page) == expected(42, "smile", 3)
    assert centre(page.get_by_alt_text("source, code 42")) == (42, 0, 0)
    assert page.get_by_label("Attribute", exact=True).locator("option").all_inner_texts() == ["smile up"]


def test_pictures_keep_their_pixels(opened, report):
    box = opened(report).locator("#edits .frame").first
    assert box.bounding_box()["width"] % 16 == 0
    assert box.locator("img").evaluate("i => getComputedStyle(i).imageRendering") == "pixelated"


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_page(opened, report, width):
    page = opened(report, width)

    def check(state):
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, state

    check("as opened")
    for select in page.locator("select").all():
        for value in select.locator("option").evaluate_all("all => all.map((o) => o.value)"):
            select.select_option(value)
            check(value)
    for place in range(len(STRENGTHS)):
        slide(page, place)
        check(f"strength {place}")
    for button in page.locator("main button:visible").all():
        button.click()
        check(button.inner_text())
    page.locator("summary").click()
    check("numbers")
    first = page.locator(f"{TABLE} tbody tr:not(.group) th").first
    before = first.bounding_box()["x"]
    far = page.locator(".scroll[aria-label='All edits']").evaluate(
        "box => { box.scrollLeft = 1000; return box.scrollLeft }"
    )
    assert (far > 50) == (width == 360) and first.bounding_box()["x"] == before


def test_a_heading_sorts_within_the_groups(opened, report):
    page = opened(report)
    given = ["SAT3D", "Editing in Style", "StyleAE", HOSTILE]
    head = page.locator(f"{TABLE} thead button")
    sorts = "all => all.map((th) => th.getAttribute('aria-sort')).filter(Boolean)"
    assert column(page, TABLE, 0) == given
    head.nth(2).click()  # lower is better
    assert column(page, TABLE, 0) == ["Editing in Style", "SAT3D", HOSTILE, "StyleAE"]
    assert page.locator(f"{TABLE} th").evaluate_all(sorts) == ["ascending"]
    head.nth(1).click()  # higher is better
    assert column(page, TABLE, 1) == ["80.00", "60.00", "90.00", "70.00"]
    assert page.locator(f"{TABLE} th").evaluate_all(sorts) == ["descending"]
    head.nth(1).click()
    assert column(page, TABLE, 1) == ["60.00", "80.00", "70.00", "90.00"]
    head.nth(1).click()
    assert column(page, TABLE, 0) == given and page.locator(f"{TABLE} th").evaluate_all(sorts) == []
    for _ in range(2):  # what is not known is last, whichever way
        head.nth(3).click()
        assert column(page, TABLE, 3)[-1] == "–"
    cost = ".scroll[aria-label='What they cost'] table"
    page.locator(f"{cost} thead button").nth(3).click()
    assert column(page, cost, 3) == ["5", "8,704", "912", "10,001"]  # numbers, not words


def test_means_stand_with_intervals_the_best_are_bold_and_marks_are_told(opened, report):
    page = opened(report)
    row = page.locator(f"{TABLE} tbody tr", has_text="StyleAE")
    assert re.sub(r"\s+", " ", row.locator("td").nth(0).inner_text()) == "90.00 [81.00, 99.00]"
    weight = "x => Number(getComputedStyle(x).fontWeight)"
    assert (
        row.locator("td").nth(0).locator("span").first.evaluate(weight)
        > 600
        > row.locator("td").nth(1).evaluate(weight)
    )
    marks = page.locator(f"{TABLE} sup a")
    assert marks.count() == 1 and "The CLIP that trained it." in marks.get_attribute("title")
    assert page.locator(marks.get_attribute("href")).inner_text() == "† The CLIP that trained it."


def test_the_legend_takes_lines_out_and_the_axis_follows(opened, report):
    page = opened(report)
    lines = page.locator("#curves .plot g")
    top = (
        "all => all.map((t) => Number(t.textContent)).filter((x) => !Number.isNaN(x)).reduce((a, b) => Math.max(a, b))"
    )
    settle(page)
    assert lines.count() == 4
    tall = page.locator("#curves .tick[text-anchor=end]").evaluate_all(top)
    button = page.locator("#curves .legend button", has_text="Editing in Style")
    button.click()
    assert lines.count() == 3 and button.get_attribute("aria-pressed") == "false"
    assert page.locator("#curves .tick[text-anchor=end]").evaluate_all(top) < tall / 2
    page.get_by_role("button", name="hide all").click()
    assert lines.count() == 0
    page.get_by_role("button", name="show all").click()
    assert lines.count() == 4 and button.get_attribute("aria-pressed") == "true"
    page.locator("summary").click()
    assert re.sub(r"\s+", " ", page.locator("#curves td").nth(1).inner_text()) == "0.200 [0.100, 0.400] 8 edits"


def test_everything_can_be_done_with_the_keyboard(opened, report):
    page = opened(report)
    page.evaluate("document.querySelector('details').open = true")
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        here = page.evaluate("""() => {
            const x = document.activeElement;
            const all = [...document.querySelectorAll("a, button, select, input, summary, [tabindex='0']")];
            return [all.indexOf(x), getComputedStyle(x).outlineStyle];
        }""")
        if here[0] >= 0:
            assert here[1] != "none"
            reached.add(here[0])
    assert len(reached) == page.locator("a, button, select, input, summary, [tabindex='0']").count()
    page.locator("#strength").focus()
    page.keyboard.press("ArrowRight")
    assert shown(page) == expected(17, "smile", 3)
    page.keyboard.press("Home")
    assert shown(page) == expected(17, "smile", 0)
    page.locator(f"{TABLE} thead button").nth(2).focus()
    page.keyboard.press("Enter")
    assert column(page, TABLE, 0)[0] == "Editing in Style"
    page.locator("#curves .legend button").first.focus()
    page.keyboard.press("Space")
    assert page.locator("#curves .plot g").count() == 3


def test_clips_stand_still_until_they_are_asked(opened, report):
    page = opened(report)
    kinds = "all => all.map((image) => image.src.slice(5, image.src.indexOf(';')))"
    images = page.locator("#orbits img")
    assert images.evaluate_all(kinds) == ["image/png"] * 2
    page.locator("#orbits .clip").first.click()
    assert images.evaluate_all(kinds) == ["image/webp", "image/png"]
    page.get_by_role("button", name="Play all").click()
    assert images.evaluate_all(kinds) == ["image/webp"] * 2
    page.get_by_role("button", name="Stop all").click()
    assert images.evaluate_all(kinds) == ["image/png"] * 2


def test_what_was_read_is_shown_by_method(opened, report):
    page = opened(report)
    cells = page.locator("#rescoring .panel").first.locator("td")
    assert cells.all_inner_texts() == ["1.00", "−0.25", "–", "0.75"]
    page.get_by_label("Method", exact=True).select_option(HOSTILE)
    assert cells.all_inner_texts() == ["3.00", "−0.25", "–", "0.75"]
    assert cells.evaluate_all("all => all.map((td) => td.className)") == ["pos own", "neg", "pos", "pos own"]


CONTRAST = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const bytes = (layers) => {
        canvas.clearRect(0, 0, 1, 1);
        for (const layer of layers) { canvas.fillStyle = layer; canvas.fillRect(0, 0, 1, 1); }
        return canvas.getImageData(0, 0, 1, 1).data;
    };
    const light = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
        const c = rgb[i] / 255;
        return sum + weight * (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    }, 0);
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const x = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !x.getClientRects().length) continue;
        if (x.closest("script, noscript, option, .hidden")) continue;
        const layers = [];
        for (let y = x; y; y = y.parentElement) layers.unshift(getComputedStyle(y).backgroundColor);
        const style = getComputedStyle(x);
        const [a, b] = [light(bytes(layers)), light(bytes([...layers, x.closest("svg") ? style.fill : style.color]))];
        found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), walker.currentNode.data]);
    }
    return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(opened, report, scheme):
    page = opened(report, scheme=scheme)
    page.locator("#curves .legend button").first.click()  # what is switched off is text, too
    settle(page)
    found = page.evaluate(CONTRAST)
    assert len(found) > 200
    assert [text for ratio, text in found if ratio < 4.5] == []
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper))) < 200) == (scheme == "dark")


def test_parts_have_names_for_those_who_do_not_see_them(opened, report):
    page = opened(report)
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    assert page.locator("select, input").evaluate_all("all => all.filter((x) => !x.labels.length).length") == 0
    assert page.locator("table").evaluate_all("all => all.filter((x) => !x.caption).length") == 0
    assert page.locator(".plot svg:not([role=img][aria-label])").count() == 0
    ids = page.locator("[id]").evaluate_all("all => all.map((x) => x.id)")
    assert len(ids) == len(set(ids))
    targets = page.locator("a[href]").evaluate_all("all => all.map((x) => x.getAttribute('href').slice(1))")
    assert set(targets) <= set(ids)
    titles = page.locator("section").evaluate_all("all => all.map((x) => x.getAttribute('aria-labelledby'))")
    assert len(titles) == 9 and set(titles) <= set(ids)


def test_names_are_text_whatever_they_hold(opened, report):
    page = opened(report)
    assert page.title() == "Edits <held> & compared" == page.locator("h1").inner_text()
    assert page.locator("b:not(.range b)").count() == 0 and page.evaluate("window.hacked") is None
    assert page.locator("#tables").get_by_text(HOSTILE, exact=True).count() == 3
    assert "window.hacked = 1</script>" in page.locator("pre").inner_text()
    assert page.locator("#warnings + ul").inner_text() == "<!-- <script> a warning"


def test_what_is_not_there_is_left_out(opened, tmp_path):
    results = comparison(tmp_path)
    results |= {"by_attribute": {}, "curves": {}, "rescoring": None, "truth": None, "warnings": []}
    results["pictures"] |= {"clips": []}
    for example in results["pictures"]["examples"]:
        for one in example["strips"].values():
            one["reference"] = None
    results["tables"]["shared"] = {"edits": 0, "cells": {m: {"reach": {"mean": float("nan")}} for m in METHODS}}
    page = opened(written(tmp_path, results), 360)
    sections = page.locator("section").evaluate_all("all => all.map((x) => x.id)")
    assert sections == ["glance", "tables", "edits", "made"]
    assert page.locator("nav a").evaluate_all("all => all.map((x) => x.hash)") == [f"#{name}" for name in sections]
    assert page.get_by_text("There is no edit in which every method reaches its target.").count() == 1
    assert page.locator("#edits figcaption").first.inner_text() == "source"
    assert page.locator("#edits figcaption", has_text="reference").count() == 0


def test_a_page_without_pictures_and_numbers_still_opens(opened, tmp_path):
    whole = comparison(tmp_path)
    bare = {key: whole[key] for key in ("format", "title", "command", "codes", "methods", "measures")}
    page = opened(written(tmp_path, bare | {"tables": {}, "pictures": None}), 360)
    assert page.locator("section").evaluate_all("all => all.map((x) => x.id)") == ["tables", "made"]  # what they cost


def test_the_page_forbids_what_it_did_not_bring(report):
    text = report.read_text()
    assert "default-src 'none'" in text and "unsafe-inline" not in text
    assert re.findall(r"https?://", text.replace("http://www.w3.org/2000/svg", "")) == []
    assert text.count("</script>") == 2


def test_results_that_cannot_be_shown_are_refused(tmp_path):
    whole = comparison(tmp_path)
    written(tmp_path, whole)
    before = (tmp_path / "report.html").read_bytes()
    with pytest.raises(ValueError, match="format 2, where 1 is read"):
        written(tmp_path, {**whole, "format": 2})
    outside = tmp_path.parent / "outside.png"
    Image.new("RGB", (1, 1)).save(outside)
    for name in ("../outside.png", str(outside), "results.json"):
        whole["pictures"]["examples"][0]["source"] = name
        with pytest.raises(ValueError, match="no picture inside"):
            written(tmp_path, whole)
    whole["pictures"]["examples"][0]["source"] = "pictures/none.png"
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        written(tmp_path, whole)
    assert (tmp_path / "report.html").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pictures", "report.html", "results.json"]
