"""Tables in Markdown and HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Estimate(NamedTuple):
    """Hold a number with its interval, in words.

    Args:
        mean: the number.
        interval: in brackets.
        best: whether it is the best of its column.
        mark: what refers to a note.
    """

    mean: str
    interval: str
    best: bool = False
    mark: str = ""

    def __str__(self) -> str:
        """In Markdown."""
        return f"**{self.mean}** {self.interval}{self.mark}" if self.best else f"{self.mean} {self.interval}{self.mark}"


class Table(NamedTuple):
    """Hold a table; the first cell of a row names it.

    Args:
        title: what it tells.
        head: of the columns.
        rows: of cells.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | Estimate]]


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str | Estimate]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    return [f"| {' | '.join(map(str, cells))} |" for cells in (head, ["---"] * len(head), *rows)]


def html_table(table: Table) -> str:
    """Return a table as the page has them: in a box that scrolls, a column's unit and a mean's interval below it."""
    label = html.escape(table.title)
    head = "".join(f'<th scope="col">{_head(words)}</th>' for words in table.head)
    rows = (
        f'<tr><th scope="row">{html.escape(str(name))}</th>{"".join(f"<td>{_cell(cell)}</td>" for cell in cells)}</tr>'
        for name, *cells in table.rows
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">'
        f'<table><caption class="hidden">{label}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _head(words: str) -> str:
    name, comma, unit = words.partition(", ")
    return html.escape(name) + (f'<span class="unit">{html.escape(unit)}</span>' if comma else "")


def _cell(cell: str | Estimate) -> str:
    if isinstance(cell, str):
        return html.escape(cell)
    mean, interval, mark = (html.escape(words) for words in (cell.mean, cell.interval, cell.mark))
    shown = f'<span class="best">{mean}</span>' if cell.best else mean
    return f'{shown}{mark} <span class="interval">{interval}</span>'
