"""The README is executable: its commands run here, in its order, or a reason stands here."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from fhir_adapters.datasets.sample_patients import sample_bundles

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
NOT_RUN = {
    "make demo": "runs in tests/test_demo.py with --once",
    "make test": "is what runs this",
    ". .venv/bin/activate": "the tests run in an environment already",
    "make train DATA=../shared/data": "takes 20 minutes",
    "meam train --data ../shared/data --checkpoint my-checkpoint": "takes 20 minutes",
    "meam evaluate --data ../shared/data --checkpoint my-checkpoint": "takes minutes, after that",
    "meam audit --quick --records 2": (
        "exits with 1 where a bound is missed; runs in tests/model/test_audit.py"
    ),
    "meam ablate --data ../shared/data --arms full --arms placebo": "takes an hour",
    "meam train --bulk export --labels outcomes.csv --output our-checkpoint": (
        "is tested on a cohort that is large enough in tests/cds_hooks"
    ),
    "meam export --edge meam-edge": "takes a minute; runs in tests/cds_hooks/test_edge.py",
    "python -m conformance.ehr --fhir http://127.0.0.1:8085/fhir --service http://127.0.0.1:8086": (
        "stays in the foreground; runs in tests/test_demo.py"
    ),
}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """A folder as the README describes it: the settings of its example, one chart, one export."""
    folder = tmp_path_factory.mktemp("hospital")
    (settings,) = (text for kind, text in BLOCKS if kind == "toml")
    (folder / "meam.toml").write_text(settings.replace("127.0.0.1:5000", f"127.0.0.1:{PORT}"))
    bundle = next(iter(sample_bundles(datetime.now(UTC), 7).values()))
    (folder / "chart.json").write_text(json.dumps(bundle))
    lines = (json.dumps(entry["resource"]) for entry in bundle["entry"])
    (folder / "export").mkdir()
    (folder / "export" / "all.ndjson").write_text("\n".join(lines))
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


PORT = free_port()


def arguments(command: str) -> list[str]:
    words = shlex.split(command.replace("127.0.0.1:5000", f"127.0.0.1:{PORT}"))
    return [sys.executable, "-m", "cds_hooks.cli", *words[1:]] if words[0] == "meam" else words


def run(command: str, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        arguments(command), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout + done.stderr


def test_every_command_runs_or_has_a_reason(hospital):
    service = None
    ran = []
    try:
        for command in COMMANDS:
            if command in NOT_RUN:
                continue
            if command.startswith("meam serve"):
                service = serve(command, hospital)
            elif command.startswith("curl "):
                assert requests.get(arguments(command)[1], timeout=10).status_code == 200
            else:
                assert run(command, hospital)
            ran.append(command)
    finally:
        if service is not None:
            service.terminate()
            service.wait(20)
    assert len(ran) == len(COMMANDS) - len(NOT_RUN)


def serve(command: str, folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = (folder / "service.log").open("wb")
    with log:
        service = subprocess.Popen(
            arguments(command), cwd=folder, env=environment, stdout=log, stderr=log
        )
    for _ in range(300):
        assert service.poll() is None, (folder / "service.log").read_text()
        try:
            if requests.get(f"http://127.0.0.1:{PORT}/readyz", timeout=2).status_code == 200:
                return service
        except requests.RequestException:
            time.sleep(0.1)
    raise AssertionError((folder / "service.log").read_text())


@pytest.mark.parametrize("target", ["demo", "test", "bench", "train", "clean"])
def test_make_targets_exist(target):
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_first_screen_says_what_it_is_not():
    first_screen = "\n".join(README.splitlines()[:20])
    assert "Not a medical device." in first_screen
    assert "Not validated on patients" in first_screen


def test_files_that_are_named_exist():
    named = re.findall(r"`([\w./-]+\.(?:py|txt|toml|md))`", README)
    named += re.findall(r"\]\((docs/[^)]+)\)", README)
    missing = [name for name in named if not (ROOT / name).exists()]
    assert named
    assert not missing
