"""The suite's own FHIR endpoint and JWK Set: it records who asks for what, and with which token.

Two origins: the one that hook requests name as ``fhirServer``, and a foreign one that a service
has no reason to call.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import urllib3

from conformance.addresses import in_url
from conformance.bounded import LONGEST_S, NoAnswer, Raw, fetch
from conformance.exchange import is_deep
from conformance.sample import outcome, searchset

JWKS_PATH = "/.well-known/jwks.json"
_FHIR = "/fhir/"
_MOST_SILENT = 2  # a FHIR server that hangs would hold up every template
_SEARCH = "/_search"
NEXT_PAGE = "conformance-next-page"
SEARCH_BY_POST = "POST _search"  # for words that are not to stand in logs of addresses
READS = ("GET", SEARCH_BY_POST)


class Chart(Protocol):
    """Where the endpoint's FHIR answers come from."""

    def get(self, query: str) -> tuple[int, Any]:
        """Return status and body for a URL relative to the FHIR base."""


class UpstreamChart:
    """A real FHIR server, of which only GET is used, below its base URL alone.

    ``shown_as``: the base URL under which its answers go on. Its own addresses in links and
    attachments become such ones, or a service would have to leave the server that it was given.
    """

    shown_as = ""

    def __init__(
        self,
        base_url: str,
        token: str = "",
        authority: Path | None = None,
        longest_s: float = LONGEST_S,
    ) -> None:
        """``authority``: who certified the server, PEM; else one of this system's authorities."""
        self._longest_s = longest_s
        self._silent = 0  # requests without an answer, in a row
        self._base_url = base_url.rstrip("/")
        self._headers = {"Accept": "application/fhir+json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._pool = urllib3.PoolManager(ca_certs=str(authority) if authority else None)

    def get(self, query: str) -> tuple[int, Any]:
        """Ask the FHIR server; what is no JSON object becomes a 502 with an OperationOutcome."""
        if ".." in unquote(query).replace("\\", "/").partition("?")[0].split("/"):
            return 404, outcome("not-found")  # our token is for what is below the base URL
        try:
            raw = self._asked(query)
            body = json.loads(raw.body)
        except (NoAnswer, ValueError, RecursionError):
            return 502, outcome("transient")
        if not isinstance(body, dict) or is_deep(body):
            return 502, outcome("transient")
        return raw.status, self._moved(body)

    def why_not(self, query: str) -> str:
        """Return why a resource cannot be read, as the end of a sentence; "" where it can."""
        try:
            raw = self._asked(query)
            kind = json.loads(raw.body).get("resourceType") if raw.status == 200 else ""
        except NoAnswer as exc:
            return str(exc)
        except (ValueError, AttributeError, RecursionError):
            return "status 200 without a FHIR resource in JSON"
        if raw.status != 200:
            return f"status {raw.status}"
        return "" if kind == query.partition("/")[0] else "another resource came"

    def _asked(self, query: str) -> Raw:
        if self._silent >= _MOST_SILENT:
            raise NoAnswer("the FHIR server does not answer any more")
        self._silent += 1
        url = f"{self._base_url}/{query}"
        raw = fetch(self._pool, "GET", url, self._headers, longest_s=self._longest_s)
        self._silent = 0
        return raw

    def _moved(self, value: Any) -> Any:
        """Return an answer in which url and fullUrl name the endpoint instead of the server."""
        if isinstance(value, list):
            return [self._moved(one) for one in value]
        if not isinstance(value, dict) or not self.shown_as:
            return value
        return {
            name: self._address(held)
            if name in ("url", "fullUrl") and isinstance(held, str)
            else self._moved(held)
            for name, held in value.items()
        }

    def _address(self, url: str) -> str:
        rest = url.removeprefix(self._base_url)
        if rest == url or rest[:1] not in ("/", "?"):
            return url
        return f"{self.shown_as}/{rest.removeprefix('/')}"


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that a service made to us."""

    origin: str  # "home" or "foreign"
    method: str
    query: str  # relative to the FHIR base, or the whole path elsewhere; a search as its GET
    authorization: str = field(repr=False)

    @property
    def fhir(self) -> bool:
        """True for data of FHIR, False for the JWK Set and anything else.

        What a server says of itself is about no patient and needs no token: a service may read it
        at any time, also between hooks.
        """
        return not self.query.startswith("/") and not is_about_server(self.query)


class Endpoint:
    """Both origins. Use it as a context manager."""

    def __init__(
        self,
        chart: Chart,
        host: str = "127.0.0.1",
        port: int = 0,
        public_url: str = "",
        foreign: tuple[str, int] = ("127.0.0.1", 0),
        foreign_url: str = "",
    ) -> None:
        """``public_url``: how services reach the first origin, where a proxy stands before it.

        ``foreign``: host and port of the second origin, and ``foreign_url`` how that is reached.
        """
        self.chart = chart
        self.access_token = ""  # a real chart is for those alone who show it
        self.key_set_fetches = 0
        self.behaviour = "plain"
        self.key_sets: Mapping[str, Mapping[str, Any]] = {}
        self._seen: list[Seen] = []
        self._home = _server(host, port, self._handler("home"))
        try:
            self._foreign = _server(*foreign, self._handler("foreign"))
        except OSError:
            self._home.server_close()
            raise
        self.url = public_url.rstrip("/") or _url(host, self._home)
        self.foreign_url = foreign_url.rstrip("/") or _url(foreign[0], self._foreign)
        if isinstance(chart, UpstreamChart):
            chart.shown_as = f"{self.url}{_FHIR.rstrip('/')}"

    def start(self, behaviour: str) -> None:
        """Forget what was seen, and answer FHIR requests in this way from now on."""
        self._seen.clear()
        self.behaviour = behaviour

    def seen(self, origin: str) -> list[Seen]:
        """Return what an origin was asked since ``start``."""
        return [one for one in self._seen if one.origin == origin]

    def __enter__(self) -> Endpoint:
        for server in (self._home, self._foreign):
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in (self._home, self._foreign):
            server.shutdown()
            server.server_close()

    def answer(
        self, origin: str, method: str, path: str, authorization: str, form: str = ""
    ) -> tuple[int, dict[str, str], Any]:
        """Record one request and return status, headers and body. ``form``: what it has as body."""
        is_fhir = path.startswith(_FHIR)
        query = path.removeprefix(_FHIR) if is_fhir else path
        if is_fhir and method == "POST" and query.partition("?")[0].endswith(_SEARCH):
            method, query = SEARCH_BY_POST, _as_get(query, form)
        self._seen.append(Seen(origin, method, query, authorization))
        if path == JWKS_PATH:
            self.key_set_fetches += origin == "home"
            return 200, {}, self.key_sets.get(origin, {"keys": []})
        if not is_fhir:
            return 404, {}, outcome("not-found")
        if method not in READS:
            return 405, {}, outcome("not-supported")
        allowed = authorization == f"Bearer {self.access_token}" or is_about_server(query)
        if isinstance(self.chart, UpstreamChart) and origin == "home" and not allowed:
            return 401, {"WWW-Authenticate": "Bearer"}, outcome("login")
        return self._fhir(origin, query)

    def _fhir(self, origin: str, query: str) -> tuple[int, dict[str, str], Any]:
        if NEXT_PAGE in query or origin == "foreign":
            return 200, {}, searchset([])
        if is_about_server(query):  # or a careful service would not come as far as to the data
            status, body = self.chart.get(query)
            return status, {}, body
        if self.behaviour.startswith("status-"):
            return int(self.behaviour.removeprefix("status-")), {}, outcome("exception")
        if self.behaviour == "redirect":
            return 302, {"Location": f"{self.foreign_url}{_FHIR}{query}"}, outcome("informational")
        status, body = self.chart.get(query)
        if self.behaviour == "foreign-next" and body.get("resourceType") == "Bundle":
            link = {"relation": "next", "url": f"{self.foreign_url}{_FHIR}Basic?page=2"}
            body = {**body, "link": [link]}
        return status, {}, body

    def _handler(self, origin: str) -> type[BaseHTTPRequestHandler]:
        return type(
            "Handler", (_Handler,), {"origin": origin, "respond": staticmethod(self.answer)}
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    origin = ""
    respond: Callable[[str, str, str, str, str], tuple[int, dict[str, str], Any]]

    def do_GET(self) -> None:
        """Answer any request; bodies are read, and dropped save for those of searches."""
        try:
            sent = self.rfile.read(max(0, int(self.headers.get("Content-Length") or 0)))
            path = urlsplit(self.path)._replace(scheme="", netloc="").geturl()
        except ValueError:
            self.send_error(400)
            return
        authorization = self.headers.get("Authorization", "")
        form = sent.decode("utf-8", "replace")
        status, headers, body = self.respond(self.origin, self.command, path, authorization, form)
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/fhir+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def __getattr__(self, name: str) -> Any:
        """Take every other method alike; the base class looks for do_ and its name."""
        if name.startswith("do_"):
            return self.do_GET
        raise AttributeError(name)

    def log_message(self, *_: Any) -> None:
        """Say nothing: a query may hold a patient's id."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing of a service that hangs up before our answer is written."""


class _Server6(_Server):
    address_family = socket.AF_INET6


def is_about_server(query: str) -> bool:
    """Say whether a query asks what a FHIR server is, which it tells without a token."""
    path = query.partition("?")[0].strip("/")
    return path in ("metadata", ".well-known/smart-configuration")


def _as_get(query: str, form: str) -> str:
    """Return a search by POST as the GET that means the same."""
    path, _, words = query.partition("?")
    return f"{path.removesuffix(_SEARCH)}?{'&'.join(part for part in (words, form) if part)}"


def _server(host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> _Server:
    return (_Server6 if ":" in host else _Server)((host, port), handler)


def _url(host: str, server: _Server) -> str:
    return f"http://{in_url(host)}:{server.server_port}"
