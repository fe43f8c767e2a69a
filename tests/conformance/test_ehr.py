"""The practice EHR: a full CDS client that treats what it is sent as hostile."""

from __future__ import annotations

import json
import re

import jwt
import pytest
from werkzeug.wrappers import Response

from conformance.ehr.app import create_app
from conformance.ehr.cds_client import Connection
from tests.conformance.practice_world import (
    ADVICE,
    CARD,
    ORDER,
    PATIENT,
    SUGGESTION,
    PracticeWorld,
    json_response,
)

URL = "http://127.0.0.1:8092"
CHART = "/1/patients/p1"


@pytest.fixture
def world(httpserver):
    return PracticeWorld(httpserver)


@pytest.fixture
def ehr(world):
    app = create_app(Connection(world.fhir, world.service, fhir_token="fhir-secret"), URL)
    return app.test_client()


def get(ehr, path, **arguments):
    return ehr.get(path, base_url=URL, follow_redirects=True, **arguments)


def test_patients_are_listed(ehr):
    text = get(ehr, "/1/").text
    assert "Ada Example" in text
    assert 'href="/1/patients/p1"' in text


def test_opening_a_chart_shows_card_and_chart(ehr):
    text = get(ehr, CHART).text
    for expected in (
        "In-hospital death: 37 %, 2.7 times the average",
        "<strong>Risk</strong> 37 %",
        "<li>Lactate 4.6 mmol/L</li>",
        "<table>\n<thead>\n<tr>\n<th>a</th>",
        'href="http://127.0.0.1:5000/explanations/x"',
        "Already known",
        "4.6 mmol/L",
        "Septic shock. &lt;b&gt;Denies&lt;/b&gt; chest pain.",
        "inpatient encounter",
    ):
        assert expected in text


def test_the_hook_call_is_complete(ehr, world):
    get(ehr, CHART)
    (call,) = world.hook_calls
    body = call.get_json()
    assert body["hook"] == "patient-view"
    assert re.fullmatch(r"[0-9a-f-]{36}", body["hookInstance"])
    assert body["context"] == {
        "userId": "Practitioner/practice-ehr",
        "patientId": "p1",
        "encounterId": "e1",
    }
    assert body["fhirServer"] == world.fhir
    assert body["fhirAuthorization"]["access_token"] == "fhir-secret"
    assert body["fhirAuthorization"]["patient"] == "p1"
    assert body["prefetch"]["patient"]["id"] == "p1"
    assert body["prefetch"]["laboratory"]["entry"][0]["resource"]["id"] == "o1"


def test_the_jwt_verifies_against_the_published_key(ehr, world):
    get(ehr, CHART)
    token = world.hook_calls[0].headers["Authorization"].removeprefix("Bearer ")
    (jwk,) = get(ehr, "/.well-known/jwks.json").json["keys"]
    assert "d" not in jwk
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"], header["kid"]) == ("ES384", "JWT", jwk["kid"])
    assert header["jku"] == f"{URL}/.well-known/jwks.json"
    audience = f"{world.service}/cds-services/meam-risk"
    claims = jwt.decode(token, jwt.PyJWK(jwk), algorithms=["ES384"], audience=audience)
    assert claims["iss"] == URL
    assert claims["exp"] - claims["iat"] == 300


def test_each_call_has_its_own_jti(ehr, world):
    get(ehr, CHART)
    get(ehr, CHART)
    tokens = [call.headers["Authorization"].split()[1] for call in world.hook_calls]
    ids = [jwt.decode(token, options={"verify_signature": False})["jti"] for token in tokens]
    assert ids[0] != ids[1]


def test_the_access_token_goes_with_fhir_calls_and_never_to_the_page(ehr, world):
    text = get(ehr, CHART).text
    assert {call.headers["Authorization"] for call in world.fhir_calls} == {"Bearer fhir-secret"}
    assert "fhir-secret" not in text
    assert "(hidden)" in text


def test_a_failed_prefetch_key_is_left_out(ehr, world):
    world.broken.add("Observation")
    text = get(ehr, CHART).text
    assert set(world.hook_calls[0].get_json()["prefetch"]) == {"patient"}
    assert "laboratory: " in text
    assert "answered 500." in text


