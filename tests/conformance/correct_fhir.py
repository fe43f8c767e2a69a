"""A small FHIR R4 server in which every check of the sandbox holds, and which can be broken.

Written from the specification alone; it shares nothing with the suite. ``broken`` names one thing
that goes wrong.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote

TOKEN = "token-of-the-tests"
JSON = "application/fhir+json"
NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_TYPES = {
    "Patient": [],
    "Observation": ["patient", "subject", "category", "code", "date", "status"],
    "Encounter": ["patient", "status", "date"],
    "DocumentReference": ["patient", "category", "date"],
    "DiagnosticReport": ["patient", "date"],
    "Binary": [],
    "Device": ["patient"],
    "ServiceRequest": ["patient", "status"],
    "Task": ["patient", "status"],
    "Condition": ["patient"],
    "MedicationRequest": ["patient"],
    "DeviceMetric": [],
    "DeviceUseStatement": ["patient"],
    "Composition": ["patient", "date"],
}
_READINGS = (
    ("8867-4", "vital-signs", 90, "/min"),
    ("8480-6", "vital-signs", 118, "mm[Hg]"),
    ("2524-7", "laboratory", 2.5, "mmol/L"),
)
Answer = tuple[int, dict[str, str], bytes]


def chart(patient: str) -> list[dict[str, Any]]:
    """Return one patient's resources: 24 vital signs, 12 results, a watch, notes and orders."""
    return [
        {"resourceType": "Patient", "id": patient, "birthDate": "1950-01-01"},
        *(_observation(patient, number) for number in range(36)),
        *(_of_watch(patient, number) for number in range(2)),
        {"resourceType": "Device", "id": f"{patient}-watch", "status": "active"},
        *(_document(patient, number) for number in range(2)),
        {"resourceType": "Binary", "id": f"{patient}-b", "contentType": "text/html", "data": _HTML},
        _own("DiagnosticReport", patient, status="final"),
        _own("Encounter", patient, status="in-progress"),
        _own("ServiceRequest", patient, status="active"),
        _own("Task", patient, "for", status="completed"),
        _own("Condition", patient),
        _own("MedicationRequest", patient, status="active"),
    ]


def _own(kind: str, patient: str, element: str = "subject", **members: Any) -> dict[str, Any]:
    reference = {"reference": f"Patient/{patient}"}
    return {"resourceType": kind, "id": f"{patient}-{kind.lower()}", element: reference, **members}


def _ago(hours: float) -> str:
    return (NOW - timedelta(hours=hours)).isoformat()


