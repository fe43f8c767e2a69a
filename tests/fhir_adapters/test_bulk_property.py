"""The same record comes out of a chart and of an export of it, however the export is cut up."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_adapters.bulk import read_bulk, write_bulk
from fhir_adapters.chart import Chart
from fhir_adapters.datasets.sample_patients import sample_charts
from fhir_adapters.record_builder import build_record
from tests.fhir_adapters.bulk_world import comparable, write_export
from tests.fhir_adapters.reading_world import PREDICTION_TIME, concept, quantity

LABS = [("8867-4", 80, "/min"), ("2524-7", 2.5, "mmol/L"), ("2160-0", 1.1, "mg/dL")]
Json = dict[str, Any]


@st.composite
def subjects(draw: st.DrawFn, patient: str) -> Json:
    form = draw(
        st.sampled_from(
            ["Patient/{}", "https://ehr.example/r4/Patient/{}", "Patient/{}/_history/2", ""]
        )
    )
    if not form:
        return {"identifier": {"system": "urn:oid:1.2", "value": f"MRN-{patient}"}}
    return {"reference": form.format(patient)}


@st.composite
def observations(draw: st.DrawFn, patient: str, identity: str) -> Json:
    code, value, unit = draw(st.sampled_from(LABS))
    day, hour = draw(st.integers(1, 3)), draw(st.integers(0, 9))
    made: Json = {
        "resourceType": "Observation",
        "id": identity,
        "status": draw(st.sampled_from(["final", "amended", "entered-in-error"])),
        "code": concept(code),
        "subject": draw(subjects(patient)),
        "effectiveDateTime": f"2026-03-0{day}T0{hour}:00:00Z",
        "valueQuantity": quantity(value + draw(st.integers(0, 9)), unit),
    }
    device = draw(st.sampled_from([None, "Device/5", "DeviceMetric/m", "Device/none"]))
    if device and code == "8867-4":
        made["device"] = {"reference": device}
    return made


@st.composite
def documents(draw: st.DrawFn, patient: str, identity: str) -> list[Json]:
    text = draw(st.sampled_from(["Fever since Monday. No cough.", "Denies chest pain."]))
    data = base64.b64encode(f"{text} Note {identity}.".encode()).decode()
    attachment: Json = {"contentType": "text/plain"}
    made: list[Json] = []
    match draw(st.sampled_from(["inline", "relative", "absolute", "raw", "missing"])):
        case "inline":
            attachment["data"] = data
        case "relative":
            attachment["url"] = f"Binary/{identity}"
            made = [{"resourceType": "Binary", "id": identity, "data": data}]
        case "absolute":
            attachment["url"] = f"https://ehr.example/r4/Binary/{identity}"
            made = [{"resourceType": "Binary", "id": identity, "data": data}]
        case "raw":
            url = f"https://ehr.example/files/{identity}"
            attachment["url"] = url
            made = [{"resourceType": "Binary", "meta": {"source": url}, "data": data}]
        case _:
            attachment["url"] = "Binary/nowhere"
    reference = {
        "resourceType": "DocumentReference",
        "id": identity,
        "status": "current",
        "subject": draw(subjects(patient)),
        "type": {"text": "Progress note"},
        "date": "2026-03-02T08:00:00Z",
        "content": [{"attachment": attachment}],
    }
    return [reference, *made]


@st.composite
def charts(draw: st.DrawFn, patient: str) -> Chart:
    resources: list[Json] = [
        {
            "resourceType": "Patient",
            "id": patient,
            "birthDate": "1950-01-01",
            "identifier": [{"system": "urn:oid:1.2", "value": f"MRN-{patient}"}],
        }
    ]
    count = draw(st.integers(0, 5))
    resources += [draw(observations(patient, f"{patient}-o{n}")) for n in range(count)]
    for number in range(draw(st.integers(0, 2))):
        resources += draw(documents(patient, f"{patient}-d{number}"))
    named = {r["device"]["reference"] for r in resources if "device" in r}
    if "DeviceMetric/m" in named:
        resources.append(
            {"resourceType": "DeviceMetric", "id": "m", "source": {"reference": "Device/5"}}
        )
    if named & {"DeviceMetric/m", "Device/5"}:
        name = [{"name": "Wrist monitor"}]
        resources.append({"resourceType": "Device", "id": "5", "deviceName": name})
    return Chart(patient, tuple(resources))


@st.composite
def exports(draw: st.DrawFn) -> tuple[list[Chart], Mapping[str, list[Json]]]:
    """Charts, and their resources thrown into files as they come."""
    ids = draw(
        st.lists(st.from_regex(r"[A-Za-z0-9.-]{1,12}", fullmatch=True), max_size=3, unique=True)
    )
    made = [draw(charts(identity)) for identity in ids]
    lines: list[Json] = []
    for chart in made:
        lines += [dict(resource) for resource in chart.resources if resource not in lines]
    lines = draw(st.permutations(lines))
    names = ["b.ndjson", "a.ndjson.gz", "deep/c.ndjson"]
    files: dict[str, list[Json]] = {"empty.ndjson": []}
    for line in lines:
        files.setdefault(draw(st.sampled_from(names)), []).append(line)
    return made, files


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(exports())
def test_the_same_record_comes_from_an_export_as_from_the_chart(
    tmp_path_factory: pytest.TempPathFactory, made: tuple[list[Chart], Mapping[str, list[Json]]]
) -> None:
    direct, files = made
    directory = write_export(tmp_path_factory.mktemp("export"), files)
    read = {chart.patient_id: chart for chart in read_bulk(directory)}
    assert read.keys() == {chart.patient_id for chart in direct}
    for chart in direct:
        assert comparable(build_record(read[chart.patient_id], PREDICTION_TIME)) == comparable(
            build_record(chart, PREDICTION_TIME)
        )


@pytest.mark.parametrize("compress", [False, True])
def test_the_sample_patients_come_out_of_an_export_unchanged(
    tmp_path: Path, compress: bool
) -> None:
    direct = sample_charts(PREDICTION_TIME)
    write_bulk(direct.values(), tmp_path, compress=compress, lines_per_file=50)
    lost: list[str] = []
    read = {
        chart.patient_id: chart
        for chart in read_bulk(tmp_path, report=lambda line: lost.append(line.sentence))
    }
    for chart in direct.values():
        assert comparable(build_record(read[chart.patient_id], PREDICTION_TIME)) == comparable(
            build_record(chart, PREDICTION_TIME)
        )
    assert not [sentence for sentence in lost if "a record does not use them" not in sentence]
