"""Times the reader: microseconds an Observation, and a chart of 10,000 Observations.

Run as ``python -m tests.benchmarks.bench_reader`` from the repository root. Parsing the JSON is
not counted: it is timed beside it for comparison.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from fhir_adapters.chart import Chart
from fhir_adapters.codes import Variable, load_variables
from fhir_adapters.record_builder import build_record

START = datetime(2026, 3, 1, tzinfo=UTC)
PREDICTION_TIME = START + timedelta(days=30)
REPEATS = 5
SAMPLES = 86_400


def observation(number: int, variable: Variable, random: Random) -> dict[str, Any]:
    """Return an Observation with all that an EHR writes around its value."""
    value = random.uniform(variable.plausible_low, variable.plausible_high)
    time_text = (START + timedelta(minutes=4 * number)).strftime("%Y-%m-%dT%H:%M:%SZ")
    quantity = {
        "value": round(value, 2),
        "unit": variable.unit,
        "system": "http://unitsofmeasure.org",
        "code": variable.unit,
    }
    category = "http://terminology.hl7.org/CodeSystem/observation-category"
    return {
        "resourceType": "Observation",
        "id": f"e{number}",
        "meta": {"versionId": "1", "lastUpdated": time_text},
        "status": "final",
        "category": [{"coding": [{"system": category, "code": "vital-signs"}]}],
        "code": {
            "coding": [
                {"system": "urn:oid:1.2.3.4", "code": str(number % 50)},
                {"system": "http://loinc.org", "code": "8716-3", "display": "Vital signs"},
                {"system": "http://loinc.org", "code": variable.loinc[0]},
            ],
            "text": variable.display,
        },
        "subject": {"reference": "Patient/p1", "display": "Someone"},
        "encounter": {"reference": "Encounter/e1"},
        "effectiveDateTime": time_text,
        "issued": time_text,
        "valueQuantity": quantity,
        "referenceRange": [{"low": {**quantity, "value": 1}, "high": {**quantity, "value": 2}}],
    }


def chart_of(count: int) -> Chart:
    """Return a chart of ``count`` Observations over all variables that are no device's alone."""
    random = Random(1)
    variables = [v for v in load_variables().values() if v.loinc and v.modality != "device"]
    patient = {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1950-01-01"}
    observations = (
        observation(number, variables[number % len(variables)], random) for number in range(count)
    )
    return Chart("p1", (patient, *observations))


def sampled_chart() -> Chart:
    """Return a day of a monitor's heart rate at 1 Hz as one Observation."""
    random = Random(2)
    data = " ".join(str(random.randint(60, 90)) for _ in range(SAMPLES))
    base = observation(0, load_variables()["heart_rate"], random)
    del base["valueQuantity"]
    base["valueSampledData"] = {
        "origin": {"value": 0, "code": "/min", "system": "http://unitsofmeasure.org"},
        "period": 1000,
        "dimensions": 1,
        "data": data,
    }
    return Chart("p1", ({"resourceType": "Patient", "id": "p1"}, base))


def best_seconds(work: Callable[[], object]) -> float:
    """Return the least processor time of a few runs: the machine's other work only ever adds."""
    best = float("inf")
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


def main() -> None:
    """Print the timings."""
    for count in (300, 1_000, 10_000):
        chart = chart_of(count)
        text = json.dumps(chart.resources)
        parse_s = best_seconds(lambda text=text: json.loads(text))  # type: ignore[misc]
        read_s = best_seconds(lambda chart=chart: build_record(chart, PREDICTION_TIME))  # type: ignore[misc]
        sys.stdout.write(
            f"{count:6} Observations: {1e6 * read_s / count:6.1f} us each, {1e3 * read_s:7.1f} ms "
            f"in all (json.loads alone {1e3 * parse_s:.1f} ms)\n"
        )
    chart = sampled_chart()
    read_s = best_seconds(lambda: build_record(chart, PREDICTION_TIME))
    sys.stdout.write(f"{SAMPLES:6} samples of SampledData: {1e3 * read_s:.1f} ms\n")


if __name__ == "__main__":
    main()
