"""One HTTP request that ends: after so many seconds in all, and so many bytes.

A timeout of a socket is about each read, so that a server that sends a byte now and then holds a
client for ever. Here the whole request is given a time, the look-up of the name with it.
"""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import urllib3

LARGEST_BYTES = 20_000_000  # of an answer of a FHIR server
LONGEST_S = 30.0
_CONNECT_S = 5.0


class NoAnswer(Exception):
    """No whole HTTP answer came; the message is the end of a sentence, without its full stop."""


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def fetch(
    pool: urllib3.PoolManager,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    longest_s: float = LONGEST_S,
    largest: int = LARGEST_BYTES,
) -> Raw:
    """Send one request and read its answer; follow no redirect. Raises NoAnswer."""
    done: Future[Raw] = Future()

    def work() -> None:
        try:
            done.set_result(_exchange(pool, method, url, headers, body, longest_s, largest))
        except BaseException as exc:  # noqa: BLE001  # it is raised in the thread that waits
            done.set_exception(exc)

    # A thread that is left behind ends with its connection or with this process.
    threading.Thread(target=work, daemon=True).start()
    try:
        return done.result(longest_s)
    except TimeoutError as exc:
        raise NoAnswer(f"nothing whole came within {longest_s:g} s") from exc
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as exc:
        raise NoAnswer(_why(exc, longest_s)) from exc


def _exchange(
    pool: urllib3.PoolManager,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    longest_s: float,
    largest: int,
) -> Raw:
    raw = pool.request(
        method,
        url,
        body=body,
        headers=headers,
        redirect=False,
        retries=False,
        preload_content=False,
        timeout=urllib3.Timeout(connect=min(_CONNECT_S, longest_s), read=longest_s),
    )
    content = raw.read(largest + 1, decode_content=True)
    if len(content) > largest:
        raw.close()  # what else comes is not waited for
        raise NoAnswer(f"the answer has more than {largest} bytes")
    raw.release_conn()
    return Raw(raw.status, raw.headers, content)


def _why(exc: BaseException, longest_s: float) -> str:
    """Say in words what a tester can do something about."""
    cause = exc.args[1] if len(exc.args) > 1 and isinstance(exc.args[1], Exception) else exc
    if isinstance(exc, urllib3.exceptions.NameResolutionError):
        return "the host name is not known"
    if isinstance(exc, urllib3.exceptions.NewConnectionError):
        return f"no connection came about ({_reason_of(exc)})"
    if isinstance(exc, urllib3.exceptions.ConnectTimeoutError):
        return f"no connection came about within {min(_CONNECT_S, longest_s):g} s"
    if isinstance(exc, urllib3.exceptions.ReadTimeoutError):
        return f"nothing whole came within {longest_s:g} s"
    if isinstance(exc, urllib3.exceptions.SSLError | ssl.SSLError):
        return _why_no_tls(exc)
    if isinstance(exc, urllib3.exceptions.DecodeError):
        return "the body is not coded as its Content-Encoding says"
    if isinstance(cause, http.client.RemoteDisconnected | ConnectionError):
        return "the connection was closed without an answer"
    if isinstance(exc, urllib3.exceptions.ProtocolError | http.client.HTTPException):
        return f"what came is no whole HTTP answer ({type(cause).__name__})"
    return f"the request could not be sent ({type(cause).__name__})"


def _reason_of(exc: BaseException) -> str:
    cause = exc.__cause__ or exc.__context__
    return (isinstance(cause, OSError) and cause.strerror) or type(exc).__name__


def _why_no_tls(exc: BaseException) -> str:
    cause = next((one for one in exc.args if isinstance(one, ssl.SSLError)), exc)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message.rstrip('.')})"
    reason = cause.reason if isinstance(cause, ssl.SSLError) else ""
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        return "what answers there does not speak TLS"
    return f"no TLS connection came about ({reason or type(cause).__name__})"
