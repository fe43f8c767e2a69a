"""No JSON, whatever its shape, makes the fetching code raise anything but errors of ours."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_adapters.body import Budget
from fhir_adapters.bulk_links import names_of, needs_of, subject_of
from fhir_adapters.capability import read_capabilities
from fhir_adapters.errors import FhirError
from fhir_adapters.origin import parse_base_url, resolve
from fhir_adapters.outcome import error_for, outcome_lines, reason_of
from fhir_adapters.paging import Caps, Collected, Page, Pager, next_link
from fhir_adapters.search_plan import Query, plan_search, require_narrow

BASE, HOME = parse_base_url("http://fhir.example/r4")
KEYS = st.sampled_from(
    [
        "resourceType",
        "type",
        "entry",
        "resource",
        "fullUrl",
        "link",
        "relation",
        "url",
        "id",
        "meta",
        "versionId",
        "issue",
        "severity",
        "code",
        "details",
        "coding",
        "rest",
        "mode",
        "searchParam",
        "name",
        "subject",
        "patient",
        "reference",
        "identifier",
        "system",
        "value",
        "content",
        "attachment",
        "device",
        "source",
        "parent",
        "presentedForm",
    ]
)
WORDS = st.sampled_from(
    [
        *("Bundle", "OperationOutcome", "Observation", "CapabilityStatement", "Patient", "Binary"),
        *("next", "self", "server", "Observation?p=2", "http://evil.example/", "Patient/1", ""),
        *("DocumentReference", "DiagnosticReport", "Device", "#x", "urn:uuid:", "http://[::1"),
    ]
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=12,
)
RESOURCES = st.dictionaries(KEYS, JSON, max_size=8).flatmap(
    lambda base: WORDS.map(lambda kind: {**base, "resourceType": kind})
)


@settings(max_examples=150, deadline=None)
@given(st.lists(RESOURCES, min_size=1, max_size=4))
def test_any_pages_end_in_a_result_or_an_error_of_ours(pages: list[dict[str, Any]]) -> None:
    rest = iter(pages)

    def fetch(url: str, what: str) -> Page:
        return Page(url, next(rest, {"resourceType": "Bundle"}))

    pager = Pager(fetch, HOME, Caps(pages=5), Budget(50, "entries"))
    collected = Collected("Observation")
    try:
        pager.read(f"{BASE}/Observation", "Observation", collected)
    except FhirError as exc:
        assert collected.pages == 0
        assert reason_of(exc) != "error"
    assert all(line.sentence for line in collected.result().incomplete)


@settings(max_examples=150, deadline=None)
@given(JSON, RESOURCES)
def test_any_json_is_understood_or_refused(value: Any, resource: dict[str, Any]) -> None:
    for read in (
        lambda: read_capabilities(value, "metadata"),
        lambda: read_capabilities({**resource, "resourceType": "CapabilityStatement"}, "metadata"),
        lambda: next_link(resource, "it"),
    ):
        try:
            read()
        except FhirError:
            continue
    outcome_lines({**resource, "resourceType": "OperationOutcome"}, "it")
    assert isinstance(error_for(400, value, "it"), FhirError)
    assert isinstance(subject_of(resource), str)
    assert all(isinstance(name, str) for name in [*names_of(resource), *needs_of(resource)])


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40) | st.from_regex(r"(https?:)?//?[^ ]{0,30}"))
def test_any_link_leads_home_or_is_refused(link: str) -> None:
    try:
        url = resolve(link, f"{BASE}/", HOME, "link")
    except FhirError:
        return
    assert url.startswith("http://fhir.example")
    assert url[len("http://fhir.example") :][:1] in ("", "/", "?", ":", ".")
    assert resolve(url, f"{BASE}/", HOME, "link") == url


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.from_regex(r"Observation\?[^ ]{0,30}"))
def test_any_search_text_is_a_query_or_refused(text: str) -> None:
    try:
        query = Query.parse(text)
        require_narrow(query)
        capabilities = read_capabilities(
            {
                "resourceType": "CapabilityStatement",
                "rest": [
                    {"resource": [{"type": "Observation", "searchParam": [{"name": "code"}]}]}
                ],
            },
            "metadata",
        )
        plan = plan_search(query, capabilities, ["8867-4"])
    except FhirError:
        return
    assert plan.queries
    assert all(Query.parse(str(one)) == one for one in plan.queries)
