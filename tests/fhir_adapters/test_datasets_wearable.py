"""Stress-Predict as FHIR: two made-up volunteers, and the real ones where they lie."""

from pathlib import Path

import polars as pl
import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhir_adapters.datasets.wearable import START, read_stress_predict
from fhir_adapters.errors import DataSetError
from fhir_adapters.record_builder import build_record

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "wearable-stress-predict"


def write_recordings(directory: Path, **changed: list) -> Path:
    seconds = {
        "participant": [1, 1, 1, 2],
        "t_s": [0, 1, 3, 0],
        "hr_bpm": [None, 71.25, 72.0, 90.0],
        "resp_rate": [12.5, 12.5, None, 15.0],
        "skin_temp_C": [31.11, 31.12, 31.13, 30.0],
        "eda_uS": [0.1118, 0.1119, 0.112, 2.5],
        **changed,
    }
    pl.DataFrame(seconds).write_parquet(directory / "wearable_1hz.parquet")
    beats = {"participant": [1, 1], "t_s": [1.484375, 2.34375], "ibi_s": [0.890625, 0.859375]}
    pl.DataFrame(beats).write_parquet(directory / "ibi.parquet")
    return directory


def test_channels_and_gaps(tmp_path):
    recording, _ = read_stress_predict(write_recordings(tmp_path))
    series = {s.channel: s for s in build_record(recording.chart, recording.end).device_series}
    start_s = START.timestamp()
    assert (series["heart_rate"].times_s - start_s).tolist() == [1, 3]  # second 2 is a gap
    assert series["heart_rate"].values.tolist() == [71.25, 72.0]
    assert series["heart_rate"].period_s == 1
    assert series["electrodermal_activity"].values.tolist() == pytest.approx(
        [0.1118, 0.1119, 0.112]
    )
    assert series["rr_interval"].values.tolist() == [890.625, 859.375]
    assert (series["rr_interval"].times_s - start_s).tolist() == pytest.approx(
        [1.484, 2.344], abs=0.0011
    )


def test_each_volunteer_has_a_chart_with_the_device(tmp_path):
    recordings = list(read_stress_predict(write_recordings(tmp_path)))
    assert [r.participant for r in recordings] == ["1", "2"]
    for recording in recordings:
        devices = [r for r in recording.chart.resources if r["resourceType"] == "Device"]
        assert [d["deviceName"][0]["name"] for d in devices] == ["E4"]


def test_resources_are_valid_r4(tmp_path):
    for recording in read_stress_predict(write_recordings(tmp_path)):
        for resource in recording.chart.resources:
            get_fhir_model_class(resource["resourceType"]).model_validate(resource)


def test_unpublished_columns_are_refused(tmp_path):
    write_recordings(tmp_path)
    pl.DataFrame({"participant": [1]}).write_parquet(tmp_path / "ibi.parquet")
    with pytest.raises(DataSetError, match=r"ibi\.parquet has no column ibi_s, t_s"):
        next(read_stress_predict(tmp_path))


@pytest.mark.skipif(not REAL.is_dir(), reason="the Stress-Predict data set is not beside the repo")
def test_a_real_recording():
    recording = next(read_stress_predict(REAL))
    record = build_record(recording.chart, recording.end)
    lengths = {s.channel: len(s.values) for s in record.device_series}
    assert lengths["heart_rate"] > 3000
    assert lengths["rr_interval"] > 1000
    assert all(line.reason == "artefact" for line in record.report.left_out)
