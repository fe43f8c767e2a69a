"""Bytes of a note to plain text blocks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Text under one heading. ``wrapped``: its line breaks may be those of a narrow page."""

    text: str
    section: str = ""
    wrapped: bool = False


@dataclass(frozen=True, slots=True)
class NoteText:
    """What a note says, and what is doubtful about the reading."""

    blocks: tuple[TextBlock, ...]
    doubts: tuple[tuple[str, str], ...] = ()


def read_text(data: bytes, content_type: str, *, allow_pdf: bool = True) -> NoteText:
    """Return the text of an attachment's bytes. Raises UnreadableText."""
    return NoteText((TextBlock(data.decode("utf-8", "replace"), wrapped=True),))


def read_xhtml(div: str, section: str = "") -> NoteText:
    """Return the text of a FHIR narrative."""
    return NoteText((TextBlock(div, section),))
