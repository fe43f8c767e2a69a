"""Bytes that no HTTP library would send, at a running gunicorn."""

from __future__ import annotations

import http.client
import io
import socket
import time
from email.parser import BytesHeaderParser
from pathlib import Path
from random import Random

from tests.attacks import mutants
from tests.attacks.answers import CANARY, faults_of
from tests.attacks.results import Results
from tests.attacks.site import Site, running
from tests.attacks.target import FEEDBACK, HOOK

_PATIENCE_S = 8.0
_LINES = (
    "GET /explanations/{canary} HTTP/1.1",
    "GET /explanations/{canary} HTTP/9.9 {canary}",
    "GET  /healthz HTTP/1.1",
    "{canary} /healthz HTTP/1.1",
    "GET http://evil.example/{canary} HTTP/1.1",
    "GET /healthz?{canary} HTTP/1.0",
    "POST /cds-services/meam-risk HTTP/1.1",
    "GET /" + "a" * 9000 + "{canary} HTTP/1.1",
    "PRI * HTTP/2.0",
    "\x00{canary}",
)
_HEADERS = (
    "Authorization : Bearer {canary}",
    "Authorization: Bearer {canary}\r\n folded {canary}",
    "Authorization: Bearer \x01{canary}",
    "X-{canary}(bad): 1",
    "X: " + "b" * 9000 + "{canary}",
    "Content-Length: 5\r\nContent-Length: {canary}",
    "Content-Length: -5",
    "Transfer-Encoding: {canary}",
    "Transfer-Encoding: chunked\r\nContent-Length: 3",
    "Expect: {canary}",
    "Host: {canary}\r\nHost: other",
    "{canary}",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: {canary}",
    "Content-Type: application/json",
)
_BODIES = (b"", b"{", b"zz\r\n" + CANARY.encode(), b"5\r\n{}\r\n0\r\n\r\n", b"ffffffffffff\r\n{}")


def raw_requests(folder: Path, results: Results, count: int, seed: int) -> None:
    """Send ``count`` requests: half raw bytes, half mutants over a real connection."""
    random = Random(seed)
    with running(folder, workers=2) as site:
        before = set(site.worker_pids())
        for _ in range(count // 2):
            _raw(site, results, Random(random.getrandbits(48)))
        for _ in range(count - count // 2):
            _mutant(site, results, Random(random.getrandbits(48)))
        if set(site.worker_pids()) != before:
            results.fault("sockets: a worker died")
        log = site.log_path.read_text(errors="replace")
    for line in log.splitlines():
        if CANARY in line:
            results.fault("sockets: the log repeats what was sent", line[:200])
        if "crashed" in line or "Traceback" in line:
            results.fault("sockets: crash in the log", line[:400])


def _raw(site: Site, results: Results, random: Random) -> None:
    lines = [random.choice(_LINES), *random.choices(_HEADERS, k=random.randint(0, 3))]
    if random.random() < 0.5:
        lines.append("Connection: close")
    sent = "\r\n".join(lines).replace("{canary}", CANARY).encode("latin-1")
    sent += b"\r\n\r\n" + random.choice(_BODIES)
    _judge(site, results, "sockets raw", sent, lines[0][:1] != "P" or random.random() < 0.1)


def _mutant(site: Site, results: Results, random: Random) -> None:
    path, tree = random.choice(((HOOK, mutants.request), (FEEDBACK, mutants.feedback)))
    body, headers = mutants.encoded(tree(random), random)
    if random.random() < 0.7:
        headers |= site.headers(path)
    connection = http.client.HTTPConnection(site.host, timeout=_PATIENCE_S)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        for fault in faults_of("POST", answer.status, dict(answer.getheaders()), content):
            results.fault(f"sockets mutant: {fault}", content[:200].decode(errors="replace"))
        results.count(f"sockets mutant: {answer.status}")
    except OSError as exc:  # cut off before the body was sent: as good as a 413
        results.count(f"sockets mutant: {type(exc).__name__}")
    finally:
        connection.close()


def _judge(site: Site, results: Results, row: str, sent: bytes, ends: bool) -> None:
    """Send bytes, end our side if asked to, and judge the first answer."""
    host, port = site.host.split(":")
    with socket.create_connection((host, int(port)), timeout=_PATIENCE_S) as client:
        client.sendall(sent)
        if ends:
            client.shutdown(socket.SHUT_WR)
        received = _received(client)
    if not received:
        results.count(f"{row}: closed without an answer")
        return
    head, _, body = received.partition(b"\r\n\r\n")
    first, _, rest = head.partition(b"\r\n")
    status = int(first.split()[1])
    headers = dict(BytesHeaderParser().parse(io.BytesIO(rest)).items())
    length = int(headers.get("Content-Length", len(body)))
    method = sent.split(b" ", 1)[0].decode("latin-1")
    for fault in faults_of(method, status, headers, body[:length]):
        results.fault(f"{row}: {fault}", f"{sent[:150]!r} -> {received[:300]!r}")
    results.count(f"{row}: {status}")


def _received(client: socket.socket) -> bytes:
    received, end_s = b"", time.monotonic() + _PATIENCE_S
    while time.monotonic() < end_s:
        try:
            piece = client.recv(65_536)
        except OSError:
            break
        if not piece:
            break
        received += piece
        head, whole, body = received.partition(b"\r\n\r\n")
        if whole and b"keep-alive" in head.lower() and len(body) >= _length(head):
            break
    return received


def _length(head: bytes) -> int:
    for line in head.splitlines():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
