"""Bytes of an attachment to plain text, by what they are rather than by what they are called.

Declared content types are often wrong (text as application/octet-stream, PDF as XML), so the first
bytes decide; the declared type only settles what they leave open. Text is handed on as blocks: the
text under one heading.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from fhir_adapters.attachments import (
    MARKUP,
    UnreadableText,
    decode_base64,
    gunzip,
    preference,
)
from fhir_adapters.ccda import XmlDocument, ccda_sections, embedded_body, parse_xml
from fhir_adapters.charsets import charset_of, clean, decode, is_binary
from fhir_adapters.markup import html_sections, xml_sections
from fhir_adapters.markup_rendering import MarkupSection
from fhir_adapters.rtf_text import rtf_plain_text

MAX_NOTE_CHARS = 200_000  # about 60 printed pages; longer notes are cut and reported
_MAX_TEXT_BYTES = 4 * MAX_NOTE_CHARS  # UTF-8 needs at most four bytes a character
_MAX_TITLE_CHARS = 80


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Text under one heading. ``wrapped``: its line ends may be those of a narrow page.

    So may those of markup: systems send <pre>, <br/> or a <div> for each line of a narrow page.
    """

    text: str
    section: str = ""
    wrapped: bool = True


@dataclass(frozen=True, slots=True)
class NoteText:
    """What a note says, and what is doubtful about the reading: (reason, half a sentence)."""

    blocks: tuple[TextBlock, ...]
    doubts: tuple[tuple[str, str], ...] = ()


def read_text(data: bytes, content_type: str, *, allow_pdf: bool = True) -> NoteText:
    """Return the text of an attachment's bytes. Raises UnreadableText.

    With ``allow_pdf=False`` a PDF is refused unread: it may take seconds.
    """
    doubts: tuple[tuple[str, str], ...] = ()
    if data.startswith(b"\x1f\x8b"):
        data, whole = gunzip(data)
        if not whole:
            doubts = (("gzip", "the attachment's gzip stream breaks off"),)
    text = _read_unpacked(data, content_type, allow_pdf=allow_pdf)
    if doubts:
        text = replace(text, doubts=(*doubts, *text.doubts))
    text = _bounded(text)
    if not any(block.text.strip() for block in text.blocks):
        raise UnreadableText("empty", "the attachment holds no text")
    return text


def read_xhtml(div: str, section: str = "") -> NoteText:
    """Return the text of a FHIR narrative. Raises UnreadableText."""
    return _bounded(_read_html(div, section))


def bounded(text: str, section: str) -> NoteText:
    """Return plain text that an element of a resource holds, cleaned and cut like any other."""
    return _bounded(NoteText((TextBlock(text, section),)))


_BINARY_FORMATS = (
    (b"PK\x03\x04", "a ZIP file or Office document"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"RIFF", "a sound or video"),
)
_XML_START = re.compile(r"\s*<(\?xml|([\w-]+:)?ClinicalDocument)\b", re.IGNORECASE)
_XML_HEAD_BYTES = 200
_XML_DECLARATION = re.compile(r"\s*<\?xml[^<>]{0,200}\?>", re.IGNORECASE)
_HTML_START = re.compile(
    r"\s*(<!--.{0,2000}?-->\s*)?<(!doctype\s+html|html|head|body|div|p|span|table|br|h[1-6]|ul|ol"
    r"|pre|font|b|strong|center)\b[^<>]*>",
    re.IGNORECASE | re.DOTALL,
)
_HTML_INSIDE = re.compile(r"<(?:br\s*/?|/p|/div|/li|/td|/tr)>", re.IGNORECASE)
_BLOB = re.compile(r"[!-~]{300,}")  # a picture or key in base64, not a word of any language
_ENTITY = re.compile(r"&(?:nbsp|amp|lt|gt|quot|apos|#\d{1,6}|#x[0-9a-fA-F]{1,5});")


def _read_unpacked(data: bytes, content_type: str, *, allow_pdf: bool) -> NoteText:
    if b"%PDF-" in data[:1024]:
        return _read_pdf(data, allow_pdf=allow_pdf)
    for magic, name in _BINARY_FORMATS:
        if data.startswith(magic):
            raise UnreadableText("type", f"the attachment is {name}, which is not read")
    text = decode(data[:_MAX_TEXT_BYTES], charset_of(content_type))
    if text.lstrip().startswith("{\\rtf"):
        return _read_rtf(data[data.index(b"{") :].decode("cp1252", "replace"))
    if _HTML_START.match(text):
        return _read_html(decode(data, charset_of(content_type)), "")
    called_markup = preference(content_type) == MARKUP and text.lstrip().startswith("<")
    if called_markup or _XML_START.match(text):
        return _read_xml(data, content_type, allow_pdf=allow_pdf)
    if _HTML_INSIDE.search(text):  # plain text that somebody decorated: its line ends count too
        return _read_html(f"<pre>{text}</pre>", "")
    return _read_plain(text, cut=len(data) > _MAX_TEXT_BYTES)


