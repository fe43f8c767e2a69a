"""PDF to plain text, by pypdf, within bounds. Slow: never on the path of a request."""

from __future__ import annotations

import io
import logging
import struct
import time
import zlib
from dataclasses import dataclass

from pypdf import PdfReader, apply_configuration
from pypdf.errors import DependencyError, PyPdfError

MAX_PAGES = 60
MAX_STREAM_BYTES = 20_000_000
MAX_STREAM_OPERATIONS = 300_000
MAX_SECONDS = 20.0  # looked at between pages; the bounds above keep a page short

# pypdf says that broken files may raise other errors than its own; these were seen in fuzzing.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    DependencyError,
    LookupError,
    NotImplementedError,
    OSError,
    PyPdfError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class PdfText:
    """Text of the pages that were read; ``doubt`` says which pages are missing, and why."""

    text: str
    doubt: str = ""


def pdf_plain_text(data: bytes) -> PdfText:
    """Return the text. Raises ValueError for a file that is damaged, locked or has no text."""
    started = time.monotonic()
    # pypdf tells the log about each oddity; what matters of them is in the doubt.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    with apply_configuration(
        array_based_stream_maximum_output_length=MAX_STREAM_BYTES,
        lzw_maximum_output_length=MAX_STREAM_BYTES,
        maximum_declared_stream_length=MAX_STREAM_BYTES,
        run_length_maximum_output_length=MAX_STREAM_BYTES,
        zlib_maximum_output_length=MAX_STREAM_BYTES,
        stream_parsing_work_maximum_count=MAX_STREAM_OPERATIONS,
        disable_legacy_handling=True,
    ):
        pages, doubt = _pages(data, started)
    text = "\n\n".join(pages)
    if not text.strip():
        raise ValueError(doubt or "the PDF holds no text; it may be a scan")
    return PdfText(text, doubt)


def _open(data: bytes) -> tuple[PdfReader, int]:
    try:
        reader = PdfReader(io.BytesIO(data), strict=False)
        unlocked = not reader.is_encrypted or bool(reader.decrypt(""))
        page_count = len(reader.pages) if unlocked else 0
    except _DAMAGE as exc:
        raise ValueError("the PDF is damaged") from exc
    if not unlocked:
        raise ValueError("the PDF is locked with a password")
    return reader, page_count


def _pages(data: bytes, started: float) -> tuple[list[str], str]:
    reader, page_count = _open(data)
    pages: list[str] = []
    failed = 0
    for number in range(min(page_count, MAX_PAGES)):
        if time.monotonic() - started > MAX_SECONDS:
            return pages, f"only {number} of {page_count} pages of the PDF were read in time"
        try:
            pages.append(reader.pages[number].extract_text())
        except _DAMAGE:
            failed += 1
    if failed:
        return pages, f"{failed} of {page_count} pages of the PDF could not be read"
    if page_count > MAX_PAGES:
        return pages, f"only {MAX_PAGES} of {page_count} pages of the PDF were read"
    return pages, ""
