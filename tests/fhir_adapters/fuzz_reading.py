"""Reads charts of mutated resources; nothing but a ChartError may come out.

Run as ``python -m tests.fhir_adapters.fuzz_reading [resources] [seed]`` from the repository root;
50,000 resources by default. The seeds are real shapes: the working world of the tests, and the
FHIR corpus where it is beside the repository.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from random import Random
from typing import Any

from fhir_adapters.chart import Chart
from fhir_adapters.errors import ChartError
from fhir_adapters.record_builder import build_record
from model.record import PatientRecord
from tests.fhir_adapters.corpus import ARCHIVES, CORPUS, resources_of
from tests.fhir_adapters.mutations import mutated
from tests.fhir_adapters.reading_world import (
    BLOOD_PRESSURE,
    ENCOUNTER,
    LACTATE,
    ME,
    PATIENT,
    observation,
    sampled,
    valued,
)

WORLD = (PATIENT, ENCOUNTER, LACTATE, BLOOD_PRESSURE, observation(), sampled("80 E 82 L"))
PREDICTION_TIME = datetime(2027, 1, 1, tzinfo=UTC)  # after all seeds, so that they are read
CHART_SIZE = 5
READ_TYPES = {"Observation", "Encounter", "DocumentReference", "DiagnosticReport", "DeviceMetric"}
LARGEST_SEED = 20_000  # characters of JSON; the largest samples would only be slow


def seeds(*, with_corpus: bool) -> list[dict[str, Any]]:
    """Return resources of our patient to begin from."""
    found = [
        *WORLD,
        valued("valueString", "<5 mg/dL", code="2160-0", identity="o3"),
        valued("valueRange", {"low": {"value": 1}, "high": {"value": 2}}, code="8480-6"),
        valued("valueRatio", {"numerator": {"value": 1}, "denominator": {"value": 2}}),
        observation(effectiveDateTime=None, effectivePeriod={"start": "2026", "end": "2026-03"}),
    ]
    for archive in ARCHIVES if with_corpus and CORPUS.exists() else ():
        for resource in resources_of(archive):
            if resource["resourceType"] in READ_TYPES:
                mine = {**resource, "subject": ME}
                if len(json.dumps(mine)) <= LARGEST_SEED:
                    found.append(mine)
    return found


def fuzz(count: int, seed: int, *, with_corpus: bool) -> Counter[str]:
    """Read ``count`` mutated resources in charts of a few; return what became of the charts."""
    random = Random(seed)
    found = seeds(with_corpus=with_corpus)
    outcomes: Counter[str] = Counter()
    for _ in range(count // CHART_SIZE):
        state = random.getrandbits(64)
        outcomes[_read_one(found, Random(state), state)] += 1
    return outcomes


def _read_one(found: list[dict[str, Any]], random: Random, state: int) -> str:
    resources: list[Any] = [mutated(random.choice(found), random) for _ in range(CHART_SIZE)]
    if random.random() < 0.9:
        resources.append(PATIENT)
    chart = Chart("p1", tuple(resources))
    try:
        record = build_record(chart, PREDICTION_TIME)
    except ChartError as refusal:
        return type(refusal).__name__
    except Exception as crash:
        raise AssertionError(f"chart of random state {state} crashed the reader") from crash
    _check(record)
    return "read" if record.measurements or record.device_series else "read, nothing used"


def _check(record: PatientRecord) -> None:
    """Whatever comes out is finite, in the past, and said in sentences without newlines."""
    end_s = PREDICTION_TIME.timestamp()
    assert all(m.time <= PREDICTION_TIME and abs(m.value) < 1e9 for m in record.measurements)
    for one in record.device_series:
        assert (one.times_s <= end_s).all()
        assert abs(one.values).max() < 1e9
        assert len(one.times_s) == len(one.values) == len(one.source_index) > 0
        assert one.source_index.max() < len(one.sources)
    for line in (*record.report.left_out, *record.report.incomplete, *record.report.remarks):
        assert line.reason
        assert line.sentence


def main() -> None:
    """Fuzz and print what became of the charts."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    started = time.perf_counter()
    outcomes = fuzz(count, seed, with_corpus=True)
    seconds = time.perf_counter() - started
    sys.stdout.write(f"{count} mutated resources in {seconds:.0f} s, no uncaught exception\n")
    for outcome, charts in outcomes.most_common():
        sys.stdout.write(f"{charts:7} charts: {outcome}\n")


if __name__ == "__main__":
    main()
