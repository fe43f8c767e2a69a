"""Requirements 2, 5, 77, 79 and 81: CORS, errors, overload, operations, logs."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome
from flask.testing import FlaskClient
from sqlalchemy import select

from cds_hooks import tables
from cds_hooks.admission import Admission
from cds_hooks.errors import Overloaded
from cds_hooks.parts import parts_of
from model.prediction import Explanation, Prediction
from model.record import PatientRecord
from tests.cds_hooks import signing, world
from tests.cds_hooks.conftest import Service
from tests.cds_hooks.test_auth import issuer

URL = "/cds-services/meam-risk"
ORIGIN = "https://sandbox.cds-hooks.org"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}
SECRET = "Jane Doe has lactate 4.1"


class Crashing(world.LinearPredictor):
    """Works while the service starts, then fails with the patient's data in its message."""

    def __call__(
        self, record: PatientRecord, *, deadline_s: float | None = None
    ) -> tuple[Prediction, Explanation | None]:
        if record.demographics.source == "Patient/warm-up":
            return super().__call__(record)
        raise ValueError(SECRET)


@pytest.fixture
def browser(service: Service) -> FlaskClient:
    """A service that asks for JWTs and that pages of one origin may call."""
    return service(
        mode_auth="jwt",
        public_base_url=signing.BASE,
        issuers=(issuer(),),
        cors_origins=(ORIGIN,),
    )


@pytest.mark.parametrize("path", ["/cds-services", URL, f"{URL}/feedback"])
def test_r79_preflight_is_answered_before_authentication(browser: FlaskClient, path: str) -> None:
    response = browser.options(path, headers={"Origin": ORIGIN, **PREFLIGHT})
    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert response.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", ORIGIN + ".evil.example", "http://sandbox.cds-hooks.org", "null", "*"],
)
def test_r79_other_origins_get_no_header(browser: FlaskClient, origin: str) -> None:
    for response in (
        browser.options(URL, headers={"Origin": origin, **PREFLIGHT}),
        browser.get("/cds-services", headers={"Origin": origin}),
    ):
        assert "Access-Control-Allow-Origin" not in response.headers
        assert response.headers["Vary"] == "Origin"


def test_r79_an_issuers_pages_read_its_answers_only(service: Service) -> None:
    page_a, page_b = "https://a.example.org", "https://b.example.org"
    other = issuer(iss="https://b.example.org/fhir", cors_origins=(page_b,))
    client = service(
        mode_auth="jwt",
        public_base_url=signing.BASE,
        issuers=(issuer(cors_origins=(page_a,)), other),
    )

    def allowed(origin: str, **claims: Any) -> str | None:
        headers = {"Origin": origin, **signing.bearer(signing.token(**claims))}
        response = client.post(URL, json=world.hook_request(), headers=headers)
        assert response.status_code == 200
        return response.headers.get("Access-Control-Allow-Origin")

    assert allowed(page_a) == page_a
    assert allowed(page_b) is None
    assert allowed(page_b, iss=other.iss) == page_b
    for origin in (page_a, page_b):  # a preflight names no issuer
        response = client.options(URL, headers={"Origin": origin, **PREFLIGHT})
        assert response.headers["Access-Control-Allow-Origin"] == origin


def test_r79_errors_can_be_read_by_listed_origins(browser: FlaskClient) -> None:
    response = browser.post(URL, json={}, headers={"Origin": ORIGIN})
    assert response.status_code == 401
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert response.headers["Vary"] == "Origin"


def test_r81_a_crash_is_500_with_an_incident_and_no_detail(service: Service, log: Any) -> None:
    response = service(use=Crashing()).post(URL, json=world.hook_request())
    assert response.status_code == 500
    OperationOutcome.model_validate(response.json)
    body = response.get_data(as_text=True)
    assert SECRET not in body + log.getvalue()
    assert "Traceback" not in body
    incident = response.json["issue"][0]["diagnostics"].removeprefix("incident ")
    crashed = [json.loads(line) for line in log.getvalue().splitlines() if "crashed" in line]
    assert [line["incident"] for line in crashed] == [incident]
    assert "ValueError" in crashed[0]["where"]


