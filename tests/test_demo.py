"""``meam demo`` as a person runs it: all parts are real processes that speak HTTP."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from conformance.fhir_server import FhirServerMissing, find_executable

ROOT = Path(__file__).parent.parent
CHECKPOINT = ROOT / "model" / "checkpoints" / "meam-risk"
PATIENTS = 8
PATIENCE_S = 240


@pytest.fixture(scope="module")
def fhir_venv() -> Path:
    try:
        return find_executable().parent.parent
    except FhirServerMissing as exc:
        pytest.skip(str(exc))


def start(fhir_venv: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    ports = ["--fhir-port", "0", "--service-port", "0", "--ehr-port", "0"]
    command = ["-m", "cds_hooks.cli", "demo", "--fhir-venv", str(fhir_venv), *ports, *options]
    with _interruptible():
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "100", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let a program that is started hear Ctrl-C, also where a shell started us in the background:
    it had SIGINT ignored, and who is started inherits that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def addresses(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(Practice EHR|Discovery|FHIR server): +(\S+)$", text, re.MULTILINE))


def listens(url: str) -> bool:
    port = int(url.split(":")[2].split("/")[0])
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_once_shows_a_card_for_every_patient_and_leaves_nothing_behind(fhir_venv):
    demo = start(fhir_venv, "--once")
    out, err = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 0, err
    assert out.count("╭─ ") == PATIENTS, out
    assert out.count("/explanations/") == PATIENTS
    assert "Traceback" not in out + err
    assert len(addresses(out)) == 3
    assert not any(listens(url) for url in addresses(out).values())


def test_it_runs_until_it_is_interrupted(fhir_venv):
    demo = start(fhir_venv)
    assert demo.stdout is not None
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if line.startswith("Running until Ctrl-C"):
            break
    found = addresses("".join(lines))
    assert requests.get(found["Discovery"], timeout=10).json()["services"][0]["id"] == "meam-risk"
    assert "Patients" in requests.get(found["Practice EHR"], timeout=30).text
    assert requests.get(f"{found['FHIR server']}/Patient", timeout=10).status_code == 401
    explanation = re.search(r"http://\S+/explanations/\S+", "".join(lines))
    assert explanation is not None
    page = requests.get(explanation[0], timeout=30)
    assert page.status_code == 200
    assert "Sources and completeness" in page.text
    demo.send_signal(signal.SIGINT)
    rest, err = demo.communicate(timeout=60)
    assert demo.returncode == 0, err
    assert "Stopped." in rest
    assert "Traceback" not in rest + err
    assert not any(listens(url) for url in found.values())


def test_a_part_that_fails_is_one_sentence(fhir_venv, tmp_path):
    demo = start(fhir_venv, "--once", MEAM_CHECKPOINT=str(tmp_path / "none"))
    out, err = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 1
    assert err.startswith("Error: the service stopped with exit code ")
    assert "Traceback" not in out + err
    assert len(err.strip().splitlines()) <= 3


def test_a_taken_port_is_said_and_another_one_used(fhir_venv, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        demo = start(
            fhir_venv, "--once", "--ehr-port", port, MEAM_CHECKPOINT=str(tmp_path / "none")
        )
        out, _ = demo.communicate(timeout=PATIENCE_S)
    assert f"Port {port} is in use; ehr listens on " in out
