"""Servers that fail, drip, lie or attack: each ends in an error or a flagged result, in time."""

from __future__ import annotations

import gc
import gzip
import json
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from fhir_adapters.body import Budget, parse_json, read_body
from fhir_adapters.client import Caps, FhirClient, new_session
from fhir_adapters.deadline import Deadline
from fhir_adapters.errors import (
    FhirBadAnswer,
    FhirTimeout,
    FhirTooLarge,
    FhirTruncated,
    FhirUnavailable,
)
from fhir_adapters.rate_limit import pause_s, retry_after_s
from tests.fhir_adapters.fhir_answers import (
    TOKEN,
    bundle,
    client_of,
    ids,
    json_response,
    observation,
    patient,
    reasons,
)
from tests.fhir_adapters.raw_server import Handler, RawServer, json_answer, raw_server

LABS = "Observation?patient=1&category=laboratory"
PATIENT = json.dumps(patient()).encode()
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def client_on(server: RawServer, seconds: float = 5.0, caps: Caps | None = None) -> FhirClient:
    return FhirClient(
        server.url, access_token=TOKEN, deadline=Deadline.after(seconds), caps=caps or Caps()
    )


def in_turn(*answers: Response) -> Callable[[Request], Response]:
    rest: Iterator[Response] = iter(answers)
    return lambda _: next(rest)


# --- retries


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_temporary_failure_is_tried_again(httpserver: HTTPServer, status: int) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_handler(
        in_turn(Response("", status), json_response(patient()))
    )
    assert client_of(httpserver).read("Patient/1") == patient()
    assert len(httpserver.log) == 2


def test_a_failure_that_stays_is_an_error_after_three_attempts(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_data("", 500)
    with pytest.raises(FhirUnavailable, match="Patient/1: the FHIR server answered 500"):
        client_of(httpserver).read("Patient/1")
    assert len(httpserver.log) == 3


@pytest.mark.parametrize("status", [400, 403, 404, 501])
def test_what_will_not_help_is_not_tried_again(httpserver: HTTPServer, status: int) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_data("", status)
    client_of(httpserver).search_all({"it": "Patient/1"})
    assert len(httpserver.log) == 1


def test_retry_after_in_seconds_is_honoured(httpserver: HTTPServer) -> None:
    busy = Response("", 429, headers={"Retry-After": "1"})
    httpserver.expect_request("/fhir/Patient/1").respond_with_handler(
        in_turn(busy, json_response(patient()))
    )
    started = time.monotonic()
    client_of(httpserver).read("Patient/1")
    assert time.monotonic() - started >= 1.0


def test_retry_after_as_a_date_is_honoured() -> None:
    date = format_datetime(NOON + timedelta(seconds=7), usegmt=True)
    assert retry_after_s({"Retry-After": date}, NOON) == 7.0


def test_a_retry_after_beyond_the_deadline_gives_up_at_once_and_says_when(
    httpserver: HTTPServer,
) -> None:
    busy = Response("", 429, headers={"Retry-After": "60"})
    httpserver.expect_request("/fhir/Patient/1").respond_with_handler(in_turn(busy))
    started = time.monotonic()
    with pytest.raises(FhirUnavailable, match="asks for a pause of 60") as raised:
        client_of(httpserver, seconds=2).read("Patient/1")
    assert time.monotonic() - started < 1.0
    assert raised.value.retry_after_s == pytest.approx(60, abs=1)
    assert len(httpserver.log) == 1


def test_retries_never_go_beyond_the_deadline(httpserver: HTTPServer) -> None:
    def slow_failure(_: Request) -> Response:
        time.sleep(0.25)
        return Response("", 503)

    httpserver.expect_request("/fhir/Patient/1").respond_with_handler(slow_failure)
    started = time.monotonic()
    with pytest.raises(FhirTimeout):
        client_of(httpserver, seconds=0.4).read("Patient/1")
    assert time.monotonic() - started < 1.5
    assert len(httpserver.log) <= 2


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "3"}, 3),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "3"}, 3),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOON.timestamp()) + 3)}, 3),
        ({"RateLimit": "limit=100, remaining=0, reset=3"}, 3),
        ({"RateLimit": '"default";r=0;t=3'}, 3),
        ({"RateLimit": '"default";r=1;t=3'}, 0),
        ({"RateLimit-Remaining": "5", "RateLimit-Reset": "3"}, 0),
        ({"RateLimit-Remaining": "none"}, 0),
        ({}, 0),
    ],
)
def test_rate_limit_headers_are_understood(headers: dict[str, str], seconds: float) -> None:
    assert pause_s(headers, NOON) == seconds


