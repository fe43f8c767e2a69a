"""Bulk Data exports: any files, any order, damaged lines, and bounded memory."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from fhir_adapters.bulk import BulkProgress, read_bulk, write_bulk
from fhir_adapters.chart import Chart
from fhir_adapters.errors import FhirNotFound
from model.record import ReportLine
from tests.fhir_adapters.bulk_world import Line, write_export


def patient(identity: str = "1", **extra: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": identity, **extra}


def observation(identity: str, subject: str = "Patient/1", **extra: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": identity,
        "subject": {"reference": subject},
        **extra,
    }


def document(identity: str, url: str) -> dict[str, Any]:
    return {
        "resourceType": "DocumentReference",
        "id": identity,
        "subject": {"reference": "Patient/1"},
        "content": [{"attachment": {"url": url}}],
    }


class Reading:
    """What came out of an export."""

    def __init__(self, directory: Path, **kwargs: Any) -> None:
        self.lines: list[ReportLine] = []
        self.charts = {
            chart.patient_id: chart
            for chart in read_bulk(directory, report=self.lines.append, **kwargs)
        }

    @property
    def names(self) -> dict[str, set[str]]:
        return {
            identity: {f"{r['resourceType']}/{r.get('id')}" for r in chart.resources}
            for identity, chart in self.charts.items()
        }

    @property
    def said(self) -> list[tuple[str, str]]:
        return [(line.source, line.reason) for line in self.lines]


def test_a_patients_resources_are_found_in_all_files(tmp_path: Path) -> None:
    write_export(
        tmp_path,
        {
            "Observation.1.ndjson": [observation("a"), observation("b", "Patient/2")],
            "Observation.2.ndjson.gz": [observation("c"), observation("d", "Patient/2")],
            "deep/Patient.ndjson": [patient("2"), patient("1")],
            "Encounter.jsonl": [{**observation("e"), "resourceType": "Encounter"}],
        },
    )
    reading = Reading(tmp_path)
    assert reading.names == {
        "2": {"Patient/2", "Observation/b", "Observation/d"},
        "1": {"Patient/1", "Observation/a", "Observation/c", "Encounter/e"},
    }
    assert reading.lines == []
    assert all(chart.incomplete == () for chart in reading.charts.values())


def test_resources_come_as_they_were_written(tmp_path: Path) -> None:
    first = observation("a", valueString="Größe <5>\u2028", note=[{"text": "x" * 10_000}])
    second = observation("b")
    content = json.dumps(first, ensure_ascii=False) + "\r\n\r\n  " + json.dumps(second)
    (tmp_path / "o.ndjson").write_bytes(b"\xef\xbb\xbf" + content.encode())
    write_export(tmp_path, {"p.ndjson": [patient()]})
    assert Reading(tmp_path).charts["1"].resources == (first, second, patient())


@pytest.mark.parametrize(
    "reference",
    [
        "Patient/1",
        "https://fhir.example/r4/Patient/1",
        "Patient/1/_history/3",
        "urn:uuid:1",
        "Patient/1#part",
    ],
)
def test_a_patient_is_recognised_in_every_form_of_reference(tmp_path: Path, reference: str) -> None:
    write_export(tmp_path, {"a.ndjson": [observation("a", reference), patient()]})
    assert Reading(tmp_path).names == {"1": {"Patient/1", "Observation/a"}}


def test_a_subject_may_be_named_by_identifier_only(tmp_path: Path) -> None:
    mrn = {"system": "urn:oid:1.2", "value": "77"}
    logical = observation("a", subject="")
    logical["subject"] = {"identifier": mrn}
    write_export(tmp_path, {"a.ndjson": [logical, patient(identifier=[mrn])]})
    assert Reading(tmp_path).names == {"1": {"Patient/1", "Observation/a"}}


def test_an_identifier_that_two_patients_share_names_neither(tmp_path: Path) -> None:
    mrn = {"system": "urn:oid:1.2", "value": "77"}
    logical = {**observation("a"), "subject": {"identifier": mrn}}
    write_export(
        tmp_path,
        {"a.ndjson": [patient("1", identifier=[mrn]), patient("2", identifier=[mrn]), logical]},
    )
    reading = Reading(tmp_path)
    assert reading.names == {"1": {"Patient/1"}, "2": {"Patient/2"}}
    assert reading.said == [("a.ndjson:3", "unknown-patient")]


def test_an_attachment_joins_the_patient_whose_document_names_it(tmp_path: Path) -> None:
    binaries = [
        {"resourceType": "Binary", "id": name, "data": "aGk="} for name in ("b1", "b2", "unused")
    ]
    raw = {"resourceType": "Binary", "meta": {"source": "notes/7.txt"}, "data": "aGk="}
    write_export(
        tmp_path,
        {
            "Binary.ndjson.gz": [*binaries, raw],
            "DocumentReference.ndjson": [
                document("d1", "Binary/b1"),
                document("d2", "https://fhir.example/r4/Binary/b2"),
                document("d3", "notes/7.txt"),
            ],
            "Patient.ndjson": [patient()],
        },
    )
    assert Reading(tmp_path).names["1"] == {
        "Patient/1",
        "DocumentReference/d1",
        "DocumentReference/d2",
        "DocumentReference/d3",
        "Binary/b1",
        "Binary/b2",
        "Binary/None",
    }


def test_a_device_joins_every_patient_that_was_measured_by_it(tmp_path: Path) -> None:
    metric = {"resourceType": "DeviceMetric", "id": "m", "source": {"reference": "Device/5"}}
    write_export(
        tmp_path,
        {
            "Device.ndjson": [{"resourceType": "Device", "id": "5"}, metric],
            "Observation.ndjson": [
                observation("a", device={"reference": "DeviceMetric/m"}),
                observation("b", "Patient/2", device={"reference": "Device/5"}),
            ],
            "Patient.ndjson": [patient("1"), patient("2"), patient("3")],
        },
    )
    assert Reading(tmp_path).names == {
        "1": {"Patient/1", "Observation/a", "DeviceMetric/m", "Device/5"},
        "2": {"Patient/2", "Observation/b", "Device/5"},
        "3": {"Patient/3"},
    }


def test_devices_that_refer_to_each_other_in_a_circle_are_taken_once(tmp_path: Path) -> None:
    devices = [
        {"resourceType": "Device", "id": one, "parent": {"reference": f"Device/{other}"}}
        for one, other in (("x", "y"), ("y", "x"))
    ]
    measured = observation("a", device={"reference": "Device/x"})
    write_export(tmp_path, {"a.ndjson": [*devices, measured, patient()]})
    chart = Reading(tmp_path).charts["1"]
    assert len(chart.resources) == 4


def test_a_device_of_one_patient_does_not_come_into_another_ones_chart(tmp_path: Path) -> None:
    own = {"resourceType": "Device", "id": "5", "patient": {"reference": "Patient/1"}}
    lent = observation("a", "Patient/2", device={"reference": "Device/5"})
    write_export(tmp_path, {"a.ndjson": [own, lent, patient("1"), patient("2")]})
    assert Reading(tmp_path).names == {
        "1": {"Patient/1", "Device/5"},
        "2": {"Patient/2", "Observation/a"},
    }


def test_types_that_a_record_does_not_use_are_counted_and_left_out(tmp_path: Path) -> None:
    kinds = ["Group", "Provenance", "Provenance", "MedicationRequest"]
    others = [{**observation("x"), "resourceType": kind} for kind in kinds]
    write_export(tmp_path, {"a.ndjson": [patient(), *others]})
    reading = Reading(tmp_path)
    assert reading.names == {"1": {"Patient/1"}}
    assert [line.sentence for line in reading.lines] == [
        "Group: 1 resources were not read; a record does not use them",
        "MedicationRequest: 1 resources were not read; a record does not use them",
        "Provenance: 2 resources were not read; a record does not use them",
    ]


@pytest.mark.parametrize(
    ("line", "reason", "sentence"),
    [
        ('{"resourceType": "Observation", "id"', "bad-line", "the JSON broke off after 36 bytes"),
        ("not json", "bad-line", "a body that is not JSON"),
        (b"\xff\xfe{}", "bad-line", "not UTF-8 text"),
        ('{"resourceType": "Observation", "x": NaN}', "bad-line", "not JSON"),
        ("[" * 100_000, "bad-line", "nested too deeply"),
        ("[1]", "not-fhir", "not a FHIR resource"),
        ('{"exportId": "1"}', "not-fhir", "not a FHIR resource"),
        ({"resourceType": "Observation"}, "no-patient", "the Observation names no patient"),
        (observation("x", "Group/7"), "no-patient", "the Observation names no patient"),
        ({"resourceType": "Patient"}, "no-patient", "the Patient has no id"),
    ],
)
def test_a_bad_line_is_reported_by_file_and_line_and_is_never_fatal(
    tmp_path: Path, line: Line, reason: str, sentence: str
) -> None:
    write_export(tmp_path, {"a.ndjson": [patient(), "", line, observation("after")]})
    reading = Reading(tmp_path)
    assert reading.names == {"1": {"Patient/1", "Observation/after"}}
    assert reading.said == [("a.ndjson:3", reason)]
    assert reading.lines[0].sentence.startswith("a.ndjson:3: ")
    assert sentence in reading.lines[0].sentence
    assert [one.reason for one in reading.charts["1"].incomplete] == ["bulk-incomplete"]


@pytest.mark.parametrize("cut", [1, 8, 20, 60])
def test_a_gzip_file_that_breaks_off_keeps_what_was_before_and_is_reported(
    tmp_path: Path, cut: int
) -> None:
    lines = b"".join(json.dumps(observation(str(n))).encode() + b"\n" for n in range(2000))
    (tmp_path / "Observation.ndjson.gz").write_bytes(gzip.compress(lines)[:-cut])
    write_export(tmp_path, {"Patient.ndjson": [patient()]})
    reading = Reading(tmp_path)
    assert len(reading.charts["1"].resources) > 1000
    assert "truncated" in [reason for _, reason in reading.said]


def test_a_packed_file_is_recognised_whatever_its_name(tmp_path: Path) -> None:
    content = json.dumps(patient()).encode()
    (tmp_path / "Patient.ndjson").write_bytes(gzip.compress(content))
    (tmp_path / "Observation.ndjson.gz").write_bytes(json.dumps(observation("a")).encode())
    assert Reading(tmp_path).names == {"1": {"Patient/1", "Observation/a"}}


def test_a_line_too_long_for_memory_is_reported_and_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_adapters.bulk_lines.LONGEST_LINE_BYTES", 1000)
    long = observation("long", note=[{"text": "x" * 5000}])
    write_export(tmp_path, {"a.ndjson": [patient(), long, observation("after")]})
    reading = Reading(tmp_path)
    assert reading.names == {"1": {"Patient/1", "Observation/after"}}
    assert reading.said == [("a.ndjson:2", "too-large")]


def test_resources_of_a_patient_that_is_not_there_are_reported(tmp_path: Path) -> None:
    lines = [patient(), observation("a", "Patient/9"), observation("b", "Patient/9")]
    write_export(tmp_path, {"a.ndjson": lines})
    reading = Reading(tmp_path)
    assert reading.names == {"1": {"Patient/1"}}
    assert reading.lines[0].sentence == (
        "a.ndjson:2: 2 resources refer to one patient that is not in the export"
    )


def test_an_outcome_of_the_exporting_server_is_passed_on_by_its_codes(tmp_path: Path) -> None:
    issue = {"severity": "error", "code": "timeout", "diagnostics": "Jane Doe"}
    write_export(
        tmp_path,
        {"a.ndjson": [patient(), {"resourceType": "OperationOutcome", "issue": [issue]}]},
    )
    lines = Reading(tmp_path).lines
    assert [line.sentence for line in lines] == [
        "a.ndjson:2: the FHIR server added a notice (error/timeout)"
    ]


def test_a_wrong_file_does_not_flood_the_report(tmp_path: Path) -> None:
    write_export(tmp_path, {"log.ndjson": ["{}"] * 5000, "p.ndjson": [patient()]})
    lines = Reading(tmp_path).lines
    assert len(lines) == 101
    assert lines[-1].sentence == "log.ndjson: 4900 more like the ones above (not-fhir)"


def test_without_a_report_what_is_left_out_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_export(tmp_path, {"a.ndjson": [patient(), "{"]})
    list(read_bulk(tmp_path))
    assert (
        "a.ndjson:2: the line: a body that is not JSON" in caplog.text or "broke off" in caplog.text
    )


def test_progress_goes_from_bytes_to_patients(tmp_path: Path) -> None:
    lines = [observation(str(n)) for n in range(3000)]
    write_export(tmp_path, {"o.ndjson": lines, "p.ndjson": [patient("1"), patient("2")]})
    seen: list[BulkProgress] = []
    list(read_bulk(tmp_path, on_progress=seen.append))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    indexing = [one.done for one in seen if one.stage == "indexing"]
    assert len(indexing) >= 4
    assert indexing == sorted(indexing)
    assert indexing[-1] == size
    assert [one for one in seen if one.stage == "reading"] == [
        BulkProgress("reading", done, 2) for done in (0, 1, 2)
    ]


def test_a_folder_without_ndjson_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "Patient.json").write_text("{}")
    with pytest.raises(FhirNotFound, match=r"holds no \.ndjson or \.ndjson\.gz file"):
        read_bulk(tmp_path)
    with pytest.raises(FhirNotFound):
        read_bulk(tmp_path / "none")


def test_nothing_is_left_behind_when_reading_ends_early(tmp_path: Path) -> None:
    write_export(tmp_path / "in", {"p.ndjson.gz": [patient("1"), patient("2")]})
    (tmp_path / "work").mkdir()
    reading = read_bulk(tmp_path / "in", work_directory=tmp_path / "work")
    next(reading)
    (folder,) = (tmp_path / "work").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    reading.close()  # type: ignore[attr-defined]
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("ending", ["ndjson", "ndjson.gz"])
def test_memory_does_not_grow_with_the_export(tmp_path: Path, ending: str) -> None:
    def peak(patients: int) -> int:
        directory = tmp_path / f"{patients}"
        people = range(patients)
        note = [{"text": "x" * 500}]
        write_export(
            directory,
            {
                f"Patient.{ending}": [patient(str(n)) for n in people],
                # The worst order: every patient's lines are spread over the whole file.
                f"Observation.{ending}": [
                    observation(f"{n}-{k}", f"Patient/{n}", note=note)
                    for k in range(10)
                    for n in people
                ],
            },
        )
        tracemalloc.start()
        try:
            assert sum(len(c.resources) for c in read_bulk(directory)) == 11 * patients
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(500) < 1.5 * peak(50) + 200_000


def test_what_is_written_is_read_into_the_same_charts(tmp_path: Path) -> None:
    device = {"resourceType": "Device", "id": "5"}
    charts = [
        Chart("1", (patient("1"), observation("a", device={"reference": "Device/5"}), device)),
        Chart(
            "2",
            (patient("2"), observation("b", "Patient/2", device={"reference": "Device/5"}), device),
        ),
    ]
    counts = write_bulk(charts, tmp_path / "plain")
    assert counts == {"Patient": 2, "Observation": 2, "Device": 1}
    write_bulk(charts, tmp_path / "packed", compress=True, lines_per_file=1)
    assert sorted(path.name for path in (tmp_path / "packed").iterdir()) == [
        "Device.000.ndjson.gz",
        "Observation.000.ndjson.gz",
        "Observation.001.ndjson.gz",
        "Patient.000.ndjson.gz",
        "Patient.001.ndjson.gz",
    ]
    for name in ("plain", "packed"):
        read = Reading(tmp_path / name).charts
        for chart in charts:
            assert sorted(read[chart.patient_id].resources, key=repr) == sorted(
                chart.resources, key=repr
            )


def test_references_by_full_url_are_written_as_ordinary_ones(tmp_path: Path) -> None:
    chart = Chart(
        "1", (patient(), observation("a", "urn:uuid:77")), aliases={"urn:uuid:77": "Patient/1"}
    )
    write_bulk([chart], tmp_path)
    assert Reading(tmp_path).names == {"1": {"Patient/1", "Observation/a"}}


def test_an_earlier_export_is_not_written_over(tmp_path: Path) -> None:
    write_bulk([Chart("1", (patient(),))], tmp_path)
    with pytest.raises(FileExistsError):
        write_bulk([Chart("1", (patient(),))], tmp_path)
