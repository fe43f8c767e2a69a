"""Sections and tables of the report, and how a cell of the document is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cds_hooks.service_report.cells import Json, is_hidden
from cds_hooks.service_report.svg import bar


@dataclass(frozen=True, slots=True)
class Row:
    """Words, then figures, then a picture."""

    words: tuple[str, ...]
    figures: tuple[str, ...]
    picture: Markup | None = None


def section(heading: str, sentence: str, *blocks: Markup) -> Markup:
    """A heading with a sentence and blocks."""
    said = Markup("<p>{}</p>").format(sentence) if sentence else Markup("")
    inside = Markup("\n").join(blocks)
    return Markup("<section>\n<h2>{}</h2>\n{}{}\n</section>").format(heading, said, inside)


def document_table(caption: str, headings: Sequence[str], rows: Sequence[Row]) -> Markup:
    """A table; where it has no row, a sentence."""
    if not rows:
        return Markup('<p class="soft">{}: none in this period.</p>').format(caption)
    words = len(rows[0].words)
    heads = Markup("").join(
        Markup('<th scope="col"{}>{}</th>').format(
            Markup(' class="number"') if place >= words and name and "drawn" not in name else "",
            name or Markup('<span aria-hidden="true"></span>'),
        )
        for place, name in enumerate(headings)
    )
    body = Markup("\n").join(_row(row, len(headings)) for row in rows)
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="{0}"><table>'
        "<caption>{0}</caption>\n<thead><tr>{1}</tr></thead>\n<tbody>\n{2}\n</tbody></table></div>"
    ).format(caption, heads, body)


def share_rows(caption: str, shares: Mapping[str, Json], names: Mapping[str, str]) -> Markup:
    """One share a row, with its bar."""
    rows = []
    for name, share in shares.items():
        picture = None
        if "share" in share:
            picture = bar(share["share"], interval=(share["low"], share["high"]))
        figures = (count_text(share.get("count", share)), share_text(share, count=False))
        rows.append(Row((names.get(name, name),), figures, picture))
    return document_table(caption, ("", "number", "share (95 % interval)", "drawn"), rows)


def rate_rows(
    caption: str,
    groups: Mapping[str, Json],
    rates: Sequence[str],
    name_of: Callable[[str], str] = str,
) -> Markup:
    """One group a row: cards, its rates, and a bar of the last rate but "overridden"."""
    drawn = "accepted" if "accepted" in rates else rates[-1]
    rows = []
    for name, group in groups.items():
        share = group.get(drawn, {})
        picture = None
        if "share" in share:
            picture = bar(share["share"], interval=(share["low"], share["high"]))
        texts = (share_text(group[rate]) if rate in group else "–" for rate in rates)
        rows.append(Row((name_of(name),), (count_text(group["cards"]), *texts), picture))
    return document_table(caption, ("", "cards", *rates, f"{drawn}, drawn"), rows)


def count_text(cell: int | Json) -> str:
    """A count, or that it is hidden."""
    if isinstance(cell, Mapping):
        if "fewerThan" in cell:
            return f"fewer than {cell['fewerThan']}"
        return "hidden" if is_hidden(cell) else "–"
    return f"{cell:,}"


def share_text(share: Json, *, count: bool = True, interval: bool = True) -> str:
    """A share: "12 of 40: 30 % (18 to 45)"."""
    if is_hidden(share):
        return "hidden" if count or interval else "–"
    if "share" not in share:
        return "–"
    said = f"{100 * share['share']:.0f} %"
    if interval:
        said += f" ({100 * share['low']:.0f} to {100 * share['high']:.0f})"
    return f"{share['count']} of {share['of']}: {said}" if count and interval else said


def estimate_text(estimate: Json | None, digits: int = 2) -> str:
    """A figure with its interval: "0.81 (0.74 to 0.87)"."""
    if estimate is None:
        return "–"
    value, low, high = (f"{estimate[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _row(row: Row, columns: int) -> Markup:
    first, *others = row.words
    cells: list[Any] = [Markup('<th scope="row">{}</th>').format(first)]
    cells += [Markup("<td>{}</td>").format(one) for one in others]
    cells += [Markup('<td class="number">{}</td>').format(one) for one in row.figures]
    if columns > len(cells):
        cells.append(Markup("<td>{}</td>").format(row.picture or ""))
    return Markup("<tr>{}</tr>").format(Markup("").join(cells))
