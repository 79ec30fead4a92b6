"""The page of a comparison, in a browser: what people see, do, and never see."""

import re

import pytest
from PIL import Image

from tests.evaluation.comparison.pages import (
    HOSTILE,
    METHODS,
    STRENGTHS,
    centre,
    comparison,
    expected,
    settle,
    shown,
    slide,
    written,
)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Return the page alone, away from its results and pictures."""
    folder = tmp_path_factory.mktemp("comparison")
    path = written(folder, comparison(folder))
    return path.rename(tmp_path_factory.mktemp("elsewhere") / "report.html")


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
    assert page.get_by_role("tab").count() == page.locator(".tabs").count() == 0  # one comparison alone
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
