"""The service as it runs: gunicorn in a process of its own, with settings of a test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from cds_hooks.keys import new_key
from tests.cds_hooks import world

ROOT = Path(__file__).parent.parent.parent
KEY = new_key()
HOOK = "/cds-services/meam-risk"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Running:
    """gunicorn with our configuration. ``more``: lines of its settings file."""

    def __init__(
        self,
        folder: Path,
        more: str = "",
        *,
        scheme: str = "http",
        how: dict[str, Any] | None = None,
        application: str = "tests.cds_hooks.serve:application()",
    ) -> None:
        """``how``: for each request of ours, ``verify`` and ``cert`` of requests."""
        self.port = free_port()
        self.base = f"{scheme}://127.0.0.1:{self.port}"
        self.how = how or {}
        self.application = application
        self.database = f"sqlite:///{folder / 'meam.sqlite'}"
        config = folder / "meam.toml"
        config.write_text(
            'profile = "development"\nmode_auth = "open"\ndeadline_ms = 5000\n'
            "show_low_risk = true\n"
            f'bind = "127.0.0.1:{self.port}"\npublic_base_url = "{self.base}"\n{more}\n'
        )
        self.environ = {
            **os.environ,
            "MEAM_CONFIG": str(config),
            "MEAM_DATABASE_URL": self.database,
            "MEAM_KEYS": KEY,
        }
        self.log_file = folder / "log"
        self.log = self.log_file.open("ab")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "-c", "python:cds_hooks.gunicorn_conf"),
                self.application,
            ],
            cwd=ROOT,
            env=self.environ,
            stderr=self.log,
        )
        end_s = time.monotonic() + 30
        while time.monotonic() < end_s and self.process.poll() is None:
            try:
                if self.get("/readyz").status_code == 200:
                    return
            except requests.RequestException:
                time.sleep(0.05)
        self.process.kill()
        raise AssertionError(f"gunicorn did not become ready, status {self.process.wait()}")

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.base}{path}", timeout=5, **self.how)

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def hook_request(self) -> dict[str, Any]:
        """Data that are current on the real clock."""
        return world.shifted(world.hook_request(), datetime.now(UTC) - world.NOW)

    def invoke(self) -> requests.Response:
        return requests.post(f"{self.base}{HOOK}", json=self.hook_request(), timeout=30, **self.how)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(timeout=40)

    def close(self) -> None:
        if self.process.poll() is None:
            self.stop()
        self.log.close()
