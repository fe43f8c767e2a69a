"""Report pages: one HTML file each, with its figures inside and nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from model.training.figures import Picture

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 66rem; padding: 1.5rem; color: #1a1a1a; background: #fff;
  font: 1rem/1.5 system-ui, "DejaVu Sans", Verdana, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; border-bottom: 1px solid #ccc; }
.lead { color: #444; max-width: 46rem; }
.pictures { display: flex; flex-wrap: wrap; gap: 1.5rem; }
figure { margin: 1rem 0; max-width: 100%; flex: 0 1 auto; }
figure h3 { font-size: 1rem; margin: 0 0 .25rem; max-width: 36rem; }
figure svg { max-width: 100%; height: auto; display: block; }
figcaption { color: #555; font-size: .875rem; max-width: 46rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; margin: .75rem 0; }
caption { text-align: left; color: #555; padding: .25rem 0; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ddd; text-align: left;
  vertical-align: top; }
td:first-child { min-width: 9rem; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.pass, td.fail, td.open { white-space: nowrap; }
td.pass { color: #00614a; font-weight: 600; } td.fail { color: #a33c00; font-weight: 600; }
"""


VERDICTS = {"pass": "pass", "fail": "fail", "holds": "pass", "refuted": "fail", "not shown": "open"}


@dataclass(frozen=True, slots=True)
class PageTable:
    """Rows of plain text; verdicts are coloured as such."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with sentences, figures and tables."""

    heading: str
    sentences: Sequence[str] = ()
    pictures: Sequence[Picture] = field(default_factory=tuple)
    tables: Sequence[PageTable] = field(default_factory=tuple)


def write_page(path: Path, title: str, lead: str, sections: Sequence[Section]) -> None:
    """Write the page; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(title, lead, sections), encoding="utf-8")


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Return the HTML document."""
    body = "".join(_section(section) for section in sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p>\n{body}</body>\n</html>\n'
    )


def _section(section: Section) -> str:
    parts = [f"<section>\n<h2>{escape(section.heading)}</h2>\n"]
    parts += [f"<p>{escape(sentence)}</p>\n" for sentence in section.sentences]
    if section.pictures:
        parts.append('<div class="pictures">\n')
        parts += [_picture(picture) for picture in section.pictures]
        parts.append("</div>\n")
    parts += [_table(table) for table in section.tables]
    return "".join([*parts, "</section>\n"])


def _picture(picture: Picture) -> str:
    return (
        f"<figure>\n<h3>{escape(picture.title)}</h3>\n{picture.svg}\n"
        f"<figcaption>{escape(picture.caption)}</figcaption>\n</figure>\n"
    )


def _table(table: PageTable) -> str:
    numeric = [
        all(_is_number(row[column]) for row in table.rows) for column in range(len(table.headings))
    ]
    head = "".join(
        f'<th scope="col"{_number_class(right)}>{escape(heading)}</th>'
        for heading, right in zip(table.headings, numeric, strict=True)
    )
    rows = "".join(
        "<tr>"
        + "".join(_cell(cell, right) for cell, right in zip(row, numeric, strict=True))
        + "</tr>\n"
        for row in table.rows
    )
    return (
        f'<div class="scroll"><table>\n<caption>{escape(table.caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )


def _cell(text: str, right: bool) -> str:
    colour = VERDICTS.get(text)
    if colour is not None:
        return f'<td class="{colour}">{text}</td>'
    return f"<td{_number_class(right)}>{escape(text)}</td>"


def _number_class(right: bool) -> str:
    return ' class="number"' if right else ""


def _is_number(text: str) -> bool:
    return text == "-" or text[:1].isdigit() or text[:2].lstrip("-+").isdigit()
