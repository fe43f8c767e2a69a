"""HTTP as this EHR speaks it: JSON with a deadline, and one sentence for each way to fail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import requests

_TIMEOUT_S = (3.0, 20.0)  # to connect, between two bytes
_LARGEST_BYTES = 50_000_000


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
    url: str, body: Mapping[str, Any], token: str = "", *, fhir: bool = False
) -> tuple[int, Any]:
    """Return the status and the JSON that POST answers, None for no body. Raises CallFailed."""
    headers = {"Accept": "application/json"}
    if fhir:
        headers = dict.fromkeys(("Accept", "Content-Type"), "application/fhir+json")
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return _send("POST", url, headers=headers, json=body)


def _send(method: str, url: str, **arguments: Any) -> tuple[int, Any]:
    try:
        answer = requests.request(
            method, url, timeout=_TIMEOUT_S, allow_redirects=False, stream=True, **arguments
        )
        with answer:
            content = answer.raw.read(_LARGEST_BYTES + 1, decode_content=True)
    except requests.Timeout as exc:
        raise CallFailed(f"{url} did not answer in time.") from exc
    except (requests.RequestException, OSError) as exc:
        raise CallFailed(f"{url} cannot be reached.") from exc
    text = content[:_LARGEST_BYTES].decode("utf-8", "replace")
    if len(content) > _LARGEST_BYTES:
        raise CallFailed(f"{url} answered with more than 50 MB.", answer.status_code)
    if not 200 <= answer.status_code < 300:
        raise CallFailed(f"{url} answered {answer.status_code}.", answer.status_code, text)
    if not content:
        return answer.status_code, None
    try:
        return answer.status_code, json.loads(text)
    except ValueError as exc:
        raise CallFailed(f"{url} did not answer with JSON.", answer.status_code, text) from exc
