"""Other people's CDS services: how each is installed and started, and where its discovery is."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import urllib3

from tests.cds_hooks.running import free_port
from tests.peers.environments import (
    BUILD,
    HERE,
    PeerMissing,
    is_ready,
    node_environment,
    python_environment,
)

_START_S = 90.0
_TYPESCRIPT = "node_modules/typescript/bin/tsc"
# What the package's own start script does, but on a free port of the loopback interface. Its
# compiler is passed over where it complains of types: it writes the program all the same.
_START_NODE = """
const {{ initialize }} = require('./dist/server');
initialize().registerService(require('./dist/hooks/hook-ejemplo'))
  .listen({{ port: {{ port: {port}, host: '127.0.0.1' }} }}, () => undefined);
"""


@dataclass(frozen=True)
class Peer:
    """``path``: what stands before ``/cds-services`` in its addresses."""

    name: str
    what: str
    environment: str
    lock: str
    prepare: Callable[[], Path]
    command: Callable[[Path, int], list[str]]
    path: str = ""
    folder: str = ""  # where it runs, below its environment
    origin: str = "https://ehr.example.org"  # of a browser client; "": it is set up for none

    def installed(self) -> bool:
        """Say whether it could be started without installing anything."""
        return is_ready(self.environment, self.lock)


def _uvicorn(application: str) -> Callable[[Path, int], list[str]]:
    def command(folder: Path, port: int) -> list[str]:
        program = str(folder / "venv" / "bin" / "python")
        options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
        return [program, "-m", "uvicorn", "--app-dir", _app_dir(application), *options, application]

    return command


def _app_dir(application: str) -> str:
    return "." if application == "app:app" else str(HERE)


def _healthchain() -> Path:
    scaffold = ("healthchain", "new", "my-app", "-t", "cds-hooks")
    return python_environment("healthchain", "healthchain.txt", scaffold)


def _node(folder: Path, port: int) -> list[str]:
    package = folder / "node_modules" / "cds-hooks"
    if not (package / "dist" / "server.js").is_file():
        subprocess.run(
            ["node", str(folder / _TYPESCRIPT)], cwd=package, stdout=subprocess.DEVNULL, check=False
        )
    return ["node", "-e", _START_NODE.format(port=port)]


PEERS = (
    Peer(
        name="healthchain-scaffold",
        what="HealthChain 0.16.1 (PyPI), the service of its scaffold as it comes",
        environment="healthchain",
        lock="healthchain.txt",
        prepare=_healthchain,
        command=_uvicorn("app:app"),
        path="/cds",
        folder="my-app",
    ),
    Peer(
        name="healthchain",
        what="HealthChain 0.16.1 (PyPI), the same with discovery_path set to /cds-services",
        environment="healthchain",
        lock="healthchain.txt",
        prepare=_healthchain,
        command=_uvicorn("healthchain_service:app"),
        path="/cds",
    ),
    Peer(
        name="cds-hooks",
        what="cds-hooks 1.1.1 (npm), its example service",
        environment="cds-hooks",
        lock="cds-hooks.txt",
        prepare=lambda: node_environment("cds-hooks", "cds-hooks.txt"),
        command=_node,
        folder="node_modules/cds-hooks",
    ),
    Peer(
        name="dhti",
        what="dhti-elixir-base 1.6.1 (PyPI), a service as its template wires one",
        environment="dhti",
        lock="dhti.txt",
        prepare=lambda: python_environment("dhti", "dhti.txt"),
        command=_uvicorn("dhti_service:app"),
        path="/langserve/peer",
        origin="",
    ),
)


@contextmanager
def started(peer: Peer) -> Iterator[str]:
    """Start an installed peer; yield what stands before ``/cds-services``. Raises PeerMissing."""
    folder, port = BUILD / peer.environment, free_port()
    command = peer.command(folder, port)
    with (folder / f"{peer.name}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder / peer.folder, stdout=log, stderr=log)
    try:
        _wait(peer, process, f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}{peer.path}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(peer: Peer, process: subprocess.Popen[bytes], base: str) -> None:
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s and process.poll() is None:
        try:
            urllib3.request("GET", base, retries=False, timeout=2.0)
        except urllib3.exceptions.HTTPError:
            time.sleep(0.1)
        else:
            return
    log = BUILD / peer.environment / f"{peer.name}.log"
    raise PeerMissing(f"{peer.name} did not start; see {log}.")
