"""One FHIR server as one client sees it: URLs in, resources or errors out."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_adapters.body import parse_json
from fhir_adapters.capability import Capabilities, CapabilityCache, read_capabilities
from fhir_adapters.chart import Resource
from fhir_adapters.errors import FhirBadAnswer, FhirError, FhirRejected
from fhir_adapters.origin import Origin, resolve
from fhir_adapters.outcome import error_for, summary
from fhir_adapters.paging import Page
from fhir_adapters.rate_limit import retry_after_s
from fhir_adapters.transport import Answer, Transport

_FHIR_JSON = "application/fhir+json"
# Servers that do not know the newer name of the media type know the older one.
_ACCEPT = {"Accept": f"{_FHIR_JSON}, application/json;q=0.9"}
# No note asks for a password; a portal that has lost the session does, with status 200.
_PASSWORD_FIELD = re.compile(rb"<input[^>]{0,500}type\s*=\s*[\"']?password", re.IGNORECASE)
_ACCEPT_ANY = {"Accept": f"{_FHIR_JSON}, application/json;q=0.9, */*;q=0.5"}
_INSTANCE = re.compile(r"([A-Z][A-Za-z]+)/([^/?#\s\\]+)")


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """The bytes of an answer that was used, for audit: parsing loses 98.60 and +00:00."""

    source: str  # "Patient/1", "Observation?category=laboratory, page 2"
    media_type: str
    body: bytes


class Server:
    """Reads resources of one FHIR server; blocks until the answer is there."""

    def __init__(
        self,
        base_url: str,
        home: Origin,
        transport: Transport,
        capabilities: CapabilityCache,
        *,
        clock: Callable[[], datetime],
        on_answer: Callable[[RawAnswer], None] | None = None,
    ) -> None:
        self.base_url = base_url
        self.home = home
        self._transport = transport
        self._cache = capabilities
        self._cache_lock = threading.Lock()
        self._clock = clock
        self._on_answer = on_answer

    def read(self, path: str) -> Resource:
        """Read ``Type/id``. Raises FhirError, also if the answer is another resource."""
        found = _INSTANCE.fullmatch(path)
        if not found or found[2] in (".", ".."):
            raise FhirRejected("a read is not of the form Type/id")
        _, resource = self._resource(f"{self.base_url}/{path}", path)
        if (resource["resourceType"], resource.get("id")) != found.groups():
            kind = _known_type(resource)
            raise FhirBadAnswer(f"{path}: the FHIR server sent another resource ({kind})")
        return resource

    def page(self, url: str, what: str, handling: str) -> Page:
        """Read one page of a search. ``handling``: "strict" forbids ignoring a parameter."""
        return Page(*self._resource(url, what, {"Prefer": f"handling={handling}"}))

    def attachment(self, url: str) -> Resource:
        """Read what an Attachment.url names: a FHIR Binary, or raw bytes wrapped as one."""
        what = url if _INSTANCE.fullmatch(url) else "an attachment"
        answer = self._get(resolve(url, f"{self.base_url}/", self.home, what), what, _ACCEPT_ANY)
        if not answer.body:
            raise FhirBadAnswer(f"{what}: the FHIR server sent an empty body")
        resource = _fhir_resource(answer, what)
        if resource is not None and resource["resourceType"] == "OperationOutcome":
            raise FhirBadAnswer(
                f"{what}: an OperationOutcome instead of data ({summary(resource)})"
            )
        is_binary = resource is not None and resource["resourceType"] == "Binary"
        declared = resource is not None or "fhir+json" in answer.media_type
        if "Binary/" in url and declared and not is_binary:
            raise FhirBadAnswer(f"{what}: something else than a whole Binary")
        if "html" in answer.media_type and _PASSWORD_FIELD.search(answer.body):
            raise FhirBadAnswer(f"{what}: a page for a login instead of data")
        self._keep(answer, what)
        if resource is None or resource["resourceType"] != "Binary":
            return _wrapped(answer, url)
        if url.endswith(f"Binary/{resource.get('id')}"):
            return resource
        meta = resource.get("meta")
        meta = meta if isinstance(meta, dict) else {}
        return {**resource, "meta": {**meta, "source": url}}

    def known_capabilities(self) -> Capabilities | None:
        """Return the capabilities if they have been read within a day, without asking."""
        return self._cache.get(self.base_url)

    def capabilities(self) -> Capabilities:
        """Return the capabilities, read once for all threads and then cached."""
        with self._cache_lock:
            known = self._cache.get(self.base_url)
            if known is None:
                _, statement = self._resource(f"{self.base_url}/metadata", "metadata")
                known = read_capabilities(statement, "metadata")
                self._cache.put(self.base_url, known)
            return known

    def _resource(
        self, url: str, what: str, headers: dict[str, str] | None = None
    ) -> tuple[str, dict[str, Any]]:
        answer = self._get(url, what, {**_ACCEPT, **(headers or {})})
        resource = parse_json(answer.body, what)
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            raise FhirBadAnswer(f"{what}: the JSON is not a FHIR resource")
        self._keep(answer, what)
        return answer.url, resource

    def _get(self, url: str, what: str, headers: dict[str, str]) -> Answer:
        """Return an answer of a 2xx status. Raises FhirError for every other."""
        answer = self._transport.get(url, what, headers)
        if answer.status >= 400:
            wait_s = retry_after_s(answer.headers, self._clock())
            raise error_for(answer.status, _json_or_none(answer.body, what), what, wait_s)
        if not 200 <= answer.status < 300:
            raise FhirBadAnswer(f"{what}: the FHIR server answered {answer.status} without data")
        return answer

    def _keep(self, answer: Answer, what: str) -> None:
        if self._on_answer is not None:
            self._on_answer(RawAnswer(what, answer.media_type, answer.body))


def _fhir_resource(answer: Answer, what: str) -> dict[str, Any] | None:
    """Return the FHIR resource that a body is, None if it is something else."""
    if "json" not in answer.media_type:
        return None
    value = _json_or_none(answer.body, what)
    is_resource = isinstance(value, dict) and isinstance(value.get("resourceType"), str)
    return value if is_resource else None


def _wrapped(answer: Answer, url: str) -> Resource:
    content_type = answer.headers.get("Content-Type", "").strip()
    return {
        "resourceType": "Binary",
        "meta": {"source": url},
        "contentType": content_type or "application/octet-stream",
        "data": base64.b64encode(answer.body).decode("ascii"),
    }


def _json_or_none(body: bytes, what: str) -> Any:
    try:
        return parse_json(body, what)
    except FhirError:
        return None


def _known_type(resource: Resource) -> str:
    kind = resource["resourceType"]
    if kind == "OperationOutcome":
        return f"OperationOutcome {summary(resource)}"
    return kind if re.fullmatch(r"[A-Z][A-Za-z]{1,40}", kind) else "of no FHIR type"
