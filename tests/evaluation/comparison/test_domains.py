"""Comparisons of several domains on one page: the table over them, and in a browser, the tabs."""

import json
import re

import pytest

from sat3d.evaluation.comparison.domains import addresses, overview, write_domains
from sat3d.evaluation.tables import Estimate
from tests.evaluation.comparison.pages import HOSTILE, comparison, expected, part, settle, shown, slide

DOMAINS = {"Heads": "heads", "<i>Animals</i>": "i-animals-i", "Cars": "cars"}
HEADS, ANIMALS, CARS = DOMAINS


def measured(folder, codes=100, leave_out=(), identity=None):
    """Return the made-up comparison under the names of real measures."""
    results = json.loads(json.dumps(comparison(folder)).replace('"reach"', '"reached"'))
    results |= {"codes": codes, "methods": [m for m in results["methods"] if m["name"] not in leave_out]}
    for table in results["tables"].values():
        table["cells"] = {name: cells for name, cells in table["cells"].items() if name not in leave_out}
    if identity is not None:
        results["measures"].append({**results["measures"][1], "key": "identity", "short": "identity", "unit": ""})
        for cells in results["tables"]["all"]["cells"].values():
            cells["identity"] = {"mean": identity, "low": 0.0, "high": 1.0, "best": False}
    return results


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return a folder for each domain: not all have all methods, and not all are told identities."""
    root = tmp_path_factory.mktemp("domains")
    found = {name: root / address for name, address in DOMAINS.items()}
    for folder in found.values():
        folder.mkdir()
    told = {
        HEADS: measured(found[HEADS], identity=0.125),
        ANIMALS: measured(found[ANIMALS], codes=7, leave_out=("StyleAE",)),
        CARS: measured(found[CARS], codes=1, leave_out=("SAT3D", HOSTILE), identity=0.25),
    }
    told[ANIMALS]["methods"][0]["marks"]["ad_mean"] = "The judge taught it"
    for name, results in told.items():
        (found[name] / "results.json").write_text(json.dumps(results))
    return found


@pytest.fixture(scope="module")
def report(folders, tmp_path_factory):
    """Return the page alone."""
    folder = tmp_path_factory.mktemp("all")
    write_domains(folders, folder, "Three <worlds>")
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "table.md"]
    return folder / "report.html"


def test_the_table_holds_methods_against_each_other_in_every_domain(folders, report):
    results = {name: json.loads((folder / "results.json").read_text()) for name, folder in folders.items()}
    table, notes = overview(results)
    heads = [f"{measure}, {name}" for measure in ("reach ↑", "AD mean ↓, σ", "identity ↓") for name in DOMAINS]
    assert table.head == ["method", *heads]
    cells = {name: dict(zip(heads, row, strict=True)) for name, *row in table.rows}
    assert list(cells) == ["SAT3D (reference)", "StyleAE", HOSTILE, "Editing in Style (reference)"]
    assert cells["StyleAE"]["reach ↑, Heads"] == Estimate("90.00", "[81.00, 99.00]", best=True)
    sat = cells["SAT3D (reference)"]
    assert str(sat[f"AD mean ↓, σ, {ANIMALS}"]) == "0.200 [0.180, 0.220] †" and "†" not in str(sat[heads[3]])
    assert notes == ["† The judge taught it."]  # CLIP's is not among the measures
    dashes = {(name, head) for name, own in cells.items() for head, cell in own.items() if cell == "–"}
    absent = {("StyleAE", ANIMALS), ("SAT3D (reference)", CARS), (HOSTILE, CARS)}
    assert dashes == {(m, h) for m in cells for h in heads if any(m == a and h.endswith(d) for a, d in absent)} | {
        (m, f"identity ↓, {ANIMALS}") for m in cells
    }
    text = report.with_name("table.md").read_text()
    assert "| StyleAE | **90.00** [81.00, 99.00] | – | **90.00** [81.00, 99.00] |" in text
    assert text.endswith("\n\n† The judge taught it.\n")


def test_domains_whose_addresses_would_be_the_same_are_refused():
    assert addresses(["Toy cars", "heads"]) == {"toy-cars": "Toy cars", "heads": "heads"}
    with pytest.raises(ValueError, match="'Toy cars' and 'toy-cars' are both #toy-cars"):
        addresses(["Toy cars", "toy-cars"])


def test_the_page_forbids_what_it_did_not_bring(report):
    text = report.read_text()
    assert "default-src 'none'" in text and "unsafe-inline" not in text
    assert re.findall(r"https?://", text.replace("http://www.w3.org/2000/svg", "")) == []
    assert text.count("</script>") == 2 and "<i>" not in text


def opened_tabs(page):
    """Return the open tab, once all that says so agrees."""
    chosen = page.locator("[role=tab][aria-selected=true]")
    assert chosen.count() == 1 and page.locator("[role=tab][tabindex='0']").count() == 1
    panels = page.locator("[role=tabpanel]:visible")
    assert panels.count() == 1 and panels.get_attribute("id") == chosen.get_attribute("aria-controls")
    assert panels.get_attribute("aria-labelledby") == chosen.get_attribute("id")
    assert chosen.get_attribute("tabindex") == "0"
    return chosen.inner_text()


def test_tabs_open_by_click_and_by_keyboard(opened, report):
    page = opened(report)
    assert page.get_by_role("tab").all_inner_texts() == list(DOMAINS)
    assert opened_tabs(page) == HEADS
    steps = page.evaluate("history.length")
    page.get_by_role("tab", name="Animals").click()
    assert opened_tabs(page) == ANIMALS and page.url.endswith("#i-animals-i")
    assert "of 7 codes" in page.locator("[role=tabpanel]:visible .lead").inner_text()
    for key, name in [
        ("ArrowRight", CARS), ("ArrowRight", HEADS), ("ArrowLeft", CARS), ("Home", HEADS), ("End", CARS), (" ", CARS)
    ]:  # fmt: skip
        page.keyboard.press(key)
        assert opened_tabs(page) == name and page.locator(":focus").inner_text() == name
        assert page.url.endswith(f"#{DOMAINS[name]}")
    page.keyboard.press("Shift+Tab")
    assert page.locator(":focus").get_attribute("role") == "region"  # the table: one stop for all tabs
    assert page.evaluate("history.length") == steps
    assert page.evaluate("document.cookie") == "" and page.evaluate("localStorage.length + sessionStorage.length") == 0


def test_each_tab_has_its_slider_choosers_and_legend(opened, report):
    page = opened(report)
    page.get_by_role("tab", name="Animals").click()
    animals = page.get_by_role("tabpanel")
    three = {name: colour for name, colour in expected(17, "smile", 3).items() if name != "StyleAE"}
    slide(page, 3, "i-animals-i/strength")
    assert shown(page, "i-animals-i/edits") == three
    animals.get_by_label("Code", exact=True).select_option("code 42")
    assert shown(page, "i-animals-i/edits") == {n: c for n, c in expected(42, "smile", 3).items() if n in three}
    lines = part(page, "i-animals-i/curves").locator(".plot g")
    assert lines.count() == 3 and lines.first.bounding_box()["width"] > 300  # drawn once there is room
    part(page, "i-animals-i/curves").locator(".legend button").first.click()
    assert lines.count() == 2
    animals.get_by_label("Beside it").select_option(HOSTILE)
    page.get_by_role("tab", name="Heads").click()
    assert shown(page, "heads/edits") == expected(17, "smile", 2)  # as it was
    assert part(page, "heads/curves").locator(".plot g").count() == 4
    page.get_by_role("tab", name="Animals").click()
    assert lines.count() == 2 and part(page, "i-animals-i/strength").input_value() == "3"


def in_view(page, name):
    settle(page)
    return 0 <= part(page, name).bounding_box()["y"] < 800


def test_a_tab_and_its_parts_have_addresses(opened, report):
    page = opened(report, fragment="#cars")
    assert opened_tabs(page) == CARS and in_view(page, "cars") and in_view(page, "cars/tab")
    page.get_by_role("tabpanel").get_by_role("link", name="The edits").click()
    assert page.url.endswith("#cars/edits") and opened_tabs(page) == CARS
    page = opened(report, fragment="#i-animals-i/rescoring")
    assert opened_tabs(page) == ANIMALS and in_view(page, "i-animals-i/rescoring-title")
    page.evaluate("location.hash = '#heads/truth'")
    page.wait_for_selector("[id='heads/truth']")
    assert opened_tabs(page) == HEADS and in_view(page, "heads/truth-title")
    page.go_back()
    page.wait_for_selector("[id='i-animals-i/rescoring']")
    assert opened_tabs(page) == ANIMALS
    assert opened_tabs(opened(report, fragment="#nowhere")) == HEADS


def test_no_id_is_twice_on_the_page_and_links_lead_within_their_domain(opened, report):
    page = opened(report)
    ids = page.locator("[id]").evaluate_all("all => all.map((x) => x.id)")
    assert len(ids) == len(set(ids)) > 30
    for address in DOMAINS.values():
        inside = page.locator(f"[role=tabpanel][id='{address}']")
        own = "all => all.flatMap((x) => [x.id, x.hash?.slice(1), x.htmlFor, x.getAttribute('aria-labelledby')])"
        named = {x for x in inside.locator("*").evaluate_all(own) if isinstance(x, str) and x}
        assert len(named) > 10 and named <= {x for x in ids if x.startswith(f"{address}/")}
        labels = "all => all.filter((x) => !x.labels.length).length"
        assert inside.locator("select, input").evaluate_all(labels) == 0


@pytest.mark.parametrize("width", [360, 1280])
def test_no_tab_is_wider_than_the_page(opened, report, width):
    page = opened(report, width)
    for tab in page.get_by_role("tab").all():
        tab.click()
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_script_all_domains_stand_below_each_other(opened, report):
    page = opened(report, 360, script=False)
    assert page.locator("h2").all_inner_texts() == ["Over domains", *DOMAINS]
    assert page.locator("h1").inner_text() == "Three <worlds>" and page.get_by_role("tab").count() == 0
    tops = [part(page, address).bounding_box()["y"] for address in DOMAINS.values()]
    assert tops == sorted(tops) and len(set(tops)) == 3
    rows = part(page, "cars").locator("table").nth(1).locator("tr")
    cells = [re.sub(r"\s+", " ", cell) for cell in rows.nth(1).locator("th, td").all_inner_texts()]
    assert cells[:3] == ["StyleAE", "90.00 [81.00, 99.00]", "0.40 [0.36, 0.44]"]
    assert rows.nth(1).locator(".best").all_inner_texts() == ["90.00"]
    assert "† The judge taught it." in part(page, "i-animals-i").locator(".notes li:visible").all_inner_texts()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    links = page.get_by_role("navigation", name="Domains").get_by_role("link")
    assert [link.get_attribute("href") for link in links.all()] == [f"#{address}" for address in DOMAINS.values()]
