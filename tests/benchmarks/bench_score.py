"""Measures ``meam score``: cost of each stage, memory by size, scaling, a plan for 10 million.

    python -m tests.benchmarks.bench_score [--sizes 100,1000,10000] [--rounds 3] [--ray]

Costs are seconds of processor time, which other work on the machine hardly changes; the scaling
from one worker to two is wall-clock time, one and two in turn, and says nothing on a machine that
is busy otherwise: the load is printed with it. Costs and scaling are of the shipped model.
Memory is the highest resident memory, looked at every 50 patients, with the tests' small model,
which makes ten thousand patients bearable: what grows with an export would grow with any model.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cds_hooks.risk_assessment import risk_assessment
from cds_hooks.settings import Settings
from fhir_adapters.bulk import index_export, write_bulk
from fhir_adapters.record_builder import build_record
from model.predictor import load_predictor
from tests.cds_hooks.score_world import write_small_checkpoint
from tests.cds_hooks.site_export import NOW, site_charts

ROOT = Path(__file__).parents[2]
COSTED = 60  # patients whose stages are timed, after the first ten
SCALED = 96
PLANNED = 10_000_000
CLUSTERS = (16, 64, 256, 1024)


@dataclass(frozen=True)
class Costs:
    """Seconds of processor time for each patient, and sizes."""

    lines: float
    export_bytes: float
    index_seconds: float
    index_bytes: float
    chart_seconds: float  # lines from the index, JSON, record
    model_seconds: float  # prediction, explanation, RiskAssessment
    coordinator_seconds: float  # what one process has to do for each patient of the others
    result_bytes: float

    def print(self) -> None:
        """Print one line a stage."""
        _say(
            f"One patient: {self.lines:.0f} lines, {self.export_bytes / 1e3:.1f} kB, result"
            f" {self.result_bytes / 1e3:.1f} kB, index {self.index_bytes:,.0f} bytes"
            f" ({self.index_bytes / self.lines:.0f} a line)."
        )
        for name, seconds in (
            ("index, once", self.index_seconds),
            ("chart and record, by a worker", self.chart_seconds),
            ("prediction and explanation, by a worker", self.model_seconds),
            ("sharing out and writing, by the coordinator", self.coordinator_seconds),
        ):
            _say(f"  {name:46} {1000 * seconds:8.2f} ms")

    def plan(self) -> None:
        """Print hours and sizes for ten million such patients."""
        _say(f"\nOn paper: {PLANNED:,} such patients, from the costs above.")
        _say(
            f"  export {PLANNED * self.export_bytes / 1e12:.2f} TB, index"
            f" {PLANNED * self.index_bytes / 1e9:,.0f} GB, results"
            f" {PLANNED * self.result_bytes / 1e9:,.0f} GB;"
            f" {PLANNED * (self.chart_seconds + self.model_seconds) / 3600:,.0f} core-hours"
        )
        index_hours = PLANNED * self.index_seconds / 3600
        floor_hours = PLANNED * self.coordinator_seconds / 3600
        _say(f"  by one coordinator: index {index_hours:.1f} h, then at least {floor_hours:.1f} h")
        for cores in CLUSTERS:
            work = PLANNED * (self.chart_seconds + self.model_seconds) / 3600 / cores
            total = index_hours + max(work, floor_hours)
            parts = index_hours / 16 + max(work, floor_hours / 16)
            _say(
                f"  {cores:5,} cores: {total:7.1f} h as one export; {parts:7.1f} h as 16 exports"
                " at once"
            )


def measured_costs(folder: Path) -> Costs:
    """Time each stage in this process."""
    count = COSTED + 10
    write_bulk(site_charts(count), folder / "export")
    size = sum(path.stat().st_size for path in (folder / "export").iterdir())
    lines = sum(path.read_bytes().count(b"\n") for path in (folder / "export").iterdir())
    predictor = load_predictor(Settings().checkpoint, threads=1)
    began = time.process_time()
    with index_export(folder / "export", folder / "index") as export:
        index_seconds = time.process_time() - began
        patients = list(export.patients())
        charts: list[float] = []
        models: list[float] = []
        results = []
        for patient in patients:
            began = time.process_time()
            record = build_record(export.chart(patient), NOW)
            read = time.process_time()
            results.append(risk_assessment(record, *predictor(record)))
            charts.append(read - began)
            models.append(time.process_time() - read)
    index_bytes = (folder / "index" / "index.sqlite").stat().st_size
    whole = _coordinator_seconds(folder, results)
    return Costs(
        lines / count,
        size / count,
        index_seconds / count,
        index_bytes / count,
        statistics.mean(charts[10:]),
        statistics.mean(models[10:]),
        whole,
        statistics.mean(len(json.dumps(result)) for result in results),
    )


def _coordinator_seconds(folder: Path, results: list[dict[str, Any]]) -> float:
    """Time what the coordinator does for each result: unpickle, write, count."""
    import pickle

    from cds_hooks.score_files import ScoreFiles, Terms
    from cds_hooks.score_tally import Tally

    tally = Tally()
    terms = Terms("m", "", "now", "l", datetime.now(UTC))
    with ScoreFiles(folder / "r", folder / "l", terms, tally.count) as files:
        packed = [pickle.dumps(result) for result in results]
        began = time.process_time()
        for one in packed:
            result = pickle.loads(one)
            files.add(result)
            tally.count(result)
        return (time.process_time() - began) / len(results)


def print_memory(folder: Path, sizes: list[int]) -> None:
    """Print the highest resident memory of a run for each size."""
    checkpoint = write_small_checkpoint(folder / "checkpoint")
    _say("\nHighest resident memory by the number of patients (small model, one process):")
    for size in sizes:
        export, out = folder / f"export-{size}", folder / f"out-{size}"
        write_bulk(site_charts(size), export)
        out.mkdir()
        names = [checkpoint, export, out / "r", out / "l"]
        command = [sys.executable, "-m", "tests.cds_hooks.score_process", *map(str, names)]
        seconds, printed = _run([*command, "-1", "1"])
        peak_mb = max(float(line) for line in printed.split())  # every 50 patients
        megabytes = sum(path.stat().st_size for path in export.iterdir()) / 1e6
        _say(f"  {size:7,} patients, {megabytes:7.1f} MB: {peak_mb:6.1f} MB, {seconds:7.1f} CPU-s")


def print_scaling(folder: Path, rounds: int, engines: list[str]) -> None:
    """Print the time of one worker and of two, in turn."""
    export = folder / "scaled"
    write_bulk(site_charts(SCALED), export)
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    _say(f"\n{SCALED} patients, {rounds} rounds in turn; load {load:.1f} on {cores} cores:")
    times: dict[tuple[str, int], list[tuple[float, float]]] = {}
    outputs = set()
    for number in range(rounds):
        for engine in engines:
            for workers in (1, 2):
                out = folder / f"{engine}-{workers}-{number}.ndjson"
                began = time.monotonic()
                command = [sys.executable, "-m", "cds_hooks.cli", "score", "--bulk", str(export)]
                command += ["--output", str(out), "--prediction-time", NOW.isoformat()]
                command += ["--engine", engine, "--workers", str(workers)]
                cpu, _ = _run(command)
                times.setdefault((engine, workers), []).append((time.monotonic() - began, cpu))
                outputs.add(b"\n".join(sorted(out.read_bytes().splitlines())))
    for (engine, workers), found in times.items():
        wall = statistics.median(one for one, _ in found)
        cpu = statistics.median(other for _, other in found)
        _say(
            f"  {engine:9} {workers} workers: {wall:6.1f} s (of {_range(one for one, _ in found)}),"
            f" {cpu:6.1f} CPU-s, {SCALED / wall:5.1f} patients/s"
        )
    for engine in engines:
        pairs = zip(times[engine, 1], times[engine, 2], strict=True)
        ratio = statistics.median(one[0] / two[0] for one, two in pairs)
        _say(f"  {engine}: two workers are {ratio:.2f} times as fast, the start included")
    _say(f"  all outputs the same, line by line: {len(outputs) == 1}")


def _range(values: Any) -> str:
    values = list(values)
    return f"{min(values):.1f} to {max(values):.1f}"


def _run(command: list[str]) -> tuple[float, str]:
    """Return CPU seconds of a process and its children, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(ended.stderr[-500:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, ended.stdout


def _say(text: str) -> None:
    click.echo(text)


def _in_folder(work: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work(Path(folder))


@click.command()
@click.option("--sizes", default="100,1000", show_default=True, help="Patients, for the memory.")
@click.option("--rounds", default=3, show_default=True, help="Of the scaling.")
@click.option("--ray", is_flag=True, help="Scale on a Ray cluster of this machine, too.")
def main(sizes: str, rounds: int, ray: bool) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        costs = measured_costs(Path(folder))
    costs.print()
    _in_folder(
        lambda folder: print_memory(folder, [int(size) for size in sizes.split(",") if size])
    )
    if rounds:
        engines = ["processes", "ray"] if ray else ["processes"]
        _in_folder(lambda folder: print_scaling(folder, rounds, engines))
    costs.plan()


if __name__ == "__main__":
    main()
