"""A second real FHIR server: Medplum's router from npm, with its repository in memory.

``medplum_server_node`` holds the program and the lock of its packages. They are installed below
``build`` once; where there is no node or npm, tests that need the server are skipped.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import pytest

SOURCE = Path(__file__).parent / "medplum_server_node"
FOLDER = Path(__file__).resolve().parents[1] / "build" / "medplum-server"
_FILES = ("package.json", "package-lock.json", "server.mjs")
_INSTALL_S = 180.0
_OLDEST_NODE = (20, 19)  # what the packages ask for


class MedplumMissing(Exception):
    """The server cannot be installed here; the message is one sentence."""


@dataclass
class MedplumServer:
    """A running server. Use it as a context manager."""

    base_url: str
    process: subprocess.Popen[str] = field(repr=False)

    def __enter__(self) -> MedplumServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.terminate()
        self.process.wait(10)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


def start(token: str = "") -> MedplumServer:
    """Start a server on a free port of this machine. Raises MedplumMissing.

    With a token it refuses every request but metadata that does not carry it.
    """
    folder = installed()
    command = ["node", "server.mjs", "0", *([token] if token else [])]
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    base_url = process.stdout.readline().strip()
    if not base_url:
        raise MedplumMissing(f"The Medplum router ended with status {process.wait()}.")
    return MedplumServer(base_url, process)


def installed() -> Path:
    """Return the folder of the program with its packages. Raises MedplumMissing."""
    _require_node()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes run side by side
        shutil.copyfile(SOURCE / "server.mjs", FOLDER / "server.mjs")
        wanted = hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()
        stamp = FOLDER / ".installed"
        if not stamp.is_file() or stamp.read_text() != wanted:
            for name in _FILES:
                shutil.copyfile(SOURCE / name, FOLDER / name)
            _install(FOLDER)
            stamp.write_text(wanted)
    return FOLDER


def _install(folder: Path) -> None:
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=optional"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise MedplumMissing(f"npm ci did not end within {_INSTALL_S:.0f} s.") from exc
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        said = errors[0] if errors else "it said nothing"
        raise MedplumMissing(f"npm ci ended with status {done.returncode}: {said}")


def _require_node() -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise MedplumMissing("node and npm are not installed here.")
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"v(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < _OLDEST_NODE:
        raise MedplumMissing(f"node is {said.strip()}; 20.19 or later is needed.")


@pytest.fixture(scope="session")
def medplum_server() -> Iterator[MedplumServer]:
    """A server without authorisation for the whole run. Load patients under ids of your own."""
    try:
        server = start()
    except MedplumMissing as exc:
        pytest.skip(str(exc))
    with server:
        yield server


if __name__ == "__main__":
    installed()
