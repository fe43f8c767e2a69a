"""Attachments of clinical documents: which one to read, and its bytes.

A document may offer the same text in several formats. Plain text is taken before other text, then
XML, HTML and RTF, then what states no usable type, then PDF. What is inline is taken before
anything that would have to be fetched, unless the inline one is a PDF.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_adapters.chart import Resource
from fhir_adapters.documents import (
    Document,
    attachments_of,
    canonical_reference,
    read_document,
)
from fhir_adapters.elements import dict_of, text_of

MAX_ATTACHMENT_BYTES = 20_000_000  # decoded; a scanned PDF is larger, and holds no text

PLAIN_TEXT, OTHER_TEXT, MARKUP, UNKNOWN, PDF, UNSUPPORTED = range(6)

_MARKUP_WORDS = ("xml", "html", "rtf", "cda")
_UNSUPPORTED_PREFIXES = (
    "image/",
    "audio/",
    "video/",
    "model/",
    "font/",
    "application/dicom",
    "application/zip",
    "application/msword",
    "application/vnd.",
)


class UnreadableText(Exception):
    """An attachment cannot become text. ``reason`` is the report line's short word.

    It never leaves ``read_notes``, which turns it into a report line.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Payload:
    """Bytes of an attachment, with what they are said to be and what is wrong with them."""

    data: bytes
    content_type: str
    doubts: tuple[tuple[str, str], ...] = ()  # (reason, half a sentence)


def attachment_urls(documents: Iterable[Resource], *, allow_pdf: bool = True) -> tuple[str, ...]:
    """Return the urls to fetch, each once: at most one a document, none where text is inline."""
    urls: dict[str, None] = {}
    for resource in documents:
        if not any(attachment.get("url") for attachment in attachments_of(resource)):
            continue  # all that it has is inline; reading it twice would cost the most here
        document = read_document(resource)
        if isinstance(document, Document):
            url = _url_to_fetch(document, allow_pdf=allow_pdf)
            if url:
                urls[url] = None
    return tuple(urls)


