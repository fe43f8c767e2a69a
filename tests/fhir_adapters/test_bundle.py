"""Bundles: opening them, their warnings, and resources that come twice."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_adapters.bundle import open_bundle, unique_resources, unpacked
from fhir_adapters.errors import FhirBadAnswer
from tests.fhir_adapters.reading_world import PATIENT, left_out, observation, quantity, read, values

OUTCOME: dict[str, Any] = {
    "resourceType": "OperationOutcome",
    "issue": [
        {
            "severity": "warning",
            "code": "suppressed",
            "details": {"coding": [{"code": "59204"}], "text": "Jane Roe's data were withheld"},
            "diagnostics": "Jane Roe",
        }
    ],
}


def bundle(*resources: Any, **changes: Any) -> dict[str, Any]:
    """Return a searchset; a search.mode and fullUrl may be absent, as here."""
    entries = [{"resource": resource} for resource in resources]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries, **changes}


def test_bundle_is_opened_into_its_resources() -> None:
    contents = open_bundle(bundle(PATIENT, observation()))
    assert contents.resources == [PATIENT, observation()]
    assert contents.incomplete == []


def test_total_is_not_believed() -> None:
    """Epic's total is that of the page; others count matches before filtering."""
    contents = open_bundle(bundle(observation(), total=400))
    assert (len(contents.resources), contents.incomplete) == (1, [])


def test_what_a_history_says_was_deleted_is_left_out() -> None:
    """A history has the newest first: what stands below a DELETE is older than it."""
    entries = [
        {"request": {"method": "DELETE", "url": "Observation/o1"}},
        {"resource": observation(), "request": {"method": "PUT", "url": "Observation/o1"}},
        {"resource": observation("o2"), "request": {"method": "PUT", "url": "Observation/o2"}},
        {"request": {"method": "DELETE", "url": "Observation/o2"}},
    ]
    contents = open_bundle({"resourceType": "Bundle", "type": "history", "entry": entries}, "x")
    assert [one["id"] for one in contents.resources] == ["o2"]  # made again after its deletion
    assert [line.sentence for line in contents.incomplete] == ["x entry 1 was deleted later"]


def test_single_resource_is_taken_as_it_is() -> None:
    assert open_bundle(PATIENT).resources == [PATIENT]


def test_empty_bundle_has_no_entries_and_no_warning() -> None:
    contents = open_bundle({"resourceType": "Bundle"})
    assert (contents.resources, contents.incomplete) == ([], [])


@pytest.mark.parametrize("answer", [None, [], "<html>", {}, {"resourceType": 5}])
def test_answer_that_is_no_resource_is_refused(answer: Any) -> None:
    with pytest.raises(FhirBadAnswer, match="vitals is no FHIR resource"):
        open_bundle(answer, "vitals")


def test_operation_outcome_entry_becomes_a_completeness_warning() -> None:
    entry = {"resource": OUTCOME, "search": {"mode": "outcome"}}
    contents = open_bundle({"resourceType": "Bundle", "entry": [entry]}, "vitals")
    assert contents.resources == []
    (line,) = contents.incomplete
    assert (line.source, line.reason) == ("vitals", "outcome")
    assert "suppressed" in line.sentence
    assert "Jane" not in line.sentence


def test_outcome_inside_a_chart_reaches_the_report() -> None:
    record = read(OUTCOME, observation())
    assert values(record) == [("heart_rate", 80)]
    assert [line.reason for line in record.report.incomplete] == ["outcome"]


def test_bundle_inside_a_chart_or_bundle_is_opened() -> None:
    assert values(read(bundle(bundle(observation())))) == [("heart_rate", 80)]


def test_bundles_nested_without_end_are_not_followed() -> None:
    nested = bundle(observation())
    for _ in range(20):
        nested = bundle(nested)
    assert open_bundle(nested, "x").incomplete[0].sentence == (
        "x holds Bundles nested too deeply, which were not opened"
    )


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        (5, "has an 'entry' that is no list"),
        ([5], "entry 0 has no resource"),
        ([{"fullUrl": "x"}], "entry 0 has no resource"),
        ([{"resource": []}], "entry 0 has no resource"),
        ([{"resource": {}}], "entry 0 is no FHIR resource"),
        ([{"response": {"status": "404 Not Found"}}], "entry 0 was answered with '404'"),
    ],
)
def test_faulty_entries_are_warned_of(entries: Any, sentence: str) -> None:
    contents = open_bundle({"resourceType": "Bundle", "entry": entries}, "vitals")
    assert contents.resources == []
    assert [line.sentence for line in contents.incomplete] == [f"vitals {sentence}"]


