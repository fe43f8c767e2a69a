"""Our explained hook beside an unexplained one of HealthChain, over HTTP, on the same charts.

Run as ``python -m tests.benchmarks.bench_healthchain [--quick]`` from the repository root. Both get
the same prefetch, take turns, and are asked by one client. Ours is gunicorn as shipped, without
JWT trust (HealthChain has none): record with units and checks, notes and device data, the model,
Shapley values and LIME, next steps, an encrypted stored explanation and an audit line. Theirs
(healthchain_service.py) reads numbers by code, predicts with 300 boosted trees, and returns a card
without reasons; it reads no notes and stores nothing. The environment is made by
``python -m venv build/healthchain-venv`` and
``build/healthchain-venv/bin/pip install healthchain==0.16.1 lightgbm``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import requests

from tests.benchmarks.bench_hook import service
from tests.benchmarks.charts import LARGE, SMALL, TYPICAL, chart_of, hook_body
from tests.benchmarks.harness import Doubles, median, ratio, resident_mb, take_turns
from tests.benchmarks.saved import Result, options, run
from tests.benchmarks.workers import ROOT

ENVIRONMENT = Path("build/healthchain-venv")
PROGRAM = Path(__file__).with_name("healthchain_service.py")
OURS = "meam, explained"
WAYS = {"HealthChain, adapter": "adapter", "HealthChain, raw JSON": "raw"}
ROUNDS = {"small": 9, "typical": 9, "large": 3}
READY_S = 900.0  # importing and fitting, on a machine that does other things


@dataclass(frozen=True, slots=True)
class Server:
    """One running service."""

    address: str
    pid: int

    def used_s(self) -> float:
        """Processor seconds of the process and its children so far."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return sum(_used_s(pid) for pid in (self.pid, *map(int, children)))

    def resident_mb(self) -> float:
        """Memory of the process and its children."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return sum(resident_mb(pid) for pid in (self.pid, *map(int, children)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure as the options say."""
    given = options(__doc__, arguments)
    run("healthchain", given, measure)


def measure(result: Result) -> None:
    """Ask all services in turn."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        url, process = stack.enter_context(service(Path(name)))
        servers = {OURS: Server(f"{url}/cds-services/meam-risk", process.pid)}
        if not (ENVIRONMENT / "bin" / "python").exists() or result.quick:
            result.say(f"HealthChain: not asked: no {ENVIRONMENT}, or a quick run")
        else:
            for label, way in WAYS.items():
                servers[label] = stack.enter_context(_healthchain(way))
        for size in (SMALL,) if result.quick else (SMALL, TYPICAL, LARGE):
            body = hook_body(chart_of(size, now=datetime.now(UTC)))
            rounds = 2 if result.quick else ROUNDS[size.name]
            _compare(result, size.name, servers, body, rounds)
        for label, server in servers.items():
            result.figures.setdefault("memory_mb", {})[label] = server.resident_mb()
            result.say(f"{label}: {server.resident_mb():.0f} MB resident")


def _compare(
    result: Result, size: str, servers: dict[str, Server], body: bytes, rounds: int
) -> None:
    used: dict[str, list[float]] = {label: [] for label in servers}
    session = requests.Session()

    def asking(label: str) -> Callable[[], None]:
        def ask() -> None:
            before = servers[label].used_s()
            _ask(session, servers[label].address, body)
            used[label].append(servers[label].used_s() - before)

        return ask

    taken = take_turns({label: asking(label) for label in servers}, rounds=rounds, warm_up=2)
    for label, seconds in taken.items():
        cpu = np.array(used[label][2:])
        figures = {"ms": median(seconds * 1e3).to_json(), "cpu_ms": float(cpu.mean() * 1e3)}
        line = f"{size}, {label}: {median(seconds * 1e3).shown('.0f')} ms"
        if label != OURS:
            wall, processor = ratio(seconds, taken[OURS]), _total_ratio(cpu, used[OURS][2:])
            figures |= {"over_ours": wall.to_json(), "over_ours_cpu": processor}
            line += f"; over ours: {wall.shown()}, in processor time {processor:.2f}"
        result.say(f"{line}; {figures['cpu_ms']:.0f} processor-ms a hook")
        result.figures.setdefault(size, {})[label] = figures


def _total_ratio(theirs: Doubles, ours: list[float]) -> float:
    """Of sums, since the kernel counts in steps of 10 ms."""
    return float(theirs.sum() / sum(ours))


def _ask(session: requests.Session, address: str, body: bytes) -> None:
    fresh = body.replace(body[body.index(b'"hookInstance": "') :][17:53], uuid_bytes(), 1)
    answer = session.post(
        address, data=fresh, headers={"Content-Type": "application/json"}, timeout=120
    )
    if answer.status_code != 200 or not answer.json()["cards"]:
        raise SystemExit(f"{address}: {answer.status_code} {answer.text[:300]}")


def uuid_bytes() -> bytes:
    """A fresh hook instance."""
    return str(uuid.uuid4()).encode()


def _used_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _healthchain(way: str) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    program = [ROOT / ENVIRONMENT / "bin" / "python", PROGRAM, str(port), way]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/cds"
    try:
        start = time.perf_counter()
        while time.perf_counter() - start < READY_S and process.poll() is None:
            try:
                requests.get(f"{address}/cds-discovery", timeout=10).raise_for_status()
                break
            except requests.RequestException:
                time.sleep(0.2)
        else:
            raise SystemExit(f"HealthChain ({way}) did not start")
        yield Server(f"{address}/cds-services/risk", process.pid)
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    main()
