"""Pages after a prefetched Bundle: those that matter are read, and none costs what else is asked.

A template of release 2.0 has no date bound, so after the last days come years of history.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from pytest_httpserver import HTTPServer
from werkzeug import Request

from tests.cds_hooks import world
from tests.cds_hooks.conftest import Service
from tests.cds_hooks.fhir_stub import FhirStub
from tests.cds_hooks.world import LinearPredictor
from tests.fhir_adapters.fhir_answers import json_response

URL = "/cds-services/meam-risk"
MONTHS_H = 24.0 * 90
PAGE_S = 0.06
TEXT = {"resourceType": "Binary", "id": "b1", "contentType": "text/plain"}


class History:
    """A FHIR server with page after page of one search, each of them slow."""

    def __init__(self, server: HTTPServer) -> None:
        self.base_url = server.url_for("/r4").rstrip("/")
        self.pages: list[int] = []
        self.hours = lambda page, n: MONTHS_H + 10 * page + n / 10  # before now, of an entry
        server.expect_request(re.compile("/r4/History.*")).respond_with_handler(self._page)

    def link(self, number: int) -> list[dict[str, str]]:
        return [{"relation": "next", "url": f"{self.base_url}/History?page={number}"}]

    def after(self, resources: list[dict[str, Any]]) -> dict[str, Any]:
        """A first page with these, which the history follows."""
        return world.bundle(resources, link=self.link(2))

    def _page(self, request: Request) -> Any:
        number = int(request.args["page"])
        self.pages.append(number)
        time.sleep(PAGE_S)
        entries = [
            world.observation(
                f"old-{number}-{n}", "8867-4", 80, "/min", self.hours(number, n), "vital-signs"
            )
            for n in range(20)
        ]
        return json_response(world.bundle(entries, link=self.link(number + 1)))


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    made = HTTPServer(threaded=True)  # so that a page does not keep other answers waiting
    made.start()
    yield made
    made.stop()


@pytest.fixture
def history(server: HTTPServer) -> History:
    return History(server)


@pytest.fixture
def fhir(server: HTTPServer, history: History) -> FhirStub:
    return FhirStub(server)


@pytest.fixture
def client(service: Service, fhir: FhirStub) -> FlaskClient:
    return service(open_fhir_servers=(fhir.base_url,), deadline_ms=1000)


def newest_first(rate: float = 88) -> list[dict[str, Any]]:
    return world.vital_signs(rate)[::-1]


def post(client: FlaskClient, fhir: FhirStub, prefetch: dict[str, Any]) -> list[dict[str, Any]]:
    request = world.hook_request(
        prefetch, fhirServer=fhir.base_url, fhirAuthorization=world.authorization()
    )
    answer: Any = client.post(URL, json=request)
    assert answer.status_code == 200, answer.get_data()
    cards: list[dict[str, Any]] = answer.json["cards"]
    return cards


def limits(cards: list[dict[str, Any]]) -> str:
    (card,) = cards
    return str(card["detail"]).partition("Limits of this answer")[2]


def test_r36_pages_older_than_what_is_looked_back_on_end_a_search(
    client: FlaskClient, fhir: FhirStub, history: History
) -> None:
    calm = {**world.calm_prefetch(), "vitalSigns": history.after(newest_first(72))}
    assert post(client, fhir, calm) == []
    assert history.pages == [2]


def test_a_site_that_may_not_be_called_back_is_told_nothing_of_old_pages(
    service: Service, history: History
) -> None:
    old = [
        world.observation(f"old-{n}", "8867-4", 80, "/min", MONTHS_H + n, "vital-signs")
        for n in range(9)
    ]
    calm = {**world.calm_prefetch(), "vitalSigns": history.after(old)}
    assert service().post(URL, json=world.hook_request(calm)).json == {"cards": []}


def test_pages_within_the_days_looked_back_on_are_all_read(
    client: FlaskClient, fhir: FhirStub, history: History, predictor: LinearPredictor
) -> None:
    history.hours = lambda page, n: 20.0 * (page - 1) + n / 10 if page < 6 else MONTHS_H + n
    prefetch = {**world.full_prefetch(), "vitalSigns": history.after(newest_first())}
    assert limits(post(client, fhir, prefetch)) == ""
    assert history.pages == [2, 3, 4, 5, 6]  # 60 h back on page 4, 80 h on page 5
    read = {one.source for one in predictor.records[-1].measurements}
    assert {"Observation/hr-0", "Observation/old-2-0", "Observation/old-3-19"} <= read


def test_pages_in_no_order_are_read_on_and_what_is_missing_is_stated(
    client: FlaskClient, fhir: FhirStub, history: History
) -> None:
    history.hours = lambda page, n: MONTHS_H + (7 * n) % 20
    calm = {**world.calm_prefetch(), "vitalSigns": history.after(newest_first(72))}
    assert "vital signs: " in limits(post(client, fhir, calm))
    assert len(history.pages) > 5


def test_r33_the_pages_of_one_key_do_not_keep_another_from_being_asked_for(
    client: FlaskClient, fhir: FhirStub, history: History, predictor: LinearPredictor
) -> None:
    history.hours = lambda page, n: MONTHS_H + (7 * n) % 20  # no order: read to the deadline
    fhir.delays_s["laboratory"] = 0.02
    prefetch = {**world.full_prefetch(), "vitalSigns": history.after(newest_first())}
    del prefetch["laboratory"]
    said = limits(post(client, fhir, prefetch))
    assert "laboratory" in fhir.asked
    assert "laboratory results" not in said
    assert "vital signs: " in said
    assert "Observation/lac-2" in {one.source for one in predictor.records[-1].measurements}


def test_the_pages_of_one_key_do_not_keep_texts_of_notes_from_being_read(
    client: FlaskClient, fhir: FhirStub, history: History, predictor: LinearPredictor
) -> None:
    history.hours = lambda page, n: MONTHS_H + (7 * n) % 20
    fhir.answers["Binary/b1"] = {**TEXT, "data": base64.b64encode(b"Looks septic.").decode()}
    linked = world.note(contentType="text/plain", url="Binary/b1")
    prefetch = {
        **world.full_prefetch(),
        "vitalSigns": history.after(newest_first()),
        "notes": world.bundle([linked]),
    }
    assert "clinical notes" not in limits(post(client, fhir, prefetch))
    (note,) = predictor.records[-1].notes
    assert note.sentences[0].text == "Looks septic."


def test_the_texts_of_notes_on_a_following_page_are_read(
    client: FlaskClient, fhir: FhirStub, predictor: LinearPredictor
) -> None:
    linked = [
        world.note(identity=f"n{n}", contentType="text/plain", url=f"Binary/b{n}") for n in (1, 2)
    ]
    for n in (1, 2):
        data = base64.b64encode(f"Note {n}.".encode()).decode()
        fhir.answers[f"Binary/b{n}"] = {**TEXT, "id": f"b{n}", "data": data}
    link = [{"relation": "next", "url": f"{fhir.base_url}/Observation?page=2"}]
    fhir.answers["page-2"] = world.bundle(linked[1:])
    prefetch = {**world.full_prefetch(), "notes": world.bundle(linked[:1], link=link)}
    assert limits(post(client, fhir, prefetch)) == ""
    assert [one.source for one in predictor.records[-1].notes] == [
        "DocumentReference/n1",
        "DocumentReference/n2",
    ]
    assert fhir.asked == ["Binary/b1", "Binary/b2", "page-2"]