def test_without_a_current_encounter_none_is_named(ehr, world):
    world.broken.add("Encounter")
    get(ehr, CHART)
    assert "encounterId" not in world.hook_calls[0].get_json()["context"]


def test_hostile_card_text_is_harmless(ehr, world):
    evil = {
        **CARD,
        "summary": "<img src=x onerror=alert(1)>\u202etxt.exe",
        "detail": "<script>alert(1)</script> [x](javascript:alert(1)) ![y](http://evil.test/y.png)"
        " [ok](https://example.org/a)",
        "source": {"label": "<b>label</b>", "url": "javascript:alert(1)"},
        "links": [{"label": "run", "url": "javascript:alert(1)", "type": "absolute"}],
    }
    world.answer = lambda: json_response({"cards": [evil]})
    shown = get(ehr, CHART).text.split('class="exchange"')[0]
    assert "<script" not in shown
    assert "<img" not in shown
    assert "<b>" not in shown
    assert 'href="javascript' not in shown
    assert "[U+202E]" in shown
    assert '<a href="https://example.org/a" rel="noopener noreferrer" target="_blank">' in shown


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (json_response({}), "The answer is not an object with an array &#39;cards&#39;."),
        (json_response([]), "The answer is not an object with an array &#39;cards&#39;."),
        (json_response({"cards": [{**CARD, "summary": "x" * 140}]}), "summary of 140 characters"),
        (json_response({"cards": [{**CARD, "indicator": "fatal"}]}), "no indicator among info"),
        (json_response({"cards": [{**CARD, "source": {}}]}), "Card 1 has no source.label."),
        (json_response({"cards": ["text"]}), "Card 1 is not an object."),
        (Response("<html>", 200), "did not answer with JSON."),
        (json_response({"resourceType": "OperationOutcome"}, 412), "answered 412."),
        (json_response({}, 500), "answered 500."),
        (json_response({"issue": [{"details": {"text": "No notes."}}]}, 412), "412. No notes."),
        (json_response({"issue": [None]}, 412), "answered 412."),
    ],
)
def test_a_bad_answer_is_said_aloud(ehr, world, answer, sentence):
    world.answer = lambda: answer
    page = get(ehr, CHART)
    assert page.status_code == 200
    assert sentence in page.text
    assert "nothing to advise" not in page.text


def test_an_empty_answer_means_nothing_to_advise(ehr, world):
    world.answer = lambda: json_response({"cards": []})
    assert "nothing to advise" in get(ehr, CHART).text


def test_programs_get_the_exchange_as_json(ehr):
    answer = get(ehr, f"{CHART}/exchange.json").json
    assert answer["patient"]["name"] == "Ada Example"
    assert answer["exchanges"][0]["status"] == 200
    assert answer["exchanges"][0]["received"] == {"cards": [CARD]}


def test_an_override_is_reported(ehr, world):
    form = {"card": CARD["uuid"], "service": "meam-risk", "reason": "seen urn:reasons"}
    answer = ehr.post(f"{CHART}/override", base_url=URL, data=form)
    assert answer.status_code == 302
    (item,) = world.feedback[0]["feedback"]
    assert item["outcome"] == "overridden"
    assert item["overrideReason"] == {"reason": {"code": "seen", "system": "urn:reasons"}}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", item["outcomeTimestamp"])


def test_a_form_of_another_site_is_refused(ehr, world):
    form = {"fhir": "http://127.0.0.1:1/fhir", "service": "http://127.0.0.1:1"}
    headers = {"Origin": "http://evil.test"}
    assert ehr.post("/connections", base_url=URL, data=form, headers=headers).status_code == 403


def test_another_host_name_is_refused(ehr):
    assert ehr.get("/1/", base_url="http://rebound.test:8092").status_code == 421