def test_r81_after_a_crash_the_service_goes_on(service: Service) -> None:
    client = service(use=Crashing())
    assert client.post(URL, json=world.hook_request()).status_code == 500
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("path", ["/", "/nothing", "/cds-services/a/b", "/icon.png/x"])
def test_r81_unknown_paths_are_404_with_an_outcome(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    OperationOutcome.model_validate(response.json)


def test_answers_are_not_stored_or_sniffed(client: FlaskClient) -> None:
    response = client.post(URL, json=world.hook_request())
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_r82_after_the_hard_limit_504_and_no_cards(service: Service) -> None:
    class Slow(world.LinearPredictor):
        def __call__(
            self, record: PatientRecord, *, deadline_s: float | None = None
        ) -> tuple[Prediction, Explanation | None]:
            threading.Event().wait(0.3)
            return super().__call__(record)

    client = service(use=Slow(), deadline_ms=200, hard_limit_ms=200)
    response = client.post(URL, json=world.hook_request())
    assert response.status_code == 504
    assert response.json["issue"][0]["code"] == "timeout"


def test_r82_the_model_is_warm_before_the_first_request(
    service: Service, predictor: world.LinearPredictor
) -> None:
    service()
    (record,) = predictor.records
    assert record.measurements
    assert record.notes
    assert record.device_series


def test_the_model_is_told_the_deadline(service: Service) -> None:
    deadlines: list[float | None] = []

    class Listening(world.LinearPredictor):
        def __call__(
            self, record: PatientRecord, *, deadline_s: float | None = None
        ) -> tuple[Prediction, Explanation | None]:
            deadlines.append(deadline_s)
            return super().__call__(record)

    service(use=Listening()).post(URL, json=world.hook_request())
    assert deadlines[0] is None
    assert deadlines[1] is not None


def test_overload_is_503_with_retry_after(service: Service) -> None:
    entered, leave = threading.Event(), threading.Event()

    class Blocking(world.LinearPredictor):
        def __call__(
            self, record: PatientRecord, *, deadline_s: float | None = None
        ) -> tuple[Prediction, Explanation | None]:
            if record.demographics.source != "Patient/warm-up":
                entered.set()
                leave.wait(10)
            return super().__call__(record)

    client = service(use=Blocking(), max_concurrent_hooks=1, max_waiting_hooks=0)
    answers: list[int] = []
    app = client.application

    def call() -> None:
        answer = app.test_client().post(URL, json=world.hook_request())
        answers.append(answer.status_code)

    first = threading.Thread(target=call)
    first.start()
    assert entered.wait(10)
    turned_away = client.post(URL, json=world.hook_request())
    assert turned_away.status_code == 503
    assert turned_away.headers["Retry-After"] == "1"
    assert turned_away.json["issue"][0]["code"] == "throttled"
    assert client.get("/healthz").status_code == 200
    leave.set()
    first.join()
    assert answers == [200]
    assert client.post(URL, json=world.hook_request()).status_code == 200


def test_waiting_is_bounded_in_time() -> None:
    room = Admission(at_once=1, waiting=1)
    with room.place(1.0), pytest.raises(Overloaded), room.place(0.01):
        pass
    with room.place(0.01):
        pass


def test_who_waits_longest_is_next_and_nobody_overtakes() -> None:
    room, served, waiting = Admission(at_once=1, waiting=4), [], []
    with room.place(1.0):
        for number in range(4):
            waiting.append(threading.Thread(target=_visit, args=(room, number, served)))
            waiting[-1].start()
            while len(room._line) <= number:
                time.sleep(0.001)
        with pytest.raises(Overloaded), room.place(1.0):
            pass
    for one in waiting:
        one.join()
    assert served == [0, 1, 2, 3]
    with room.place(0.0):
        pass


def _visit(room: Admission, number: int, served: list[int]) -> None:
    with room.place(5.0):
        served.append(number)


def test_many_visitors_leave_the_room_as_it_was() -> None:
    """Some give up at the very moment that a place is handed to them."""
    room, refused = Admission(at_once=2, waiting=50), []

    def visit() -> None:
        try:
            with room.place(0.002):
                time.sleep(0.001)
        except Overloaded:
            refused.append(1)

    def visit_together() -> None:
        team = [threading.Thread(target=visit) for _ in range(60)]
        for one in team:
            one.start()
        for one in team:
            one.join()

    with room.place(1.0), room.place(1.0):
        visit_together()
    assert len(refused) == 60
    visit_together()
    assert (room._free, len(room._line)) == (2, 0)


def test_health_readiness_and_figures(client: FlaskClient) -> None:
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/readyz").json == {"status": "ready"}
    client.post(URL, json=world.hook_request())
    client.post(URL, json=world.hook_request(world.calm_prefetch()))
    page = client.get("/metrics").get_data(as_text=True)
    assert 'meam_cards_total{indicator="critical",service="meam-risk"} 1.0' in page
    assert 'meam_cards_total{indicator="none",service="meam-risk"} 1.0' in page
    for stage in ("prefetch", "chart", "record", "model", "card", "store"):
        assert f'meam_stage_seconds_count{{stage="{stage}"}} 2.0' in page
    assert 'meam_stage_seconds_count{stage="fhir"}' in page
    assert world.PATIENT not in page


def test_without_a_database_the_service_is_not_ready(client: FlaskClient) -> None:
    store = parts_of(client.application).store
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE meam_schema")
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert client.get("/healthz").status_code == 200


def test_an_answer_that_cannot_be_recorded_is_not_given(client: FlaskClient) -> None:
    store = parts_of(client.application).store
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE audit")
    response = client.post(URL, json=world.hook_request())
    assert response.status_code in (500, 503)


def test_an_operator_switches_the_service_off_without_a_restart(
    service: Service, tmp_path: Path
) -> None:
    switch = tmp_path / "off"
    client = service(kill_switch_file=switch)
    assert client.post(URL, json=world.hook_request()).status_code == 200
    switch.touch()
    response = client.post(URL, json=world.hook_request())
    assert response.status_code == 503
    assert "switched off" in response.json["issue"][0]["details"]["text"]
    switch.unlink()
    assert client.post(URL, json=world.hook_request()).status_code == 200


def test_shadow_mode_stores_and_shows_nothing(service: Service) -> None:
    client = service(mode="shadow")
    assert client.post(URL, json=world.hook_request()).json == {"cards": []}
    store = parts_of(client.application).store
    with store.engine.connect() as connection:
        (card,) = connection.execute(select(tables.cards))
    assert card.shown is False
    assert store.load_explanation(card.card_uuid).explanation is not None


def test_logs_and_database_hold_no_patient_data(
    client: FlaskClient, log: Any, tmp_path: Path
) -> None:
    marked = world.full_prefetch()
    marked["patient"]["name"] = [{"family": "PHIMARKERNAME"}]
    marked["notes"] = world.bundle([world.note("PHIMARKERNOTE looks septic.")])
    client.post(URL, json=world.hook_request(marked))
    marked["laboratory"]["entry"][0]["resource"]["subject"]["reference"] = "Patient/other"
    client.post(URL, json=world.hook_request(marked))
    kept = log.getvalue().encode() + b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for marker in ("PHIMARKERNAME", "PHIMARKERNOTE", world.PATIENT, "1956-03-04"):
        assert marker.encode() not in kept, marker


def test_each_answer_is_one_json_line(client: FlaskClient, log: Any) -> None:
    request = world.hook_request()
    client.post(URL, json=request)
    (line,) = [json.loads(one) for one in log.getvalue().splitlines()]
    assert line["event"] == "answered"
    assert line["hook_instance"] == request["hookInstance"]
    assert line["status"] == 200
    assert line["cards"] == 1
    assert line["audit_sequence"] == 2, "line 1 is about the new database"
    assert line["duration_ms"] > 0


def test_the_link_of_a_card_opens_its_explanation(client: FlaskClient) -> None:
    (card,) = client.post(URL, json=world.hook_request()).json["cards"]
    (link,) = card["links"]
    assert world.PATIENT not in link["url"]
    page = client.get(link["url"].removeprefix("http://127.0.0.1:5000"))
    assert page.status_code == 200
    assert page.mimetype == "text/html"
