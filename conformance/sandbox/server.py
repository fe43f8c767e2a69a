"""A FHIR server as the probes ask it: by GET, at a pace, with its token on its own origin only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from conformance.addresses import checked_base
from conformance.exchange import Answer, NotJson, Wire
from conformance.json_path import dicts
from conformance.sandbox.checks import NotTried

FHIR_JSON = "application/fhir+json"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_SHOWN = ("category", "_count", "_sort", "status")  # values that say nothing about a patient


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search, or what came instead of it."""

    status: int
    resources: tuple[Mapping[str, Any], ...] = ()  # the matches
    links: Mapping[str, str] = field(default_factory=dict)
    total: int | None = None
    answer: Answer | None = None
    fault: str = ""  # why it is no page: one sentence

    def ids(self) -> list[str]:
        """Return ``Type/id`` of the matches, in order."""
        return [f"{one.get('resourceType')}/{one.get('id')}" for one in self.resources]


class Server:
    """Sends the requests of all probes. ``writing``: whether more than reading is allowed."""

    def __init__(
        self,
        base_url: str,
        wire: Wire,
        token: str = "",
        *,
        writing: bool = False,
        authority: Path | None = None,
    ) -> None:
        """``authority``: who certified the server, PEM; the wire has to trust it too."""
        self.base_url = checked_base(base_url)
        self.authority = authority
        self.wire = wire
        self._token = token
        self._writing = writing

    @property
    def has_token(self) -> bool:
        """Whether requests carry a token."""
        return bool(self._token)

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        accept: str = FHIR_JSON,
        body: bytes | None = None,
        token: bool = True,
    ) -> Answer:
        """Send one request below the base URL, or to a link of this server. Raises NoAnswer."""
        if method not in _READING and not self._writing:
            raise NotTried("This run only reads.")
        url = self.resolve(path)
        if url is None:
            raise NotTried("The link leads to another server, and is not followed.")
        sent = {"Accept": accept, "Accept-Encoding": "gzip", **(headers or {})}
        if self._token and token:
            sent["Authorization"] = f"Bearer {self._token}"
        return self.wire.send(method, url, sent, body, f"{method} {label(path)}")

    def search(self, query: str, **options: Any) -> Page:
        """Run one search, one page of it. Raises NoAnswer."""
        return read_page(self.ask(query, **options))

    def resolve(self, link: str) -> str | None:
        """Return where a link leads, None where that is not this server."""
        try:
            url = urljoin(f"{self.base_url}/", link)
            return url if origin(url) == origin(self.base_url) else None
        except ValueError:  # what is no address leads nowhere
            return None


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, (parts.hostname or "").lower(), port


def label(path: str) -> str:
    """Name a request in reports: types and parameters, and no value that is a patient's."""
    if "://" in path:
        return "a link of the server"
    where, _, query = path.partition("?")
    kind, slash, _ = where.partition("/")
    if kind.startswith("."):
        return where
    named = f"{kind}/ID" if slash else kind
    if not query:
        return named
    words = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        words.append(f"{name}={value}" if name in _SHOWN else name)
    return f"{named}?{'&'.join(words)}"


def read_page(answer: Answer) -> Page:
    """Read the answer to a search."""
    if answer.status != 200:
        return Page(answer.status, answer=answer, fault=f"{answer.what}: {told(answer)}.")
    try:
        bundle = answer.json()
    except NotJson:
        return Page(200, answer=answer, fault=f"{answer.what}: status 200 without JSON.")
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        return Page(200, answer=answer, fault=f"{answer.what}: status 200 without a Bundle.")
    total = bundle.get("total")
    return Page(
        200,
        tuple(_matches(bundle)),
        {
            str(link.get("relation")): str(link.get("url"))
            for link in dicts(bundle.get("link"))
            if link.get("url")
        },
        total if isinstance(total, int) else None,
        answer,
    )


def _matches(bundle: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for entry in dicts(bundle.get("entry")):
        resource, search = entry.get("resource"), entry.get("search")
        mode = search.get("mode", "match") if isinstance(search, dict) else "match"
        if not isinstance(resource, dict) or mode != "match":
            continue
        if resource.get("resourceType") != "OperationOutcome":
            yield resource


def told(answer: Answer) -> str:
    """Say what an answer is, by status and issue codes: other text may name a patient."""
    codes = outcome_codes(answer)
    if codes:
        return f"status {answer.status} with an OperationOutcome ({', '.join(codes)})"
    if not answer.body:
        return f"status {answer.status} with an empty body"
    return f"status {answer.status} with {media_type(answer) or 'a body of no known type'}"


def media_type(answer: Answer) -> str:
    """Return the media type without parameters, "" if the header holds none."""
    kind = answer.header("Content-Type").partition(";")[0].strip().lower()
    return kind if re.fullmatch(r"[\w.+-]+/[\w.+-]+", kind) else ""


def outcome_codes(answer: Answer) -> list[str]:
    """Return the issue codes of an OperationOutcome; empty if it is none, or has no code."""
    try:
        body = answer.json()
    except NotJson:
        return []
    if not isinstance(body, dict) or body.get("resourceType") != "OperationOutcome":
        return []
    codes = [issue.get("code") for issue in dicts(body.get("issue"))]
    return [code for code in codes if isinstance(code, str) and re.fullmatch(r"[a-z-]{1,40}", code)]


def quoted(value: str) -> str:
    """Write a value into a query."""
    return quote(value, safe=":|,/.-", errors="replace")
