"""The practice EHR against a real FHIR server and the real service, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from conformance.ehr.accepting import create, identified, read_back
from conformance.fhir_server import FhirServer
from tests.browser import Watch, chromium, needs_chromium
from tests.practice_site import PracticeSite, practice_site, sick_patient

PATIENT = "ehr-sick"
UUID = "3a4d1b0e-6a0f-4c58-9d0e-0c1c2f3a4b5c"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, fhir_server: FhirServer
) -> Iterator[PracticeSite]:
    fhir_server.load(sick_patient(PATIENT))
    with practice_site(tmp_path_factory.mktemp("site"), fhir_server.base_url) as running:
        yield running


def drafts(site: PracticeSite) -> list[dict[str, Any]]:
    """Return what was created about the patient, as the FHIR server holds it."""
    found = []
    for query in (f"Task?patient=Patient/{PATIENT}", f"ServiceRequest?subject=Patient/{PATIENT}"):
        bundle = requests.get(f"{site.fhir}/{query}", timeout=10).json()
        entries = [entry["resource"] for entry in bundle.get("entry", [])]
        found += [one for one in entries if one["resourceType"] != "OperationOutcome"]
    return found


def said(page: Page) -> str:
    return page.get_by_role("status").inner_text()


@needs_chromium
def test_open_read_explain_accept_and_override(browser: Browser, site: PracticeSite) -> None:
    page = browser.new_page()
    watch = Watch(page, site.ehr)
    page.goto(site.ehr)
    page.get_by_role("link", name="Ada Example").first.click()
    page.wait_for_url("**/patients/*")
    page.goto(f"{site.ehr}/1/patients/{PATIENT}")
    expect(page.get_by_role("heading", name="in-hospital death")).to_be_visible()

    address = page.get_by_role("link", name="Explanation with sources").get_attribute("href")
    explanation = browser.new_page()
    explanation.goto(address or "")
    expect(explanation.get_by_role("heading", name="Where the risk comes from")).to_be_visible()
    assert f"Observation/{PATIENT}-" in explanation.inner_text("body")
    explanation.close()

    page.get_by_role("button", name="Accept:").first.click()
    assert said(page).startswith("Created as a draft: ")
    reference = said(page).split(": ")[1].split(". ")[0]
    stored = requests.get(f"{site.fhir}/{reference}", timeout=10).json()
    assert stored["status"] == "draft"
    assert stored["identifier"][0]["system"] == "urn:ietf:rfc:3986"
    expect(page.get_by_role("button", name="Accepted")).to_be_disabled()
    page.reload()
    page.reload()
    expect(page.get_by_role("button", name="Accepted")).to_have_count(1)
    assert len(drafts(site)) == 1

    page.get_by_role("button", name="Override", exact=True).click()
    page.get_by_label("Reason").select_option(index=1)
    page.get_by_role("button", name="Override this card").click()
    expect(page.get_by_role("status")).to_have_text("Your decision was reported to the service.")
    page.get_by_text("Exchange with meam-risk").click()
    expect(page.get_by_text("Feedback: 200")).to_have_count(2)
    page.get_by_text("JWT", exact=True).click()
    expect(page.get_by_text('"alg": "ES384"')).to_be_visible()
    expect(page.get_by_text('"signature": "(hidden)"')).to_be_visible()
    assert watch.faults == []
    page.close()


def _task() -> dict[str, Any]:
    return {
        "resourceType": "Task",
        "status": "draft",
        "intent": "proposal",
        "for": {"reference": f"Patient/{PATIENT}"},
    }


def _assessment() -> dict[str, Any]:
    return {
        "resourceType": "RiskAssessment",
        "status": "preliminary",
        "subject": {"reference": f"Patient/{PATIENT}"},
    }


@pytest.mark.parametrize("resource", [_task(), _assessment()], ids=lambda one: one["resourceType"])
def test_one_draft_however_often_it_is_asked_for(
    fhir_server: FhirServer, resource: dict[str, Any]
) -> None:
    """sekmet knows If-None-Exist, but no identifier of a RiskAssessment."""
    wanted = identified(resource, UUID, 0)
    first = create(fhir_server.base_url, wanted, "")
    assert {create(fhir_server.base_url, wanted, "") for _ in range(2)} == {first}
    read_back(fhir_server.base_url, first, wanted, "")


def test_two_tabs_at_the_same_moment_create_one_draft(fhir_server: FhirServer) -> None:
    wanted = identified(_task(), "5b5e9c0a-0d3e-4d0b-8a57-6a0a8d6a5d11", 0)
    with ThreadPoolExecutor(6) as pool:
        made = set(pool.map(lambda _: create(fhir_server.base_url, wanted, ""), range(6)))
    assert len(made) == 1
