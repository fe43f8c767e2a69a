"""How time and memory grow with the chart: log-log slopes over six kinds of size.

Run as ``python -m tests.benchmarks.bench_growth [--quick]`` from the repository root. Observations,
notes, device minutes: from the hook's bytes to a prediction with explanation (JSON, prefetch,
record, model), notes seen before. Tokens and coalitions: the fusion alone. Patients: charts read
one after the other. Times are processor time; memory is the peak that Python allocates on the way.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cds_hooks.json_body import parse_json
from cds_hooks.warm_up import settle_memory
from fhir_adapters.bundle import open_bundle
from fhir_adapters.chart import Chart
from fhir_adapters.record_builder import build_record
from model.onnx_network import Memory
from model.predictor import Predictor, load_predictor
from tests.benchmarks.charts import NOW, SMALL, TYPICAL, Size, chart_of, hook_body
from tests.benchmarks.harness import slope, take_turns
from tests.benchmarks.saved import Result, options, run

CHECKPOINT = Path("model/checkpoints/meam-risk")
ROUNDS = 5
OBSERVATIONS = (30, 100, 300, 1_000, 3_000, 10_000)
NOTES = (1, 3, 10, 30, 100, 200)
DEVICE_HOURS = (1, 3, 8, 24, 72, 168)
TOKENS = (60, 80, 110, 140, 180)
COALITIONS = (64, 128, 256, 512, 1_024, 2_048)
PATIENTS = (1, 2, 4, 8, 16)
Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Axis:
    """One kind of size, and the work of each size."""

    name: str
    unit: str
    sizes: Sequence[int]
    work: Callable[[int], Work]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure as the options say."""
    given = options(__doc__, arguments)
    run("growth", given, lambda result: measure(result))


def measure(result: Result) -> None:
    """Measure every kind of size."""
    predictor = load_predictor(CHECKPOINT, threads=1)
    settle_memory()  # as the service does before its first request
    axes = _axes(predictor)
    for axis in axes[1:4] if result.quick else axes:
        sizes = axis.sizes[:2] if result.quick else axis.sizes
        works = {size: axis.work(size) for size in sizes}
        turns = {str(size): work for size, work in works.items()}
        rounds = 1 if result.quick else ROUNDS
        taken = take_turns(turns, rounds=rounds, clock=time.process_time)
        seconds = {float(size): taken[str(size)] for size in sizes}
        growth = slope([float(size) for size in sizes], seconds)
        upper = [float(size) for size in sizes[len(sizes) // 2 :]]
        above = slope(upper, seconds) if len(upper) > 1 else growth
        peaks = [0.0 if result.quick else peak_mb(work) for work in works.values()]
        middles = [float(np.median(seconds[float(size)]) * 1e3) for size in sizes]
        result.figures[axis.name] = {
            "unit": axis.unit,
            "sizes": list(sizes),
            "ms": middles,
            "peak_mb": peaks,
            "slope": growth.to_json(),
            "slope_upper_half": above.to_json(),
        }
        shown = ", ".join(
            f"{size}: {ms:.1f} ms, {peak:.1f} MB"
            for size, ms, peak in zip(sizes, middles, peaks, strict=True)
        )
        result.say(
            f"{axis.name}: slope {growth.shown('.2f')}, upper half {above.shown('.2f')}; {shown}"
        )


def _axes(predictor: Predictor) -> list[Axis]:
    def whole(size: Size) -> Work:
        return _hook(predictor, chart_of(size))

    return [
        Axis(
            "Observations", "Observations", OBSERVATIONS, lambda n: whole(_typical(observations=n))
        ),
        Axis("notes", "notes", NOTES, lambda n: whole(_typical(notes=n))),
        Axis(
            "device hours",
            "hours of five channels by the minute",
            DEVICE_HOURS,
            lambda n: whole(_typical(device_hours=n)),
        ),
        Axis("tokens", "tokens, 512 coalitions", TOKENS, lambda n: _fusion(predictor, n, 512)),
        Axis(
            "coalitions", "coalitions, 125 tokens", COALITIONS, lambda n: _fusion(predictor, 125, n)
        ),
        Axis("patients", "patients, one after the other", PATIENTS, lambda n: _ward(predictor, n)),
    ]


def _typical(**changes: int) -> Size:
    """The typical chart with one thing changed; a stay of a week holds the largest of each."""
    return replace(TYPICAL, stay_hours=168, **changes)  # type: ignore[arg-type]


def _hook(predictor: Predictor, chart: Chart) -> Work:
    body = hook_body(chart)

    def answer() -> object:
        prefetch = parse_json(body)["prefetch"]
        found = [open_bundle(value, key) for key, value in prefetch.items()]
        resources = tuple(one for contents in found for one in contents.resources)
        return predictor(build_record(Chart(chart.patient_id, resources), NOW))

    return answer


def _fusion(predictor: Predictor, tokens: int, coalitions: int) -> Work:
    """The fusion over a typical chart's memory, with its note tokens repeated up to a number."""
    found = predictor.tokenize(build_record(chart_of(TYPICAL), NOW))
    memory = predictor.network.encode(found)
    notes = memory.parts["memory_note"]
    others = found.token_count - len(notes)
    wanted = max(1, tokens - others)
    longer = np.tile(notes, (-(-wanted // len(notes)), 1))[:wanted]
    count = others + wanted
    columns = np.arange(count, dtype=np.int64)
    whole = Memory({**memory.parts, "memory_note": longer}, columns, count)
    mask = np.random.default_rng(1).random((coalitions, count)) < 0.5
    return lambda: predictor.network.fuse(whole, mask)


def _ward(predictor: Predictor, patients: int) -> Work:
    charts = [chart_of(SMALL, variant=number) for number in range(patients)]

    def score() -> object:
        return [predictor(build_record(chart, NOW))[0] for chart in charts]

    return score


def peak_mb(work: Work) -> float:
    """Return the most that Python and NumPy hold at once beyond what they held before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


if __name__ == "__main__":
    main()
