"""A hostile chart in a real browser: EHR and explanation show it as text, and do nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests
from playwright.sync_api import Browser, Page

from conformance.fhir_server import FhirServer
from fhir_adapters.chart import Chart
from fhir_adapters.record_builder import build_record
from tests.accessibility import open_everything
from tests.attacks.hostile_chart import READABLE, hostile_chart, large_note, without_nothing
from tests.browser import Watch, chromium, needs_chromium
from tests.practice_site import PracticeSite, practice_site

pytestmark = needs_chromium
_PHONE = {"width": 390, "height": 844}
_SLOWEST_PAGE_S = 5.0  # from the click to a finished page, on a machine that does other things
_FORBIDDEN = "script, img, iframe, object, embed, h1 ~ h1, [onerror], a[href^='javascript']"
# What can hide or turn text; joiners are left out, as emoji need them.
_POWERS = r"[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u200b]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, fhir_server: FhirServer
) -> Iterator[PracticeSite]:
    fhir_server.load([without_nothing(one) for one in hostile_chart("hostile")])
    large = [without_nothing(one) for one in hostile_chart("hostile-large")]
    fhir_server.load([*large, large_note("hostile-large")])
    with practice_site(tmp_path_factory.mktemp("site"), fhir_server.base_url) as running:
        yield running


def assert_harmless(page: Page, watch: Watch) -> None:
    open_everything(page)
    assert watch.faults == []
    assert page.evaluate(f'document.querySelectorAll("{_FORBIDDEN}").length') == 0
    assert page.evaluate("document.querySelectorAll('h1').length") == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= _PHONE["width"]
    assert not page.evaluate(f"/{_POWERS}/.test(document.body.textContent)")
    text = page.inner_text("body")
    assert "alert(" in text, "what was sent is shown as text"
    for word in READABLE:
        assert word in text


@pytest.mark.parametrize("patient", ["hostile", "hostile-large"])
def test_a_hostile_chart_is_text_on_every_page(
    browser: Browser, site: PracticeSite, patient: str
) -> None:
    page = browser.new_page(viewport=_PHONE)  # type: ignore[arg-type]
    watch = Watch(page, site.ehr)
    page.goto(f"{site.ehr}/1/patients/{patient}")
    assert page.locator("article.card").count() >= 1
    assert_harmless(page, watch)
    address = page.get_by_role("link", name="Explanation with sources").get_attribute("href")
    assert address is not None
    page.close()

    page = browser.new_page(viewport=_PHONE)  # type: ignore[arg-type]
    watch = Watch(page, site.service)
    start = time.monotonic()
    page.goto(address)
    assert time.monotonic() - start < _SLOWEST_PAGE_S
    assert page.get_by_role("heading", name="Notes").is_visible()
    assert_harmless(page, watch)
    assert len(page.content()) < 500_000
    page.close()


def test_hostile_names_do_no_harm_in_the_list(browser: Browser, site: PracticeSite) -> None:
    page = browser.new_page(viewport=_PHONE)  # type: ignore[arg-type]
    watch = Watch(page, site.ehr)
    page.goto(site.ehr)
    assert page.get_by_role("link", name="Wolfeschlegelstein").count() == 2
    assert watch.faults == []
    assert page.evaluate("document.documentElement.scrollWidth") <= _PHONE["width"]
    page.close()


def test_the_service_logs_none_of_it(
    browser: Browser, site: PracticeSite, capfd: pytest.CaptureFixture[str]
) -> None:
    page = browser.new_page()
    page.goto(f"{site.ehr}/1/patients/hostile")
    page.close()
    written = capfd.readouterr()
    assert "EVIL" not in written.out + written.err
    assert "Wolfeschlegel" not in written.out + written.err
    assert "\x1b[31m" not in written.out + written.err


def test_the_stored_drafts_hold_no_markup(browser: Browser, site: PracticeSite) -> None:
    """What is accepted from a card about a hostile chart goes back into the chart."""
    page = browser.new_page()
    page.goto(f"{site.ehr}/1/patients/hostile")
    page.get_by_role("button", name="Accept:").first.click()
    said = page.get_by_role("status").inner_text()
    kind, _, identity = said.split(": ")[1].split(". ")[0].partition("/")
    page.close()
    draft = requests.get(f"{site.fhir}/{kind}/{identity}", timeout=10).text
    for power in ("<script", "<img", "javascript:", "\u202e"):
        assert power not in draft


def test_the_record_builder_reads_what_can_be_read() -> None:
    resources = tuple(without_nothing(one) for one in hostile_chart("hostile"))
    record = build_record(Chart("hostile", resources), datetime.now(UTC))
    assert len(record.notes) == 2
    assert {line.reason for line in record.report.left_out} >= {"unit", "implausible"}
