"""A FHIR server in front of the real one, which fails as real ones do: at random, by a seed.

Each request of one hook gets a fault or none by the hook's seed and the request's address, so that
a run can be repeated. Some faults end after the first try, as a retry should find out.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from tests.fhir_adapters.raw_server import RawServer, json_answer

_SLOW_S = 9.0  # longer than a hook of the chaos run has
_TURNED = 16


class FaultProxy:
    """Passes requests on to ``upstream``, except for those that a seed spoils."""

    def __init__(self, upstream: str, strangers: Iterable[str], rate: float = 0.12) -> None:
        self._upstream = upstream
        self._strangers = list(strangers)  # ids of other patients
        self._rate = rate
        self._lock = threading.Lock()
        self._answers: dict[str, tuple[int, bytes]] = {}
        self._tries: Counter[str] = Counter()
        self._server = RawServer(self._handle)
        self._session = requests.Session()
        self.seed: int | None = None  # None: no faults
        self.injected: dict[str, str] = {}  # address -> fault, of the present hook
        self.seen: dict[str, set[str]] = {}  # key -> sources that the real server gave

    @property
    def url(self) -> str:
        """The base URL that takes the place of the real server's."""
        return self._server.url

    def begin(self, seed: int | None) -> None:
        """Forget the hook before; spoil the requests of the next one by this seed."""
        with self._lock:
            self.seed = seed
            self.injected = {}
            self._tries.clear()

    def close(self) -> None:
        """Stop."""
        self._server.close()
        self._session.close()

    def _handle(self, connection: socket.socket, head: bytes) -> None:
        target = head.split(b" ", 2)[1].decode("latin-1")
        address = target.removeprefix("/fhir")
        fault = self._fault_of(address)
        status, body = self._real(address)
        if fault is None:
            _send(connection, body, status)
        else:
            _FAULTS[fault](self, connection, address, body)

    def _fault_of(self, address: str) -> str | None:
        with self._lock:
            if self.seed is None:
                return None
            random = Random(f"{self.seed} {address}")
            self._tries[address] += 1
            if random.random() >= self._rate:
                return None
            fault = random.choice(list(_FAULTS))
            if random.random() < 0.3 and self._tries[address] > 1:
                return None  # it was a passing fault
            self.injected[address] = fault
            return fault

    def _real(self, address: str) -> tuple[int, bytes]:
        with self._lock:
            known = self._answers.get(address)
        if known is None:
            answer = self._session.get(self._upstream + address, timeout=60)
            # Links of the real server lead back to us, as a server behind a proxy has them.
            body = answer.content.replace(self._upstream.encode(), self.url.encode())
            known = answer.status_code, body
            with self._lock:
                self._answers[address] = known
                self.seen.setdefault(key_of(address), set()).update(_sources(body))
        return known

    def stranger(self, address: str) -> bytes:
        """The answer to the same request about somebody else."""
        other = self._strangers[0]
        parts = urlsplit(address)
        asked = parse_qs(parts.query).get("patient")
        if asked:
            return self._real(address.replace(asked[0], other))[1]
        return self._real(f"/Patient/{other}")[1]


def key_of(address: str) -> str:
    """The prefetch key that an address is about."""
    parts = urlsplit(address)
    kind, category = parts.path.strip("/").partition("/")[0], parse_qs(parts.query)
    names = {
        "Patient": "patient",
        "Encounter": "encounter",
        "DocumentReference": "notes",
        "Binary": "notes",
        "DiagnosticReport": "reports",
        "Composition": "compositions",
        "Device": "devices",
        "metadata": "metadata",
    }
    if kind in names:
        return names[kind]
    if "code" in category:
        return "bedside"
    observations = {
        "vital-signs": "vitalSigns",
        "laboratory": "laboratory",
        "activity": "deviceData",
        "procedure": "deviceData-procedure",
    }
    return observations.get(category.get("category", [""])[0], "page")


def _sources(body: bytes) -> set[str]:
    try:
        tree = json.loads(body)
    except ValueError:
        return set()
    found = [entry.get("resource", {}) for entry in tree.get("entry", [])] or [tree]
    return {f"{one['resourceType']}/{one['id']}" for one in found if "id" in one}


def _send(connection: socket.socket, body: bytes, status: int = 200, *headers: str) -> None:
    connection.sendall(json_answer(body, *headers, status=f"{status} X"))


def _status(status: int, *headers: str) -> Any:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "x"}]}

    def answer(_p: FaultProxy, connection: socket.socket, _a: str, _b: bytes) -> None:
        _send(connection, json.dumps(outcome).encode(), status, *headers)

    return answer


def _delay(_p: FaultProxy, connection: socket.socket, _a: str, body: bytes) -> None:
    time.sleep(_SLOW_S)
    _send(connection, body)


def _short_delay(_p: FaultProxy, connection: socket.socket, _a: str, body: bytes) -> None:
    time.sleep(0.1)
    _send(connection, body)


