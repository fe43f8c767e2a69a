"""The suite, pointed at the correct service or at a mutant of it, over real sockets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from werkzeug.serving import WSGIRequestHandler, make_server

from conformance.__main__ import main
from conformance.case import Case, load_cases
from conformance.client_keys import ClientKeys, PrivateKey, new_key
from conformance.endpoint import JWKS_PATH, Chart, Endpoint
from conformance.exchange import Wire
from conformance.runner import Run, run_cases
from conformance.sample import SampleChart
from conformance.target import Target
from tests.conformance.correct_service import Agreement, CorrectService

ISSUER = "https://suite.example.org"
ORIGIN = "https://ehr.example.org"
KID = "a+b/c="


@cache
def cases() -> tuple[Case, ...]:
    return load_cases()


@cache
def key() -> PrivateKey:
    return new_key()


class _KeepAlive(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def running(service: CorrectService) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, service.app(), threaded=True, request_handler=_KeepAlive)
    server.daemon_threads = True  # type: ignore[attr-defined]
    server.block_on_close = False  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def run_suite(
    broken: str = "",
    version: str = "2.0.1",
    change: Callable[[Any], Any] = lambda answer: answer,
    *,
    among: Collection[str] | None = None,
    hook: str = "patient-view",
    chart: Chart | None = None,
    kind: type[CorrectService] = CorrectService,
    **target: Any,
) -> Run:
    """Run cases against the correct service, with one thing broken. ``among``: their names."""
    with Endpoint(chart or SampleChart()) as endpoint:
        client = ClientKeys(ISSUER, key(), KID, endpoint.url + JWKS_PATH)
        endpoint.key_sets = {"home": client.jwk_set(), "foreign": client.jwk_set(other=True)}
        agreed = Agreement(
            ISSUER,
            client.jku,
            key().public_key(),
            KID,
            fhir_server=f"{endpoint.url}/fhir",
            origin=ORIGIN,
        )
        service = kind(agreed, broken, version, change, hook)
        with running(service) as base:
            aimed = {"keys": client, "feedback": True, "cors_origin": ORIGIN, **target}
            wire = Wire()
            try:
                chosen = [case for case in cases() if among is None or case.id in among]
                return run_cases(Target(base, version, **aimed), chosen, endpoint, wire)
            finally:
                wire.close()
                service.http.clear()


def run_command(*arguments: str | Path, timeout: float = 0.5, **environment: str) -> Result:
    """Run ``conformance run`` as a user does, as fast as is answered."""
    options = ["run", "--rate", "0", "--timeout", str(timeout), *map(str, arguments)]
    return CliRunner().invoke(main, options, env={"COLUMNS": "200", **environment})


def all_reports(folder: Path) -> list[str]:
    """Return options that write a report of each kind, named as it is, into a folder."""
    names = ("json", "junit", "html", "test-report")
    return [part for name in names for part in (f"--{name}", str(folder / name))]
