"""Comparisons of several domains on one page: a table over all of them, and a tab for each."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sat3d.evaluation.comparison.measures import BY_KEY
from sat3d.evaluation.comparison.page import fill, read_comparison, write_page
from sat3d.evaluation.comparison.results import estimate, head_of, named, notes_of, tables_of, written
from sat3d.evaluation.roster import slug
from sat3d.evaluation.tables import Table, html_table
from sat3d.visualization import replacing

KEYS = ("reached", "ad_mean", "identity")
"""Measures that are held against each other over domains: reach, drift, identity."""


def write_domains(domains: Mapping[str, Path], folder: Path, title: str) -> str:
    """Write `report.html`, with a tab for each domain, and `table.md`; return the latter.

    Args:
        domains: folders of comparisons, by name.
        folder: for the files.
        title: of the report.

    Raises:
        FileNotFoundError: see `write_report`.
        ValueError: see `write_report` and `addresses`.
    """
    names = addresses(domains)
    comparisons = [read_comparison(domains[name], address) for address, name in names.items()]
    results = dict(zip(names.values(), (one["results"] for one in comparisons), strict=True))
    table, notes = overview(results)
    body = fill(
        "domains.html",
        title=html.escape(title),
        table=html_table(table),
        notes=_notes(notes),
        tabs="".join(f'<a href="#{address}">{html.escape(name)}</a>' for address, name in names.items()),
        panels="\n".join(_panel(address, name, results[name]) for address, name in names.items()),
    )
    text = written([table], notes)
    with replacing(folder / "table.md") as path:
        path.write_text(text)
    write_page(folder, title, body, comparisons)
    return text


def addresses(domains: Iterable[str]) -> dict[str, str]:
    """Return names of domains by what stands for them in folders and behind a page's `#`.

    Raises:
        ValueError: names are too much alike.
    """
    names: dict[str, str] = {}
    for name in domains:
        if (other := names.setdefault(slug(name), name)) != name:
            raise ValueError(f"domains: {other!r} and {name!r} are both #{slug(name)}; tell them apart by a-z, 0-9")
    return names


def overview(domains: Mapping[str, Mapping[str, Any]]) -> tuple[Table, list[str]]:
    """Return a table over domains, a row a method, on all edits; and the notes of its marks.

    A method that is not in a domain has a dash there, as has a measure that was not taken.
    """
    measured = {m["key"] for results in domains.values() for m in results["measures"]}
    keys = [key for key in KEYS if key in measured]
    methods: dict[str, dict[str, Mapping[str, Any]]] = {}
    for domain, results in domains.items():
        for method in results["methods"]:
            methods.setdefault(named(method), {})[domain] = method

    def cell(key: str, domain: str, method: Mapping[str, Any] | None) -> Any:
        if method is None:
            return "–"
        cells = domains[domain]["tables"]["all"]["cells"]
        return estimate(cells[method["name"]].get(key), BY_KEY[key].told(), method["marks"])

    head = [f"{head_of(BY_KEY[key].told())}, {domain}" for key in keys for domain in domains]
    rows = [[name, *(cell(key, d, own.get(d)) for key in keys for d in domains)] for name, own in methods.items()]
    shown = [
        {"marks": {key: words for key, words in method["marks"].items() if key in keys}}
        for own in methods.values()
        for method in own.values()
    ]
    return Table("All edits, failures at their strongest, by domain", ["method", *head], rows), notes_of(shown)


def _panel(address: str, name: str, results: Mapping[str, Any]) -> str:
    """Return the place of a domain's comparison, with its tables for those who run no script."""
    tables = "".join(f"<h3>{html.escape(table.title)}</h3>{html_table(table)}" for table in tables_of(results))
    return fill("domain.html", id=address, name=html.escape(name), tables=tables + _notes(notes_of(results["methods"])))


def _notes(notes: list[str]) -> str:
    lines = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return f'<ul class="notes">{lines}</ul>' if lines else ""
