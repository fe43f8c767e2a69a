"""Servers that cannot answer a search as it was put: CapabilityStatement and other ways to ask."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from fhir_adapters.capability import Capabilities, CapabilityCache, read_capabilities
from fhir_adapters.errors import (
    FhirBadAnswer,
    FhirRejected,
    UnsupportedFhirVersion,
)
from fhir_adapters.search_plan import Query, loinc_codes, plan_search
from tests.fhir_adapters.fhir_answers import (
    bundle,
    client_of,
    ids,
    json_response,
    observation,
    outcome,
    reasons,
)

LABS = "Observation?patient=1&category=laboratory"


def statement(**parameters: list[str]) -> dict[str, Any]:
    resources = [
        {"type": kind, "searchParam": [{"name": name} for name in names]}
        for kind, names in parameters.items()
    ]
    return {
        "resourceType": "CapabilityStatement",
        "fhirVersion": "4.0.1",
        "rest": [{"mode": "server", "resource": resources}],
    }


def capabilities(**parameters: list[str]) -> Capabilities:
    return read_capabilities(statement(**parameters), "metadata")


def strict_server(server: HTTPServer, known: list[str]) -> None:
    """A server that refuses what its CapabilityStatement does not list."""

    def answer(request: Request) -> Response:
        unknown = [name for name in request.args if name not in known and name[0] != "_"]
        if unknown:
            return Response("", 400)
        return json_response(bundle(observation("1")))

    server.expect_request("/fhir/metadata").respond_with_json(statement(Observation=known))
    server.expect_request("/fhir/Observation").respond_with_handler(answer)


def searches(server: HTTPServer) -> list[dict[str, str]]:
    return [request.args.to_dict() for request, _ in server.log if "Obs" in request.path]


def test_the_capability_statement_is_read_once_for_all_clients(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/metadata").respond_with_json(statement(Observation=["code"]))
    cache = CapabilityCache()
    for _ in range(3):
        read = client_of(httpserver, capability_cache=cache).capabilities()
        assert read.lacks("Observation", "category")
    assert len(httpserver.log) == 1


def test_a_capability_statement_is_read_again_after_a_day() -> None:
    now = [0.0]
    cache = CapabilityCache(clock=lambda: now[0])
    cache.put("http://a", capabilities(Patient=[]))
    now[0] = 24 * 3600.0 - 1
    assert cache.get("http://a") is not None
    assert cache.get("http://b") is None
    now[0] += 1
    assert cache.get("http://a") is None


def test_a_plain_search_does_not_read_the_capability_statement(httpserver: HTTPServer) -> None:
    strict_server(httpserver, ["patient", "category"])
    client_of(httpserver).search(LABS)
    assert len(httpserver.log) == 1


def test_a_server_without_category_is_searched_by_code(httpserver: HTTPServer) -> None:
    strict_server(httpserver, ["patient", "code"])
    result = client_of(httpserver, fallback_codes=["8867-4", "9279-1"]).search(LABS)
    assert ids(result) == ["1"]
    assert searches(httpserver) == [
        {"patient": "1", "category": "laboratory"},
        {"patient": "1", "code": "http://loinc.org|8867-4,http://loinc.org|9279-1"},
    ]


def test_known_capabilities_save_the_refused_search(httpserver: HTTPServer) -> None:
    strict_server(httpserver, ["patient", "code"])
    cache = CapabilityCache()
    client_of(httpserver, capability_cache=cache).capabilities()
    client_of(httpserver, capability_cache=cache, fallback_codes=["8867-4"]).search(LABS)
    assert [search.get("category") for search in searches(httpserver)] == [None]


def test_several_categories_searched_by_code_are_fetched_once(httpserver: HTTPServer) -> None:
    strict_server(httpserver, ["patient", "code"])
    client = client_of(httpserver, fallback_codes=["8867-4"])
    results = client.search_all(
        {"labs": LABS, "vitals": "Observation?patient=1&category=vital-signs"}
    )
    assert [ids(result) for result in results.values()] == [["1"], ["1"]]
    assert len([search for search in searches(httpserver) if "code" in search]) == 1


def test_codes_are_asked_for_in_urls_under_2_kb() -> None:
    plan = plan_search(
        Query.parse(LABS), capabilities(Observation=["patient", "code"]), loinc_codes()
    )
    assert len(plan.queries) > 1
    assert max(len(str(query)) for query in plan.queries) < 2000
    assert all(query.names() == ["patient", "code"] for query in plan.queries)


def test_a_server_with_subject_instead_of_patient_is_searched_by_subject(
    httpserver: HTTPServer,
) -> None:
    strict_server(httpserver, ["subject", "category"])
    assert ids(client_of(httpserver).search(LABS)) == ["1"]
    assert searches(httpserver)[-1] == {"subject": "Patient/1", "category": "laboratory"}


def test_a_filter_the_server_lacks_is_left_out_and_reported(httpserver: HTTPServer) -> None:
    strict_server(httpserver, ["patient", "category"])
    result = client_of(httpserver).search(f"{LABS}&device=5")
    assert (ids(result), reasons(result)) == (["1"], ["unsupported-parameter"])
    assert "does not support the parameter 'device'" in result.incomplete[0].sentence


def test_nothing_found_for_a_filter_the_server_lacks_is_asked_again_without_it(
    httpserver: HTTPServer,
) -> None:
    """As Medplum's router answers: nothing instead of a refusal, though strict was asked for."""

    def silent(request: Request) -> Response:
        known = {"patient", "category"}
        unknown = [name for name in request.args if name not in known and name[0] != "_"]
        return json_response(bundle() if unknown else bundle(observation("1")))

    known = statement(Observation=["patient", "category"])
    httpserver.expect_request("/fhir/metadata").respond_with_json(known)
    httpserver.expect_request("/fhir/Observation").respond_with_handler(silent)
    result = client_of(httpserver).search(f"{LABS}&date=ge2026-03-01")
    assert (ids(result), reasons(result)) == (["1"], ["unsupported-parameter"])