def test_a_tester_connects_elsewhere(ehr, world):
    form = {"fhir": world.fhir + "/", "service": world.service + "/cds-services"}
    answer = ehr.post("/connections", base_url=URL, data=form)
    assert answer.headers["Location"] == "/2/"
    get(ehr, "/2/patients/p1")
    assert "fhirAuthorization" not in world.hook_calls[0].get_json()


def test_a_server_that_is_not_there_is_one_sentence(world):
    app = create_app(Connection("http://127.0.0.1:9/fhir", world.service), URL)
    page = get(app.test_client(), "/1/")
    assert page.status_code == 200
    assert "http://127.0.0.1:9/fhir/Patient?_count=200 cannot be reached." in page.text


def test_every_page_forbids_scripts(ehr):
    for path in ("/1/", CHART, "/9/"):
        policy = get(ehr, path).headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self';")
        assert "unsafe" not in policy


def test_the_inspector_shows_what_was_sent(ehr):
    text = get(ehr, CHART).text
    assert "Observation?patient=p1&amp;category=laboratory&amp;_count=500" in text
    assert "1 entry" in text
    assert json.dumps("patient-view") in text.replace("&#34;", '"')


def sealed(ehr, world, suggestion=SUGGESTION):
    """Open the chart with one suggestion and return what its form carries."""
    world.answer = lambda: json_response({"cards": [{**ADVICE, "suggestions": [suggestion]}]})
    page = get(ehr, CHART).text
    return re.search(r'name="suggestion" value="([^"]+)"', page)[1]


def accept(ehr, form, patient="p1"):
    path = f"/1/patients/{patient}/accept"
    return ehr.post(path, base_url=URL, data={"suggestion": form})


