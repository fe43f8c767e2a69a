"""Times one explained prediction, stage by stage, for the chart of the design's first target.

Run as ``python -m tests.benchmarks.bench_explain [CHECKPOINT]`` from the repository root. The chart
has 300 measurements, 10 notes of 64 sentences in all, and 24 hours of device data by the minute;
the notes have been seen before, and every run has other values, so that nothing else is.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np

from model import predictor as predictor_module
from model.predictor import Predictor, load_predictor
from model.record import (
    Demographics,
    DeviceSeries,
    Measurement,
    Note,
    PatientRecord,
    Sentence,
    Stay,
)
from model.tokens import STATICS

CHECKPOINT = Path("model/checkpoints/meam-risk")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUNS = 40
MEASUREMENTS = 300
MANY_MEASUREMENTS = 10_000
SENTENCES = 64
NOTES = 10
DEVICE_MINUTES = 24 * 60
MOST_CHANNELS = 8
THREADS = 2
SENTENCE = "Overnight the patient remained on {} litres of oxygen, lungs with crackles at bases."

T = TypeVar("T")


def chart(predictor: Predictor, seed: int, measurements: int = MEASUREMENTS) -> PatientRecord:
    """Return a chart with values from the middle of the training range."""
    rng = np.random.default_rng(seed)
    return PatientRecord(
        Demographics("Patient/1", float(rng.uniform(30, 85)), "female"),
        NOW,
        measured(predictor, rng, measurements),
        notes(),
        worn(predictor, rng),
        Stay("Encounter/1", "IMP", ""),
    )


def measured(predictor: Predictor, rng: np.random.Generator, count: int) -> tuple[Measurement, ...]:
    """Spread values over the charted variables that training has seen."""
    ranges = predictor.checkpoint.applicability.structured_ranges
    usable = [
        (spec, *pair)
        for spec, pair in zip(predictor.checkpoint.tokens.variables, ranges, strict=True)
        if spec.name not in STATICS and np.isfinite(pair).all()
    ]
    hours = np.sort(rng.uniform(0, 47, count))[::-1]
    rows = []
    for number, before in enumerate(hours.tolist()):
        spec, low, high = usable[number % len(usable)]
        value = float(rng.uniform(0.75 * low + 0.25 * high, 0.25 * low + 0.75 * high))
        at = NOW - timedelta(hours=before)
        rows.append(Measurement(spec.name, value, spec.unit, at, f"Observation/{number}"))
    return tuple(rows)


def notes() -> tuple[Note, ...]:
    """Return ten notes of the last two days."""
    share = [SENTENCES // NOTES + (number < SENTENCES % NOTES) for number in range(NOTES)]
    return tuple(
        Note(
            "Progress note",
            NOW - timedelta(hours=4 * (NOTES - number)),
            tuple(Sentence(SENTENCE.format(10 * number + line)) for line in range(share[number])),
            f"DocumentReference/{number}",
        )
        for number in range(NOTES)
    )


def worn(predictor: Predictor, rng: np.random.Generator) -> tuple[DeviceSeries, ...]:
    """Return a day of minutes for the channels that training has seen."""
    ranges = predictor.checkpoint.applicability.device_ranges
    times = NOW.timestamp() - 60.0 * np.arange(DEVICE_MINUTES)[::-1]
    return tuple(
        DeviceSeries(
            spec.name,
            spec.unit,
            times,
            (low + (high - low) * rng.uniform(0.3, 0.7, DEVICE_MINUTES)).astype(np.float32),
            (f"Observation/{spec.name}",),
            np.zeros(DEVICE_MINUTES, np.int32),
            period_s=60.0,
        )
        for spec, (low, high) in zip(predictor.checkpoint.tokens.channels, ranges, strict=True)
        if np.isfinite(low)
    )[:MOST_CHANNELS]


class Stages:
    """Adds up the time of named functions."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def timed(self, name: str, function: Callable[..., T]) -> Callable[..., T]:
        """Return the function, with its time counted under a name."""

        def wrapped(*args: object, **kwargs: object) -> T:
            start = time.perf_counter()
            answer = function(*args, **kwargs)
            self.seconds[name] += time.perf_counter() - start
            return answer

        return wrapped


def watch(predictor: Predictor, stages: Stages) -> None:
    """Put the clock around the parts of one prediction."""
    network, encoder = predictor.network, predictor.encoder
    for part, name, label in (
        (encoder, "encode", "sentences from memory"),
        (network, "encode", "encoders"),
        (network, "fuse", "fusion of all coalitions"),
        (predictor_module, "tokenize", "tokens"),
        (predictor_module, "explain", "explanation"),
    ):
        setattr(part, name, stages.timed(label, getattr(part, name)))


def report(line: str) -> None:
    """Write a line."""
    sys.stdout.write(f"{line}\n")


def runs(predictor: Predictor, records: list[PatientRecord]) -> tuple[list[float], list[int]]:
    """Return milliseconds and coalition evaluations of each."""
    milliseconds, evaluations = [], []
    for record in records:
        start = time.perf_counter()
        _, explanation = predictor(record)
        milliseconds.append((time.perf_counter() - start) * 1e3)
        if explanation is None:
            raise SystemExit("the benchmark's chart is outside the model's population")
        evaluations.append(explanation.coalition_evaluations)
    return milliseconds, evaluations


def main() -> None:
    """Print the times."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKPOINT
    start = time.perf_counter()
    predictor = load_predictor(folder, threads=THREADS)
    predictor.warm_up()
    report(f"ready in {time.perf_counter() - start:.2f} s")
    start = time.perf_counter()
    predictor.tokenize(chart(predictor, 0))
    cold = (time.perf_counter() - start) * 1e3
    report(f"new sentences: {cold / SENTENCES:.1f} ms each")
    records = [chart(predictor, seed) for seed in range(RUNS)]
    many = [chart(predictor, seed, MANY_MEASUREMENTS) for seed in range(RUNS // 4)]
    runs(predictor, records[:5])
    used = time.process_time()
    milliseconds, evaluations = runs(predictor, records)
    used = (time.process_time() - used) / RUNS * 1e3
    tokens = predictor.tokenize(records[0]).token_count
    report(
        f"explained prediction: p50 {np.percentile(milliseconds, 50):.1f} ms, "
        f"p95 {np.percentile(milliseconds, 95):.1f} ms, {used:.1f} CPU-ms, {tokens} tokens, "
        f"{np.mean(evaluations):.0f} coalitions"
    )
    large, _ = runs(predictor, many)
    ratio = np.percentile(large, 50) / np.percentile(milliseconds, 50)
    report(f"with {MANY_MEASUREMENTS} measurements: {ratio:.2f} x the time")
    stages = Stages()
    watch(predictor, stages)
    runs(predictor, records)
    mean = {name: seconds / RUNS * 1e3 for name, seconds in stages.seconds.items()}
    mean["tokens"] -= mean["sentences from memory"]
    mean["explanation"] -= mean["fusion of all coalitions"]  # all but one coalition
    for name, value in sorted(mean.items(), key=lambda item: -item[1]):
        report(f"  {name:26s} {value:6.2f} ms")


if __name__ == "__main__":
    main()
