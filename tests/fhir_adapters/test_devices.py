"""Device Observations to series: points, SampledData, several devices, artefacts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from fhir_adapters.artefacts import is_artefact
from fhir_adapters.codes import load_variables, variable
from model.record import DeviceSeries, PatientRecord
from tests.fhir_adapters.corpus import CORPUS
from tests.fhir_adapters.reading_world import (
    MDC,
    NINE,
    PREDICTION_TIME,
    concept,
    left_out,
    observation,
    quantity,
    read,
    sampled,
    valued,
    values,
)

NINE_S = datetime.fromisoformat(NINE).timestamp()
WATCH = {"reference": "Device/watch"}


def series(record: PatientRecord, channel: str = "heart_rate") -> DeviceSeries:
    """Return the one series of a channel."""
    (found,) = (one for one in record.device_series if one.channel == channel)
    return found


def seconds(one: DeviceSeries) -> list[float]:
    """Return the times of a series in seconds after nine."""
    return [float(time) for time in one.times_s - NINE_S]


def at(minute: int) -> str:
    """Return the FHIR time of a minute after eight."""
    return f"2026-03-02T08:{minute:02d}:00Z"


def test_device_reference_makes_a_point_of_a_series_and_no_measurement() -> None:
    record = read(observation(device=WATCH))
    assert values(record) == []
    one = series(record)
    assert (one.unit, one.device, one.sources) == ("/min", "Device/watch", ("Observation/o1",))
    assert (seconds(one), one.values.tolist(), one.period_s) == ([0.0], [80.0], None)
    assert (one.times_s.dtype, one.values.dtype, one.source_index.dtype) == (
        np.float64,
        np.float32,
        np.int32,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {
            "meta": {
                "profile": ["http://hl7.org/fhir/uv/phd/StructureDefinition/PhdNumericObservation"]
            }
        },
        {
            "extension": [
                {"url": "http://hl7.org/fhir/StructureDefinition/observation-gatewayDevice"}
            ]
        },
        {"device": {"display": "bedside monitor"}},
    ],
)
def test_other_signs_of_a_device(changes: dict[str, Any]) -> None:
    record = read(observation(**changes))
    assert len(record.device_series) == 1
    assert values(record) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"device": None},
        {"device": "watch"},
        {"meta": {"profile": "x"}, "extension": {}},
        {"meta": [], "extension": [5, {"url": []}, {"url": "urn:x"}]},
    ],
)
def test_without_a_sign_of_a_device_it_is_a_measurement(changes: dict[str, Any]) -> None:
    assert values(read(observation(**changes))) == [("heart_rate", 80)]


def test_device_only_variable_is_a_series_without_any_device() -> None:
    assert len(read(observation(code="80404-7", value=quantity(45, "ms"))).device_series) == 1


def test_structured_only_variable_stays_a_measurement() -> None:
    """A weight from a scale is one charted value, not a channel."""
    weight = observation(code="29463-7", value=quantity(80, "kg"), device=WATCH)
    assert values(read(weight)) == [("body_weight", 80)]


def test_a_reading_is_in_one_modality_only() -> None:
    record = read(observation("a"), observation("b", device=WATCH))
    assert record.report.values_used == {"structured": 1, "note": 0, "device": 1}


def test_components_of_a_health_device_are_points_of_their_channels() -> None:
    parts = [
        {"code": concept(code, system=MDC), "valueQuantity": quantity(number, "mm[Hg]")}
        for code, number in (("150021", 120), ("150022", 70), ("150023", 90))
    ]
    panel = observation(
        code=concept("150020", system=MDC), valueQuantity=None, component=parts, device=WATCH
    )
    record = read(panel)
    assert {one.channel: one.values.tolist() for one in record.device_series} == {
        "systolic_blood_pressure": [120.0],
        "diastolic_blood_pressure": [70.0],
        "mean_blood_pressure": [90.0],
    }


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("Device/5", "Device/5"),
        ("https://ehr.example/fhir/Device/5/_history/2", "Device/5"),
        ("DeviceMetric/m", "Device/5"),
        ("#inner", "Ring"),
        ("urn:uuid:5", "Ring"),
    ],
)
def test_device_is_named_by_reference_or_display(reference: str, expected: str) -> None:
    metric = {"resourceType": "DeviceMetric", "id": "m", "source": {"reference": "Device/5"}}
    record = read(observation(device={"reference": reference, "display": "Ring"}), metric)
    assert series(record).device == expected


def test_r5_device_metric_names_its_device() -> None:
    metric = {"resourceType": "DeviceMetric", "id": "m", "device": {"reference": "Device/5"}}
    record = read(observation(device={"reference": "DeviceMetric/m"}), metric)
    assert series(record).device == "Device/5"


def test_series_of_many_observations_is_merged_and_sorted() -> None:
    points = [
        observation(
            f"o{minute}",
            value=quantity(60 + minute, "/min"),
            device=WATCH,
            effectiveDateTime=at(minute),
        )
        for minute in (30, 10, 20)
    ]
    ring = observation(
        "r",
        value=quantity(99, "/min"),
        device={"reference": "Device/ring"},
        effectiveDateTime=at(15),
    )
    one = series(read(*points, ring, sampled("80 81")))
    assert one.values.tolist() == [70, 99, 80, 90, 80, 81]
    assert one.device == "Device/ring, Device/watch"
    assert [one.sources[index] for index in one.source_index] == [
        "Observation/o10",
        "Observation/r",
        "Observation/o20",
        "Observation/o30",
        "Observation/s1",
        "Observation/s1",
    ]
    assert np.all(np.diff(one.times_s) > 0)


def test_same_point_twice_is_one_point() -> None:
    one = series(read(observation(device=WATCH), sampled("80 81")))
    assert one.values.tolist() == [80, 81]


def test_series_do_not_depend_on_the_order_of_the_chart() -> None:
    parts = [
        observation(
            f"o{n}", value=quantity(70 + n % 7, "/min"), device=WATCH, effectiveDateTime=at(n)
        )
        for n in range(50)
    ]
    forward, backward = series(read(*parts)), series(read(*reversed(parts)))
    assert np.array_equal(forward.times_s, backward.times_s)
    assert np.array_equal(forward.values, backward.values)
    assert forward.sources == backward.sources
    assert np.array_equal(forward.source_index, backward.source_index)


def test_sampled_data_is_origin_plus_factor_times_sample() -> None:
    one = series(read(sampled("1 2 3", origin=quantity(50, "/min"), factor=10, period=500)))
    assert one.values.tolist() == [60, 70, 80]
    assert seconds(one) == [0, 0.5, 1.0]
    assert one.period_s == 0.5


def test_sampled_data_is_converted_with_its_offset() -> None:
    record = read(sampled("0 18", origin=quantity(86, "[degF]"), code="39106-0"))
    assert series(record, "skin_temperature").values.tolist() == [30, 40]


@pytest.mark.parametrize(
    ("timing", "expected"),
    [
        ({"interval": 2, "intervalUnit": "s"}, [0, 2, 4]),
        ({"interval": 250, "intervalUnit": "ms"}, [0, 0.25, 0.5]),
        ({"interval": 1, "intervalUnit": "min"}, [0, 60, 120]),
        ({"offsets": "0 5 7", "intervalUnit": "s"}, [0, 5, 7]),
    ],
)
def test_r5_sampling_times(timing: dict[str, Any], expected: list[float]) -> None:
    assert seconds(series(read(sampled(period=None, **timing)))) == expected


def test_error_samples_are_gaps() -> None:
    one = series(read(sampled("80 E 82 E E 85")))
    assert (seconds(one), one.values.tolist()) == ([0, 2, 5], [80, 82, 85])


def test_samples_beyond_detection_count_as_the_limit_with_a_remark() -> None:
    record = read(sampled("80 L U", lowerLimit=30, upperLimit=250))
    assert series(record).values.tolist() == [80, 30, 250]
    assert record.report.remarks[0].sentence == (
        "Observation/s1: heart_rate has samples beyond the limits of detection, the limit counts"
    )


def test_samples_beyond_unstated_limits_are_gaps() -> None:
    record = read(sampled("80 L U 81"))
    assert (seconds(series(record)), record.report.remarks) == ([0, 3], ())


def test_no_break_spaces_separate_samples_as_they_are_sent() -> None:
    assert series(read(sampled("80\u00a081\n82"))).values.tolist() == [80, 81, 82]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dimensions": 3}, "has SampledData of several dimensions"),
        ({"data": None}, "has SampledData without data"),
        ({"data": "  "}, "has SampledData without data"),
        ({"data": "E E"}, "has SampledData without a single value"),
        ({"data": "80 x"}, "has SampledData with a sample that is no number"),
        ({"origin": None}, "has SampledData without a numeric origin and factor"),
        ({"origin": {"value": "x"}}, "has SampledData without a numeric origin and factor"),
        ({"factor": []}, "has SampledData without a numeric origin and factor"),
        ({"period": None}, "has SampledData without a sampling period"),
        ({"period": 0}, "has SampledData without a sampling period"),
        ({"period": -5}, "has SampledData without a sampling period"),
        ({"interval": 1}, "has SampledData whose intervalUnit is no unit of time"),
        ({"offsets": "0 1", "intervalUnit": "s"}, "has SampledData whose offsets do not fit"),
        ({"offsets": "0 1 x", "intervalUnit": "s"}, "has SampledData with unreadable offsets"),
        ({"offsets": 5, "intervalUnit": "s"}, "has SampledData whose offsets do not fit"),
    ],
)
def test_unreadable_samples_are_left_out(changes: dict[str, Any], sentence: str) -> None:
    arguments: dict[str, Any] = {"data": "80 81 82", **changes}
    record = read(sampled(**arguments))
    assert record.device_series == ()
    ((_, said),) = left_out(record)
    assert said.startswith(f"Observation/s1: heart_rate {sentence}")


def test_sampled_data_that_is_no_object_is_left_out() -> None:
    record = read(valued("valueSampledData", "80 81"))
    assert left_out(record) == [
        ("value", "Observation/o1: heart_rate has SampledData that is no object")
    ]


def test_samples_of_a_variable_that_is_no_channel_are_left_out() -> None:
    record = read(sampled(code="1751-7"))
    assert left_out(record) == [
        ("value", "Observation/s1: albumin is no channel, but comes as SampledData")
    ]


@pytest.mark.parametrize(
    ("effective", "first"),
    [
        ({"effectivePeriod": {"start": NINE, "end": "2026-03-02T09:00:03Z"}}, 0.0),
        ({"effectivePeriod": {"end": NINE}}, -3.0),
        ({"effectiveInstant": NINE}, 0.0),
    ],
)
def test_samples_start_with_their_period(effective: dict[str, Any], first: float) -> None:
    samples = sampled()
    del samples["effectiveDateTime"]
    assert seconds(series(read({**samples, **effective})))[0] == first


@pytest.mark.parametrize("text", ["2026-03-01", "2026-03-01T09:00:00", None])
def test_samples_without_an_exact_start_are_left_out(text: str | None) -> None:
    record = read({**sampled(), "effectiveDateTime": text})
    assert left_out(record) == [
        ("time", "Observation/s1: heart_rate has SampledData without an exact start")
    ]


def test_samples_are_cut_at_the_prediction_time() -> None:
    late = {**sampled("80 81 82 83", period=3_600_000), "issued": "2026-03-02T13:00:00Z"}
    record = read({**late, "effectiveDateTime": "2026-03-02T10:00:00Z"})
    assert series(record).values.tolist() == [80, 81, 82]
    assert series(record).times_s.max() <= PREDICTION_TIME.timestamp()
    assert left_out(record) == [
        ("future", "Observation/s1: 1 points of heart_rate are later than the prediction time")
    ]


def test_implausible_samples_are_quarantined_with_their_number() -> None:
    record = read(sampled("80 0 400 81"))
    assert series(record).values.tolist() == [80, 81]
    assert left_out(record) == [
        (
            "implausible",
            "Observation/s1: 2 points: heart_rate is outside its plausible range 10 to 300 /min",
        )
    ]


def test_samples_in_a_component_are_read() -> None:
    part = {"code": concept("8867-4"), "valueSampledData": sampled()["valueSampledData"]}
    record = read(observation(code="85353-1", valueQuantity=None, component=[part]))
    assert series(record).values.tolist() == [80, 81, 82]


def test_absurd_sampling_times_do_not_warn() -> None:
    assert left_out(read(sampled(period=1e308)))[0][0] == "future"
    assert read(sampled("1e308 80", factor=1e308)).device_series == ()


def test_spike_of_one_point_is_an_artefact() -> None:
    record = read(sampled("80 81 160 82 81 80", period=60_000))
    assert series(record).values.tolist() == [80, 81, 82, 81, 80]
    assert left_out(record) == [
        (
            "artefact",
            "Observation/s1: 1 points of heart_rate are artefacts (flat line or spike)",
        )
    ]


@pytest.mark.parametrize(
    ("data", "period"),
    [
        ("80 81 160 161 160", 60_000),  # a step that stays is a change
        ("80 160", 60_000),
        ("80 81 160 82 81", 3_600_000),  # hourly values: nothing says that it came back
        ("80 81 110 82", 60_000),  # below the limit
    ],
)
def test_changes_that_are_no_spikes_stay(data: str, period: int) -> None:
    start = {"effectiveDateTime": "2026-03-02T01:00:00Z"}
    record = read({**sampled(data, period=period), **start})
    assert series(record).values.tolist() == [float(text) for text in data.split()]


def by_device(name: str, data: str, code: str, unit: str, start: str = NINE) -> dict[str, Any]:
    """Return one sample a minute of a device, from ``start`` on."""
    samples = sampled(data, code=code, origin=quantity(0, unit), period=60_000)
    device = {"reference": f"Device/{name}"}
    return {**samples, "id": name, "device": device, "effectiveDateTime": start}


def around(value: float, count: int = 60) -> str:
    """Return samples that go up and down by little."""
    return " ".join(f"{value + minute % 3 / 10:.1f}" for minute in range(count))


HALF = "2026-03-02T09:00:00.500Z"


def test_two_devices_that_agree_by_and_large_are_no_artefacts_of_each_other() -> None:
    """One reads 30 lower than the other: less than a jump, and each is steady."""
    monitor = by_device("monitor", "110 108 " * 30, "8867-4", "/min")
    wrist = by_device("wrist", "80 82 " * 30, "8867-4", "/min", HALF)
    record = read(monitor, wrist)
    assert len(series(record).values) == 120
    assert left_out(record) == []


def test_a_spike_is_judged_within_its_device() -> None:
    """The readings of the other device beside it neither hide nor make it."""
    monitor = by_device("monitor", "80 81 160 82 81", "8867-4", "/min")
    patch = by_device("patch", "99 120 121 120 99", "8867-4", "/min", HALF)
    one = series(read(monitor, patch))
    assert sorted(one.values.tolist()) == [80, 81, 81, 82, 99, 99, 120, 120, 121]


def test_an_artefact_that_comes_twice_is_one_in_both_forms() -> None:
    monitor = by_device("monitor", "80 81 160 82 81", "8867-4", "/min")
    again = observation(value=quantity(160, "/min"), effectiveDateTime="2026-03-02T09:02:00Z")
    one = series(read(monitor, {**again, "device": {"display": "central station"}}))
    assert one.values.tolist() == [80, 81, 82, 81]


@pytest.mark.parametrize(
    ("code", "unit", "right", "wrong", "channel"),
    [
        ("8867-4", "/min", 128, 72, "heart_rate"),
        ("8310-5", "Cel", 37.9, 35.6, "body_temperature"),
        ("59408-5", "%", 97, 78, "oxygen_saturation"),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_of_two_devices_that_contradict_each_other_a_clearly_longer_recording_counts(
    code: str, unit: str, right: float, wrong: float, channel: str, order: int
) -> None:
    monitor = by_device("monitor", around(right), code, unit)
    wrist = by_device("wrist", around(wrong, 30), code, unit, HALF)
    record = read(*[monitor, wrist][::order])
    one = series(record, channel)
    assert (len(one.values), one.device) == (60, "Device/monitor")
    assert one.values.min() > wrong + 1
    assert left_out(record) == [
        (
            "artefact",
            f"Observation/wrist: 30 points of {channel} contradict Device/monitor, "
            "which recorded longer",
        )
    ]


def test_a_device_that_contradicts_is_left_out_also_where_the_other_is_silent() -> None:
    """Else the hand-over from one to the other would be a trend that nobody has."""
    monitor = by_device("monitor", around(128, 60), "8867-4", "/min")
    late = by_device("wrist", around(72, 30), "8867-4", "/min", "2026-03-02T09:50:00.500Z")
    one = series(read(monitor, late))
    assert one.values.min() > 120


def test_where_neither_of_two_contradicting_devices_recorded_longer_both_are_read() -> None:
    """Half a second more is no reason to take the wrist's word against the monitor's."""
    monitor = by_device("monitor", around(128), "8867-4", "/min")
    wrist = by_device("wrist", around(72), "8867-4", "/min", HALF)
    record = read(monitor, wrist)
    assert (len(series(record).values), left_out(record)) == (120, [])
    assert [(line.reason, line.sentence) for line in record.report.remarks] == [
        (
            "contradiction",
            "Observation/monitor: heart_rate of its device contradicts Device/wrist, both are read",
        )
    ]


def test_devices_that_follow_each_other_contradict_nothing() -> None:
    monitor = by_device("monitor", around(128, 60), "8867-4", "/min")
    later = by_device("wrist", around(72, 50), "8867-4", "/min", "2026-03-02T10:30:00Z")
    assert len(series(read(monitor, later)).values) == 110


def test_devices_are_told_apart_by_their_identifiers_too() -> None:
    def named(value: str) -> dict[str, Any]:
        return {"identifier": {"system": "urn:x", "value": value}}

    monitor = by_device("monitor", "110 108 " * 30, "8867-4", "/min")
    wrist = by_device("wrist", "66 68 " * 15, "8867-4", "/min", HALF)
    record = read({**monitor, "device": named("1")}, {**wrist, "device": named("2")})
    assert len(series(record).values) == 60
    assert "contradict another device" in left_out(record)[0][1]


def test_flat_line_of_an_arterial_pressure_is_an_artefact() -> None:
    """A line that is flushed, clamped or disconnected repeats its value; an artery never does."""
    pulsating = [120.0 + minute % 3 for minute in range(60)]
    flat = [111.0] * 31
    times_s = np.arange(91) * 60.0
    artefact = is_artefact(
        times_s, np.array(pulsating + flat), variable("arterial_systolic_blood_pressure")
    )
    assert artefact.sum() == 31
    assert artefact[60:].all()


@pytest.mark.parametrize("name", ["heart_rate", "oxygen_saturation", "respiratory_rate"])
def test_paced_hearts_full_saturation_and_ventilators_may_rest(name: str) -> None:
    flat = np.full(600, 60.0)
    assert not is_artefact(np.arange(600) * 60.0, flat, variable(name)).any()


def test_flat_line_needs_density_and_time() -> None:
    pressure = variable("arterial_systolic_blood_pressure")
    assert not is_artefact(np.arange(48) * 3600.0, np.full(48, 120.0), pressure).any()
    assert not is_artefact(np.arange(20) * 60.0, np.full(20, 120.0), pressure).any()
    assert is_artefact(np.array([0.0]), np.array([120.0]), pressure).tolist() == [False]
    assert is_artefact(np.array([]), np.array([]), pressure).tolist() == []


def test_series_of_artefacts_only_is_no_series() -> None:
    flat = sampled(
        " ".join(["5"] * 700),
        origin=quantity(0, "uS"),
        code=concept("electrodermal_activity", system="urn:meam:variables"),
    )
    record = read(flat)
    assert record.device_series == ()
    assert left_out(record)[0][0] == "artefact"


def test_thousands_of_samples_are_read_at_once() -> None:
    """A day at 1 Hz; the benchmark times it."""
    count = 86_400
    start = (PREDICTION_TIME - timedelta(days=1, seconds=1)).isoformat()
    data = " ".join(str(60 + number % 30) for number in range(count))
    record = read({**sampled(data), "effectiveDateTime": start})
    assert len(series(record).values) == count


def test_channels_exist_for_every_device_variable() -> None:
    for row in load_variables().values():
        if row.modality == "device":
            code = concept(row.name, system="urn:meam:variables")
            middle = (row.plausible_low + row.plausible_high) / 2
            record = read(observation(code=code, value=quantity(middle, row.unit)))
            assert [one.channel for one in record.device_series] == [row.name]


WEARABLE = CORPUS.parent / "data" / "wearable-stress-predict"
needs_wearable = pytest.mark.skipif(
    not WEARABLE.exists(), reason="the wearable data is not beside the repository"
)


@needs_wearable
def test_wrist_wearable_as_fhir_comes_back_as_it_was() -> None:
    polars = pytest.importorskip("polars")
    table = polars.read_parquet(WEARABLE / "wearable_1hz.parquet")
    bpm = table.filter(table["participant"] == 1)["hr_bpm"].to_numpy()[:7200]
    known = np.isfinite(bpm)
    data = " ".join("E" if np.isnan(value) else f"{value:.2f}" for value in bpm)
    record = read({**sampled(data), "effectiveDateTime": "2026-03-02T08:00:00Z"})
    one = series(record)
    assert left_out(record) == []
    assert one.values == pytest.approx(bpm[known], abs=0.006)
    assert one.times_s[0] - NINE_S + 3600 == float(np.flatnonzero(known)[0])


@needs_wearable
def test_inter_beat_intervals_with_their_own_times_are_read() -> None:
    """Intervals in seconds at irregular times: R5 offsets, converted to the channel's ms."""
    polars = pytest.importorskip("polars")
    table = polars.read_parquet(WEARABLE / "ibi.parquet")
    person = table.filter(table["participant"] == 1)[:2000]
    samples = sampled(
        " ".join(f"{value:.6f}" for value in person["ibi_s"]),
        code=concept("rr_interval", system="urn:meam:variables"),
        origin=quantity(0, "s"),
        period=None,
        intervalUnit="s",
        offsets=" ".join(str(value) for value in person["t_s"]),
    )
    record = read({**samples, "effectiveDateTime": "2026-03-02T06:00:00Z"})
    one = series(record, "rr_interval")
    assert one.unit == "ms"
    assert len(one.values) >= 0.99 * len(person)
    assert float(one.values.mean()) == pytest.approx(1000 * person["ibi_s"].mean(), rel=0.01)
