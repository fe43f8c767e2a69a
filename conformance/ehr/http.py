"""HTTP as this EHR speaks it: JSON with a deadline, and one sentence for each way to fail."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from conformance.ehr.safe_markdown import plain

_CONNECT_S = 3.0
_SILENCE_S = 20.0  # between two bytes
_WHOLE_S = 60.0  # for the whole answer, however slowly it drips
_LARGEST_BYTES = 50_000_000
_QUOTED = 300  # characters of an OperationOutcome in a sentence


class CallFailed(Exception):
    """A server did not answer with JSON. The message is a sentence for the tester."""

    def __init__(self, message: str, status: int | None = None, body: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.body = body


def get_json(url: str, token: str = "") -> Any:
    """Return the JSON that GET answers. Raises CallFailed."""
    headers = {"Accept": "application/fhir+json, application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return _send("GET", url, headers=headers)[1]


def post_json(
    url: str,
    body: Mapping[str, Any],
    token: str = "",
    *,
    fhir: bool = False,
    if_none_exist: str = "",
) -> tuple[int, Any]:
    """Return the status and the JSON that POST answers, None for no body. Raises CallFailed."""
    headers = {"Accept": "application/json"}
    if fhir:
        headers = dict.fromkeys(("Accept", "Content-Type"), "application/fhir+json")
    if if_none_exist:
        headers["If-None-Exist"] = if_none_exist
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return _send("POST", url, headers=headers, json=body)


def _send(method: str, url: str, **arguments: Any) -> tuple[int, Any]:
    try:
        answer = requests.request(
            *(method, url),
            timeout=(_CONNECT_S, _SILENCE_S),
            allow_redirects=False,
            stream=True,
            **arguments,
        )
        with answer:
            content = _content(answer, url)
    except requests.Timeout as exc:
        raise CallFailed(f"{url} did not answer within {_SILENCE_S:.0f} s.") from exc
    except (requests.RequestException, HTTPError, OSError) as exc:
        raise CallFailed(f"{url} cannot be reached.") from exc
    text = content.decode("utf-8", "replace")
    if not 200 <= answer.status_code < 300:
        raise CallFailed(_refusal(answer, url, text), answer.status_code, text)
    if not content:
        return answer.status_code, None
    try:
        return answer.status_code, json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise CallFailed(f"{url} did not answer with JSON.", answer.status_code, text) from exc


def _content(answer: requests.Response, url: str) -> bytes:
    """Return the body. Raises CallFailed for one that is too large or never ends."""
    end = time.monotonic() + _WHOLE_S
    content = bytearray()
    for part in answer.iter_content(65_536):
        content += part
        if len(content) > _LARGEST_BYTES:
            raise CallFailed(f"{url} answered with more than 50 MB.", answer.status_code)
        if time.monotonic() > end:
            raise CallFailed(f"{url} did not finish its answer within {_WHOLE_S:.0f} s.")
    return bytes(content)


def _refusal(answer: requests.Response, url: str, text: str) -> str:
    """Return what was answered, when to try again, and what an OperationOutcome says of it."""
    parts = [f"{url} answered {answer.status_code}."]
    later = answer.headers.get("Retry-After", "").strip()
    if later.isdecimal():
        parts.append(f"It asks to be tried again in {int(later[:9])} s.")
    elif later:
        parts.append(f"It asks to be tried again at {plain(later[:40])}.")
    said = outcome_text(text)
    return " ".join([*parts, said] if said else parts)


def outcome_text(text: str) -> str:
    """Return what the first issue of an OperationOutcome says, "" where there is none."""
    try:
        issues = json.loads(text)["issue"]
        first = issues[0]
        details = first.get("details")
        said = (details or {}).get("text") or first.get("diagnostics") or ""
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return ""
    return plain(said)[:_QUOTED]
