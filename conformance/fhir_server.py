"""Starts a real FHIR R4 server (sekmet-fhir) as a process of its own, for the demo and for tests.

The server lives in its own virtual environment and is reached over HTTP only.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import requests

EXECUTABLE_VARIABLE = "MEAM_SEKMET"
_ENVIRONMENT = Path(__file__).resolve().parents[1] / ".venv-fhir-server"
_POLL_S = 0.1
_STOP_S = 10.0
_LOAD_TIMEOUT_S = 120.0


class FhirServerError(Exception):
    """The FHIR server cannot be used; the message is one sentence for the user."""


class FhirServerMissing(FhirServerError):
    """The server's executable is not installed."""


class PortInUse(FhirServerError):
    """Something else listens on the port."""


class FhirServerFailed(FhirServerError):
    """The server ended, did not answer in time, or refused what was loaded."""


def find_executable(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the server's executable: where MEAM_SEKMET says, else in .venv-fhir-server.

    Raises FhirServerMissing.
    """
    named = environment.get(EXECUTABLE_VARIABLE)
    path = Path(named) if named else _ENVIRONMENT / "bin" / "sekmet"
    if not path.is_file():
        origin = f"as {EXECUTABLE_VARIABLE} says" if named else "where 'make demo' installs it"
        raise FhirServerMissing(f"The FHIR server is not installed: there is no {path}, {origin}.")
    return path


@dataclass
class FhirServer:
    """A running server. Use it as a context manager, or call ``stop``."""

    base_url: str
    process: subprocess.Popen[bytes] = field(repr=False)
    log: Path

    def stop(self) -> None:
        """End the process; calling it twice does no harm."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def load(self, resources: Iterable[Mapping[str, Any]], *, at_a_time: int = 200) -> int:
        """Store resources under their own ids and return how many. Raises FhirServerFailed."""
        return load(self.base_url, resources, at_a_time=at_a_time)

    def __enter__(self) -> FhirServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start(
    port: int | None,
    directory: Path,
    *,
    executable: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    timeout_s: float = 60.0,
) -> FhirServer:
    """Start a server and return when it answers.

    ``port`` None or 0 takes a free one. Its database, settings and log go to ``directory``; an
    earlier database found there is used again. ``settings`` overrides entries of its settings
    file. Raises FhirServerMissing, PortInUse, FhirServerFailed.
    """
    program = executable or find_executable()
    chosen = port or _free_port()
    _require_free(chosen)
    directory.mkdir(parents=True, exist_ok=True)
    base_url = f"http://127.0.0.1:{chosen}/fhir"
    config = directory / "settings.yaml"
    # JSON is YAML; sekmet's own defaults are localhost, 0.0.0.0 and a simulator that writes.
    config.write_text(json.dumps(_settings(base_url, chosen, directory) | dict(settings or {})))
    log = directory / "fhir-server.log"
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(  # noqa: S603
                [program, "serve", "-c", config],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                start_new_session=True,  # Ctrl-C reaches the parent, which stops it in order
            )
        except OSError as exc:
            raise FhirServerMissing(f"The FHIR server {program} cannot be run: {exc}.") from exc
    server = FhirServer(base_url, process, log)
    try:
        _await_answer(server, timeout_s)
    except BaseException:
        server.stop()
        raise
    return server


def load(base_url: str, resources: Iterable[Mapping[str, Any]], *, at_a_time: int = 200) -> int:
    """Store resources under their own ids by transactions; return how many.

    Order matters only to servers that check references: send what is referred to first. Raises
    FhirServerFailed.
    """
    stored = 0
    with requests.Session() as session:
        session.trust_env = False
        for batch in _batches(resources, at_a_time):
            entries = [
                {
                    "resource": resource,
                    "request": {
                        "method": "PUT",
                        "url": f"{resource['resourceType']}/{resource['id']}",
                    },
                }
                for resource in batch
            ]
            transaction = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
            _post(session, base_url, transaction)
            stored += len(batch)
    return stored


def _batches(
    resources: Iterable[Mapping[str, Any]], size: int
) -> Iterator[list[Mapping[str, Any]]]:
    rest = iter(resources)
    while batch := list(islice(rest, size)):
        yield batch


def _post(session: requests.Session, base_url: str, transaction: Mapping[str, Any]) -> None:
    try:
        answer = session.post(base_url, json=transaction, timeout=_LOAD_TIMEOUT_S)
    except requests.RequestException as exc:
        raise FhirServerFailed(f"The FHIR server at {base_url} took no data: {exc}.") from exc
    if answer.status_code >= 300:
        raise FhirServerFailed(
            f"The FHIR server at {base_url} refused data with status {answer.status_code}: "
            f"{answer.text[:500]}"
        )


def _settings(base_url: str, port: int, directory: Path) -> dict[str, Any]:
    return {
        "base_url": base_url,
        "host": "127.0.0.1",
        "port": port,
        "data_dir": str(directory / "data"),
        "simulator": {"enabled": False},
        "log_inbound": False,
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _require_free(port: int) -> None:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return
    except OSError as exc:
        raise PortInUse(f"Port {port} cannot be used for the FHIR server: {exc}.") from exc


def _await_answer(server: FhirServer, timeout_s: float) -> None:
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        status = server.process.poll()
        if status is not None:
            raise FhirServerFailed(
                f"The FHIR server ended with status {status} while starting: {_last_line(server)}"
            )
        if _answers(server.base_url):
            return
        time.sleep(_POLL_S)
    raise FhirServerFailed(
        f"The FHIR server did not answer at {server.base_url} within {timeout_s:.0f} s: "
        f"{_last_line(server)}"
    )


def _answers(base_url: str) -> bool:
    """Say whether this very server answers, and not another one that took the port."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            statement = session.get(f"{base_url}/metadata", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
    implementation = statement.get("implementation") if isinstance(statement, dict) else None
    return isinstance(implementation, dict) and implementation.get("url") == base_url


def _last_line(server: FhirServer) -> str:
    lines = server.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it wrote nothing."
