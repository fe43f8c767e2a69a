"""HTML, FHIR narratives and C-CDA narrative blocks to lines of text.

The structure that a reader sees is kept: paragraphs, list items and table rows become lines, and
h1 to h6 become sections. A table row under column headings reads "Problem: Asthma | Status:
Active"; the bars tell later steps that it is one. Scripts, styles and text marked as deleted are
dropped.

One renderer serves two parsers: lexbor for HTML as people send it, lxml for XML. Trees are walked
without recursion, because their depth is the sender's choice.
"""

from __future__ import annotations

from lxml import etree
from selectolax.lexbor import LexborHTMLParser, LexborNode

from fhir_adapters.markup_limits import defused_html
from fhir_adapters.markup_rendering import MarkupSection, Renderer


def html_sections(html: str) -> list[MarkupSection]:
    """Return the visible text of an HTML page or XHTML fragment, well formed or not.

    Raises ValueError for a page that would take the parser minutes (see markup_limits.py).
    """
    renderer = Renderer()
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
    renderer = Renderer(every_element_a_line=every_element_a_line)
    for event, node in etree.iterwalk(element, events=("start", "end", "comment", "pi")):
        tag = local_name(node).lower()
        if event == "start":
            renderer.start(tag, dict(node.attrib))
            renderer.text(node.text or "")
        elif event == "end":
            renderer.end(tag)
        if event != "start" and node is not element:
            renderer.text(node.tail or "")
    return renderer.sections()


def local_name(node: etree._Element) -> str:
    """Return a name without namespace, "" for comments. Recovered XML has names like "ht:"."""
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""
