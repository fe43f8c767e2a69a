"""A search that brought something, of which nothing could be read, is said to be incomplete."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fhir_adapters.chart import Chart, Portion
from fhir_adapters.record_builder import build_record
from tests.fhir_adapters.corpus import ARCHIVES, CORPUS, charts_of
from tests.fhir_adapters.reading_world import (
    ME,
    NINE,
    PATIENT,
    PREDICTION_TIME,
    concept,
    observation,
    quantity,
)

Resource = dict[str, Any]
LACTATE = quantity(4.1, "mmol/L")
LOCAL = concept("LAC", system="https://lab.example/codes")


def lactate(identity: str = "lac", code: Any = "2524-7", **changes: Any) -> Resource:
    return observation(identity, code, LACTATE, **changes)


def dipstick(identity: str = "dip") -> Resource:
    return observation(identity, "5802-4", quantity(1, "1"))


def sentences(*laboratory: Resource, key: str = "laboratory") -> list[str]:
    """What is incomplete of a chart with a pulse that is read, and this laboratory."""
    portions = (
        Portion("vitalSigns", "vital signs", (observation("hr"),)),
        Portion(key, "laboratory results", laboratory),
    )
    resources = tuple(one for portion in portions for one in portion.resources)
    record = build_record(Chart("p1", (PATIENT, *resources), portions=portions), PREDICTION_TIME)
    assert all((one.source, one.reason) == (key, "unread") for one in record.report.incomplete)
    return [one.sentence for one in record.report.incomplete]


def test_what_is_read_is_not_incomplete() -> None:
    assert sentences(lactate()) == []
    assert sentences() == []


@pytest.mark.parametrize(
    "unreadable",
    [
        lactate(valueQuantity=quantity(4.1, "furlong")),
        lactate(valueQuantity=None, valueString="see comment"),
        lactate(valueQuantity=quantity(4_000, "mmol/L")),
        lactate(valueQuantity={**LACTATE, "comparator": "~"}),
        lactate(subject={"display": "x"}),
        lactate(effectiveDateTime=None),
        lactate(effectiveDateTime="2026-03-02T13:00:00Z"),
        lactate(effectiveDateTime="2026-03-02"),
        lactate(status=None),
        lactate(modifierExtension=[{"url": "https://x.example"}]),
        lactate(code=concept("2524-7", "2160-0")),
        lactate(code=LOCAL),
        lactate(code={"text": "Lactate"}),
        lactate(code=None),
        lactate(id=None, valueQuantity=quantity(4.1, "furlong")),
    ],
)
def test_what_could_not_be_read_is_said(unreadable: Resource) -> None:
    assert sentences(unreadable) == [
        "laboratory results: the only item that came could not be read; the estimate does without"
        " it"
    ]


@pytest.mark.parametrize(
    "understood",
    [
        dipstick(),
        lactate(code=concept("X-1", system="http://snomed.info/sct")),
        lactate(code={"coding": [*LOCAL["coding"], *concept("5802-4")["coding"]]}),
        lactate(valueQuantity=None, dataAbsentReason=concept("not-performed")),
        lactate(status="cancelled"),
        lactate(status="registered", valueQuantity=None),
        lactate(code=LOCAL, status="entered-in-error"),
        lactate(code=LOCAL, valueQuantity=None, hasMember=[{"reference": "Observation/1"}]),
        lactate(focus=[{"reference": "Patient/fetus"}]),
        observation("hr2"),  # the pulse again, by another id
    ],
)
def test_what_was_understood_and_gives_nothing_is_no_gap(understood: Resource) -> None:
    assert sentences(understood) == []


def test_one_result_that_is_read_is_enough() -> None:
    assert sentences(lactate("a", LOCAL), lactate("b", subject={"display": "x"}), lactate()) == []


def test_the_counts_are_said() -> None:
    assert sentences(lactate("a", LOCAL), lactate("b", LOCAL)) == [
        "laboratory results: none of the 2 items could be read; the estimate does without them"
    ]
    assert sentences(lactate("a", LOCAL), dipstick(), dipstick("dip-2")) == [
        "laboratory results: none of the 3 items could be used, 1 because they could not be read;"
        " the estimate does without them"
    ]


def test_a_sensor_does_not_make_up_for_a_laboratory() -> None:
    sensor = observation("cgm", "2339-0", quantity(100, "mg/dL"), device={"display": "sensor"})
    assert sentences(sensor, lactate("a", LOCAL), lactate("b", LOCAL)) == [
        "laboratory results: none of the 2 charted items could be read; the estimate does without"
        " them"
    ]
    silent = {**sensor, "valueQuantity": quantity(100, "furlong")}
    assert sentences(silent, lactate()) == [
        "laboratory results: the only device item that came could not be read; the estimate does"
        " without it"
    ]


def note(kind: str, **changes: Any) -> Resource:
    data = base64.b64encode(b"%PDF-1.7").decode()
    return {
        "resourceType": "DocumentReference",
        "id": "n1",
        "status": "current",
        "subject": ME,
        "date": NINE,
        "content": [{"attachment": {"contentType": kind, "data": data}}],
        **changes,
    }


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (note("application/pdf"), 1),
        (note("application/msword"), 1),
        (note("text/plain", subject={"display": "x"}), 1),
        (note("image/png"), 0),
        (note("text/plain", docStatus="entered-in-error"), 0),
        (note("text/plain", content=[]), 0),
    ],
)
def test_notes_whose_text_is_not_read_are_said_pictures_are_not(
    document: Resource, said: int
) -> None:
    assert len(sentences(document, key="notes")) == said


def _filed_as(category: str) -> Callable[[Resource], bool]:
    return lambda one: any(
        coding.get("code") == category
        for concept in one.get("category", ())
        if isinstance(concept, dict)
        for coding in concept.get("coding", ())
    )


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not beside the repository")
@pytest.mark.parametrize("archive", [one for one in ARCHIVES if one != "fhir-r4-spec"])
def test_no_chart_of_the_corpus_is_unread(archive: str) -> None:
    """Charts that nobody here wrote: what the model does not use of them is no gap."""
    for chart in charts_of(archive):
        found = [one for one in chart.resources if one["resourceType"] == "Observation"]
        portions = tuple(
            Portion(name, name, tuple(filter(_filed_as(name), found)))
            for name in ("laboratory", "vital-signs", "activity", "procedure")
        )
        record = build_record(replace(chart, portions=portions), PREDICTION_TIME.replace(year=2027))
        assert [one for one in record.report.incomplete if one.reason == "unread"] == []
