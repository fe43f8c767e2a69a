"""Serves hooks on a small machine: one core and 512 MB, from an exported folder.

Run as ``python -m tests.benchmarks.bench_small [FOLDER ...]`` from the repository root. A FOLDER is
one that ``meam export --edge`` wrote; without any, two are exported, with and without --int8. For
comparison FOLDER may be the root of another source tree, which this interpreter then serves.

Each is started under the limits, and answers hooks of three sizes with the whole chart prefetched.
Printed: size, time to readiness, answers, memory. The exit code is 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import requests

from cds_hooks.edge_export import CHECKPOINT, EdgeExport, export_edge
from cds_hooks.settings import Settings
from tests.benchmarks.charts import LARGE, SMALL, TYPICAL, Size, chart_of, hook_body
from tests.benchmarks.small_machine import SmallMachine, small_machine

MEMORY_MB = 512
INSTALLED_MB = 300
RESIDENT_MB = 400
READY_S = 3.0
PATIENCE_S = 120.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Running:
    """A service under limits."""

    url: str
    process: subprocess.Popen[bytes]
    machine: SmallMachine

    def processes(self) -> list[int]:
        """Return gunicorn's master and its workers."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def cpu_s(self) -> float:
        """Return the processor time of all of them."""
        fields = [
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            for pid in self.processes()
        ]
        return sum(int(one[11]) + int(one[12]) for one in fields) / TICKS

    def memory_mb(self, name: str) -> list[float]:
        """Return one line of smaps_rollup, such as Rss or Pss, for each process."""
        return [
            next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024 / 1e6
            for lines in (
                Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                for pid in self.processes()
            )
        ]


def main() -> None:
    """Measure each folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=5, help="hooks of each size after the first")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folders = given.folders or exported(Path(scratch))
        missed = [line for folder in folders for line in measured(folder, given.rounds)]
    report("\n".join(f"MISSED: {line}" for line in missed) or "All targets are reached.")
    sys.exit(1 if missed else 0)


def exported(scratch: Path) -> list[Path]:
    """Export twice, with the encoder as it is and in int8."""
    checkpoint = Settings().checkpoint
    jobs = [EdgeExport(scratch / name, checkpoint, int8=name == "int8") for name in ("f32", "int8")]
    return [export_edge(job, lambda _stage: None) for job in jobs]


def measured(folder: Path, rounds: int) -> list[str]:
    """Print all figures of one folder; return the targets that it misses."""
    report(f"== {folder.name}")
    missed = []
    is_edge = (folder / "launch.py").is_file()
    if is_edge:
        size = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file()) / 1e6
        report(f"installed: {size:.0f} MB (target {INSTALLED_MB})")
        missed += [f"{size:.0f} MB installed"] * (size > INSTALLED_MB)
    with tempfile.TemporaryDirectory() as scratch, serving(folder, Path(scratch)) as running:
        report(f"limits: {running.machine.enforced}")
        wall_s, cpu_s = wait_until_ready(running)
        report(f"ready: {cpu_s:.1f} s of one core, {wall_s:.1f} s by the clock (target {READY_S})")
        missed += [f"ready after {cpu_s:.1f} s of one core"] * (cpu_s > READY_S)
        report_memory(running, "idle")
        for size_of in (SMALL, TYPICAL, LARGE):
            report_hooks(running, size_of, rounds)
        worker = max(running.memory_mb("Rss"))
        missed += [f"{worker:.0f} MB resident"] * (worker > RESIDENT_MB)
        killed = running.machine.killed()
        missed += [f"{killed} processes were killed for want of memory"] * (killed > 0)
    return [f"{folder.name}: {line}" for line in missed]


def report_hooks(running: Running, size: Size, rounds: int) -> None:
    """Send one chart several times; its notes are new to the service at first."""
    chart = chart_of(size, now=datetime.now(UTC))
    times = []
    for _ in range(rounds + 1):
        body = hook_body(chart)
        start = time.perf_counter()
        answer = requests.post(
            f"{running.url}/cds-services/meam-risk",
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=PATIENCE_S,
        )
        times.append((time.perf_counter() - start) * 1e3)
        if answer.status_code != 200 or not answer.json()["cards"]:
            raise SystemExit(f"{size.name}: {answer.status_code} {answer.text[:300]}")
    report_memory(
        running,
        f"{size.name} ({len(chart.resources)} resources, {len(body) / 1e6:.1f} MB):"
        f" first {times[0]:.0f} ms, then p50 {statistics.median(times[1:] or times):.0f} ms",
    )


def report_memory(running: Running, what: str) -> None:
    """Print what the processes hold."""
    resident, shares = running.memory_mb("Rss"), running.memory_mb("Pss")
    group = running.machine.held_mb(), running.machine.peak_mb()
    limits = "" if None in group else f"; group {group[0]:.0f} MB held, {group[1]:.0f} MB at most"
    report(
        f"{what}; resident {' + '.join(f'{one:.0f}' for one in resident)} MB"
        f" (together {sum(shares):.0f} MB, shared pages once){limits}"
    )


@contextmanager
def serving(folder: Path, scratch: Path) -> Iterator[Running]:
    """Run the service under the limits until the block is left."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        bind = f"127.0.0.1:{probe.getsockname()[1]}"
    config = scratch / "meam.toml"
    int8 = (folder / CHECKPOINT / "encoder" / "manifest.json").is_file()
    is_edge = (folder / "launch.py").is_file()
    new = 'model_threads = 1\nencoder_variant = "int8"\n' if int8 else "model_threads = 1\n"
    config.write_text(
        f'profile = "development"\nmode_auth = "open"\nbind = "{bind}"\n'
        f'public_base_url = "http://{bind}"\nkey_file = "{scratch / "keys"}"\n'
        f'database_url = "sqlite:///{scratch / "meam.sqlite"}"\n'
        "show_low_risk = true\ndeadline_ms = 60_000\nhard_limit_ms = 120_000\n"
        "max_body_bytes = 40_000_000\n"
        f"max_concurrent_hooks = 1\nmax_waiting_hooks = 8\n{new if is_edge else ''}"
    )
    command = [sys.executable, str(folder / "serve"), "--config", str(config)]
    environment = {"PATH": os.defpath}
    if not is_edge:
        command = [sys.executable, "-m", "gunicorn", "-c", "python:cds_hooks.gunicorn_conf"]
        environment |= {"MEAM_CONFIG": str(config), "PYTHONPATH": str(folder)}
    with small_machine(MEMORY_MB) as machine, (scratch / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=scratch,
            env=environment,
            stderr=log,
            preexec_fn=machine.enter,
        )
        try:
            yield Running(f"http://{bind}", process, machine)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def wait_until_ready(running: Running) -> tuple[float, float]:
    """Return the seconds until the service is ready: by the clock, and of processor time."""
    start = time.perf_counter()
    while time.perf_counter() - start < PATIENCE_S and running.process.poll() is None:
        try:
            if requests.get(f"{running.url}/readyz", timeout=2).status_code == 200:
                return time.perf_counter() - start, running.cpu_s()
        except requests.RequestException:
            time.sleep(0.02)
    raise SystemExit("the service did not become ready")


def report(line: str) -> None:
    """Write a line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
