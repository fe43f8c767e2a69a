"""The checks of FHIR servers: one server in which all hold, and servers with one thing broken."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from types import ModuleType

import pytest

from conformance.addresses import BadBase, checked_base
from conformance.exchange import Wire
from conformance.sandbox import probes_chart, probes_observations, probes_server
from conformance.sandbox.checks import load_checks
from conformance.sandbox.presets import load_presets
from conformance.sandbox.run import Run, probe_of, run_checks
from conformance.sandbox.server import Server, label
from conformance.sandbox.session import Session, Wanted
from tests.conformance.correct_fhir import TOKEN, CorrectFhir
from tests.conformance.suite_world import running

# What one broken thing makes fail, and nothing else does.
BROKEN = {
    "no-statement": {"capability-statement"},
    "stu3": {"fhir-r4"},
    "xml-only": {"json-offered"},
    "types-hidden": {"types-declared"},
    "parameters-hidden": {"parameters-declared"},
    "no-cors": {"cors"},
    "no-gzip": {"gzip"},
    "no-etag": {"etag"},
    "unknown-is-200": {"unknown-is-404"},
    "html-errors": {"errors-are-outcomes"},
    "dates-unread": {"bad-date-is-refused", "date-filter", "date-range"},
    "unknown-ignored": {"unknown-parameter-is-refused"},
    "other-patient": {"patient-read"},
    "no-id-search": {"patient-by-id-search", "devices"},
    "leak": {"nobody-elses"},
    "category-ignored": {"category-is-kept"},
    "no-codes": {"by-code"},
    "no-systems": {"by-code-and-system"},
    "one-category": {"several-categories"},
    "first-category": {"several-categories"},
    "category-wanted": {"without-category"},
    "typed-only": {"patient-spellings"},
    "date-ignored": {"date-filter", "date-range"},
    "no-range": {"date-range"},
    "no-count": {"count"},
    "foreign-next": {"next-link"},
    "no-next": {"next-link", "paging-is-complete", "total"},
    "gap": {"paging-is-complete", "total"},
    "overlap": {"paging-is-complete"},
    "small-pages": {"large-page"},
    "unsorted": {"sort", "documents-by-date"},
    "page-total": {"total"},
    "no-DocumentReference": {"documents", "clinical-notes", "documents-by-date"},
    "no-clinical-notes": {"clinical-notes"},
    "no-binary": {"attachments", "binary-as-fhir"},
    "wrong-type": {"attachment-types"},
    "raw-binary": {"binary-as-fhir"},
    "no-DiagnosticReport": {"reports"},
    "no-Composition": {"compositions"},
    "no-Device": {"devices"},
    "no-DeviceMetric": {"device-metrics"},
    "no-DeviceUseStatement": {"device-use"},
    "no-Encounter": {"encounters"},
    "no-ServiceRequest": {"orders"},
    "no-Task": {"tasks"},
    "any-status": {"tasks"},
    "no-Condition": {"conditions"},
    "no-MedicationRequest": {"medications"},
    "no-writing": {"write-order", "write-task"},
}
BROKEN_DOOR = {
    "no-smart": {"smart-configuration"},
    "no-key-sign-in": {"backend-services"},
    "open-door": {"token-is-asked-for"},
}
# They have tests of their own below.
ELSEWHERE = {"reachable", "transport-is-safe", "patients", "rate-limit-headers", "device-data"}
ELSEWHERE |= {"vital-signs", "laboratory"}
OPEN = {"smart-configuration", "backend-services", "token-is-asked-for"}
# On this machine, without limits, and the patient is named.
NEVER_HERE = {"transport-is-safe", "rate-limit-headers", "patients"}


@contextmanager
def served(broken: str = "", *, secured: bool = False) -> Iterator[tuple[CorrectFhir, str]]:
    server = CorrectFhir(broken, secured=secured)
    with running(server) as base:  # type: ignore[arg-type]  # it has an app(), as services do
        yield server, f"{base}/r4"


def run_on(
    base: str, token: str = "", patients: tuple[str, ...] = ("p1",), *, writing: bool = True
) -> Run:
    wire = Wire()
    try:
        session = Session(Server(base, wire, token, writing=writing), Wanted(patients))
        return run_checks(session, load_checks(), writing=writing)
    finally:
        wire.close()


def verdicts(run: Run, *wanted: str) -> dict[str, tuple[str, ...]]:
    return {one.check.id: one.findings for one in run.results if one.verdict in wanted}


def test_all_checks_hold_in_a_correct_server() -> None:
    with served() as (_, base):
        run = run_on(base)
    assert verdicts(run, "fail", "error", "skip") == {}
    assert verdicts(run, "omit").keys() == OPEN | NEVER_HERE
    assert not run.failed("informative")


def test_all_checks_hold_in_a_correct_server_with_a_token() -> None:
    with served(secured=True) as (_, base):
        run = run_on(base, TOKEN)
    assert verdicts(run, "fail", "error", "skip") == {}
    assert verdicts(run, "omit").keys() == NEVER_HERE


@pytest.mark.parametrize("broken", BROKEN)
def test_one_broken_thing_is_found_by_its_check_and_by_no_other(broken: str) -> None:
    with served(broken) as (_, base):
        found = verdicts(run_on(base), "fail", "error")
    assert found.keys() == BROKEN[broken], found
    assert all(found.values())


@pytest.mark.parametrize("broken", BROKEN_DOOR)
def test_a_broken_door_is_found_too(broken: str) -> None:
    with served(broken, secured=True) as (_, base):
        found = verdicts(run_on(base, TOKEN), "fail", "error")
    assert found.keys() == BROKEN_DOOR[broken], found


def test_each_check_is_found_broken_somewhere() -> None:
    named = set().union(*BROKEN.values(), *BROKEN_DOOR.values())
    assert named | ELSEWHERE == {check.id for check in load_checks()}


def test_a_server_without_observations_by_category_lacks_what_is_needed() -> None:
    with served("no-Observation") as (_, base):
        run = run_on(base)
    found = verdicts(run, "fail")
    assert {"vital-signs", "laboratory"} <= found.keys()
    assert "status 400 with an OperationOutcome (not-supported)" in found["laboratory"][0]
    assert verdicts(run, "skip").keys() >= {"paging-is-complete", "date-filter", "sort"}
    assert run.failed("needed")


def test_a_server_that_is_not_there_is_an_error_and_the_rest_is_not_sent() -> None:
    run = run_on("http://127.0.0.1:9/fhir")
    assert run.results[0].check.id == "reachable"
    assert run.results[0].verdict == "error"
    assert run.requests == 0
    assert verdicts(run, "pass") == {}
    assert run.failed("needed")


def test_a_refused_token_is_not_taken_for_an_empty_chart() -> None:
    with served(secured=True) as (_, base):
        run = run_on(base, "stale")
    assert verdicts(run, "fail")["patient-read"] == (
        "Patient 1: status 401 with an OperationOutcome (login).",
    )
    assert verdicts(run, "skip").keys() >= {"vital-signs", "laboratory", "documents"}


def test_patients_are_found_where_none_was_named() -> None:
    with served() as (_, base):
        found = run_on(base, patients=()).patients
    assert set(found) == {"p1", "p2"}
    with served("no-Patient") as (_, base):
        assert set(run_on(base, patients=()).patients) == {"p1", "p2"}  # by their Observations


def test_without_any_patient_the_user_is_asked_to_name_one() -> None:
    with served(secured=True) as (_, base):
        run = run_on(base, patients=())
    (sentence,) = verdicts(run, "fail")["patients"]
    assert sentence.endswith("Name patients with --patient.")


def test_it_only_reads_unless_it_was_asked_to_write() -> None:
    with served() as (server, base):
        run = run_on(base, writing=False)
        assert {method for method, _ in server.requests} == {"GET", "OPTIONS"}
        assert {"write-order", "write-task"} <= verdicts(run, "omit").keys()
        server.requests.clear()
        run_on(base)
    written = [
        path.partition("/")[0].strip("?")
        for method, path in server.requests
        if method in ("POST", "DELETE")
    ]
    assert written == ["ServiceRequest", "ServiceRequest", "Task", "Task"]


def test_reports_name_no_value_of_a_chart() -> None:
    with served("html-errors") as (_, base):
        run = run_on(base)
    said = " ".join(sentence for one in run.results for sentence in (*one.findings, *one.notes))
    assert "p1" not in said
    assert "1950" not in said
    assert "Septic" not in said


def test_every_check_has_a_probe_and_every_probe_a_check() -> None:
    def probes(module: ModuleType) -> set[str]:
        return {
            name.replace("_", "-")
            for name, held in vars(module).items()
            if not name.startswith("_")
            and callable(held)
            and getattr(held, "__module__", "") == module.__name__
            and not isinstance(held, type)
        }

    modules = (probes_server, probes_observations, probes_chart)
    assert set().union(*map(probes, modules)) == {check.id for check in load_checks()}
    assert all(probe_of(check) for check in load_checks())


def test_checks_state_facts() -> None:
    checks = load_checks()
    assert len({check.id for check in checks}) == len(checks)
    assert not [one.id for one in checks if re.search(r"\bshould\b", one.description)]
    assert all(check.why.endswith(".") for check in checks)


@pytest.mark.parametrize("name", ["checks", "presets"])
def test_data_are_as_their_schema_says(name: str) -> None:
    schemas = pytest.importorskip("jsonschema_rs", reason="jsonschema_rs is not installed")
    folder = files("conformance.sandbox")
    schema = json.loads(folder.joinpath(f"{name}.schema.json").read_text(encoding="utf-8"))
    data = json.loads(folder.joinpath(f"{name}.json").read_text(encoding="utf-8"))
    assert not [str(error) for error in schemas.validator_for(schema).iter_errors(data)]


def test_presets_name_their_sources_and_were_not_tried() -> None:
    presets = load_presets()
    assert {"smart-health-it", "hapi-r4", "epic", "logica", "medplum"} <= presets.keys()
    for preset in presets.values():
        assert not preset.tried
        assert all(one.source and one.as_of for one in preset.known), preset.id
        if preset.is_complete:
            assert checked_base(preset.fhir) == preset.fhir.rstrip("/")


@pytest.mark.parametrize(
    "url", ["fhir.example.org", "ftp://a/b", "https://u:p@a/b", "https://a/b?c=d", "http://a:x/"]
)
def test_a_base_url_is_the_base_url_alone(url: str) -> None:
    with pytest.raises(BadBase):
        checked_base(url)


def test_labels_hold_nothing_of_a_patient() -> None:
    asked = "Observation?patient=ann-1950&category=vital-signs&date=ge2026-01-01&_count=5"
    assert label(asked) == "Observation?patient&category=vital-signs&date&_count=5"
    assert label("Patient/ann") == "Patient/ID"
    assert label("http://a.example.org/r4?page=ann") == "a link of the server"