def test_accepting_creates_the_resource_and_reports_it(ehr, world):
    answer = accept(ehr, sealed(ehr, world))
    assert answer.status_code == 302
    own = {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{SUGGESTION['uuid']}"}
    assert world.created == [{**ORDER, "identifier": [own]}]
    post = next(call for call in world.fhir_calls if call.method == "POST")
    assert post.headers["Content-Type"] == "application/fhir+json"
    assert post.headers["If-None-Exist"] == f"identifier={own['system']}|{own['value']}"
    assert post.headers["Authorization"] == "Bearer fhir-secret"
    (item,) = world.feedback[0]["feedback"]
    assert (item["card"], item["outcome"]) == (CARD["uuid"], "accepted")
    assert item["acceptedSuggestions"] == [{"id": SUGGESTION["uuid"]}]
    assert "ServiceRequest/new-1" in get(ehr, answer.headers["Location"]).text


@pytest.mark.parametrize(("conditional", "searchable"), [(True, False), (False, True)])
def test_accepting_twice_creates_one_draft(ehr, world, conditional, searchable):
    world.conditional, world.searchable = conditional, searchable
    form = sealed(ehr, world)
    for _ in range(2):  # the form of a page without a visit: as after a restart of the EHR
        assert accept(ehr, form).status_code == 302
    assert len(world.created) == 1


def test_a_pressed_button_stays_pressed(ehr, world):
    world.answer = lambda: json_response({"cards": [ADVICE]})
    page = get(ehr, CHART).text
    form = {
        name: re.search(f'name="{name}" value="([^"]+)"', page)[1]
        for name in ("suggestion", "visit")
    }
    first = ehr.post(f"{CHART}/accept", base_url=URL, data=form)
    shown = get(ehr, first.headers["Location"].partition("#")[0]).text
    assert "<button disabled>Accepted</button>" in shown
    assert len(world.hook_calls) == 1, "the cards stay as they were"
    assert ehr.post(f"{CHART}/accept", base_url=URL, data=form).status_code == 302
    assert len(world.created) == len(world.feedback) == 1


def test_back_leads_to_the_cards_as_they_were(ehr, world):
    """The hook was called again, and its new cards let one order the same a second time."""
    world.answer = lambda: json_response({"cards": [ADVICE]})
    opened = ehr.get(CHART, base_url=URL)
    assert opened.status_code == 303, "what the browser remembers is the visit"
    visit = opened.headers["Location"]
    page = get(ehr, visit).text
    form = {
        name: re.search(f'name="{name}" value="([^"]+)"', page)[1]
        for name in ("suggestion", "visit")
    }
    ehr.post(f"{CHART}/accept", base_url=URL, data=form)
    assert "<button disabled>Accepted</button>" in get(ehr, visit).text
    assert len(world.hook_calls) == 1


@pytest.mark.parametrize("query", ["outcome=accepted&created=Task/made-up", "said=Task/made-up"])
def test_an_address_alone_claims_no_order(ehr, query):
    text = get(ehr, f"{CHART}?{query}").text
    assert "made-up" not in re.sub(r'(href|action)="[^"]*"', "", text)
    assert 'role="status"' not in text


def test_what_was_done_for_one_patient_is_not_said_of_another(ehr, world):
    place = accept(ehr, sealed(ehr, world)).headers["Location"]
    said = place.partition("said=")[2].partition("&")[0]
    assert 'role="status"' in get(ehr, f"{CHART}?said={said}").text
    assert 'role="status"' not in get(ehr, f"/1/patients/p2?said={said}").text


@pytest.mark.parametrize("behavior", ["exactly-one", None])
def test_nothing_of_a_card_that_is_not_understood_can_be_accepted(ehr, world, behavior):
    """CDS Hooks: a client that does not know the selectionBehavior treats the card as an error."""
    form = sealed(ehr, world)
    card = {**ADVICE, "selectionBehavior": behavior, "indicator": "hard-stop"}
    world.answer = lambda: json_response({"cards": [card]})
    page = get(ehr, CHART).text
    assert 'aria-label="Accept:' not in page
    assert "None of these can be accepted" in page
    assert "unknown indicator" in page
    data = {"suggestion": form, "visit": re.search(r'name="visit" value="([^"]+)"', page)[1]}
    assert ehr.post(f"{CHART}/accept", base_url=URL, data=data).status_code == 400
    assert world.created == []


def test_two_resources_of_one_suggestion_are_told_apart(ehr, world):
    action = SUGGESTION["actions"][0]
    form = sealed(ehr, world, {**SUGGESTION, "actions": [action, action]})
    for _ in range(2):
        assert accept(ehr, form).status_code == 302
    values = [one["identifier"][0]["value"] for one in world.created]
    assert len(values) == len(set(values)) == 2


def test_what_is_created_but_not_reported_is_reported_at_the_next_press(ehr, world):
    form = sealed(ehr, world)
    world.feedback_status = 503
    answer = accept(ehr, form)
    assert answer.status_code == 502
    assert "ServiceRequest/new-1 was created, but not reported" in answer.text
    assert "It asks to be tried again in 7 s." in answer.text
    world.feedback_status = 200
    assert accept(ehr, form).status_code == 302
    assert (len(world.created), len(world.feedback)) == (1, 1)


def test_what_is_not_created_is_not_reported_as_accepted(ehr, world):
    form = sealed(ehr, world)
    world.broken.add("ServiceRequest")
    assert accept(ehr, form).status_code == 502
    assert world.feedback == []


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        ({"type": "delete", "resourceId": "Observation/1"}, "create actions only, not delete"),
        ({"type": "create", "resource": {"resourceType": "Patient"}}, "creates ServiceRequest"),
        (
            {"type": "create", "resource": {**ORDER, "subject": {"reference": "Patient/p2"}}},
            "not about the patient of this chart",
        ),
        ({"type": "create", "resource": {**ORDER, "status": "active"}}, "not a draft"),
        (None, "has no action"),
    ],
)
def test_a_suggestion_that_asks_for_more_is_refused(ehr, world, action, sentence):
    asked = {**SUGGESTION, "actions": [{"description": "x", **action}] if action else []}
    answer = accept(ehr, sealed(ehr, world, asked))
    assert answer.status_code == 400
    assert sentence in answer.text
    assert world.created == world.feedback == []


def test_a_suggestion_that_was_changed_or_moved_is_refused(ehr, world):
    form = sealed(ehr, world)
    assert accept(ehr, f"x{form}").status_code == 400
    assert accept(ehr, form, patient="p2").status_code == 400
    assert world.created == []


