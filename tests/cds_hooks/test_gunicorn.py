"""The service as it runs: gunicorn in a process of its own, over a real socket."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from cds_hooks.audit_check import verify_audit
from cds_hooks.keys import KeyRing
from cds_hooks.store import Store
from tests.cds_hooks.running import KEY, Running

FORBIDDEN = ("torch", "transformers", "shap", "lime")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    yield made
    made.close()


def test_the_running_service_has_no_training_library(running: Running) -> None:
    answer = running.invoke()
    assert answer.status_code == 200
    assert "meam-risk" in answer.json()["cards"][0]["detail"]

    modules = requests.get(f"{running.base}/test/modules", timeout=5).json()
    assert "model.predictor" in modules
    assert not {name.partition(".")[0] for name in modules} & set(FORBIDDEN)
    page = running.get("/metrics").text
    for stage in ("prefetch", "fhir", "encode", "fuse", "explain", "card"):
        assert f'meam_stage_seconds_count{{stage="{stage}"}}' in page
    assert 'meam_input_count{bin="' in page, "inputs are compared with those of training"
    patience = time.monotonic() + 60
    while "ucumvert" not in requests.get(f"{running.base}/test/modules", timeout=5).json():
        assert time.monotonic() < patience, "rare units are loaded before a chart needs them"
        time.sleep(0.1)
    (worker,) = running.workers()
    mapped = Path(f"/proc/{worker}/maps").read_text()
    assert "libtorch" not in mapped

    assert running.stop() == 0, "a stop in peace"


def test_rare_units_are_warm_before_the_first_hook_needs_them(running: Running) -> None:
    """Their library takes a second to import, which would be twice the budget of a hook."""
    for _ in range(150):
        modules = requests.get(f"{running.base}/test/modules", timeout=5).json()
        if "ucumvert" in modules and "fhir_adapters.ucum" in modules:
            break
        time.sleep(0.2)
    assert "fhir_adapters.ucum" in modules, "loaded beside the requests, without any hook"


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
    assert verify_audit(store.engine, store.keys) == 5
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


def test_an_answer_before_the_body_was_read_keeps_the_connection(running: Running) -> None:
    """A refusal of a large body used to close a connection that it had said to keep."""
    address = running.base.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=10)
    for _ in range(2):
        headers = {"Content-Type": "text/plain"}
        connection.request("POST", "/cds-services/meam-risk", b" " * 2_000_000, headers)
        answer = connection.getresponse()
        assert answer.status == 415
        assert answer.read()
        local = connection.sock.getsockname() if connection.sock else None
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
        assert connection.sock is not None
        assert connection.sock.getsockname() == local, "the same connection"
    connection.close()


@pytest.mark.parametrize("begun_by", ["cds_hooks.gunicorn_conf", "cds_hooks.cli"])
def test_numpy_computes_on_one_thread(begun_by: str, tmp_path: Path) -> None:
    """OpenBLAS's second thread spins beside the first on matrices as small as ours."""
    code = (
        f"import {begun_by} as begun\n"
        "if hasattr(begun, 'main'): begun.main(['verify-audit', '--help'], standalone_mode=False)\n"
        "import numpy\n"
        "from threadpoolctl import threadpool_info\n"
        "print([one['num_threads'] for one in threadpool_info() if one['user_api'] == 'blas'])\n"
    )
    config = tmp_path / "meam.toml"
    config.write_text('profile = "development"\nmode_auth = "open"\n')
    without = {name: value for name, value in os.environ.items() if "OPENBLAS" not in name}
    without["MEAM_CONFIG"] = str(config)
    ended = subprocess.run(
        [sys.executable, "-c", code], env=without, capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines()[-1] == "[1]"