def test_nothing_found_in_the_servers_own_words_is_nothing(httpserver: HTTPServer) -> None:
    known = statement(Observation=["patient", "category"])
    httpserver.expect_request("/fhir/metadata").respond_with_json(known)
    httpserver.expect_request("/fhir/Observation").respond_with_json(bundle())
    result = client_of(httpserver).search(LABS)
    assert (result.resources, result.incomplete) == ((), ())
    assert len(searches(httpserver)) == 1


def test_who_the_patient_is_is_never_left_out() -> None:
    plan = plan_search(Query.parse(LABS), capabilities(Observation=["date"]), ())
    assert plan.queries[0].names() == ["patient", "category"]


def test_a_type_the_server_does_not_offer_is_reported_and_not_dropped(
    httpserver: HTTPServer,
) -> None:
    cache = CapabilityCache()
    httpserver.expect_request("/fhir/metadata").respond_with_json(statement(Patient=["_id"]))
    client = client_of(httpserver, capability_cache=cache)
    client.capabilities()
    with pytest.raises(FhirRejected, match="CapabilityStatement has no Observation"):
        client.search(LABS)
    assert len(httpserver.log) == 1


def test_categories_are_looped_where_a_server_takes_one_at_a_time(httpserver: HTTPServer) -> None:
    def one_only(request: Request) -> Response:
        category = request.args["category"]
        if "," in category:
            return Response("", 400)
        return json_response(bundle(observation(category)))

    httpserver.expect_request("/fhir/Observation").respond_with_handler(one_only)
    result = client_of(httpserver).search("Observation?patient=1&category=vital-signs,laboratory")
    assert (ids(result), result.incomplete) == (["vital-signs", "laboratory"], ())


def test_a_refused_category_is_reported_and_the_others_are_read(httpserver: HTTPServer) -> None:
    def no_survey(request: Request) -> Response:
        category = request.args["category"]
        if "survey" in category:
            return Response("", 400)
        return json_response(bundle(observation(category)))

    httpserver.expect_request("/fhir/Observation").respond_with_handler(no_survey)
    result = client_of(httpserver).search("Observation?patient=1&category=laboratory,survey")
    assert (ids(result), reasons(result)) == (["laboratory"], ["rejected"])
    assert result.incomplete[0].sentence.startswith("Observation?category=survey: ")


def test_a_server_that_refuses_strict_handling_is_asked_leniently_and_flagged(
    httpserver: HTTPServer,
) -> None:
    def lenient_only(request: Request) -> Response:
        if request.headers["Prefer"] == "handling=strict":
            return Response("", 400)
        return json_response(bundle(observation("1")))

    httpserver.expect_request("/fhir/Observation").respond_with_handler(lenient_only)
    result = client_of(httpserver).search(LABS)
    assert (ids(result), reasons(result)) == (["1"], ["lenient-search"])


def test_a_search_refused_in_every_way_is_the_first_refusal(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/fhir/Observation").respond_with_json(
        outcome("error", "invalid"), 400
    )
    with pytest.raises(
        FhirRejected, match=r"answered 400 with an OperationOutcome \(error/invalid"
    ):
        client_of(httpserver).search("Observation?patient=1&category=vital-signs,laboratory")


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ({"resourceType": "Conformance"}, UnsupportedFhirVersion, "DSTU2"),
        (
            {"resourceType": "CapabilityStatement", "fhirVersion": "3.0.2"},
            UnsupportedFhirVersion,
            r"FHIR 3\.0\.2; R4 or later",
        ),
        ({"resourceType": "Patient"}, FhirBadAnswer, "not a CapabilityStatement"),
        ([], FhirBadAnswer, "not a CapabilityStatement"),
    ],
)
def test_an_old_or_foreign_statement_is_refused(
    answer: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_capabilities(answer, "metadata")


@pytest.mark.parametrize(
    "rest",
    [None, {}, [None], [{"resource": [{}, 7, {"type": 3}]}], [{"mode": "client", "resource": []}]],
)
def test_a_statement_that_says_nothing_rules_nothing_out(rest: Any) -> None:
    read = read_capabilities(
        {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest}, "metadata"
    )
    assert read.offers("Observation")
    assert not read.lacks("Observation", "category")
