"""Reading, searching, paging and attachments against a real socket."""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from fhir_adapters.client import Caps, FhirClient, RawAnswer
from fhir_adapters.deadline import Deadline
from fhir_adapters.errors import (
    FhirBadAnswer,
    FhirError,
    FhirForbidden,
    FhirForeignOrigin,
    FhirNotFound,
    FhirRejected,
    FhirTooLarge,
    FhirUnavailable,
)
from tests.fhir_adapters.fhir_answers import (
    FHIR_JSON,
    bundle,
    client_of,
    ids,
    json_response,
    observation,
    outcome,
    patient,
    reasons,
)
from tests.fhir_adapters.raw_server import raw_server

LABS = "Observation?patient=1&category=laboratory"


@pytest.fixture
def threaded_server() -> Iterator[HTTPServer]:
    """pytest-httpserver's own fixture answers one request at a time."""
    with HTTPServer(threaded=True) as server:
        yield server


def serve_search(server: HTTPServer, answer: dict[str, Any]) -> None:
    server.expect_request("/fhir/Observation").respond_with_json(answer, content_type=FHIR_JSON)


# --- reading


def test_a_resource_is_read(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_json(patient())
    assert client_of(httpserver).read("Patient/1") == patient()


def test_ids_longer_than_fhir_allows_are_read(httpserver: HTTPServer) -> None:
    long_id = "e" + "Xy3." * 32 + "0"
    httpserver.expect_request(f"/fhir/Patient/{long_id}").respond_with_json(patient(long_id))
    assert client_of(httpserver).read(f"Patient/{long_id}")["id"] == long_id


def test_another_resource_than_the_one_asked_for_is_refused(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_json(patient("2"))
    with pytest.raises(FhirBadAnswer, match=r"Patient/1: the FHIR server sent another resource"):
        client_of(httpserver).read("Patient/1")


@pytest.mark.parametrize(
    "path", ["Patient/..", "/Patient/1", "Patient/1?x=y", "http://evil.example/Patient/1", ""]
)
def test_what_is_not_type_and_id_is_not_sent(httpserver: HTTPServer, path: str) -> None:
    with pytest.raises(FhirRejected, match="not of the form Type/id"):
        client_of(httpserver).read(path)
    assert httpserver.log == []


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        (403, "", FhirForbidden, "Patient/1: the FHIR server answered 403"),
        (404, "<html><body>Not here</body></html>", FhirNotFound, "answered 404"),
        (410, "{}", FhirNotFound, "answered 410"),
        (418, "short and stout", FhirRejected, "answered 418"),
    ],
)
def test_an_error_with_an_empty_or_html_body_is_still_an_error_with_a_sentence(
    httpserver: HTTPServer, status: int, body: str, error: type[FhirError], message: str
) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_data(body, status)
    with pytest.raises(error, match=message) as raised:
        client_of(httpserver).read("Patient/1")
    assert "stout" not in str(raised.value)