def _observation(patient: str, number: int) -> dict[str, Any]:
    code, category, value, unit = _READINGS[number % 3]
    return {
        **_own("Observation", patient, status="final"),
        "id": f"{patient}-o{number:02}",
        "category": [{"coding": [{"system": _CATEGORY, "code": category}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "effectiveDateTime": _ago(4 * number),
        "valueQuantity": {"value": value, "unit": unit, "code": unit},
    }


def _of_watch(patient: str, number: int) -> dict[str, Any]:
    return {
        **_observation(patient, number),
        "id": f"{patient}-w{number}",
        "category": [{"coding": [{"system": _CATEGORY, "code": "activity"}]}],
        "device": {"reference": f"Device/{patient}-watch"},
    }


_HTML = base64.b64encode(b"<html><body>Septic.</body></html>").decode()
_TEXT = base64.b64encode(b"No chest pain.").decode()


def _document(patient: str, number: int) -> dict[str, Any]:
    inline = {"contentType": "text/plain", "data": _TEXT}
    fetched = {"contentType": "text/html", "url": f"Binary/{patient}-b"}
    return {
        **_own("DocumentReference", patient, status="current"),
        "id": f"{patient}-d{number}",
        "category": [{"coding": [{"code": "clinical-note"}]}],
        "date": _ago(5 * number),
        "content": [{"attachment": fetched if number else inline}],
    }


class CorrectFhir:
    """A WSGI application. ``secured``: every request but metadata needs the token."""

    def __init__(self, broken: str = "", *, secured: bool = False) -> None:
        self.broken = broken
        self.secured = secured
        self.base = ""
        self.requests: list[tuple[str, str]] = []  # method and path with query
        self._stored = [*chart("p1"), *chart("p2")]

    def app(self) -> Callable[..., Iterable[bytes]]:
        """Return the WSGI callable."""
        return self._wsgi

    def _wsgi(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.base = f"http://{environ['HTTP_HOST']}/r4"
        size = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(size) if size else b""
        query = environ.get("QUERY_STRING", "")
        path = environ["PATH_INFO"].removeprefix("/r4/")
        self.requests.append((environ["REQUEST_METHOD"], f"{path}?{query}"))
        status, headers, content = self._answer(environ, path, query, body)
        if "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "") and self.broken != "no-gzip":
            content = gzip.compress(content)
            headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(content))
        start(f"{status} Status", list(headers.items()))
        return [content]

    def _answer(self, environ: Mapping[str, Any], path: str, query: str, body: bytes) -> Answer:
        method, headers = environ["REQUEST_METHOD"], {"Content-Type": JSON}
        if "HTTP_ORIGIN" in environ and self.broken != "no-cors":
            headers["Access-Control-Allow-Origin"] = environ["HTTP_ORIGIN"]
            headers["Access-Control-Allow-Headers"] = "authorization"
        if method == "OPTIONS":
            return 204, headers, b""
        if path == "metadata":
            return 200, headers, json.dumps(self._statement()).encode()
        if path == ".well-known/smart-configuration":
            return self._smart(headers)
        given = environ.get("HTTP_AUTHORIZATION") == f"Bearer {TOKEN}"
        if self.secured and not given and self.broken != "open-door":
            return self._refused(headers, 401, "login")
        if method == "POST":
            return self._created(headers, json.loads(body))
        kind, _, identity = path.partition("/")
        if identity:
            return self._instance(headers, method, kind, identity, environ["HTTP_ACCEPT"])
        return self._search(headers, kind, parse_qsl(query, keep_blank_values=True))

    def _refused(self, headers: dict[str, str], status: int, code: str) -> Answer:
        if self.broken == "html-errors":
            return status, {**headers, "Content-Type": "text/html"}, b"<html>no</html>"
        issue = [{"severity": "error", "code": code}]
        outcome = {"resourceType": "OperationOutcome", "issue": issue}
        return status, headers, json.dumps(outcome).encode()

    def _smart(self, headers: dict[str, str]) -> Answer:
        if not self.secured or self.broken == "no-smart":
            return self._refused(headers, 404, "not-found")
        methods = [] if self.broken == "no-key-sign-in" else ["private_key_jwt"]
        configuration = {
            "token_endpoint": f"{self.base}/token",
            "token_endpoint_auth_methods_supported": methods,
        }
        return 200, {"Content-Type": "application/json"}, json.dumps(configuration).encode()

    def _statement(self) -> dict[str, Any]:
        if self.broken == "no-statement":
            return {"resourceType": "Basic"}
        hidden = {"types-hidden": "DiagnosticReport"}.get(self.broken)
        resources = [
            {"type": kind, "searchParam": [{"name": name} for name in names]}
            for kind, names in _TYPES.items()
            if kind != hidden
        ]
        if self.broken == "parameters-hidden":
            resources[1]["searchParam"] = [{"name": "patient"}]
        return {
            "resourceType": "CapabilityStatement",
            "fhirVersion": "3.0.2" if self.broken == "stu3" else "4.0.1",
            "format": ["xml"] if self.broken == "xml-only" else ["json"],
            "software": {"name": "correct", "version": "1"},
            "rest": [{"mode": "server", "resource": resources}],
        }

    def _instance(
        self, headers: dict[str, str], method: str, kind: str, identity: str, accept: str
    ) -> Answer:
        place = {"resourceType": kind, "id": identity}
        found = [one for one in self._stored if {**one, **place} == one]
        if not found:
            if self.broken == "unknown-is-200":
                return 200, headers, json.dumps({"resourceType": "Bundle"}).encode()
            return self._refused(headers, 404, "not-found")
        if method == "DELETE":
            self._stored.remove(found[0])
            return 204, headers, b""
        if kind == "Binary":
            return self._binary(headers, found[0], accept)
        if self.broken != "no-etag":
            headers["ETag"] = 'W/"1"'
        swapped = self.broken == "other-patient" and kind == "Patient"
        return 200, headers, json.dumps({**found[0], **({"id": "p9"} if swapped else {})}).encode()

    def _binary(self, headers: dict[str, str], binary: dict[str, Any], accept: str) -> Answer:
        if self.broken == "no-binary":
            return self._refused(headers, 403, "forbidden")
        if JSON in accept and self.broken != "raw-binary":
            return 200, headers, json.dumps(binary).encode()
        content = base64.b64decode(binary["data"])
        return 200, {**headers, "Content-Type": binary["contentType"]}, content

    def _created(self, headers: dict[str, str], resource: dict[str, Any]) -> Answer:
        if self.broken == "no-writing":
            return self._refused(headers, 405, "not-supported")
        stored = {**resource, "id": f"made-{len(self._stored)}"}
        self._stored.append(stored)
        return 201, headers, json.dumps(stored).encode()

    def _search(self, headers: dict[str, str], kind: str, words: list[tuple[str, str]]) -> Answer:
        own = {"_id", "_count", "_sort", "_offset"}
        unknown = any(name not in own and name not in _TYPES.get(kind, []) for name, _ in words)
        if unknown and self.broken != "unknown-ignored":
            return self._refused(headers, 400, "not-supported")
        if self.broken == f"no-{kind}" or (self.broken == "no-sorting" and _has(words, "_sort")):
            return self._refused(headers, 400, "not-supported")
        filters = [word for word in words if not word[0].startswith("_") or word[0] == "_id"]
        if kind == "Observation" and self._asks_too_much(words):
            return self._refused(headers, 400, "invalid")
        try:
            found = [one for one in self._stored if self._matches(one, kind, filters)]
        except ValueError:
            return self._refused(headers, 400, "invalid")
        return self._page(headers, kind, words, found)

    def _asks_too_much(self, words: list[tuple[str, str]]) -> bool:
        given = dict(words)
        if self.broken == "category-wanted" and not {"category", "code"} & given.keys():
            return True
        return self.broken == "one-category" and "," in given.get("category", "")

    def _page(
        self,
        headers: dict[str, str],
        kind: str,
        words: list[tuple[str, str]],
        found: list[dict[str, Any]],
    ) -> Answer:
        options = dict(words)
        if _has(words, "_sort") and self.broken != "unsorted":
            found = sorted(found, key=_time, reverse=True)
        elif self.broken == "unsorted":
            found = sorted(found, key=_time)
        start = int(options.get("_offset", 0))
        size = int(options.get("_count", 20)) if self.broken != "no-count" else 1000
        size = min(size, 10) if self.broken == "small-pages" else size
        rest = found[start : start + size]
        link = []
        if start + size < len(found) and self.broken != "no-next":
            again = "&".join(f"{n}={quote(v)}" for n, v in words if n not in ("_offset",))
            gap = {"gap": size + 1, "overlap": size - 1}.get(self.broken, size)
            base = "http://elsewhere.example.org/r4" if self.broken == "foreign-next" else self.base
            link = [
                {"relation": "next", "url": f"{base}/{kind}?{again}&_offset={start + gap}"},
            ]
        total = len(rest) if self.broken == "page-total" else len(found)
        bundle = {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": total,
            "link": link,
            "entry": [{"resource": self._shown(one)} for one in rest],
        }
        return 200, headers, json.dumps(bundle).encode()

    def _shown(self, resource: dict[str, Any]) -> dict[str, Any]:
        if self.broken == "wrong-type" and resource["resourceType"] == "DocumentReference":
            attachment = {**resource["content"][0]["attachment"], "contentType": "application/pdf"}
            return {**resource, "content": [{"attachment": attachment}]}
        return resource

    def _matches(self, resource: dict[str, Any], kind: str, filters: list[tuple[str, str]]) -> bool:
        if resource["resourceType"] != kind:
            return False
        return all(self._fits(resource, name, value) for name, value in filters)

    def _fits(self, resource: dict[str, Any], name: str, value: str) -> bool:
        options = value.split(",")
        if name in ("patient", "subject"):
            return self._is_of(resource, name, value)
        if name == "_id":
            return resource["id"] in options and self.broken != "no-id-search"
        if name == "status":
            return resource.get("status") in options or self.broken == "any-status"
        if name == "date":
            return self._is_at(resource, value)
        if name in ("category", "code"):
            return self._has_code(resource, name, options)
        return True

    def _is_of(self, resource: dict[str, Any], name: str, value: str) -> bool:
        if self.broken == "leak" and resource["id"] == "p2-o00" and value.endswith("p1"):
            return True
        if self.broken == "typed-only" and name == "patient" and "/" in value:
            return False
        held = resource.get("subject") or resource.get("for") or {}
        return held.get("reference") == f"Patient/{value.removeprefix('Patient/')}"

    def _is_at(self, resource: dict[str, Any], value: str) -> bool:
        if self.broken == "dates-unread":
            return True
        limit = date.fromisoformat(value[2:])
        if self.broken == "date-ignored":
            return True
        day = datetime.fromisoformat(_time(resource)).date()
        if self.broken == "no-range" and value.startswith("lt"):
            return True
        return day >= limit if value.startswith("ge") else day < limit

    def _has_code(self, resource: dict[str, Any], name: str, options: list[str]) -> bool:
        if self.broken == "category-ignored" and name == "category" and "activity" not in options:
            return True
        held = resource.get(name, [])
        codings = [c for one in (held if isinstance(held, list) else [held]) for c in one["coding"]]
        if self.broken == "no-codes" and name == "code":
            return False
        if self.broken == "no-systems" and name == "code" and "|" in options[0]:
            return False
        if self.broken == "no-clinical-notes" and "clinical-note" in options:
            return False
        if self.broken == "first-category" and name == "category":
            options = options[:1]
        return any(option.rpartition("|")[2] == c["code"] for option in options for c in codings)


def _has(words: list[tuple[str, str]], name: str) -> bool:
    return any(name == one for one, _ in words)


def _time(resource: dict[str, Any]) -> str:
    return str(resource.get("effectiveDateTime") or resource.get("date") or NOW.isoformat())
