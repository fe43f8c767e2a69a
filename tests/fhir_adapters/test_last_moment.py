"""The last moment of a chart: everything in it is known then, and nothing was a second before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fhir_adapters.chart import Chart
from fhir_adapters.datasets.sample_patients import sample_charts
from fhir_adapters.last_moment import record_at_last_moment
from fhir_adapters.record_builder import build_record
from model.record import PatientRecord
from tests.cds_hooks import world

NOW = datetime(2027, 1, 1, tzinfo=UTC)  # long after every chart
Json = dict[str, Any]


def record_of(*resources: Json, now: datetime = NOW) -> PatientRecord | None:
    chart = Chart(world.PATIENT, (world.patient(), world.encounter(), *resources))
    return record_at_last_moment(chart, now)


def lab(**changes: Any) -> Json:
    return {**world.laboratory()[1], **changes}


def moment(*resources: Json) -> datetime:
    record = record_of(*resources)
    assert record is not None
    return record.prediction_time


def test_a_measurement_counts_from_its_time() -> None:
    assert moment(*world.vital_signs()) == world.NOW - timedelta(hours=3)


def test_a_result_counts_from_its_issue() -> None:
    record = record_of(lab(issued="2026-11-23T10:40:00.250Z"))
    assert record is not None
    assert record.prediction_time == datetime(2026, 11, 23, 10, 40, 1, tzinfo=UTC)
    assert [m.source for m in record.measurements] == ["Observation/lac-2"]


def test_a_note_counts_from_when_its_text_was_known() -> None:
    later = world.note()
    later["content"][0]["attachment"]["creation"] = "2026-11-23T09:30:00Z"
    assert moment(*world.vital_signs(), later) == datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


def test_samples_count_to_the_last_one() -> None:
    stream = lab(device={"reference": "Device/1"}, code=world.vital_signs()[0]["code"])
    del stream["valueQuantity"]
    stream["valueSampledData"] = {
        "origin": {"value": 0, "unit": "/min"}, "period": 60_000, "dimensions": 1,
        "data": "80 82 81 84",
    }  # fmt: skip
    record = record_of(stream)
    assert record is not None
    assert len(record.device_series[0].values) == 4
    assert record.prediction_time == world.NOW - timedelta(hours=2) + timedelta(
        minutes=3, seconds=1
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"effectiveDateTime": "2026-11-22"}, datetime(2026, 11, 23, 12, tzinfo=UTC)),
        (
            {"effectiveDateTime": "2026-11-22", "meta": {"lastUpdated": "2026-11-22T15:00:00Z"}},
            datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC),
        ),
    ],
    ids=["a date has passed everywhere", "or was proved to be past"],
)
def test_a_date_counts_from_when_it_is_surely_past(
    changes: Mapping[str, Any], expected: datetime
) -> None:
    record = record_of(lab(**changes))
    assert record is not None
    assert (record.prediction_time, len(record.measurements)) == (expected, 1)


def test_what_cannot_be_used_does_not_count() -> None:
    wrong = lab(id="x", effectiveDateTime="2026-12-24T08:00:00Z", status="entered-in-error")
    assert moment(lab(), wrong) == world.NOW - timedelta(hours=2)


def test_what_lies_after_now_does_not_count() -> None:
    early = record_of(*world.laboratory(), now=world.NOW - timedelta(hours=2, minutes=30))
    assert early is not None
    assert early.prediction_time == world.NOW - timedelta(hours=3)


def test_a_chart_without_data_has_no_last_moment() -> None:
    assert record_of() is None


@pytest.mark.parametrize("name", sorted(sample_charts(world.NOW)))
def test_a_sample_patient_loses_nothing(name: str) -> None:
    chart = sample_charts(world.NOW)[name]
    whole, last = build_record(chart, world.NOW), record_at_last_moment(chart, world.NOW)
    assert last is not None
    assert world.NOW - timedelta(hours=2) < last.prediction_time <= world.NOW
    assert (last.measurements, last.notes) == (whole.measurements, whole.notes)
    assert [len(s.values) for s in last.device_series] == [
        len(s.values) for s in whole.device_series
    ]