def test_suggestions_without_a_selection_behaviour_are_a_fault(ehr, world):
    world.answer = lambda: json_response({"cards": [{**CARD, "suggestions": [SUGGESTION]}]})
    assert "no selectionBehavior" in get(ehr, CHART).text


def both(ehr, world):
    """Open a chart with two suggestions of which at most one may be accepted; return the forms."""
    other = {**SUGGESTION, "uuid": "7f0b6f2c-1c11-4e0a-9f55-3e8d1f4b7a21", "label": "Another"}
    card = {**ADVICE, "suggestions": [SUGGESTION, other], "selectionBehavior": "at-most-one"}
    world.answer = lambda: json_response({"cards": [card]})
    page = get(ehr, CHART).text
    visit = re.search(r'name="visit" value="([^"]+)"', page)[1]
    forms = re.findall(r'name="suggestion" value="([^"]+)"', page)
    return [{"suggestion": form, "visit": visit} for form in forms]


def test_at_most_one_holds_for_an_older_page_too(ehr, world):
    """A tab that was opened before still has the button of the other suggestion."""
    first, second = both(ehr, world)
    assert ehr.post(f"{CHART}/accept", base_url=URL, data=first).status_code == 302
    late = ehr.post(f"{CHART}/accept", base_url=URL, data=second)
    assert late.status_code == 400
    assert f'href="{CHART}?visit={first["visit"]}"' in late.text, "and leads back to the chart"
    assert "another of its suggestions was accepted already" in late.text
    assert len(world.created) == 1


def test_nothing_of_an_overridden_card_is_created(ehr, world):
    first, _ = both(ehr, world)
    form = {"card": CARD["uuid"], "service": "meam-risk", "visit": first["visit"]}
    assert ehr.post(f"{CHART}/override", base_url=URL, data=form).status_code == 302
    late = ehr.post(f"{CHART}/accept", base_url=URL, data=first)
    assert late.status_code == 400
    assert "was overridden" in late.text
    assert world.created == []


@pytest.mark.parametrize("answer", [{**PATIENT, "id": "p2"}, {"resourceType": "OperationOutcome"}])
def test_another_patient_than_the_one_asked_for_is_refused(ehr, world, answer):
    world.server.clear()
    world.server.expect_request("/fhir/Patient/p1").respond_with_json(answer)
    page = get(ehr, CHART)
    assert page.status_code == 502
    assert "did not answer with this patient." in page.text
    assert world.hook_calls == []


def test_patients_are_found_by_name(ehr, world):
    text = get(ehr, "/1/?name=Ad%26a").text
    assert world.fhir_calls[-1].query_string == b"_count=200&name=Ad%26a"
    assert 'value="Ad&amp;a"' in text
    world.patients.clear()
    assert "No patient has such a name." in get(ehr, "/1/?name=x").text


@pytest.mark.parametrize(
    ("path", "status"), [("/9/", 404), ("/1/nothing", 404), ("/1/patients/p1/accept", 405)]
)
def test_a_wrong_address_is_a_page_of_ours(ehr, path, status):
    page = get(ehr, path)
    assert page.status_code == status
    assert "Back to the patients" in page.text


def test_a_form_without_its_fields_is_a_page_of_ours(ehr):
    page = ehr.post(f"{CHART}/override", base_url=URL)
    assert page.status_code == 400
    assert "Back to the patients" in page.text


def test_a_patient_of_whom_nothing_is_known_has_a_banner(ehr, world):
    world.server.clear()
    world.server.expect_request("/fhir/Patient/p1").respond_with_json(
        {"resourceType": "Patient", "id": "p1"}
    )
    assert "sex not known, birth date not known" in get(ehr, CHART).text


def test_a_service_that_is_not_there_leaves_the_chart(world):
    app = create_app(Connection(world.fhir, "http://127.0.0.1:9"), URL)
    page = get(app.test_client(), CHART)
    assert page.status_code == 200
    assert "http://127.0.0.1:9/cds-services cannot be reached." in page.text
    assert "4.6 mmol/L" in page.text