def _read_plain(text: str, *, cut: bool) -> NoteText:
    if is_binary(text):
        raise UnreadableText("type", "the attachment's bytes are not text")
    if text.lstrip()[:300].startswith("{") and '"resourceType"' in text[:2000]:
        raise UnreadableText("type", "the attachment is FHIR JSON, which is not read as a note")
    if _ENTITY.search(text):
        text = html.unescape(text)
    doubts = (_cut_doubt(),) if cut and len(text) <= MAX_NOTE_CHARS else ()
    return NoteText((TextBlock(text),), doubts)


def _read_html(page: str, section: str) -> NoteText:
    try:
        return NoteText(tuple(_blocks(html_sections(page), section)))
    except ValueError as exc:
        raise UnreadableText("html", f"the HTML cannot be read: {exc}") from exc


def _read_rtf(rtf: str) -> NoteText:
    try:
        return NoteText((TextBlock(rtf_plain_text(rtf)),))
    except ValueError as exc:
        raise UnreadableText("rtf", str(exc)) from exc


def _read_pdf(data: bytes, *, allow_pdf: bool) -> NoteText:
    if not allow_pdf:
        raise UnreadableText("pdf", "the attachment is a PDF, which is not read during a request")
    # Imported where it is used: pypdf costs a serving process, which reads no PDF, 27 MB.
    from fhir_adapters.pdf_text import pdf_plain_text

    try:
        pdf = pdf_plain_text(data)
    except ValueError as exc:
        raise UnreadableText("pdf", str(exc)) from exc
    doubts = (("pdf", pdf.doubt),) if pdf.doubt else ()
    return NoteText((TextBlock(pdf.text),), doubts)


def _read_xml(data: bytes, content_type: str, *, allow_pdf: bool) -> NoteText:
    if b"\x00" in data[:_XML_HEAD_BYTES]:  # UTF-16 or UTF-32
        data = _undeclared(data, content_type)
    document = parse_xml(data) or parse_xml(_undeclared(data, content_type))
    if document is None:
        raise UnreadableText("xml", "the attachment is XML of which nothing can be read")
    doubts = () if document.well_formed else (("xml", "the XML is not well formed; part is read"),)
    if document.kind == "ClinicalDocument":
        text = _ccda_text(document, allow_pdf=allow_pdf)
    else:
        is_html = document.kind.lower() in ("html", "body", "div")
        sections = xml_sections(document.root, every_element_a_line=not is_html)
        text = NoteText(tuple(_blocks(sections, "")))
    return replace(text, doubts=(*doubts, *text.doubts))


def _undeclared(data: bytes, content_type: str) -> bytes:
    """Without the XML declaration, for documents that name an encoding that is not theirs."""
    text = decode(data, charset_of(content_type))
    return _XML_DECLARATION.sub("", text, count=1).encode("utf-8", "replace")


def _ccda_text(document: XmlDocument, *, allow_pdf: bool) -> NoteText:
    body = embedded_body(document.root)
    if body is None:
        return NoteText(tuple(_blocks(ccda_sections(document.root), "")))
    media_type, text = body
    if media_type.endswith("base64"):
        return _read_unpacked(decode_base64(text), media_type, allow_pdf=allow_pdf)
    return NoteText((TextBlock(text),))


def _blocks(sections: Iterable[MarkupSection], outer: str) -> Iterable[TextBlock]:
    for section in sections:
        yield TextBlock("\n".join(section.lines), section.title or outer)


def _cut_doubt() -> tuple[str, str]:
    return "too-large", f"only the first {MAX_NOTE_CHARS:,} characters of the text were read"


def _bounded(text: NoteText) -> NoteText:
    """Clean the blocks and cut them where they exceed MAX_NOTE_CHARS together."""
    blocks = []
    left = MAX_NOTE_CHARS
    doubts = text.doubts
    for block in text.blocks:
        cleaned = clean(block.text)
        if _BLOB.search(cleaned):
            cleaned = _BLOB.sub(" ", cleaned)
            doubts = (*doubts, ("type", "a run of letters and signs without a space is left out"))
        if len(cleaned) > left:
            cleaned = cleaned[:left]
            doubts = (*doubts, _cut_doubt())
        title = " ".join(clean(block.section).split())[:_MAX_TITLE_CHARS]
        blocks.append(TextBlock(cleaned, title, block.wrapped))
        left -= len(cleaned)
        if left <= 0:
            break
    return NoteText(tuple(blocks), tuple(dict.fromkeys(doubts)))
