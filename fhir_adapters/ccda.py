"""C-CDA documents to sections of text.

XML comes from outside: entities, DTDs and the network are off, and what is broken is read as far
as it goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.entities import name2codepoint

from lxml import etree

from fhir_adapters.markup import local_name, xml_sections
from fhir_adapters.markup_rendering import MarkupSection


@dataclass(frozen=True, slots=True)
class XmlDocument:
    """A parsed document and whether it was well formed."""

    root: etree._Element
    well_formed: bool

    @property
    def kind(self) -> str:
        """Return the root's name without namespace: "ClinicalDocument", "html", "note"."""
        return local_name(self.root)


_AMPERSAND = re.compile(rb"&(?:([a-zA-Z][a-zA-Z0-9]{0,30});|#(?:\d{1,7}|x[0-9a-fA-F]{1,6});)?")
_LESS_THAN = re.compile(rb"<(?=[\s\d=.])")
_OF_XML = frozenset({b"amp", b"lt", b"gt", b"quot", b"apos"})


def _repaired(data: bytes) -> bytes:
    """Return XML without unknown entities, lone ampersands and unescaped "<5".

    Not for beauty: libxml2 reads "&lt;5" as "5" once it has met an entity that it does not know,
    and "<5" as nothing. What a DTD declares is not expanded but stays as it is written.
    """
    return _LESS_THAN.sub(b"&lt;", _AMPERSAND.sub(_known_entity, data))


def _known_entity(found: re.Match[bytes]) -> bytes:
    name = found.group(1)
    if name is None:
        return found.group() if len(found.group()) > 1 else b"&amp;"
    if name in _OF_XML:
        return found.group()
    number = name2codepoint.get(name.decode("ascii"))
    return b"&amp;" + found.group()[1:] if number is None else b"&#%d;" % number


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
        root = etree.fromstring(_repaired(data), parser)
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
        if local_name(level) == "section":
            title = level.find("{*}title")
            words = "" if title is None else " ".join("".join(title.itertext()).split())
            code = level.find("{*}code")
            words = words or ("" if code is None else code.get("displayName", ""))
            if words:
                return words
        level = level.getparent()
    return ""
