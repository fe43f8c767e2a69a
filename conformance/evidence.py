"""What went over the wire where a case failed, without secrets and without data of patients.

About the made-up patient all is shown, long texts shortened. About a patient of a real FHIR server
only the shape is: names of members, types, and codes that the specification defines.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from conformance.exchange import Answer, NotJson, is_deep
from conformance.json_path import dicts
from conformance.plain_text import plain
from conformance.secrets_in_text import without_secrets

_LONGEST_TEXT = 300
_MOST_ENTRIES = 6
_LONGEST_BODY = 6_000
_HEADERS = {
    *("allow", "cache-control", "content-length", "content-type", "retry-after", "server", "vary"),
    "www-authenticate",
}
# Members whose texts the specification defines, and that tell nothing of a patient.
_PLAIN = {
    *("hook", "hookInstance", "indicator", "type", "resourceType", "selectionBehavior", "severity"),
    *("outcome", "outcomeTimestamp", "uuid", "card", "token_type", "fhirServer", "scope", "code"),
    *("system", "actionSelectionBehavior", "hookVersion", "version", "status"),
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, as a report shows them."""

    what: str
    request: str
    response: str
    elapsed_ms: float


def exchange_of(answer: Answer, access_token: str, *, made_up: bool) -> Exchange:
    """Return what may be shown of an exchange. ``made_up``: whether the patient is."""
    sent = answer.sent
    address = urlsplit(sent.url)
    lines = [f"{sent.method} {address.path} HTTP/1.1", f"Host: {address.netloc}"]
    lines += [f"{name}: {_header(name, value)}" for name, value in sent.headers.items()]
    asked = without_secrets((sent.body or b"").decode("utf-8", "replace"), access_token)
    request = "\n".join(lines) + _body(asked, made_up=made_up)
    about_patient = sent.method == "POST" and not made_up
    shown = [f"HTTP/1.1 {answer.status}"] + [
        f"{name}: {_shortened(without_secrets(value, access_token), _LONGEST_TEXT)}"
        for name, value in answer.headers.items()
        if name.lower() in _HEADERS or name.lower().startswith("access-control-")
    ]
    response = "\n".join(shown) + _answered(answer, access_token, made_up=not about_patient)
    return Exchange(
        what=plain(answer.what),
        request=plain(request),
        response=plain(response),
        elapsed_ms=answer.elapsed_ms,
    )


def _header(name: str, value: str) -> str:
    if name.lower() != "authorization":
        return value
    scheme, _, token = value.partition(" ")
    parts = token.split(".")
    if len(parts) == 3 and parts[0].startswith("eyJ"):
        try:
            header, claims = (json.dumps(_decoded(part)) for part in parts[:2])
        except ValueError:  # a case can send what is none
            return f"{scheme} (left out)"
        return f"{scheme} JWT of the header {header} and the claims {claims}, signature left out"
    return f"{scheme} (left out)"


def _decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def _body(content: str, *, made_up: bool) -> str:
    if not content:
        return ""
    try:
        value = _loaded(content)
    except ValueError:  # a body that a case sends as it is
        return "\n\n" + content[:_LONGEST_TEXT]
    if isinstance(value, dict) and isinstance(value.get("prefetch"), dict):
        kept = {key: _resource(resource) for key, resource in value["prefetch"].items()}
        value = {**value, "prefetch": kept}
    return "\n\n" + _text(value if made_up else _shape(value))


def _answered(answer: Answer, access_token: str, *, made_up: bool) -> str:
    if not answer.body:
        return ""
    # Before anything is shortened: what is left of a token would not be known as one.
    text = without_secrets(answer.body.decode("utf-8", "replace"), access_token)
    try:
        value = _loaded(text)
    except ValueError:
        kind = answer.header("Content-Type").partition(";")[0]
        readable = kind.startswith("text/") or kind in ("", "application/json")
        if not made_up or not readable:
            return f"\n\n({len(answer.body)} bytes, {kind or 'without media type'})"
        return "\n\n" + _shortened(text, 3 * _LONGEST_TEXT)
    return "\n\n" + _text(_short(value) if made_up else _shape(value))


def _resource(value: Any) -> Any:
    """Say of a prefetched resource what it is, not what is in it."""
    if not isinstance(value, dict) or value.get("resourceType") == "OperationOutcome":
        return value
    said: dict[str, Any] = {"resourceType": value.get("resourceType")}
    if value.get("resourceType") == "Bundle":
        said["entry"] = f"({len(dicts(value.get('entry')))} entries)"
    return said


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return _shortened(value, _LONGEST_TEXT)
    if isinstance(value, list):
        rest = len(value) - _MOST_ENTRIES
        more = [f"({rest} more)"] if rest > 0 else []
        return [_short(one) for one in value[:_MOST_ENTRIES]] + more
    if isinstance(value, dict):
        return {name: _short(member) for name, member in value.items()}
    return value


def _shape(value: Any, name: str = "") -> Any:
    """Replace texts and numbers by what they are, save where they are the specification's."""
    if isinstance(value, Mapping):
        return {
            key: _resource(member) if key == "resource" else _shape(member, key)
            for key, member in value.items()
        }
    if isinstance(value, list):
        return [_shape(one, name) for one in value[:_MOST_ENTRIES]]
    if isinstance(value, str) and value and name not in _PLAIN:
        return f"({len(value)} characters)"
    if isinstance(value, int | float) and not isinstance(value, bool) and name != "expires_in":
        return "(a number)"
    return value


def _shortened(text: str, longest: int) -> str:
    rest = len(text) - longest
    return f"{text[:longest]} ({rest} more characters)" if rest > 0 else text


def _text(value: Any) -> str:
    return _shortened(json.dumps(value, indent=2, ensure_ascii=False), _LONGEST_BODY)


def _loaded(text: str) -> Any:
    """Return the value of JSON. Raises ValueError, also where it is too deep to be walked."""
    try:
        value = json.loads(text)
    except RecursionError as exc:
        raise NotJson(text) from exc
    if is_deep(value):
        raise NotJson(text)
    return value
