"""What every answer of the service has to be, whatever was asked.

The statuses are those of `cds_hooks/errors.py` and what HTTP adds; a 500 is never one of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.cds_hooks.conftest import refuse_empty

CANARY = "zQ7Canary9vK"  # planted in requests; no error may say it back
CANARY_ID = "zq7canary9vk"
STATUSES = {
    *(200, 204, 206, 304),  # 206: a range of the style sheet
    *(400, 401, 403, 404, 405, 408, 410, 412, 413, 414, 415, 416, 417, 429, 431),
    *(501, 503, 504),
}
_NO_BODY = {204, 304, 401}
_OTHER_MEDIA = ("text/html", "text/plain", "text/css", "image/png", "image/svg+xml")
_TRACE = re.compile(r"Traceback|File \\?\"|\.py\b|\bline \d+, in\b|sqlalchemy|SELECT |INSERT ")
# Pages have no scripts at all, and no tag is made of what was planted.
_MARKUP = re.compile(rf"<script|<[a-z]+[^>\"']*{CANARY}|javascript:[^<]*\"", re.IGNORECASE)


def faults_of(
    method: str, status: int, headers: Mapping[str, str], body: bytes, planted: str = CANARY
) -> list[str]:
    """Return what is wrong with an answer, in words; an empty list is a good answer."""
    media = headers.get("Content-Type", "").partition(";")[0]
    found = []
    if status not in STATUSES:
        found.append(f"status {status} is not declared")
    if status == 503 and "Retry-After" not in headers:
        found.append("503 without Retry-After")
    if any("\n" in value or planted in value for value in headers.values()):
        found.append("a header repeats what was sent")
    if not body:
        bodiless = method in ("HEAD", "OPTIONS")
        allowed = status in _NO_BODY or bodiless or (status == 200 and not media)
        return found if allowed else [*found, f"{status} without a body"]
    if status in _NO_BODY:
        found.append(f"{status} with a body")
    return [*found, *_faults_of_body(status, media, body, planted)]


def _faults_of_body(status: int, media: str, body: bytes, planted: str) -> list[str]:
    text = body.decode("utf-8", errors="replace")
    if status >= 400 and (planted in text or planted.lower() in text):
        return [f"the body of a {status} repeats what was sent"]
    if status >= 400 and _TRACE.search(text):
        return [f"the body of a {status} shows the inside of the program"]
    if media == "text/html" and _MARKUP.search(text):
        return ["a page runs what was sent"]
    if media in _OTHER_MEDIA:
        return [] if status in (200, 206, 404, 410) else [f"a {status} in {media}"]
    try:
        parsed = json.loads(text, parse_constant=_refuse)
    except ValueError:
        return [f"the body of a {status} is not JSON"]
    try:
        refuse_empty(parsed, "$", allowed=("$.cards", "$.services"))
    except AssertionError as exc:
        return [f"R3: {exc}"]
    return _faults_of_json(status, media, parsed)


def _faults_of_json(status: int, media: str, parsed: Any) -> list[str]:
    if status < 400:
        return [] if media == "application/json" else [f"a {status} in {media}"]
    if media != "application/fhir+json":
        return [f"a {status} in {media or 'no media type'}"]
    kind = parsed.get("resourceType") if isinstance(parsed, dict) else None
    return [] if kind == "OperationOutcome" else [f"a {status} without OperationOutcome"]


def _refuse(name: str) -> Any:
    raise ValueError(name)
