"""A chart whose clock is a little ahead of ours is read as of its own time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fhir_adapters.chart import Chart
from fhir_adapters.chart_clock import moment_by_chart
from fhir_adapters.record_builder import build_record
from tests.fhir_adapters.reading_world import ME, PATIENT, PREDICTION_TIME, observation

NOTE = {"resourceType": "DocumentReference", "id": "n1", "status": "current", "subject": ME}


def minutes_ahead(*resources: dict[str, Any]) -> float:
    chart = Chart("p1", (PATIENT, observation("past"), *resources))
    return (moment_by_chart(chart, PREDICTION_TIME) - PREDICTION_TIME) / timedelta(minutes=1)


@pytest.mark.parametrize(
    ("text", "ahead"),
    [
        ("2026-03-02T12:00:00Z", 0),
        ("2026-03-02T12:01:00Z", 1),
        ("2026-03-02T14:01:30.000+02:00", 1.5),
        ("2026-03-03T02:04:00+14:00", 4),
        ("2026-03-02T00:04:00-12:00", 4),
        ("2026-03-02T12:05:00Z", 5),
        ("2026-03-02T12:05:01Z", 0),  # a plan, or a mistake
        ("2026-03-02T13:00:00Z", 0),
        ("2026-03-02T12:01:00", 0),  # of any zone
        ("2026-03-02", 0),
        ("2026-03-02T12:0", 0),
    ],
)
def test_a_time_of_five_minutes_ahead_is_now(text: str, ahead: float) -> None:
    assert minutes_ahead(observation("o2", effectiveDateTime=text)) == ahead


@pytest.mark.parametrize(
    "resource",
    [
        observation("o2", issued="2026-03-02T12:02:00Z"),
        observation("o2", effectiveDateTime=None, effectiveInstant="2026-03-02T12:02:00Z"),
        observation("o2", effectiveDateTime=None, effectivePeriod={"end": "2026-03-02T12:02:00Z"}),
        {**NOTE, "date": "2026-03-02T12:02:00Z"},
        {**NOTE, "content": [{"attachment": {"creation": "2026-03-02T12:02:00Z"}}]},
    ],
)
def test_every_time_that_an_item_counts_from_is_looked_at(resource: dict[str, Any]) -> None:
    assert minutes_ahead(resource) == 2


@pytest.mark.parametrize(
    "resource",
    [
        {**observation("o2", effectiveDateTime="2026-03-02T12:02:00Z"), "resourceType": "Task"},
        observation("o2", effectiveDateTime=5, effectivePeriod="2026-03-02T12:02:00Z"),
        {**NOTE, "date": ["2026-03-02T12:02:00Z"], "content": "x"},
    ],
)
def test_nothing_else_is(resource: dict[str, Any]) -> None:
    assert minutes_ahead(resource) == 0


def test_values_keep_their_times_and_nothing_is_later_than_the_prediction() -> None:
    times = ("2026-03-02T12:01:00Z", "2026-03-02T12:03:00Z", "2026-03-02T12:40:00Z")
    late = [observation(f"o{n}", effectiveDateTime=time) for n, time in enumerate(times)]
    chart = Chart("p1", (PATIENT, *late))
    record = build_record(chart, moment_by_chart(chart, PREDICTION_TIME))
    assert record.prediction_time == PREDICTION_TIME + timedelta(minutes=3)
    assert [one.source for one in record.measurements] == ["Observation/o0", "Observation/o1"]
    assert record.measurements[-1].time == record.prediction_time
    assert [one.reason for one in record.report.left_out] == ["future"]