def _cut_json(_p: FaultProxy, connection: socket.socket, _a: str, body: bytes) -> None:
    _send(connection, body[: len(body) * 2 // 3])


def _cut_stream(_p: FaultProxy, connection: socket.socket, _a: str, body: bytes) -> None:
    connection.sendall(json_answer(body)[: -(len(body) // 2 or 1)])


def _login_page(_p: FaultProxy, connection: socket.socket, _a: str, _b: bytes) -> None:
    form = b'<form><input name="user"><input type="password" name="p"></form>'
    page = b"<html><body><p>Please log in</p>" + form + b"</body></html>"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(page)}\r\n\r\n"
    connection.sendall(head.encode() + page)


def _stranger(proxy: FaultProxy, connection: socket.socket, address: str, _b: bytes) -> None:
    _send(connection, proxy.stranger(address))


def _stranger_mixed(
    proxy: FaultProxy, connection: socket.socket, address: str, body: bytes
) -> None:
    tree, other = json.loads(body), json.loads(proxy.stranger(address))
    if tree.get("resourceType") == "Bundle" and other.get("entry"):
        tree["entry"] = [*tree.get("entry", []), other["entry"][0]]
        _send(connection, json.dumps(tree).encode())
    else:
        _send(connection, json.dumps(other).encode())


def _outcome(_p: FaultProxy, connection: socket.socket, _a: str, _b: bytes) -> None:
    _status(200)(_p, connection, _a, _b)


def _outcome_inside(_p: FaultProxy, connection: socket.socket, _a: str, body: bytes) -> None:
    tree = json.loads(body)
    issue = {"severity": "error", "code": "incomplete", "diagnostics": "not all could be read"}
    outcome = {"resourceType": "OperationOutcome", "issue": [issue]}
    if tree.get("resourceType") == "Bundle":
        entry = {"resource": outcome, "search": {"mode": "outcome"}}
        tree["entry"] = [*tree.get("entry", [])[:1], entry]
        _send(connection, json.dumps(tree).encode())
    else:
        _send(connection, json.dumps(outcome).encode())


def _empty_page(proxy: FaultProxy, connection: socket.socket, address: str, body: bytes) -> None:
    """No entries, and a next page that is the same one: a circle."""
    link = [{"relation": "next", "url": proxy.url + address}]
    bundle = {"resourceType": "Bundle", "type": "searchset", "link": link}
    _send(connection, json.dumps(bundle).encode())


def _foreign_next(_p: FaultProxy, connection: socket.socket, _a: str, body: bytes) -> None:
    tree = json.loads(body)
    if tree.get("resourceType") == "Bundle":
        tree["entry"] = tree.get("entry", [])[:2]
        tree["link"] = [{"relation": "next", "url": "http://203.0.113.9/fhir/Observation?page=2"}]
    _send(connection, json.dumps(tree).encode())


def _reset(_p: FaultProxy, connection: socket.socket, _a: str, _b: bytes) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _drip(_p: FaultProxy, connection: socket.socket, _a: str, body: bytes) -> None:
    whole, end_s = json_answer(body), time.monotonic() + _SLOW_S
    for at in range(0, len(whole), _TURNED):
        connection.sendall(whole[at : at + _TURNED])
        time.sleep(0.02)
        if time.monotonic() > end_s:
            return


def _bomb(_p: FaultProxy, connection: socket.socket, _a: str, _b: bytes) -> None:
    packed = gzip.compress(b" " * 60_000_000, compresslevel=1)
    _send(connection, packed, 200, "Content-Encoding: gzip")


def _redirect(_p: FaultProxy, connection: socket.socket, _a: str, _b: bytes) -> None:
    _send(connection, b"", 302, "Location: http://203.0.113.9/fhir/Patient/1")


def _garbage(_p: FaultProxy, connection: socket.socket, _a: str, body: bytes) -> None:
    connection.sendall(b"\x16\x03\x01" + body[:100])


def _wrong_kind(_p: FaultProxy, connection: socket.socket, _a: str, _b: bytes) -> None:
    _send(connection, b'{"resourceType": "Medication", "id": "m1"}')


def _nothing(_p: FaultProxy, connection: socket.socket, _a: str, _b: bytes) -> None:
    _send(connection, b"", 200)


Fault = Callable[[FaultProxy, socket.socket, str, bytes], None]
_FAULTS: dict[str, Fault] = {
    "429": _status(429, "Retry-After: 1"),
    "500": _status(500),
    "503 for an hour": _status(503, "Retry-After: 3600"),
    "401": _status(401),
    "403": _status(403),
    "404": _status(404),
    "long delay": _delay,
    "short delay": _short_delay,
    "cut JSON": _cut_json,
    "cut stream": _cut_stream,
    "login page": _login_page,
    "another patient": _stranger,
    "another patient among ours": _stranger_mixed,
    "OperationOutcome": _outcome,
    "OperationOutcome inside": _outcome_inside,
    "empty pages in a circle": _empty_page,
    "next page elsewhere": _foreign_next,
    "reset": _reset,
    "slow drip": _drip,
    "gzip bomb": _bomb,
    "redirect elsewhere": _redirect,
    "garbage": _garbage,
    "another type": _wrong_kind,
    "empty body": _nothing,
}
HARMLESS = frozenset({"short delay"})
PAUSES = frozenset({"429", "503 for an hour"})  # the client then asks nothing of this server
