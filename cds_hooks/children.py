"""Child processes of ``meam demo``: started, waited for, watched, and always stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import requests

from cds_hooks.errors import ServiceError

LOOPBACK = "127.0.0.1"
_STOP_S = 10.0
_POLL_S = 0.1
_LAST_WORDS = 400  # characters of a log in a message


class ChildFailed(ServiceError):
    """A child process ended by itself, or did not answer in time."""


@dataclass
class Child:
    """One process; its output goes to a log file."""

    name: str  # "the FHIR server", as it stands in a sentence
    process: subprocess.Popen[bytes]
    log: Path

    def require_running(self) -> None:
        """Raise ChildFailed with the last words if the process has ended."""
        code = self.process.poll()
        if code is not None:
            raise ChildFailed(f"{self.name} stopped with exit code {code}{self._last_words()}")

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f": {lines[-1][-_LAST_WORDS:]}" if lines else "."


@dataclass
class Children:
    """All processes of one run. Leaving the ``with`` block stops them, the newest first."""

    folder: Path  # of the logs
    running: list[Child] = field(default_factory=list)

    def start(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str]
    ) -> Child:
        """Start a process apart from our terminal: Ctrl-C reaches only us, and we stop it."""
        log = self.folder / f"{name.replace(' ', '-')}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  # our own programs, no shell
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )
        child = Child(name, process, log)
        self.running.append(child)
        return child

    def wait_until_answering(self, child: Child, url: str, patience_s: float) -> None:
        """Return when GET answers 200. Raises ChildFailed."""
        end_s = time.monotonic() + patience_s
        while not _answers(url):
            child.require_running()
            if time.monotonic() > end_s:
                raise ChildFailed(f"{child.name} did not answer within {patience_s:.0f} s.")
            time.sleep(_POLL_S)

    def watch(self) -> NoReturn:
        """Stay until a process ends by itself, which raises ChildFailed."""
        while True:
            for child in self.running:
                child.require_running()
            time.sleep(5 * _POLL_S)

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for child in self.running:
            if child.process.poll() is None:
                child.process.terminate()
        for child in reversed(self.running):
            try:
                child.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(child.process.pid, signal.SIGKILL)
                child.process.wait()


def free_port(wished: int) -> int:
    """Return the wished port of this machine, or another one where it is taken."""
    for port in (wished, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ChildFailed(f"no port of {LOOPBACK} is free.")


def loopback_session() -> requests.Session:
    """Return a session that goes straight to this machine, past any proxy of the environment."""
    session = requests.Session()
    session.trust_env = False
    return session


def _answers(url: str) -> bool:
    with loopback_session() as session:
        try:
            return session.get(url, timeout=2).status_code == 200
        except requests.RequestException:
            return False