def test_an_operation_outcome_without_issue_code_is_still_an_error(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_json(
        outcome("error", None, diagnostics="Jane Doe"), 400
    )
    with pytest.raises(FhirRejected, match=r"OperationOutcome \(error/no code\)") as raised:
        client_of(httpserver).read("Patient/1")
    assert "Jane" not in str(raised.value)


def test_html_with_status_200_is_an_error(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_data(
        "<!DOCTYPE html><html>Log in</html>", content_type="text/html"
    )
    with pytest.raises(FhirBadAnswer, match="an HTML page where FHIR JSON is expected"):
        client_of(httpserver).read("Patient/1")


@pytest.mark.parametrize("body", ["[]", '{"id": "1"}', '{"resourceType": 7}', "NaN", ""])
def test_json_that_is_no_resource_is_an_error(httpserver: HTTPServer, body: str) -> None:
    httpserver.expect_request("/fhir/Patient/1").respond_with_data(body, content_type=FHIR_JSON)
    with pytest.raises(FhirBadAnswer):
        client_of(httpserver).read("Patient/1")


def test_json_nested_a_hundred_thousand_deep_is_an_error(httpserver: HTTPServer) -> None:
    body = '{"resourceType":' + "[" * 100_000 + "]" * 100_000 + "}"
    httpserver.expect_request("/fhir/Patient/1").respond_with_data(body, content_type=FHIR_JSON)
    with pytest.raises(FhirBadAnswer, match="nested too deeply"):
        client_of(httpserver).read("Patient/1")


def test_the_bytes_of_every_answer_used_are_handed_out_for_audit(httpserver: HTTPServer) -> None:
    body = '{"resourceType":"Patient","id":"1","x":98.60}'
    httpserver.expect_request("/fhir/Patient/1").respond_with_data(body, content_type=FHIR_JSON)
    kept: list[RawAnswer] = []
    client_of(httpserver, on_answer=kept.append).read("Patient/1")
    assert kept == [RawAnswer("Patient/1", FHIR_JSON, body.encode())]


# --- searching


def test_an_observation_search_without_category_or_code_is_not_sent(httpserver: HTTPServer) -> None:
    with pytest.raises(FhirRejected, match="needs a category or a code; it was not sent"):
        client_of(httpserver).search("Observation?patient=1")
    assert httpserver.log == []


def test_an_observation_search_without_patient_is_not_sent(httpserver: HTTPServer) -> None:
    with pytest.raises(FhirRejected, match="needs a patient; it was not sent"):
        client_of(httpserver).search("Observation?category=laboratory")
    assert httpserver.log == []


def test_a_search_holds_patient_and_category_as_given(httpserver: HTTPServer) -> None:
    serve_search(httpserver, bundle())
    client_of(httpserver).search("Observation?patient=1&category=vital-signs,laboratory&_count=50")
    assert httpserver.log[0][0].args.to_dict() == {
        "patient": "1",
        "category": "vital-signs,laboratory",
        "_count": "50",
    }


def test_prefer_strict_forbids_the_server_to_ignore_a_filter(httpserver: HTTPServer) -> None:
    serve_search(httpserver, bundle())
    client_of(httpserver).search(LABS)
    assert httpserver.log[0][0].headers["Prefer"] == "handling=strict"


def test_all_pages_are_read_and_the_total_of_a_page_is_ignored(httpserver: HTTPServer) -> None:
    first = bundle(observation("1"), next_url=httpserver.url_for("/fhir/p2?t=1"), total=1)
    serve_search(httpserver, first)
    second = bundle(observation("2"), next_url=httpserver.url_for("/fhir/p2?t=2"), total=1)
    httpserver.expect_request("/fhir/p2", query_string="t=1").respond_with_json(second)
    last = bundle(observation("3"), total=1)
    httpserver.expect_request("/fhir/p2", query_string="t=2").respond_with_json(last)
    result = client_of(httpserver).search(LABS)
    assert (ids(result), result.incomplete) == (["1", "2", "3"], ())


@pytest.mark.parametrize(
    "link",
    [
        "Observation?page=2",
        "?page=2",
        "/fhir/Observation?page=2",
        "//HOST/fhir/Observation?page=2",
        "http://HOST/fhir/Observation?page=2",
    ],
)
def test_relative_next_links_are_joined(httpserver: HTTPServer, link: str) -> None:
    host = f"{httpserver.host}:{httpserver.port}"
    httpserver.expect_request("/fhir/Observation", query_string="page=2").respond_with_json(
        bundle(observation("2"))
    )
    serve_search(httpserver, bundle(observation("1"), next_url=link.replace("HOST", host)))
    assert ids(client_of(httpserver).search(LABS)) == ["1", "2"]


def test_an_opaque_next_link_over_2_kb_is_followed_verbatim(httpserver: HTTPServer) -> None:
    state = "bnVya%2Fs%3D-_.~" * 200
    httpserver.expect_request("/fhir/Observation", query_string=f"s={state}").respond_with_json(
        bundle(observation("2"))
    )
    serve_search(httpserver, bundle(observation("1"), next_url=f"Observation?s={state}"))
    assert ids(client_of(httpserver).search(LABS)) == ["1", "2"]


def test_a_next_link_to_a_page_already_read_ends_the_search_flagged(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/p2").respond_with_json(
        bundle(observation("2"), next_url=httpserver.url_for("/fhir/p3"))
    )
    httpserver.expect_request("/fhir/p3").respond_with_json(
        bundle(observation("3"), next_url=httpserver.url_for("/fhir/p2#again"))
    )
    serve_search(httpserver, bundle(observation("1"), next_url=httpserver.url_for("/fhir/p2")))
    result = client_of(httpserver).search(LABS)
    assert (ids(result), reasons(result)) == (["1", "2", "3"], ["paging-loop"])
    assert len(httpserver.log) == 3


def repeating(request: Request) -> Response:
    """A server that knows no ``page``: its first page again, under another next link each time."""
    page = int(request.args.get("page", "1"))
    outcome = {"resourceType": "OperationOutcome", "issue": []}
    body = bundle(observation("1"), observation("2"), outcome, next_url=f"?page={page + 1}")
    return json_response(body)


def test_a_page_that_only_repeats_ends_the_search_flagged(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Observation").respond_with_handler(repeating)
    result = client_of(httpserver).search(LABS)
    assert ids(result) == ["1", "2"]
    assert "paging-loop" in reasons(result)
    assert len(httpserver.log) == 2


def test_what_is_sent_again_leaves_the_cap_on_entries_to_others(httpserver: HTTPServer) -> None:
    pages = [["1", "2"], ["2", "3"], ["3", "4"]]  # as pages shift while a chart grows
    for number, names in enumerate(pages[1:], start=2):
        link = f"p{number + 1}" if number < len(pages) else None
        page = bundle(*map(observation, names), next_url=link)
        httpserver.expect_request(f"/fhir/p{number}").respond_with_json(page)
    serve_search(httpserver, bundle(*map(observation, pages[0]), next_url="p2"))
    result = client_of(httpserver, caps=Caps(entries=4)).search(LABS)
    assert (ids(result), result.incomplete) == (["1", "2", "3", "4"], ())


def test_a_foreign_next_link_is_not_followed_and_the_result_is_flagged(
    httpserver: HTTPServer,
) -> None:
    with raw_server(lambda connection, _: None) as foreign:
        serve_search(httpserver, bundle(observation("1"), next_url=f"{foreign.url}/p2"))
        result = client_of(httpserver, access_token="secret").search(LABS)
        assert foreign.connections == 0
    assert (ids(result), reasons(result)) == (["1"], ["foreign-origin"])


@pytest.mark.parametrize("url", ["", 7, None])
def test_a_next_link_without_url_is_flagged(httpserver: HTTPServer, url: object) -> None:
    page = {**bundle(observation("1")), "link": [{"relation": "next", "url": url}]}
    serve_search(httpserver, page)
    result = client_of(httpserver).search(LABS)
    assert (ids(result), reasons(result)) == (["1"], ["bad-answer"])


def test_the_cap_on_pages_ends_a_search_flagged(httpserver: HTTPServer) -> None:
    def endless(request: Request) -> Response:
        page = int(request.args.get("page", "1"))
        body = bundle(observation(str(page)), next_url=f"Observation?page={page + 1}")
        return json_response(body)

    httpserver.expect_request("/fhir/Observation").respond_with_handler(endless)
    result = client_of(httpserver, caps=Caps(pages=4)).search(LABS)
    assert (ids(result), reasons(result)) == (["1", "2", "3", "4"], ["page-cap"])
    assert len(httpserver.log) == 4


def test_exactly_as_many_pages_as_the_cap_are_complete(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/p2").respond_with_json(bundle(observation("2")))
    serve_search(httpserver, bundle(observation("1"), next_url="p2"))
    result = client_of(httpserver, caps=Caps(pages=2)).search(LABS)
    assert (ids(result), result.incomplete) == (["1", "2"], ())


def test_the_cap_on_entries_ends_a_search_flagged(httpserver: HTTPServer) -> None:
    many = [observation(str(number)) for number in range(10)]
    serve_search(httpserver, bundle(*many, next_url="p2"))
    result = client_of(httpserver, caps=Caps(entries=7)).search(LABS)
    assert (len(result.resources), reasons(result)) == (7, ["entry-cap"])
    assert len(httpserver.log) == 1


def test_the_cap_on_bytes_ends_a_search_flagged(httpserver: HTTPServer) -> None:
    serve_search(httpserver, bundle(observation("1"), next_url="p2"))
    large = {**observation("2"), "note": [{"text": "x" * 50_000}]}
    httpserver.expect_request("/fhir/p2").respond_with_json(bundle(large))
    result = client_of(httpserver, caps=Caps(bytes=20_000)).search(LABS)
    assert (ids(result), reasons(result)) == (["1"], ["too-large"])


def test_a_first_page_over_the_cap_on_bytes_is_an_error(httpserver: HTTPServer) -> None:
    serve_search(httpserver, bundle(observation("1")))
    with pytest.raises(FhirTooLarge, match="more than 100 bytes"):
        client_of(httpserver, caps=Caps(bytes=100)).search(LABS)


def test_a_page_that_fails_leaves_a_partial_result_flagged(httpserver: HTTPServer) -> None:
    serve_search(httpserver, bundle(observation("1"), next_url="p2"))
    httpserver.expect_request("/fhir/p2").respond_with_data("", 403)
    result = client_of(httpserver).search(LABS)
    assert (ids(result), reasons(result)) == (["1"], ["forbidden"])
    assert result.incomplete[0].sentence == (
        "Observation?category=laboratory, page 2: the FHIR server answered 403; not all was read"
    )


def test_a_first_page_that_fails_is_an_error_and_never_an_empty_result(
    httpserver: HTTPServer,
) -> None:
    httpserver.expect_request("/fhir/Observation").respond_with_data("", 403)
    with pytest.raises(FhirForbidden):
        client_of(httpserver).search(LABS)


@pytest.mark.parametrize(
    ("severity", "code", "reason"),
    [
        ("warning", "suppressed", "outcome"),
        ("error", "forbidden", "outcome"),
        ("information", "informational", "outcome-note"),
    ],
)
def test_an_outcome_entry_becomes_a_completeness_warning_without_its_free_text(
    httpserver: HTTPServer, severity: str, code: str, reason: str
) -> None:
    details = {"coding": [{"code": "4119", "display": "Jane Doe"}], "text": "Jane Doe, MRN 77"}
    entry = {"search": {"mode": "outcome"}, "resource": outcome(severity, code, details=details)}
    page = bundle(observation("1"))
    page["entry"].append(entry)
    serve_search(httpserver, page)
    result = client_of(httpserver).search(LABS)
    assert ids(result) == ["1"]
    assert result.incomplete[0].reason == reason
    assert f"({severity}/{code} 4119)" in result.incomplete[0].sentence
    assert "Jane" not in repr(result.incomplete)
    assert "77" not in repr(result.incomplete)


def test_entries_without_search_mode_and_full_url_are_taken(httpserver: HTTPServer) -> None:
    serve_search(httpserver, bundle(observation("1"), observation("2")))
    assert ids(client_of(httpserver).search(LABS)) == ["1", "2"]


def test_a_resource_on_two_pages_is_taken_once(httpserver: HTTPServer) -> None:
    serve_search(httpserver, bundle(observation("1"), observation("2"), next_url="p2"))
    httpserver.expect_request("/fhir/p2").respond_with_json(
        bundle(observation("2"), observation("3"))
    )
    assert ids(client_of(httpserver).search(LABS)) == ["1", "2", "3"]


def test_an_entry_without_resource_is_flagged(httpserver: HTTPServer) -> None:
    page = {**bundle(observation("1")), "link": []}
    page["entry"].append({"fullUrl": "urn:uuid:1"})
    serve_search(httpserver, page)
    result = client_of(httpserver).search(LABS)
    assert (ids(result), reasons(result)) == (["1"], ["shape"])


@pytest.mark.parametrize(
    "answer",
    [patient(), outcome("error", "processing"), {"resourceType": "Bundle", "entry": {}}],
)
def test_a_search_that_answers_something_else_than_a_bundle_is_an_error(
    httpserver: HTTPServer, answer: dict[str, Any]
) -> None:
    serve_search(httpserver, answer)
    with pytest.raises(FhirBadAnswer, match=r"Observation\?category=laboratory"):
        client_of(httpserver).search(LABS)


# --- several searches


def test_searches_run_side_by_side(threaded_server: HTTPServer) -> None:
    together = threading.Barrier(4, timeout=5)

    def answer(_: Request) -> Response:
        together.wait()
        return json_response(bundle())

    threaded_server.expect_request("/fhir/Observation").respond_with_handler(answer)
    queries = {str(n): f"Observation?patient=1&category=c{n}" for n in range(4)}
    results = client_of(threaded_server).search_all(queries)
    assert list(results) == ["0", "1", "2", "3"]
    assert not any(isinstance(result, FhirError) for result in results.values())


def test_one_failing_search_costs_only_its_own_result(httpserver: HTTPServer) -> None:
    serve_search(httpserver, bundle(observation("1")))
    httpserver.expect_request("/fhir/DocumentReference").respond_with_data("", 403)
    httpserver.expect_request("/fhir/Patient/1").respond_with_json(patient())
    results = client_of(httpserver).search_all(
        {
            "labs": LABS,
            "notes": "DocumentReference?patient=1",
            "patient": "Patient/1",
            "again": LABS,
        }
    )
    assert ids(results["labs"]) == ids(results["again"]) == ["1"]
    assert ids(results["patient"]) == ["1"]
    assert isinstance(results["notes"], FhirForbidden)
    assert len(httpserver.log) == 3


def test_one_deadline_holds_for_all_searches_together(threaded_server: HTTPServer) -> None:
    release = threading.Event()

    def slow(request: Request) -> Response:
        if request.args["category"] != "fast":
            release.wait(5)
        return json_response(bundle(observation("1")))

    threaded_server.expect_request("/fhir/Observation").respond_with_handler(slow)
    queries = {f"slow{n}": f"Observation?patient=1&category=slow{n}" for n in range(12)}
    client = client_of(threaded_server, seconds=1)
    started = time.monotonic()
    results = client.search_all({"fast": "Observation?patient=1&category=fast", **queries})
    took_s = time.monotonic() - started
    release.set()
    assert took_s < 3
    assert ids(results["fast"]) == ["1"]
    assert {type(results[key]).__name__ for key in queries} == {"FhirTimeout"}


def test_what_was_read_before_the_deadline_is_kept_and_flagged(httpserver: HTTPServer) -> None:
    release = threading.Event()

    def slow(_: Request) -> Response:
        release.wait(5)
        return json_response(bundle(observation("2")))

    serve_search(httpserver, bundle(observation("1"), next_url="p2"))
    httpserver.expect_request("/fhir/p2").respond_with_handler(slow)
    result = client_of(httpserver, seconds=0.4).search(LABS)
    release.set()
    assert (ids(result), reasons(result)) == (["1"], ["timeout"])


# --- prefetched Bundles


def test_a_prefetched_bundle_is_followed_with_its_own_entries_first(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/p2").respond_with_json(bundle(observation("2")))
    result = client_of(httpserver).follow(bundle(observation("1"), next_url="p2"), "labs")
    assert (ids(result), result.incomplete) == (["1", "2"], ())


def test_a_relative_next_link_of_a_prefetched_bundle_starts_at_its_self_link(
    httpserver: HTTPServer,
) -> None:
    httpserver.expect_request("/fhir/deep/p2").respond_with_json(bundle(observation("2")))
    page = bundle(observation("1"), next_url="p2")
    page["link"].append({"relation": "self", "url": httpserver.url_for("/fhir/deep/p1")})
    assert ids(client_of(httpserver).follow(page)) == ["1", "2"]


def test_a_complete_prefetched_bundle_needs_no_server_and_no_time() -> None:
    client = FhirClient("http://127.0.0.1:9/fhir", deadline=Deadline.after(0))
    assert ids(client.follow(bundle(observation("1")))) == ["1"]


def test_a_prefetched_bundle_is_kept_when_its_next_page_fails() -> None:
    client = FhirClient("http://127.0.0.1:9/fhir", deadline=Deadline.after(0))
    result = client.follow(bundle(observation("1"), next_url="p2"), "labs")
    assert (ids(result), reasons(result)) == (["1"], ["timeout"])
    assert result.incomplete[0].source == "labs"


def test_a_prefetched_bundle_with_a_foreign_next_link_is_flagged(httpserver: HTTPServer) -> None:
    page = bundle(observation("1"), next_url=httpserver.url_for("/fhir/p2"))
    client = FhirClient("https://fhir.example/r4", deadline=Deadline.after(2), access_token="t")
    assert reasons(client.follow(page)) == ["foreign-origin"]
    assert httpserver.log == []


# --- attachments


def test_a_fhir_binary_is_returned_as_it_is(httpserver: HTTPServer) -> None:
    binary = {"resourceType": "Binary", "id": "b1", "contentType": "text/plain", "data": "aGk="}
    httpserver.expect_request("/fhir/Binary/b1").respond_with_json(binary, content_type=FHIR_JSON)
    assert client_of(httpserver).attachment("Binary/b1") == binary


def test_an_absolute_binary_url_of_the_server_is_read(httpserver: HTTPServer) -> None:
    binary = {"resourceType": "Binary", "id": "b1", "contentType": "text/plain", "data": "aGk="}
    httpserver.expect_request("/fhir/Binary/b1").respond_with_json(binary)
    url = httpserver.url_for("/fhir/Binary/b1")
    assert client_of(httpserver).attachment(url)["data"] == "aGk="


def test_raw_bytes_are_wrapped_as_a_binary(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/doc").respond_with_data(
        b"\xff\xfehi", content_type="text/plain; charset=utf-16"
    )
    assert client_of(httpserver).attachment("doc") == {
        "resourceType": "Binary",
        "meta": {"source": "doc"},
        "contentType": "text/plain; charset=utf-16",
        "data": base64.b64encode(b"\xff\xfehi").decode(),
    }


def test_an_attachment_elsewhere_is_not_fetched(httpserver: HTTPServer) -> None:
    client = FhirClient("https://fhir.example/r4", deadline=Deadline.after(2), access_token="t")
    with pytest.raises(FhirForeignOrigin):
        client.attachment(httpserver.url_for("/doc"))
    assert httpserver.log == []


def test_an_attachment_answered_by_an_outcome_is_an_error(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/doc").respond_with_json(outcome("error", "not-found"))
    with pytest.raises(FhirBadAnswer, match="an OperationOutcome instead of data"):
        client_of(httpserver).attachment("doc")


def test_one_bad_attachment_costs_only_itself(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/good").respond_with_data("hi", content_type="text/plain")
    httpserver.expect_request("/fhir/bad").respond_with_data("", 500)
    results = client_of(httpserver).attachments(["good", "bad"])
    assert not isinstance(results["good"], FhirError)
    assert isinstance(results["bad"], FhirUnavailable)


# --- what is said


def test_messages_and_logs_hold_no_query_and_no_patient_data(
    httpserver: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    httpserver.expect_request("/fhir/Observation").respond_with_data("down", 503)
    query = "Observation?patient=mrn-4711&category=laboratory&_tag=Jane"
    result = client_of(httpserver).search_all({"labs": query})["labs"]
    assert str(result) == "Observation?category=laboratory: the FHIR server answered 503"
    ours = [record.getMessage() for record in caplog.records if record.name != "werkzeug"]
    assert "Observation?category=laboratory: trying again after a temporary failure" in ours
    assert not [line for line in ours if "4711" in line or "Jane" in line]
