"""A small hospital: adult inpatients with labs, vital signs, a monitor and a note each.

Lactate decides the outcome, so that a training of seconds has something to find. No two patients
have the same note.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from fhir_adapters.chart import Chart
from fhir_adapters.datasets.chart_writer import ChartWriter, instant

NOW = datetime(2026, 3, 4, 8, 0, tzinfo=UTC)
RARE = "troponin_i"  # only the first three patients have it
SENTENCES = ("Slept well", "Walked in the corridor", "Family informed", "Appetite is fair")
USUAL = {
    "creatinine": (1.1, 0.2),
    "sodium": (139.0, 3.0),
    "potassium": (4.1, 0.3),
    "platelets": (220.0, 40.0),
    "hemoglobin": (12.5, 1.2),
    "glucose": (120.0, 15.0),
}
CSV_HEAD = "patient_id,encounter_id,prediction_time,outcome\n"


def dies(number: int) -> bool:
    """Every third patient."""
    return number % 3 == 0


def site_charts(count: int) -> Iterator[Chart]:
    """Yield patients site-0, site-1, ...; the same number is the same patient."""
    for number in range(count):
        yield site_chart(number)


def site_chart(number: int) -> Chart:
    """Return one patient's chart of the last day before NOW."""
    random = np.random.default_rng(number)
    patient = f"site-{number}"
    writer = ChartWriter(patient, f"{patient}-stay")
    writer.patient(gender="female" if number % 2 else "male", birth_date=f"{1935 + number % 50}")
    writer.encounter(start=_hours_ago(30), unit_type="Medical ICU")
    lactate = (5.0 if dies(number) else 1.2) + float(random.normal(0, 0.3))
    for hours in (20, 8, 1):
        writer.observe("lactate", round(max(lactate, 0.3), 1), _hours_ago(hours))
        for name, usual in USUAL.items():
            writer.observe(name, round(float(random.normal(*usual)), 1), _hours_ago(hours))
    if number < 3:
        writer.observe(RARE, 0.02, _hours_ago(3))
    for hours in range(0, 12, 2):
        rate = 80 + 20 * dies(number) + float(random.normal(0, 5))
        writer.observe("respiratory_rate", round(rate / 5), _hours_ago(hours))
    monitor = writer.device("monitor", "bedside monitor")
    samples = " ".join(f"{80 + 20 * dies(number) + random.normal(0, 3):.0f}" for _ in range(360))
    data = {
        "origin": {"value": 0, "unit": "/min", "system": "http://unitsofmeasure.org",
                   "code": "/min"},
        "period": 60_000, "dimensions": 1, "data": samples,
    }  # fmt: skip
    writer.observe_samples(
        "heart_rate", data, start=_hours_ago(6), end=_hours_ago(0), device=monitor
    )
    sentence = SENTENCES[number % len(SENTENCES)]
    text = f"{sentence}. Bed {number}, day {number % 7}. No chest pain."
    writer.document({"text": "Progress note"}, text, _hours_ago(2))
    return writer.chart()


def label_line(number: int, *, encounter: bool = True) -> str:
    """Return a line of labels.csv."""
    stay = f"site-{number}-stay" if encounter else ""
    return f"site-{number},{stay},{NOW.isoformat()},{int(dies(number))}\n"


def write_labels(path: Path, count: int) -> Path:
    """Write the labels of the first patients."""
    path.write_text(CSV_HEAD + "".join(map(label_line, range(count))))
    return path


def _hours_ago(hours: float) -> str:
    return instant(NOW - timedelta(hours=hours))
