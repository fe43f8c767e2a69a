"""The practice EHR in a real browser: open a chart, read the card, override it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from conformance.ehr.app import create_app
from conformance.ehr.cds_client import Connection
from tests.browser import (
    Watch,
    chromium,
    low_contrast,
    needs_chromium,
    served,
    unnamed_controls,
)
from tests.conformance.practice_world import ADVICE, ORDER, PracticeWorld, json_response

pytestmark = needs_chromium
EVIL = "<img src=http://evil.test/x.png onerror=alert(1)><script>alert(1)</script>"


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture
def world(httpserver):
    return PracticeWorld(httpserver)


@pytest.fixture
def ehr(world):
    app = create_app(Connection(world.fhir, world.service), "http://placeholder.test")
    with served(app) as url:
        app.extensions["desk"].issuer = url
        yield url


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_pages_read_well(browser, ehr, world, scheme, width):
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
    world.answer = lambda: json_response({"cards": [ADVICE]})
    watch = Watch(page, ehr)
    for path in ("/", "/1/patients/p1"):
        page.goto(ehr + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert not low_contrast(page)
        assert not unnamed_controls(page)
    assert not watch.faults
    page.close()


def test_paper_is_white_and_has_no_buttons(browser, ehr, world):
    """A chart that is printed from a dark screen was white on white."""
    world.answer = lambda: json_response({"cards": [ADVICE]})
    page = browser.new_page(viewport={"width": 688, "height": 960})
    page.emulate_media(media="print", color_scheme="dark")
    page.goto(f"{ehr}/1/patients/p1")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(255, 255, 255)"
    assert not low_contrast(page)
    expect(page.get_by_role("button")).to_have_count(0)
    assert page.locator(".card").evaluate("one => getComputedStyle(one).breakInside") == "auto"
    page.close()


def test_from_the_list_to_an_override(browser, ehr, world):
    page = browser.new_page()
    page.goto(ehr)
    page.get_by_role("link", name="Ada Example").click()
    expect(page.get_by_role("heading", name="In-hospital death: 37 %")).to_be_visible()
    page.get_by_role("button", name="Override", exact=True).click()
    page.get_by_label("Reason").select_option(label="Already known")
    page.get_by_role("button", name="Override this card").click()
    expect(page.get_by_role("status")).to_have_text("Your decision was reported to the service.")
    (item,) = world.feedback[0]["feedback"]
    assert item["overrideReason"]["reason"]["code"] == "seen"
    page.close()


def test_from_a_suggestion_to_an_order(browser, ehr, world):
    world.answer = lambda: json_response({"cards": [ADVICE]})
    page = browser.new_page()
    page.goto(f"{ehr}/1/patients/p1")
    page.get_by_role("button", name="Accept: Consider measuring lactate again").click()
    status = page.get_by_role("status").inner_text()
    assert status.startswith("Created as a draft: ServiceRequest/new-1.")
    assert [one["code"] for one in world.created] == [ORDER["code"]]
    expect(page.get_by_role("button", name="Accepted")).to_be_disabled()
    (item,) = world.feedback[0]["feedback"]
    assert (item["outcome"], len(item["acceptedSuggestions"])) == ("accepted", 1)
    page.close()


def test_a_hostile_card_does_nothing(browser, ehr, world):
    asked = {"type": "create", "description": EVIL, "resource": {"resourceType": EVIL}}
    evil = {
        **ADVICE,
        "summary": EVIL,
        "detail": f"{EVIL}\n\n![x](http://evil.test/y.png)",
        "suggestions": [{"uuid": EVIL, "label": EVIL, "actions": [asked]}],
    }
    world.answer = lambda: json_response({"cards": [evil]})
    page = browser.new_page()
    watch = Watch(page, ehr)
    page.goto(f"{ehr}/1/patients/p1")
    expect(page.get_by_role("heading", name="<img src")).to_be_visible()
    assert not watch.faults
    page.close()