def test_a_used_up_rate_limit_pauses_the_next_page(httpserver: HTTPServer) -> None:
    first = json_response(bundle(observation("1"), next_url="p2"))
    first.headers.extend({"RateLimit-Remaining": "0", "RateLimit-Reset": "1"})
    httpserver.expect_request("/fhir/Observation").respond_with_handler(in_turn(first))
    httpserver.expect_request("/fhir/p2").respond_with_json(bundle(observation("2")))
    started = time.monotonic()
    assert ids(client_of(httpserver).search(LABS)) == ["1", "2"]
    assert time.monotonic() - started >= 1.0


def test_a_rate_limit_beyond_the_deadline_ends_the_search_flagged(httpserver: HTTPServer) -> None:
    first = json_response(bundle(observation("1"), next_url="p2"))
    first.headers.extend({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60"})
    httpserver.expect_request("/fhir/Observation").respond_with_handler(in_turn(first))
    result = client_of(httpserver, seconds=2).search(LABS)
    assert (ids(result), reasons(result)) == (["1"], ["unavailable"])
    assert len(httpserver.log) == 1


# --- time


def drip(pause_s: float, piece: bytes, before: bytes = b"") -> Handler:
    """Send ``before`` at once and then one piece at a time, for ever."""

    def handler(connection: socket.socket, _: bytes) -> None:
        connection.sendall(before)
        while True:
            connection.sendall(piece)
            time.sleep(pause_s)

    return handler


DRIPS = {
    "body": drip(0.02, b" ", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{"),
    "chunks": drip(0.02, b"1\r\n \r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "chunk size": drip(0.02, b"0", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "headers": drip(0.02, b"X-A: b\r\n", b"HTTP/1.1 200 OK\r\n"),
    "header letters": drip(0.02, b"a", b"HTTP/1.1 200 OK\r\nX-A: "),
    "interim answers": drip(0.02, b"HTTP/1.1 100 Continue\r\n\r\n"),
    "error body": drip(0.02, b" ", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000000\r\n\r\n"),
}


@pytest.mark.parametrize("where", DRIPS)
def test_a_slow_drip_is_cut_at_the_deadline(where: str) -> None:
    with raw_server(DRIPS[where]) as server:
        started = time.monotonic()
        with pytest.raises(FhirTimeout):
            client_on(server, seconds=0.4).read("Patient/1")
        assert time.monotonic() - started < 1.5
        assert server.falls_idle(within_s=2), "the client still holds its connection"


def test_a_server_that_accepts_and_says_nothing_is_given_up_at_the_deadline() -> None:
    with raw_server(lambda connection, _: time.sleep(1)) as server:
        started = time.monotonic()
        with pytest.raises(FhirTimeout, match="Patient/1: no answer within the time allowed"):
            client_on(server, seconds=0.3).read("Patient/1")
        assert time.monotonic() - started < 0.9


def test_an_expired_deadline_opens_no_socket() -> None:
    with raw_server(lambda connection, _: connection.sendall(json_answer(PATIENT))) as server:
        with pytest.raises(FhirTimeout):
            client_on(server, seconds=0).read("Patient/1")
        assert server.connections == 0


def test_a_deadline_runs_on_a_given_clock() -> None:
    now = [100.0]
    deadline = Deadline.after(5, clock=lambda: now[0])
    assert (deadline.remaining_s(), deadline.require("x"), deadline.expired) == (5, 5, False)
    now[0] = 106.0
    assert (deadline.remaining_s(), deadline.expired) == (0, True)
    with pytest.raises(FhirTimeout, match="x: no answer within the time allowed"):
        deadline.require("x")


def test_background_work_may_have_no_deadline(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_json(patient())
    assert client_of(httpserver, seconds=float("inf")).read("Patient/1") == patient()


# --- broken answers


def sends(*pieces: bytes) -> Handler:
    def handler(connection: socket.socket, _: bytes) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return handler


def test_a_body_shorter_than_its_length_is_truncated() -> None:
    cut = json_answer(PATIENT).replace(b"Content-Length: ", b"Content-Length: 9")
    with raw_server(sends(cut)) as server:
        with pytest.raises(FhirTruncated, match="the connection broke off inside the answer"):
            client_on(server).read("Patient/1")
        assert server.connections == 3  # a GET may be repeated


def test_chunks_that_break_off_are_truncated() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with (
        raw_server(sends(head, b"40\r\n" + PATIENT[:10])) as server,
        pytest.raises(FhirTruncated),
    ):
        client_on(server).read("Patient/1")


def test_json_that_breaks_off_without_a_length_is_truncated() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\n\r\n"
    with (
        raw_server(sends(head, PATIENT[:-5])) as server,
        pytest.raises(FhirTruncated, match=r"the JSON broke off after \d+ bytes"),
    ):
        client_on(server).read("Patient/1")


def test_a_truncated_later_page_is_flagged(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Observation").respond_with_json(
        bundle(observation("1"), next_url="p2")
    )
    httpserver.expect_request("/fhir/p2").respond_with_data('{"resourceType":"Bundle","entry":[')
    result = client_of(httpserver).search(LABS)
    assert (ids(result), reasons(result)) == (["1"], ["truncated"])


def test_a_connection_closed_without_answer_is_unavailable() -> None:
    with (
        raw_server(lambda connection, _: None) as server,
        pytest.raises(FhirUnavailable, match=r"no connection to http://127\.0\.0\.1"),
    ):
        client_on(server).read("Patient/1")


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = FhirClient(f"http://127.0.0.1:{port}/fhir", deadline=Deadline.after(5))
    with pytest.raises(FhirUnavailable, match="no connection to"):
        client.read("Patient/1")


def test_a_host_that_does_not_exist_is_unavailable() -> None:
    client = FhirClient("http://nowhere.invalid/fhir", deadline=Deadline.after(5))
    with pytest.raises((FhirUnavailable, FhirTimeout)):
        client.read("Patient/1")


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot-hex\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n{}",
        b"\x00" * 100,
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_is_not_http_is_an_error_of_ours(answer: bytes) -> None:
    with (
        raw_server(sends(answer)) as server,
        pytest.raises((FhirUnavailable, FhirTruncated, FhirBadAnswer)),
    ):
        client_on(server).read("Patient/1")
    gc.collect()  # urllib3 leaves the socket of an answer with a bad length to the collector


# --- size


def test_a_gzip_body_is_read() -> None:
    answer = json_answer(gzip.compress(PATIENT), "Content-Encoding: gzip")
    with raw_server(sends(answer)) as server:
        assert client_on(server).read("Patient/1") == patient()


@pytest.mark.parametrize(
    "pack", [zlib.compress, lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])]
)
def test_deflate_and_gzip_of_several_members_are_read(pack: Callable[[bytes], bytes]) -> None:
    answer = json_answer(pack(PATIENT), "Content-Encoding: deflate")
    with raw_server(sends(answer)) as server:
        assert client_on(server).read("Patient/1") == patient()


def test_a_gzip_bomb_is_stopped_at_the_cap_on_decompressed_bytes() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(b" " * 1_000_000) for _ in range(100)) + packer.flush()
    assert len(bomb) < 200_000
    with raw_server(sends(json_answer(bomb, "Content-Encoding: gzip"))) as server:
        started = time.monotonic()
        with pytest.raises(FhirTooLarge, match="more than 1000000 bytes"):
            client_on(server, caps=Caps(bytes=1_000_000)).read("Patient/1")
        assert time.monotonic() - started < 1.0
        assert server.connections == 1  # it would be no smaller the second time


def test_a_bomb_is_unpacked_in_small_steps() -> None:
    class Raw:
        def __init__(self, body: bytes) -> None:
            self.body = body

        def read1(self, amt: int, decode_content: bool) -> bytes:
            body, self.body = self.body, b""
            return body

    class Counting(Budget):
        largest = 0

        def take(self, wanted: int) -> int:
            self.largest = max(self.largest, wanted)
            return super().take(wanted)

    budget = Counting(10_000_000, "bytes")
    raw = Raw(gzip.compress(b" " * 9_000_000))
    body = read_body(raw, "gzip", "x", Deadline.after(5), budget)
    assert (len(body), budget.largest) == (9_000_000, 64 * 1024)


def test_an_endless_body_is_stopped_at_the_cap() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\n\r\n"
    with (
        raw_server(drip(0, b" " * 100_000, head)) as server,
        pytest.raises(FhirTooLarge),
    ):
        client_on(server, caps=Caps(bytes=1_000_000)).read("Patient/1")


def test_the_cap_on_bytes_counts_all_answers_of_a_client(httpserver: HTTPServer) -> None:
    large = {**patient(), "text": {"div": "x" * 6_000}}
    httpserver.expect_request("/fhir/Patient/1").respond_with_json(large)
    client = client_of(httpserver, caps=Caps(bytes=10_000))
    client.read("Patient/1")
    with pytest.raises(FhirTooLarge):
        client.read("Patient/1")


def test_an_answer_that_was_given_up_does_not_count(httpserver: HTTPServer) -> None:
    broken = Response('{"resourceType":' + " " * 6_000, content_type="application/fhir+json")
    broken.headers["Content-Encoding"] = "br"
    httpserver.expect_request("/fhir/doc").respond_with_handler(in_turn(broken))
    httpserver.expect_request("/fhir/Patient/1").respond_with_json(patient())
    client = client_of(httpserver, caps=Caps(bytes=100))
    with pytest.raises(FhirBadAnswer, match="Content-Encoding is neither gzip nor deflate"):
        client.attachment("doc")
    assert client.read("Patient/1") == patient()


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda packed: packed[:-12], FhirTruncated),
        (lambda packed: packed[:10] + b"\xff" * 20, FhirBadAnswer),
        (lambda packed: b"", FhirTruncated),
    ],
)
def test_damaged_gzip_is_an_error(damage: Callable[[bytes], bytes], error: type[Exception]) -> None:
    packed = damage(gzip.compress(PATIENT))
    with (
        raw_server(sends(json_answer(packed, "Content-Encoding: gzip"))) as server,
        pytest.raises(error),
    ):
        client_on(server).read("Patient/1")


@pytest.mark.parametrize(
    "body", [b'{"resourceType": "Patient", "x": NaN}', b'{"a": Infinity}', b"\xff\xfe{}"]
)
def test_what_only_python_calls_json_is_refused(body: bytes) -> None:
    with pytest.raises(FhirBadAnswer):
        parse_json(body, "x")


def test_a_number_of_ten_thousand_digits_is_refused() -> None:
    with pytest.raises(FhirBadAnswer):
        parse_json(b'{"x": ' + b"9" * 10_000 + b"}", "x")


def test_a_byte_order_mark_is_tolerated() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": 1}', "x") == {"a": 1}


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one PEM file."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def over_tls(certificate: Path, handler: Handler) -> Handler:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def handshake_then(connection: socket.socket, _: bytes) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(4096)
            handler(wrapped, b"")

    return handshake_then


class TlsServer(RawServer):
    """Leaves the first bytes to the TLS handshake."""

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._handler(connection, b"")
            except OSError:
                return

    @property
    def url(self) -> str:
        return super().url.replace("http:", "https:")


def test_a_server_is_read_over_tls_with_the_sites_own_authority(certificate: Path) -> None:
    server = TlsServer(over_tls(certificate, sends(json_answer(PATIENT))))
    session = new_session(ca_bundle=certificate)
    client = FhirClient(server.url, deadline=Deadline.after(5), session=session)
    assert client.read("Patient/1") == patient()
    session.close()
    server.close()


def test_a_server_without_trusted_certificate_is_refused(certificate: Path) -> None:
    server = TlsServer(over_tls(certificate, sends(json_answer(PATIENT))))
    with pytest.raises(FhirUnavailable, match="no trusted TLS connection"):
        FhirClient(server.url, deadline=Deadline.after(5)).read("Patient/1")
    server.close()


def test_a_slow_drip_over_tls_is_cut_at_the_deadline(certificate: Path) -> None:
    server = TlsServer(over_tls(certificate, DRIPS["header letters"]))
    session = new_session(ca_bundle=certificate)
    client = FhirClient(server.url, deadline=Deadline.after(0.5), session=session)
    started = time.monotonic()
    with pytest.raises(FhirTimeout):
        client.read("Patient/1")
    assert time.monotonic() - started < 2
    session.close()
    server.close()
