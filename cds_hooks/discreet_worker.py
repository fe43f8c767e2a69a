"""gunicorn's worker and log, where their own would repeat what a client sent.

gunicorn quotes a malformed request line or header in its log and in an HTML answer, and either
may hold a JWT or a signed link. Here a malformed request is answered with an OperationOutcome and
logged by the kind of its fault; the log is JSON lines beside ours, without anything of a request.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.http import errors  # type: ignore[import-untyped]

from cds_hooks.bounded_worker import BoundedThreadWorker
from cds_hooks.errors import operation_outcome
from cds_hooks.telemetry import configure_logging, logger, where

_STATUSES = {
    errors.UnsupportedTransferCoding: (501, "Not Implemented"),
    errors.LimitRequestLine: (414, "URI Too Long"),
    errors.LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    errors.ExpectationFailed: (417, "Expectation Failed"),
    errors.ForbiddenProxyRequest: (403, "Forbidden"),
}
_OUR_FAULTS = (
    errors.InvalidResponseHeader,
    errors.InvalidResponseHeaderName,
    errors.ConfigurationProblem,
)


class DiscreetWorker(BoundedThreadWorker):
    """A worker that tells nobody what was in a request."""

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer a request that could not be read, or an error outside the application."""
        malformed = isinstance(exc, errors.ParseException) and not isinstance(exc, _OUR_FAULTS)
        if malformed:
            logger().warning("malformed request", kind=type(exc).__name__)
            status, words = _STATUSES.get(type(exc), (400, "Bad Request"))
            outcome = operation_outcome("structure", "The request is not proper HTTP.")
        else:
            logger().error("crashed", where=where(exc))
            status, words = 500, "Internal Server Error"
            outcome = operation_outcome("exception", "The service failed to answer this request.")
        _send(client, status, words, outcome)


class DiscreetLog(Logger):
    """What gunicorn has to say about its processes. Levels and files of its own are not used."""

    def setup(self, cfg: Any) -> None:
        """Write where the service writes."""
        super().setup(cfg)
        configure_logging()

    def debug(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Leave out: these lines quote what came over the wire."""

    def info(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Leave out: starts and stops are seen by whoever starts and stops us."""

    def warning(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Workers that came or went."""
        logger().warning("gunicorn", said=_said(msg, args))

    def error(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Workers that died, addresses in use."""
        logger().error("gunicorn", said=_said(msg, args))

    def critical(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """A worker that hangs."""
        logger().critical("gunicorn", said=_said(msg, args))

    def exception(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Type and place of an exception; its message may quote a request, as ``args`` may."""
        error = sys.exc_info()[1]
        said = str(msg).partition("%")[0].strip()
        logger().error("gunicorn", said=said, where=where(error) if error else [])

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Leave out: an address may be a signed link. The service logs routes itself."""


def _said(msg: object, args: tuple[Any, ...]) -> str:
    return str(msg) % args if args else str(msg)


def _send(client: socket.socket, status: int, words: str, outcome: dict[str, Any]) -> None:
    body = json.dumps(outcome).encode("ascii")
    head = (
        f"HTTP/1.1 {status} {words}\r\nConnection: close\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\nContent-Type: application/fhir+json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    try:
        client.sendall(head.encode("ascii") + body)
    except OSError:
        return  # the client did not wait for it
