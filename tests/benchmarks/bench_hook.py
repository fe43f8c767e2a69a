"""Times a hook from request to cards over HTTP, with the whole chart of each patient prefetched.

Run as ``python -m tests.benchmarks.bench_hook`` from the repository root. The service is the real
one under gunicorn, in open mode; the notes have been seen before, after the first round.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import requests

from fhir_adapters.chart import Chart
from fhir_adapters.datasets.sample_patients import sample_charts

ROUNDS = 12
READY_S = 180.0
CATEGORIES = {"vitalSigns": "vital-signs", "laboratory": "laboratory", "deviceData": "activity"}


def main() -> None:
    """Print the times of the first round and of all others, and the memory of the service."""
    charts = sample_charts(datetime.now(UTC))
    with tempfile.TemporaryDirectory() as folder, service(Path(folder)) as (url, process):
        with requests.Session() as session:
            cold = [timed(session, url, chart) for chart in charts.values()]
            warm = [timed(session, url, chart) for _ in range(ROUNDS) for chart in charts.values()]
        sizes = [len(chart.resources) for chart in charts.values()]
        report(f"{len(charts)} charts of {min(sizes)} to {max(sizes)} resources, all prefetched")
        report(f"first time:   p50 {np.percentile(cold, 50):6.1f} ms, max {max(cold):6.1f} ms")
        report(
            f"seen before:  p50 {np.percentile(warm, 50):6.1f} ms,"
            f" p95 {np.percentile(warm, 95):6.1f} ms"
        )
        report(f"memory of the service: {resident_mb(process.pid):.0f} MB resident")


def timed(session: requests.Session, url: str, chart: Chart) -> float:
    """Call the hook and return milliseconds; an answer without cards ends the benchmark."""
    body = {
        "hook": "patient-view",
        "hookInstance": str(uuid.uuid4()),
        "context": {"userId": "Practitioner/bench", "patientId": chart.patient_id},
        "prefetch": prefetch(chart),
    }
    start = time.perf_counter()
    answer = session.post(f"{url}/cds-services/meam-risk", json=body, timeout=60)
    milliseconds = (time.perf_counter() - start) * 1e3
    if answer.status_code != 200 or not answer.json()["cards"]:
        raise SystemExit(f"{chart.patient_id}: {answer.status_code} {answer.text[:300]}")
    return milliseconds


def prefetch(chart: Chart) -> dict[str, Any]:
    """Return the chart as a client sends it."""
    by_type: dict[str, list[Mapping[str, Any]]] = {}
    for resource in chart.resources:
        by_type.setdefault(resource["resourceType"], []).append(resource)
    searches = {
        key: [one for one in by_type["Observation"] if category in str(one.get("category"))]
        for key, category in CATEGORIES.items()
    }
    searches["notes"] = by_type["DocumentReference"]
    searches["deviceData-procedure"] = []
    bundles = {key: bundle(found) for key, found in searches.items()}
    return {"patient": by_type["Patient"][0], "encounter": by_type["Encounter"][0], **bundles}


def bundle(resources: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a searchset."""
    entries = [{"resource": resource} for resource in resources]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries}


@contextmanager
def service(
    folder: Path, limits: str = "deadline_ms = 9000\nhard_limit_ms = 60000\n"
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run the service until the block is left."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        bind = f"127.0.0.1:{probe.getsockname()[1]}"
    config = folder / "meam.toml"
    config.write_text(
        f'profile = "development"\nmode_auth = "open"\nbind = "{bind}"\n'
        f'public_base_url = "http://{bind}"\nkey_file = "{folder / "keys"}"\n'
        f'database_url = "sqlite:///{folder / "meam.sqlite"}"\n'
        f"show_low_risk = true\n{limits}"
    )
    command = [sys.executable, "-m", "gunicorn", "-c", "python:cds_hooks.gunicorn_conf"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, "MEAM_CONFIG": str(config)}, stderr=log
        )
    try:
        wait_until_ready(f"http://{bind}/readyz", process)
        yield f"http://{bind}", process
    finally:
        process.terminate()
        process.wait(30)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return when the service is ready."""
    start = time.perf_counter()
    while time.perf_counter() - start < READY_S and process.poll() is None:
        try:
            if requests.get(url, timeout=2).status_code == 200:
                report(f"ready after {time.perf_counter() - start:.1f} s")
                return
        except requests.RequestException:
            time.sleep(0.05)
    raise SystemExit("the service did not become ready")


def resident_mb(master: int) -> float:
    """Return the resident memory of gunicorn's master and its workers, where /proc tells it.

    Pages that they share count once (Pss): the sum of what each has would count them twice.
    """
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in (master, *children)]
    shares = [line for text in rollups for line in text.splitlines() if line.startswith("Pss:")]
    return sum(float(line.split()[1]) * 1024 for line in shares) / 1e6


def report(line: str) -> None:
    """Write a line."""
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