def test_full_url_gives_an_id_to_a_resource_without_one() -> None:
    patient = {"resourceType": "Patient"}
    for full_url, identity in (
        ("urn:uuid:6f9e", "6f9e"),
        ("https://ehr.example/fhir/Patient/7", "7"),
    ):
        entry = {"fullUrl": full_url, "resource": patient}
        (opened,) = open_bundle({"resourceType": "Bundle", "entry": [entry]}).resources
        assert opened["id"] == identity
    assert "id" not in patient


def test_full_url_of_another_shape_gives_no_id() -> None:
    entry = {"fullUrl": "https://ehr.example/x", "resource": {"resourceType": "Patient"}}
    (opened,) = open_bundle({"resourceType": "Bundle", "entry": [entry]}).resources
    assert "id" not in opened


def test_full_url_resolves_references_to_another_id() -> None:
    """A transaction's entries refer to each other by urn:uuid, and have ids of their own."""
    mine = observation(subject={"reference": "urn:uuid:6f9e"})
    entries = [{"fullUrl": "urn:uuid:6f9e", "resource": PATIENT}, {"resource": mine}]
    contents = open_bundle({"resourceType": "Bundle", "entry": entries})
    assert contents.aliases == {"urn:uuid:6f9e": "Patient/p1"}
    record = read(*contents.resources, aliases=contents.aliases)
    assert values(record) == [("heart_rate", 80)]


def test_resource_that_comes_twice_is_read_once() -> None:
    record = read(observation(), observation())
    assert record.report.resources_read["Observation"] == 1
    assert (values(record), left_out(record)) == ([("heart_rate", 80)], [])


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"lastUpdated": "2026-03-01T00:00:00Z"}, {"lastUpdated": "2026-03-02T00:00:00Z"}),
        (
            {"lastUpdated": "2026-03-01T00:00:00+00:00"},
            {"lastUpdated": "2026-03-01T00:00:00-01:00"},
        ),
        ({"versionId": "9"}, {"versionId": "10"}),
        ({}, {"versionId": "1"}),
        ({"lastUpdated": "x"}, {"lastUpdated": "2026-03-02T00:00:00Z"}),
    ],
)
def test_newest_version_of_a_resource_counts(older: Any, newer: Any) -> None:
    old = observation(value=quantity(70, "/min"), meta=older)
    new = observation(value=quantity(90, "/min"), meta=newer)
    for order in ((old, new), (new, old)):
        record = read(*order)
        assert values(record) == [("heart_rate", 90)]
        assert left_out(record) == [("version", "Observation/o1: an older version is left out")]


def test_retracted_version_counts_where_none_is_known_to_be_newer() -> None:
    for order in (("final", "entered-in-error"), ("entered-in-error", "final")):
        record = read(*(observation(status=status) for status in order))
        assert values(record) == []


def test_versions_without_any_order_are_chosen_alike_in_every_order() -> None:
    one, two = observation(), observation(value=quantity(90, "/min"))
    assert values(read(one, two)) == values(read(two, one))


def test_ids_longer_than_the_standard_allows_are_ids() -> None:
    """392 of 413 ids that were recorded at Epic are longer than 64 characters."""
    identity = "e" * 130
    assert read(observation(identity)).measurements[0].source == f"Observation/{identity}"


def test_resource_without_id_is_named_by_its_place() -> None:
    record = read(observation(id=None), observation(id=7, value=quantity(90, "/min")))
    assert [m.source for m in record.measurements] == ["Observation#0", "Observation#1"]


@pytest.mark.parametrize("junk", [None, 5, "x", [], {}, {"resourceType": ""}, {"resourceType": []}])
def test_entries_that_are_no_resources_are_reported(junk: Any) -> None:
    record = read(junk, observation())
    assert values(record) == [("heart_rate", 80)]
    assert left_out(record) == [("shape", "Resource#1: it is no resource with a type")]


def test_unpacking_keeps_what_is_no_bundle() -> None:
    assert unpacked([5, PATIENT]).resources == [5, PATIENT]
    by_id, without_id, lines = unique_resources([5, PATIENT, {"resourceType": "Binary"}])
    assert list(by_id) == [("Patient", "p1")]
    assert (len(without_id), len(lines)) == (1, 1)