def by_preference(attachments: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the attachments in the order in which to try them."""
    return sorted(attachments, key=lambda item: preference(text_of(item.get("contentType"))))


def preference(content_type: str) -> int:
    """Return the rank of a declared type, PLAIN_TEXT (best) to UNSUPPORTED (never fetched)."""
    media_type = content_type.split(";", 1)[0].strip().lower()
    if media_type == "text/plain":
        return PLAIN_TEXT
    if media_type.startswith("text/"):
        return OTHER_TEXT
    if "pdf" in media_type:
        return PDF
    if media_type.startswith(_UNSUPPORTED_PREFIXES):
        return UNSUPPORTED
    if any(word in media_type for word in _MARKUP_WORDS):
        return MARKUP
    return UNKNOWN


def payload(
    attachment: Mapping[str, Any],
    contained: Mapping[str, Resource],
    binaries: Mapping[str, Resource],
) -> Payload:
    """Return the bytes of an attachment. Raises UnreadableText."""
    declared = text_of(attachment.get("contentType"))
    url = text_of(attachment.get("url"))
    if text_of(attachment.get("data")):
        data = decode_base64(text_of(attachment.get("data")))
    elif url.startswith("data:"):
        declared, data = _data_url(url, declared)
    elif url:
        binary = _binary(url, contained, binaries)
        data = decode_base64(text_of(binary.get("data")))
        if _is_other_page(declared, data):
            raise UnreadableText("type", f"an HTML page came where {declared[:40]} was declared")
        if preference(declared) in (UNKNOWN, UNSUPPORTED):
            declared = text_of(binary.get("contentType")) or declared
    else:
        raise UnreadableText("missing", "the attachment has neither data nor url")
    if not data:
        raise UnreadableText("empty", "the attachment holds no bytes")
    doubts = tuple(_doubts(attachment, data))
    return Payload(data, declared, doubts)


def _is_other_page(declared: str, data: bytes) -> bool:
    """Whether a whole HTML page, such as one for a login, came instead of text of another kind."""
    wanted = declared.split(";", 1)[0].strip().lower()
    page = data[:1000].lstrip().lower().startswith((b"<!doctype html", b"<html"))
    return page and wanted in ("text/plain", "text/rtf", "application/rtf")


def decode_base64(text: str) -> bytes:
    """Decode base64 as servers send it: wrapped lines, URL-safe letters, padding left out."""
    packed = "".join(text.split())
    if len(packed) * 3 // 4 > MAX_ATTACHMENT_BYTES:
        raise UnreadableText(
            "too-large", f"the attachment is larger than {MAX_ATTACHMENT_BYTES:,} bytes"
        )
    packed = packed.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise UnreadableText("base64", "the attachment's data is not base64") from exc


def gunzip(data: bytes) -> tuple[bytes, bool]:
    """Return the unpacked bytes and whether the stream is whole. Raises UnreadableText."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(data, MAX_ATTACHMENT_BYTES)
    except zlib.error as exc:
        raise UnreadableText("gzip", "the attachment's gzip stream is damaged") from exc
    if unpacker.unconsumed_tail:
        raise UnreadableText(
            "too-large", f"the attachment unpacks to more than {MAX_ATTACHMENT_BYTES:,} bytes"
        )
    return unpacked, unpacker.eof


def _url_to_fetch(document: Document, *, allow_pdf: bool) -> str:
    worst = PDF if allow_pdf else UNKNOWN
    inline_rank = min(map(_rank, filter(_is_inline, document.attachments)), default=UNSUPPORTED)
    if inline_rank <= UNKNOWN:
        return ""
    for attachment in by_preference(document.attachments):
        url = text_of(attachment.get("url"))
        fetchable = url and not _is_inline(attachment) and not url.startswith(("#", "urn:"))
        if fetchable and _rank(attachment) <= worst and _rank(attachment) < inline_rank:
            return url
    return ""


def _rank(attachment: Mapping[str, Any]) -> int:
    return preference(text_of(attachment.get("contentType")))


def _is_inline(attachment: Mapping[str, Any]) -> bool:
    url = text_of(attachment.get("url"))
    return bool(text_of(attachment.get("data"))) or url.startswith(("data:", "#"))


def _data_url(url: str, declared: str) -> tuple[str, bytes]:
    header, comma, body = url.removeprefix("data:").partition(",")
    if not comma or not header.endswith(";base64"):
        raise UnreadableText("base64", "the attachment's data: url is not base64")
    return declared or header.removesuffix(";base64"), decode_base64(body)


def _binary(
    url: str, contained: Mapping[str, Resource], binaries: Mapping[str, Resource]
) -> Resource:
    if url.startswith("#"):
        found = contained.get(url)
    else:
        canonical = canonical_reference(url)
        found = binaries.get(url)
        if found is None and canonical.startswith("Binary/"):
            found = binaries.get(canonical)
        if found is None and url.startswith("urn:uuid:"):
            found = binaries.get(f"Binary/{url.removeprefix('urn:uuid:')}")
    if found is None:
        raise UnreadableText("missing", f"{_shown(url)} was not fetched")
    if dict_of(found).get("resourceType") != "Binary":
        raise UnreadableText("missing", f"{_shown(url)} is not a Binary")
    return found


def _shown(url: str) -> str:
    """A raw url may carry anything, even a name or a token; only a reference is shown."""
    canonical = canonical_reference(url)
    return canonical if canonical.startswith("Binary/") or url.startswith("#") else "its url"


def _doubts(attachment: Mapping[str, Any], data: bytes) -> Iterator[tuple[str, str]]:
    size = attachment.get("size")
    if isinstance(size, int) and not isinstance(size, bool) and size != len(data):
        yield "size", f"the attachment has {len(data):,} bytes where its size says {size:,}"
    stated = text_of(attachment.get("hash"))
    if stated:
        digest = hashlib.sha1(data, usedforsecurity=False).digest()
        if stated not in (base64.b64encode(digest).decode(), digest.hex()):
            yield "hash", "the attachment's bytes do not have the SHA-1 that its hash says"
