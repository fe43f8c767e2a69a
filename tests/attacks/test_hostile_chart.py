"""A hostile chart in a browser and a terminal: what is shown of it is text, and does nothing."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from playwright.sync_api import Browser, Page, expect

from cds_hooks.cli import main
from cds_hooks.service_report.page import page as report_page
from cds_hooks.service_report.reading import Period
from cds_hooks.service_report.report import service_report
from cds_hooks.settings import development_settings
from cds_hooks.store import Store
from conformance.fhir_server import FhirServer
from fhir_adapters.chart import Chart
from fhir_adapters.record_builder import build_record
from tests.accessibility import open_everything
from tests.attacks.hostile_chart import (
    READABLE,
    SCRIPT,
    TEXT,
    hostile_chart,
    large_note,
    without_nothing,
)
from tests.browser import Watch, chromium, needs_chromium
from tests.practice_site import PracticeSite, practice_site, sick_patient

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
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def site(folder: Path, fhir_server: FhirServer) -> Iterator[PracticeSite]:
    fhir_server.load([without_nothing(one) for one in hostile_chart("hostile")])
    large = [without_nothing(one) for one in hostile_chart("hostile-large")]
    fhir_server.load([*large, large_note("hostile-large")])
    with practice_site(folder, fhir_server.base_url) as running:
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
    expect(page.get_by_role("heading", name="Notes")).to_be_visible()
    assert_harmless(page, watch)
    assert len(page.content()) < 500_000
    page.close()


def test_hostile_names_do_no_harm_in_the_list(browser: Browser, site: PracticeSite) -> None:
    page = browser.new_page(viewport=_PHONE)  # type: ignore[arg-type]
    watch = Watch(page, site.ehr)
    page.goto(site.ehr)
    expect(page.get_by_role("link", name="Wolfeschlegelstein")).to_have_count(2)
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


def test_the_inspector_is_opened_with_the_rest(browser: Browser, site: PracticeSite) -> None:
    """Request and response hold every attack; that they are looked at is not left to chance."""
    page = browser.new_page(viewport=_PHONE)  # type: ignore[arg-type]
    watch = Watch(page, site.ehr)
    page.goto(f"{site.ehr}/1/patients/hostile")
    assert_harmless(page, watch)
    for label in ("Request", "Response", "JWT"):
        shown = page.locator(f"pre[aria-label='{label}']")
        expect(shown).to_be_visible()
    assert SCRIPT in page.locator("pre[aria-label='Request']").inner_text()
    page.close()


@pytest.mark.parametrize("reason", ["cds-not-applicable", SCRIPT])
def test_the_service_report_holds_none_of_it(
    browser: Browser, site: PracticeSite, folder: Path, tmp_path: Path, reason: str
) -> None:
    """Chart, comment and reason of an override come from others; the report is for managers."""
    opened = requests.get(f"{site.ehr}/1/patients/hostile/exchange.json", timeout=30).json()
    (card,) = opened["exchanges"][0]["received"]["cards"]
    form = {"card": card["uuid"], "service": "meam-risk", "comment": TEXT}
    form["reason"] = f"{reason} {card['overrideReasons'][0]['system']}"
    requests.post(f"{site.ehr}/1/patients/hostile/override", data=form, timeout=30)
    settings = development_settings(folder)
    store = Store(settings.database_url, settings.key_ring())
    document = service_report(store, Period(None, None, None), least_cell=1)
    store.close()
    file = tmp_path / "report.html"
    file.write_text(report_page(document), encoding="utf-8")
    page = browser.new_page(viewport=_PHONE)  # type: ignore[arg-type]
    watch = Watch(page, file.as_uri())
    page.goto(file.as_uri())
    open_everything(page)
    assert watch.faults == []
    assert page.evaluate(f'document.querySelectorAll("{_FORBIDDEN}").length') == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= _PHONE["width"]
    text = page.inner_text("body")
    assert not re.search(_POWERS, text)
    for word in ("Wolfeschlegel", "isolated", "المريض", "hostile"):
        assert word not in text, "neither chart nor comment"
    page.close()


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_terminal_is_not_commanded(tmp_path: Path, options: tuple[str, ...]) -> None:
    values = [one for one in sick_patient("hostile") if one["resourceType"] == "Observation"]
    resources = [without_nothing(one) for one in hostile_chart("hostile")] + values
    entries = [{"resource": one} for one in resources]
    file = tmp_path / "chart.json"
    file.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
    command = ["explain", "--bundle", str(file), "--top", "99", *options]
    done = CliRunner().invoke(main, command, env={"COLUMNS": "500"})
    assert done.exit_code == 0, done.output
    assert "alert(" in done.output, "what was sent is shown as text"
    assert not re.search(_POWERS, done.output)
    assert "\x1b" not in done.output


def test_the_record_builder_reads_what_can_be_read() -> None:
    resources = tuple(without_nothing(one) for one in hostile_chart("hostile"))
    record = build_record(Chart("hostile", resources), datetime.now(UTC))
    assert len(record.notes) == 2
    assert {line.reason for line in record.report.left_out} >= {"unit", "implausible"}
