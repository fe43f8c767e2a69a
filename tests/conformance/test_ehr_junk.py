"""Whatever a FHIR server or a CDS service sends, a tester sees a page that says what it was."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from conformance.ehr import cds_client, chart, prefetch
from conformance.ehr.app import create_app
from conformance.ehr.cds_client import Connection
from conformance.ehr.chart_lines import encounter_text, note_line, panels, patient_line
from conformance.ehr.http import CallFailed
from tests.conformance.practice_world import (
    ADVICE,
    ENCOUNTER,
    LACTATE,
    NOTE,
    PATIENT,
    SERVICE,
    bundle,
)

URL = "http://127.0.0.1:1"
JUNK: tuple[Any, ...] = (None, 1, 1e400, True, "x", [], {}, [None], ["x"], [[]], {"coding": ["x"]})
SENT: dict[str, Any] = {
    "cds-services": {"services": [SERVICE]},
    "Patient/p1": PATIENT,
    "Encounter": bundle([ENCOUNTER]),
    "Observation": bundle([LACTATE]),
    "DocumentReference": bundle([NOTE]),
    "hook": {"cards": [ADVICE]},
}
_PART = {"code": {"coding": [{"code": "8480-6"}]}, "valueQuantity": {"value": 80, "unit": "mmHg"}}
_SERIES = {"data": "1 2 E", "origin": {"value": 1, "unit": "/min"}, "factor": 2}
_REST = {key: value for key, value in LACTATE.items() if key != "valueQuantity"}
RESOURCES = {
    "patient": (patient_line, PATIENT),
    "note": (note_line, NOTE),
    "encounter": (
        encounter_text,
        {**ENCOUNTER, "location": [{"location": {"display": "ICU"}}], "period": {"start": "2026"}},
    ),
    "value": (lambda one: panels([one, LACTATE]), LACTATE),
    "pressure": (lambda one: panels([one]), {**_REST, "component": [_PART, _PART]}),
    "series": (
        lambda one: panels([one]),
        {**_REST, "effectivePeriod": {"start": "2026"}, "valueSampledData": _SERIES},
    ),
}


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    members = value.items() if isinstance(value, dict) else ()
    for key, one in enumerate(value) if isinstance(value, list) else members:
        yield from _paths(one, (*path, key))


def _broken(value: Any) -> Iterator[Any]:
    """Yield the value with each of its members replaced by each piece of junk."""
    for path in _paths(value):
        for junk in JUNK:
            whole = part = copy.deepcopy(value)
            for key in path[:-1]:
                part = part[key]
            part[path[-1]] = junk
            yield whole


@pytest.mark.parametrize("name", RESOURCES)
def test_a_broken_resource_still_has_a_line(name: str) -> None:
    read, resource = RESOURCES[name]
    for one in _broken(resource):
        assert read(one) is not None


@pytest.mark.parametrize("what", SENT)
def test_a_broken_answer_is_a_page(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    sent = dict(SENT)

    def get(url: str, _token: str = "") -> Any:
        name = url.partition("/fhir/")[2].partition("?")[0] or url.rpartition("/")[2]
        if name not in sent:
            raise CallFailed(f"{url} answered 404.", 404)
        return sent[name]

    for module in (cds_client, chart, prefetch):
        monkeypatch.setattr(module, "get_json", get)
    monkeypatch.setattr(cds_client, "post_json", lambda *_, **__: (200, sent["hook"]))
    app = create_app(Connection("http://fhir.test/fhir", "http://cds.test"), URL)
    app.testing = True  # an error is raised and not answered as a page
    ehr = app.test_client()
    assert _chart(ehr) == 200
    for broken in _broken(SENT[what]):
        sent[what] = broken
        assert _chart(ehr) in (200, 502)


def _chart(ehr: FlaskClient) -> int:
    return ehr.get("/1/patients/p1", base_url=URL, follow_redirects=True).status_code
