"""Real shapes: the FHIR corpus read whole, and mutated resources that must never crash."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_adapters.chart import Chart
from fhir_adapters.errors import ChartError
from fhir_adapters.record_builder import build_record
from tests.fhir_adapters.corpus import ARCHIVES, CORPUS, resources_of
from tests.fhir_adapters.corpus_table import read_archive
from tests.fhir_adapters.fuzz_reading import CHART_SIZE, fuzz, seeds
from tests.fhir_adapters.mutations import mutated
from tests.fhir_adapters.reading_world import ME, PATIENT, PREDICTION_TIME, observation

needs_corpus = pytest.mark.skipif(
    not CORPUS.exists(), reason="the FHIR corpus is not beside the repository"
)

# Least numbers of values that the reader must find in each archive, a little below what it does.
LEAST_USED = {
    "carebundle": {"structured": 580},
    "clinosim": {"structured": 3200},
    "davinci-crd-kit": {"structured": 13},
    "fhir-r4-spec": {"structured": 15, "device": 1},
    # Beside 20 of a displaced oximeter, and a pressure of which its device says the patient moved.
    "hl7-phd": {"device": 13},
    "synthea-smart": {"structured": 1600},
    "us-core": {"structured": 25},
}
# Reasons for which a sound sample may be left out: nothing else, and no unit, goes unread.
EXPECTED_REASONS = {
    "absent",
    "code",
    "duplicate",
    "empty",
    "implausible",
    "missing",
    "pdf",
    "quality",
    "status",
    "subject",
    "time",
    "value",
    "version",
}


@needs_corpus
@pytest.mark.parametrize("archive", ARCHIVES)
def test_archive_is_read_without_a_crash_and_with_its_values(archive: str) -> None:
    row = read_archive(archive)
    assert row.refused == {}
    for modality, least in LEAST_USED[archive].items():
        assert row.used[modality] >= least
    assert set(row.left_out) <= EXPECTED_REASONS


@needs_corpus
def test_every_device_code_of_the_health_device_guide_is_mapped_or_no_channel() -> None:
    """38 of its 69 Observations have no LOINC code at all."""
    resources = [one for one in resources_of("hl7-phd") if one.get("id") != "bpm-status"]
    chart = Chart("p1", tuple(_mine(resource) for resource in resources))
    record = build_record(Chart("p1", (PATIENT, *chart.resources)), PREDICTION_TIME)
    assert {one.channel for one in record.device_series} == {
        "body_temperature",
        "diastolic_blood_pressure",
        "glucose",
        "heart_rate",
        "mean_blood_pressure",
        "oxygen_saturation",
        "systolic_blood_pressure",
    }
    unmapped = [line.sentence for line in record.report.left_out if line.reason == "code"]
    for code in ("150456", "149530", "150364", "160184", "160368", "150021"):
        assert not any(f"|{code}'" in sentence for sentence in unmapped), code


def _mine(resource: dict) -> dict:
    if resource["resourceType"] == "Patient":
        return {"resourceType": "Basic", "id": resource["id"]}
    return {**resource, "subject": ME}


def test_a_thousand_mutated_resources_do_not_crash_the_reader() -> None:
    outcomes = fuzz(1000, seed=20260302, with_corpus=False)
    assert sum(outcomes.values()) == 1000 // CHART_SIZE
    assert outcomes["read"] > 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_mutations_found_by_hypothesis_do_not_crash_the_reader(random: Random) -> None:
    resource = mutated(random.choice(seeds(with_corpus=False)), random)
    try:
        build_record(Chart("p1", (PATIENT, observation("kept"), resource)), PREDICTION_TIME)
    except ChartError:
        return


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    st.sampled_from(sorted(observation(component=[], issued="", meta={}, device={}))),
)
def test_any_json_in_any_element_does_not_crash_the_reader(
    json_value: object, element: str
) -> None:
    resource = {**observation(), element: json_value}
    try:
        record = build_record(
            Chart(
                "p1",
                (PATIENT, observation("kept", effectiveDateTime="2026-03-01T00:00:00Z"), resource),
            ),
            PREDICTION_TIME,
        )
    except ChartError:
        return
    assert "Observation/kept" in {measured.source for measured in record.measurements}
