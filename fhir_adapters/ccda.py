"""C-CDA documents to sections of text.

XML comes from outside: entities, DTDs and the network are off, and what is broken is read as far
as it goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from fhir_adapters.markup import MarkupSection, xml_sections


@dataclass(frozen=True, slots=True)
class XmlDocument:
    """A parsed document and whether it was well formed."""

    root: etree._Element
    well_formed: bool

    @property
    def kind(self) -> str:
        """Return the root's name without namespace: "ClinicalDocument", "html", "note"."""
        return etree.QName(self.root).localname if isinstance(self.root.tag, str) else ""


def parse_xml(data: bytes) -> XmlDocument | None:
    """Return the document, or ``None`` if nothing of it can be read."""
    parser = etree.XMLParser(
        recover=True,
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    if root is None:
        return None
    fatal = [entry for entry in parser.error_log if entry.level >= etree.ErrorLevels.ERROR]
    return XmlDocument(root, not fatal)


def ccda_sections(root: etree._Element) -> Iterator[MarkupSection]:
    """Yield the sections with text, those inside sections too, in the order of the document."""
    for section in root.iter("{*}section"):
        text = section.find("{*}text")
        if text is None:
            continue
        title = _title(section)
        for part in xml_sections(text):
            yield MarkupSection(part.title or title, part.lines)


def embedded_body(root: etree._Element) -> tuple[str, str] | None:
    """Return media type and text (base64 or plain) of a body that is not XML."""
    text = root.find("{*}component/{*}nonXMLBody/{*}text")
    if text is None:
        return None
    encoding = "base64" if text.get("representation", "").upper() == "B64" else "plain"
    media_type = text.get("mediaType", "")
    return f"{media_type};{encoding}", "".join(text.itertext())


def _title(section: etree._Element) -> str:
    """A section in a section without a title stands under the outer one's."""
    level: etree._Element | None = section
    while level is not None:
        if isinstance(level.tag, str) and etree.QName(level).localname == "section":
            title = level.find("{*}title")
            words = "" if title is None else " ".join("".join(title.itertext()).split())
            code = level.find("{*}code")
            words = words or ("" if code is None else code.get("displayName", ""))
            if words:
                return words
        level = level.getparent()
    return ""
