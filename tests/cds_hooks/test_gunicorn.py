"""The service as it runs: gunicorn in a process of its own, over a real socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from cds_hooks.audit import verify_audit
from cds_hooks.keys import KeyRing, new_key
from cds_hooks.store import Store
from tests.cds_hooks import world

ROOT = Path(__file__).parent.parent.parent
FORBIDDEN = ("torch", "transformers", "shap", "lime")
KEY = new_key()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Running:
    """gunicorn with our configuration, and settings of a test."""

    def __init__(self, folder: Path) -> None:
        self.base = f"http://127.0.0.1:{free_port()}"
        self.database = f"sqlite:///{folder / 'meam.sqlite'}"
        config = folder / "meam.toml"
        config.write_text(
            'profile = "development"\nmode_auth = "open"\ndeadline_ms = 5000\n'
            "show_low_risk = true\n"
            f'bind = "{self.base.removeprefix("http://")}"\npublic_base_url = "{self.base}"\n'
        )
        self.environ = {
            **os.environ,
            "MEAM_CONFIG": str(config),
            "MEAM_DATABASE_URL": self.database,
            "MEAM_KEYS": KEY,
        }
        self.log = (folder / "log").open("ab")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "-c", "python:cds_hooks.gunicorn_conf"),
                "tests.cds_hooks.serve:application()",
            ],
            cwd=ROOT,
            env=self.environ,
            stderr=self.log,
        )
        end_s = time.monotonic() + 30
        while time.monotonic() < end_s and self.process.poll() is None:
            try:
                if requests.get(f"{self.base}/readyz", timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                time.sleep(0.05)
        self.process.kill()
        raise AssertionError(f"gunicorn did not become ready, status {self.process.wait()}")

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def invoke(self) -> requests.Response:
        """Call the hook with data that are current on the real clock."""
        shift = datetime.now(UTC) - world.NOW
        request = world.shifted(world.hook_request(), shift)
        return requests.post(f"{self.base}/cds-services/meam-risk", json=request, timeout=30)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(timeout=40)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    yield made
    if made.process.poll() is None:
        made.stop()
    made.log.close()


def test_the_running_service_has_no_training_library(running: Running) -> None:
    answer = running.invoke()
    assert answer.status_code == 200
    assert "meam-risk" in answer.json()["cards"][0]["detail"]

    modules = requests.get(f"{running.base}/test/modules", timeout=5).json()
    assert "model.predictor" in modules
    assert not {name.partition(".")[0] for name in modules} & set(FORBIDDEN)
    (worker,) = running.workers()
    mapped = Path(f"/proc/{worker}/maps").read_text()
    assert "libtorch" not in mapped

    assert running.stop() == 0, "a stop in peace"


def test_a_kill_loses_nothing_that_was_acknowledged(running: Running) -> None:
    feedback = {
        "feedback": [
            {
                "card": running.invoke().json()["cards"][0]["uuid"],
                "outcome": "overridden",
                "outcomeTimestamp": "2026-11-23T00:00:00Z",
            }
        ]
    }
    url = f"{running.base}/cds-services/meam-risk/feedback"
    assert requests.post(url, json=feedback, timeout=5).status_code == 200
    for worker in running.workers():
        os.kill(worker, signal.SIGKILL)
    running.stop(signal.SIGKILL)

    running.start()
    assert running.invoke().status_code == 200
    assert requests.post(url, json=feedback, timeout=5).status_code == 200
    store = Store(running.database, KeyRing([KEY]))
    assert verify_audit(store.engine, store.keys) == 4
    with store.engine.connect() as connection:
        stored = connection.exec_driver_sql("SELECT known_card FROM feedback").all()
    assert stored == [(1,)]
    store.close()


def test_slow_and_broken_clients_do_no_harm(running: Running) -> None:
    host, port = running.base.removeprefix("http://").split(":")
    half = b"POST /cds-services/meam-risk HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    sockets = []
    for body in (b"", b"Content-Length: 100\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"):
        client = socket.create_connection((host, int(port)))
        client.sendall(half + body)
        sockets.append(client)
    assert running.invoke().status_code == 200
    for client in sockets:
        client.close()
    assert running.invoke().status_code == 200
