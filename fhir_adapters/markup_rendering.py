"""Elements and texts of a page, one after the other, to sections of lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_DROPPED = frozenset(
    [
        "script",
        "style",
        "head",
        "template",
        "noscript",
        "svg",
        "object",
        "iframe",
        "select",
        "button",
        "rendermultimedia",
    ]
)
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_LINES = _HEADINGS | frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "br",
        "caption",
        "center",
        "dd",
        "div",
        "dl",
        "dt",
        "fieldset",
        "footer",
        "form",
        "header",
        "hr",
        "html",
        "item",
        "li",
        "list",
        "main",
        "nav",
        "ol",
        "p",
        "paragraph",
        "pre",
        "section",
        "table",
        "tbody",
        "tfoot",
        "thead",
        "tr",
        "ul",
    ]
)
_ITEMS = frozenset({"item", "li"})
_BAR = " | "
_BULLET = "‣ "  # tells later steps that no line runs on into this one
_NO_ATTRIBUTES: Mapping[str, str | None] = {}


@dataclass(frozen=True, slots=True)
class MarkupSection:
    """Lines under one heading; ``title`` is "" before the first."""

    title: str
    lines: tuple[str, ...]


@dataclass(slots=True)
class _Flow:
    """Lines being collected: those of the page, or of one table cell."""

    lines: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    bullet: str = ""  # of the line being collected

    def end_line(self) -> None:
        line = " ".join("".join(self.words).split())
        self.words.clear()
        if line:
            self.lines.append(self.bullet + line)
            self.bullet = ""


@dataclass(slots=True)
class _Cell:
    is_heading: bool
    flow: _Flow = field(default_factory=_Flow)


@dataclass(slots=True)
class _Table:
    cells: list[_Cell] = field(default_factory=list)  # of the row being read
    headings: list[str] = field(default_factory=list)
    headings_used: bool = True
    in_head: bool = False


class Renderer:
    """Told of each start, text and end of an element, in the order of the document."""

    def __init__(self, *, every_element_a_line: bool = False) -> None:
        self._every_element_a_line = every_element_a_line
        self._flows = [_Flow()]
        self._tables: list[_Table] = []
        self._dropping: list[str] = []  # open elements from the dropped one inward
        self._pre_depth = 0
        self._sections: list[tuple[str, list[str]]] = [("", self._flows[0].lines)]

    def start(self, tag: str, attributes: Mapping[str, str | None] = _NO_ATTRIBUTES) -> None:
        if self._dropping or tag in _DROPPED or _is_unseen(tag, attributes):
            self._dropping.append(tag)
            return
        if tag in _LINES or self._every_element_a_line:
            self._flows[-1].end_line()
        if len(self._flows) == 1:
            self._flows[0].bullet = _BULLET if tag in _ITEMS else self._flows[0].bullet
        if tag in ("td", "th") and self._tables:
            cell = _Cell(tag == "th" or self._tables[-1].in_head)
            self._tables[-1].cells.append(cell)
            self._flows.append(cell.flow)
        elif tag == "table":
            self._tables.append(_Table())
        elif tag in ("thead", "tbody", "tfoot") and self._tables:
            self._tables[-1].in_head = tag == "thead"
        elif tag == "pre":
            self._pre_depth += 1

    def text(self, text: str) -> None:
        if self._dropping or not text:
            return
        if not self._pre_depth:
            self._flows[-1].words.append(text)
            return
        for position, line in enumerate(text.split("\n")):
            if position:
                self._flows[-1].end_line()
            self._flows[-1].words.append(line)

    def end(self, tag: str) -> None:
        if self._dropping:
            self._dropping.pop()
            return
        if tag in _HEADINGS and len(self._flows) == 1:
            self._open_section()
        if tag in _LINES or self._every_element_a_line:
            self._flows[-1].end_line()
        if tag in _ITEMS and len(self._flows) == 1:
            self._flows[0].bullet = ""
        if tag in ("td", "th") and self._tables and len(self._flows) > 1:
            self._flows.pop().end_line()
        elif tag == "tr" and self._tables:
            self._end_row(self._tables[-1])
        elif tag == "table" and self._tables:
            table = self._tables.pop()
            self._end_row(table)
            self._flush_unused_headings(table)
        elif tag == "pre":
            self._pre_depth -= 1

    def sections(self) -> list[MarkupSection]:
        self._flows[0].end_line()
        found = []
        for position, (title, lines) in enumerate(self._sections):
            is_last = position + 1 == len(self._sections)
            if lines:
                found.append(MarkupSection(title, tuple(lines)))
            elif title and is_last:
                # A heading that nothing follows may be the message: "Code status: DNR".
                found.append(MarkupSection("", (title,)))
        return found

    def _open_section(self) -> None:
        flow = self._flows[0]
        title = " ".join("".join(flow.words).split())
        flow.words.clear()
        if title:
            flow.lines = []
            self._sections.append((title, flow.lines))

    def _end_row(self, table: _Table) -> None:
        cells, table.cells = table.cells, []
        texts = [", ".join(cell.flow.lines) for cell in cells]
        if not any(texts):
            return
        if len(cells) > 1 and all(cell.is_heading for cell in cells):
            self._flush_unused_headings(table)
            table.headings = [text.rstrip(": ") for text in texts]
            table.headings_used = False
            return
        table.headings_used = True
        self._flows[-1].lines.extend(_row_lines(table.headings, cells, texts))

    def _flush_unused_headings(self, table: _Table) -> None:
        if not table.headings_used:
            self._flows[-1].lines.append(_BAR.join(filter(None, table.headings)))
            table.headings_used = True


def _is_unseen(tag: str, attributes: Mapping[str, str | None]) -> bool:
    """Whether a reader would not see the element, or would see it struck out."""
    if tag == "del" or not attributes:
        return tag == "del"
    style = (attributes.get("style") or "").replace(" ", "").lower()
    deleted = attributes.get("revised") == "delete"
    return deleted or "hidden" in attributes or "display:none" in style


def _row_lines(headings: list[str], cells: list[_Cell], texts: list[str]) -> Iterable[str]:
    if len(headings) == len(cells) > 1:
        labelled = zip(headings, texts, strict=True)
        return [_BAR.join(f"{name}: {text}" if name else text for name, text in labelled if text)]
    if cells[0].is_heading and len(cells) > 1:
        value = ", ".join(filter(None, texts[1:]))
        return [f"{texts[0].rstrip(': ')}: {value}" if texts[0] else value]
    if any(len(cell.flow.lines) > 1 for cell in cells):  # a table that only lays out the page
        return [line for cell in cells for line in cell.flow.lines]
    return [_BAR.join(filter(None, texts))]
