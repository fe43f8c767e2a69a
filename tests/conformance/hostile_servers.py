"""Servers that are no CDS service or FHIR server, or that misbehave, on raw sockets."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

DISCOVERY = {
    "services": [
        {
            "hook": "patient-view",
            "id": "risk",
            "title": "Risk",
            "description": "Says a risk.",
            "prefetch": {"patient": "Patient/{{context.patientId}}"},
        }
    ]
}
_MEGABYTE = b"x" * 1_000_000


class Hostile:
    """``behave`` gets the connection and the request line, and answers as it likes."""

    def __init__(
        self,
        behave: Callable[[Hostile, socket.socket, str], None],
        tls: ssl.SSLContext | None = None,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> None:
        self.behave = behave
        self.requests: list[str] = []
        self.stopped = threading.Event()
        self._tls = tls
        self._listener = socket.socket(family)
        self._listener.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        self._listener.listen(64)
        self.port = self._listener.getsockname()[1]

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def stop(self) -> None:
        self.stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            spoken = (
                self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            )
            with spoken:
                while (line := _request(spoken)) and not self.stopped.is_set():
                    self.requests.append(line)
                    self.behave(self, spoken, line)


@contextmanager
def hostile(
    behave: Callable[[Hostile, socket.socket, str], None], **how: Any
) -> Iterator[tuple[Hostile, str]]:
    """Run such a server; yield it and its base URL."""
    server = Hostile(behave, **how)
    threading.Thread(target=server.serve, daemon=True).start()
    host = "[::1]" if how.get("family") == socket.AF_INET6 else "127.0.0.1"
    try:
        yield server, f"{'https' if how.get('tls') else 'http'}://{host}:{server.port}"
    finally:
        server.stop()


def _request(connection: socket.socket) -> str:
    """Read one request; return its first line, "" at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65_536)
        if not received:
            return ""
        data += received
    head, _, rest = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    missing = int(lengths[0].partition(b":")[2]) - len(rest) if lengths else 0
    while missing > 0:
        missing -= len(connection.recv(65_536)) or missing
    return head.split(b"\r\n")[0].decode("latin-1")


def whole(
    body: Any, status: int = 200, kind: str = "application/json", headers: Mapping[str, str] = {}
) -> bytes:
    """Return an HTTP answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Content-Type": kind, "Content-Length": str(len(content)), **headers}
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def always(answer: bytes, *, closing: bool = False) -> Callable[..., None]:
    """Return a behaviour: the same bytes for each request."""

    def behave(_: Hostile, connection: socket.socket, __: str) -> None:
        connection.sendall(answer)
        if closing:
            connection.close()

    return behave


def with_cards(answer: Any, discovery: Any = DISCOVERY) -> Callable[..., None]:
    """Return a behaviour: discovery as given, and the same answer to everything else."""

    def behave(_: Hostile, connection: socket.socket, line: str) -> None:
        asked = line.startswith("GET /cds-services ")
        connection.sendall(whole(discovery if asked else answer))

    return behave


def hangs(server: Hostile, _: socket.socket, __: str) -> None:
    server.stopped.wait(60)


def hangs_every_second_time(server: Hostile, connection: socket.socket, line: str) -> None:
    if len(server.requests) % 2 == 0:
        server.stopped.wait(60)
    with_cards({"cards": []})(server, connection, line)


def drips_a_body(server: Hostile, connection: socket.socket, _: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not server.stopped.wait(0.05):
        connection.sendall(b"x")


def drips_headers(server: Hostile, connection: socket.socket, _: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not server.stopped.wait(0.05):
        connection.sendall(b"X-A: a\r\n")


def continues_for_ever(server: Hostile, connection: socket.socket, _: str) -> None:
    while not server.stopped.wait(0.01):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def sends_without_end(server: Hostile, connection: socket.socket, _: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while not server.stopped.is_set():
        connection.sendall(_MEGABYTE)


def redirects_to_itself(server: Hostile, connection: socket.socket, _: str) -> None:
    place = f"http://127.0.0.1:{server.port}/cds-services"
    connection.sendall(whole(b"", 302, headers={"Location": place}))


ZIPPED = whole(gzip.compress(b" " * 60_000_000), headers={"Content-Encoding": "gzip"})
