"""Where the processor time of one hook goes, by stage: three sizes of chart; warm, cold and live.

Run as ``python -m tests.benchmarks.bench_stages [--quick] [--against TREE]`` from the repository
root. The whole service answers in a process of its own, with JWT trust, SQLite and the shipped
checkpoint, reached by WSGI; only the socket is left out (bench_throughput has it). "warm": the
notes were seen before. "cold": every sentence is new. "live": nothing is prefetched, a FHIR server
on this machine is asked. With ``--against``, another source tree (``git worktree add TREE
COMMIT``) takes turns with this one, and the ratio of the two is given.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from conformance.fhir_server import FhirServerMissing, start
from fhir_adapters.chart import Chart
from tests.benchmarks.charts import NOW, SIZES, Size, chart_of, hook_body
from tests.benchmarks.harness import median, ratio
from tests.benchmarks.saved import Result, parser_of, run, save
from tests.benchmarks.workers import ROOT, Worker, workers

AT = NOW + timedelta(minutes=1)  # the hooks arrive a minute after the newest value
ROUNDS = {"small": 15, "typical": 15, "large": 5}
WARM_UP = 2
THIS, OTHER = "this tree", "other tree"
Scene = tuple[Size, str]  # and warm, cold or live


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure as the options say."""
    parser = parser_of(__doc__)
    parser.add_argument("--against", type=Path, help="another source tree, to take turns with")
    parser.add_argument("--scenes", default="", help="only these: typical/warm,large/cold")
    given = parser.parse_args(arguments)
    run("stages", given, lambda result: measure(given, result))


def measure(given: argparse.Namespace, result: Result) -> None:
    """Measure all scenes and tell of them."""
    trees = {THIS: ROOT} | ({OTHER: given.against.resolve()} if given.against else {})
    scenes = _scenes(given)
    with (
        tempfile.TemporaryDirectory() as name,
        _fhir_server(Path(name) / "fhir", scenes, result) as server,
        workers(Path(name), AT, trees, (server,) if server else ()) as running,
    ):
        for size, how in scenes:
            if how == "live" and not server:
                continue
            rounds = 2 if given.quick else ROUNDS[size.name]
            told = _take_turns(running, size, how, server, rounds, 0 if given.quick else WARM_UP)
            _tell(result, f"{size.name}/{how}", told)
            save(result, given.out)


def _scenes(given: argparse.Namespace) -> list[Scene]:
    if given.scenes:
        return [(SIZES[size], how) for size, how in _named(given.scenes)]
    sizes = [SIZES["small"]] if given.quick else list(SIZES.values())
    scenes = [(size, how) for size in sizes for how in ("warm", "cold", "live")]
    # The test server takes minutes to load the large chart, and longer to give it than a hook may.
    scenes = [scene for scene in scenes if scene != (SIZES["large"], "live")]
    return scenes[: 2 if given.quick else None]


def _named(scenes: str) -> Iterator[tuple[str, str]]:
    for scene in scenes.split(","):
        size, _, how = scene.partition("/")
        yield size, how


def _take_turns(
    running: dict[str, Worker], size: Size, how: str, server: str, rounds: int, warm_up: int
) -> dict[str, list[dict[str, Any]]]:
    told: dict[str, list[dict[str, Any]]] = {name: [] for name in running}
    chart = chart_of(size)
    for number in range(-warm_up, rounds):
        if how == "cold":
            chart = chart_of(size, words=f"round {number}")
        body = hook_body(chart, live=server if how == "live" else "")
        names = list(running)
        for name in names if number % 2 else names[::-1]:
            answer = running[name].answer(body, stages=True)
            if number >= 0:
                told[name].append(answer)
    return told


def _tell(result: Result, scene: str, told: dict[str, list[dict[str, Any]]]) -> None:
    seconds = {
        name: np.array([one["seconds"] for one in answers]) for name, answers in told.items()
    }
    this = seconds[THIS] * 1e3
    used = np.median([one["cpu_seconds"] for one in told[THIS]]) * 1e3
    p50, p95 = median(this), median(this, 95)
    result.say(
        f"{scene}: p50 {p50.shown('.1f')} ms, p95 {p95.value:.1f} ms, {used:.1f} processor-ms"
    )
    stages = {name: _stages(answers) for name, answers in told.items()}
    figures: dict[str, Any] = {
        "p50_ms": p50.to_json(),
        "p95_ms": p95.to_json(),
        "cpu_ms": float(used),
        "stages_cpu_ms": stages[THIS],
    }
    for stage, value in sorted(stages[THIS].items(), key=lambda item: -item[1]):
        before = f"   other tree {stages[OTHER].get(stage, 0):8.2f}" if OTHER in stages else ""
        result.say(f"    {stage:28s} {value:8.2f} processor-ms{before}")
    if OTHER in seconds:
        faster = ratio(seconds[OTHER], seconds[THIS])
        cpu = ratio(*(np.array([a["cpu_seconds"] for a in told[n]]) for n in (OTHER, THIS)))
        result.say(f"    other tree over this: {faster.shown()}; processor time {cpu.shown()}")
        figures |= {
            "other_over_this": faster.to_json(),
            "other_over_this_cpu": cpu.to_json(),
            "other_stages_cpu_ms": stages[OTHER],
        }
    result.figures[scene] = figures


def _stages(answers: list[dict[str, Any]]) -> dict[str, float]:
    names = dict.fromkeys(stage for one in answers for stage in one["stages"])
    return {
        name: float(np.median([one["stages"].get(name, 0.0) for one in answers]) * 1e3)
        for name in names
    }


@contextmanager
def _fhir_server(folder: Path, scenes: list[Scene], result: Result) -> Iterator[str]:
    """Run a FHIR server that holds the charts of the live scenes; "" where there is none."""
    charts: list[Chart] = [chart_of(size) for size, how in scenes if how == "live"]
    if not charts:
        yield ""
        return
    try:
        server = start(None, folder, settings={"validation": {"inbound": "off"}})
    except FhirServerMissing as exc:
        result.say(f"live: not measured: {exc}")
        yield ""
        return
    with server:
        for chart in charts:
            server.load(chart.resources)
        yield server.base_url


if __name__ == "__main__":
    main()
