"""HTML, FHIR narratives and C-CDA narrative blocks to lines of text.

The structure that a reader sees is kept: paragraphs, list items and table rows become lines, and
h1 to h6 become sections. A table row under column headings reads "Problem: Asthma | Status:
Active"; the bars tell later steps that it is one. Scripts, styles and text marked as deleted are
dropped.

One renderer serves two parsers: lexbor for HTML as people send it, lxml for XML. Trees are walked
without recursion, because their depth is the sender's choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lxml import etree
from selectolax.lexbor import LexborHTMLParser, LexborNode

from fhir_adapters.markup_limits import defused_html

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
_BAR = " | "
_NO_ATTRIBUTES: Mapping[str, str | None] = {}


@dataclass(frozen=True, slots=True)
class MarkupSection:
    """Lines under one heading; ``title`` is "" before the first."""

    title: str
    lines: tuple[str, ...]


def html_sections(html: str) -> list[MarkupSection]:
    """Return the visible text of an HTML page or XHTML fragment, well formed or not.

    Raises ValueError for a page that would take the parser minutes (see markup_limits.py).
    """
    renderer = _Renderer()
    root = LexborHTMLParser(defused_html(html)).root
    node: LexborNode | None = root
    while node is not None:
        if node.is_text_node:
            renderer.text(node.text_content or "")
        elif node.is_element_node:
            renderer.start(node.tag or "", node.attributes)
        below = node.first_child if node.is_element_node else None
        while below is None and node is not None:
            if node.is_element_node:
                renderer.end(node.tag or "")
            if root is None or node.mem_id == root.mem_id:
                return renderer.sections()
            below = node.next
            if below is None:
                node = node.parent
        node = below
    return renderer.sections()


def xml_sections(
    element: etree._Element, *, every_element_a_line: bool = False
) -> list[MarkupSection]:
    """Return the text of a C-CDA ``text`` element or of any other XML."""
    renderer = _Renderer(every_element_a_line=every_element_a_line)
    for event, node in etree.iterwalk(element, events=("start", "end", "comment", "pi")):
        is_element = isinstance(node.tag, str)
        tag = etree.QName(node).localname.lower() if is_element else ""
        if event == "start":
            renderer.start(tag, dict(node.attrib))
            renderer.text(node.text or "")
        elif event == "end":
            renderer.end(tag)
        if event != "start" and node is not element:
            renderer.text(node.tail or "")
    return renderer.sections()


@dataclass(slots=True)
class _Flow:
    """Lines being collected: those of the page, or of one table cell."""

    lines: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def end_line(self) -> None:
        line = " ".join("".join(self.words).split())
        self.words.clear()
        if line:
            self.lines.append(line)


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


class _Renderer:
    def __init__(self, *, every_element_a_line: bool = False) -> None:
        self._every_element_a_line = every_element_a_line
        self._flows = [_Flow()]
        self._tables: list[_Table] = []
        self._dropping: list[str] = []  # open elements from the dropped one inward
        self._pre_depth = 0
        self._sections: list[tuple[str, list[str]]] = [("", self._flows[0].lines)]

    def start(self, tag: str, attributes: Mapping[str, str | None] = _NO_ATTRIBUTES) -> None:
        deleted = tag == "del" or attributes.get("revised") == "delete"
        if self._dropping or tag in _DROPPED or deleted or "hidden" in attributes:
            self._dropping.append(tag)
            return
        if tag in _LINES or self._every_element_a_line:
            self._flows[-1].end_line()
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
