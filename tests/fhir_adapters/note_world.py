"""A working document, and ways to break one thing of it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from fhir_adapters.notes import NotesReading, read_notes

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)  # prediction time
MORNING = "2026-03-02T08:00:00Z"


def encoded(text: str | bytes) -> str:
    """Return base64 of a text or of bytes."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def attachment(text: str | bytes, content_type: str | None = "text/plain") -> dict[str, Any]:
    """Return an inline attachment."""
    found: dict[str, Any] = {"data": encoded(text)}
    return found if content_type is None else {"contentType": content_type, **found}


def binary(text: str | bytes, content_type: str = "text/plain") -> dict[str, Any]:
    """Return a Binary resource."""
    return {"resourceType": "Binary", "contentType": content_type, "data": encoded(text)}


def document(identity: str = "7", *attachments: dict[str, Any], **elements: Any) -> dict[str, Any]:
    """Return a current DocumentReference of this morning; ``None`` removes an element."""
    found = {
        "resourceType": "DocumentReference",
        "id": identity,
        "status": "current",
        "type": {"text": "Progress note"},
        "date": MORNING,
        "content": [
            {"attachment": one} for one in attachments or (attachment("Cough is better."),)
        ],
        **elements,
    }
    return {name: value for name, value in found.items() if value is not None}


def replacing(identity: str, *older: str, **elements: Any) -> dict[str, Any]:
    """Return a document that replaces others."""
    relations = [
        {"code": "replaces", "target": {"reference": f"DocumentReference/{name}"}} for name in older
    ]
    return document(
        identity, attachment(f"Text of {identity}."), relatesTo=relations or None, **elements
    )


def read(*documents: dict[str, Any], **binaries: dict[str, Any]) -> NotesReading:
    """Read documents at noon; Binary resources by id."""
    named = {f"Binary/{identity}": one for identity, one in binaries.items()}
    return read_notes(documents, named, NOON)


def texts(reading: NotesReading) -> list[str]:
    """Return all sentences in order."""
    return [sentence.text for note in reading.notes for sentence in note.sentences]


def reasons(reading: NotesReading) -> list[str]:
    """Return the reasons of what was left out."""
    return [line.reason for line in reading.left_out]


def doubts(reading: NotesReading) -> list[str]:
    """Return the reasons of what may be incomplete."""
    return [line.reason for line in reading.incomplete]
