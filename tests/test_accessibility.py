"""Every page by axe-core and by the keyboard: light, dark, zoomed, in forced colours, still."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from cds_hooks.explanation_page.model_card import read_model_card
from cds_hooks.explanation_page.routes import explanation_pages
from cds_hooks.keys import KeyRing, new_key
from cds_hooks.links import ExplanationLinks
from cds_hooks.service_report.page import page as report_page
from cds_hooks.service_report.reading import Period
from cds_hooks.service_report.report import service_report
from cds_hooks.settings import Settings
from cds_hooks.store import Store
from cds_hooks.stored_explanation import StoredExplanation
from conformance.ehr.app import create_app
from conformance.ehr.cds_client import Connection
from conformance.report_page import to_page
from tests.accessibility import (
    needs_axe,
    open_everything,
    violations,
    violations_in_both_schemes,
    walk,
)
from tests.browser import Watch, chromium, needs_chromium, served
from tests.cds_hooks.explained_patient import CARD, NOW, stored_explanation
from tests.conformance.practice_world import ADVICE, PracticeWorld, json_response
from tests.conformance.suite_world import cases, run_suite

pytestmark = needs_chromium
PHONE_RULES = ("scrollable-region-focusable", "target-size", "color-contrast")
CHART = "/1/patients/p1"
REFUSED = "11111111-1111-4111-8111-111111111111"
UNRELIABLE = "22222222-2222-4222-8222-222222222222"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def explanations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield the addresses of explanation pages by name."""
    keys = KeyRing([new_key()])
    folder = tmp_path_factory.mktemp("pages")
    store = Store(f"sqlite:///{folder / 'meam.sqlite'}", keys, clock=lambda: NOW)
    for stored in (stored_explanation(), refused(), unreliable()):
        store.save_explanation(stored)
    links = ExplanationLinks("http://service.test", keys, timedelta(hours=24))
    app = Flask(__name__)
    card = read_model_card(Settings().checkpoint)
    app.register_blueprint(explanation_pages(store, links, card))
    names = {"reasons": CARD, "refused": REFUSED, "unreliable": UNRELIABLE}
    with served(app) as base:
        yield {name: f"{base}/explanations/{links.token(uuid)}" for name, uuid in names.items()} | {
            "wrong link": f"{base}/explanations/wrong",
            "model card": f"{base}/explanations/model-card",
        }
    store.close()


def refused() -> StoredExplanation:
    stored = stored_explanation()
    applicability = dataclasses.replace(
        stored.prediction.applicability, applicable=False, reasons=("The patient is a child.",)
    )
    prediction = dataclasses.replace(stored.prediction, tasks=(), applicability=applicability)
    return dataclasses.replace(stored, card_uuid=REFUSED, prediction=prediction, explanation=None)


def unreliable() -> StoredExplanation:
    stored = stored_explanation()
    assert stored.explanation is not None
    explanation = dataclasses.replace(
        stored.explanation, reliable=False, unreliable_reason="the efficiency gap is 0.3 logits"
    )
    return dataclasses.replace(stored, card_uuid=UNRELIABLE, explanation=explanation)


@pytest.fixture
def world(httpserver) -> PracticeWorld:  # type: ignore[no-untyped-def]
    made = PracticeWorld(httpserver)
    made.answer = lambda: json_response({"cards": [ADVICE]})
    return made


@pytest.fixture
def ehr(world: PracticeWorld) -> Iterator[str]:
    app = create_app(Connection(world.fhir, world.service), "http://placeholder.test")
    with served(app) as url:
        app.extensions["desk"].issuer = url
        yield url


@needs_axe
@pytest.mark.parametrize("name", ["reasons", "refused", "unreliable", "wrong link", "model card"])
def test_explanation_pages_have_no_violation(
    browser: Browser, explanations: dict[str, str], name: str
) -> None:
    page = browser.new_page()
    page.goto(explanations[name])
    open_everything(page)
    if name == "model card":  # thousands of cells, all alike in both schemes
        assert violations(page) == []
    else:
        assert violations_in_both_schemes(page) == []
        page.set_viewport_size({"width": 390, "height": 844})
        assert violations(page, only=PHONE_RULES) == []
    page.close()


def _nothing(_page: Page, _world: PracticeWorld, _ehr: str) -> None:
    pass


def _no_patients(page: Page, world: PracticeWorld, ehr: str) -> None:
    world.patients.clear()
    page.goto(f"{ehr}/")


def _cards(page: Page, _world: PracticeWorld, ehr: str) -> None:
    page.goto(ehr + CHART)


def _no_cards(page: Page, world: PracticeWorld, ehr: str) -> None:
    world.answer = lambda: json_response({"cards": []})
    page.goto(ehr + CHART)


def _override(page: Page, _world: PracticeWorld, ehr: str) -> None:
    page.goto(ehr + CHART)
    page.get_by_role("button", name="Override", exact=True).click()


def _overridden(page: Page, world: PracticeWorld, ehr: str) -> None:
    _override(page, world, ehr)
    page.get_by_role("button", name="Override this card").click()
    page.get_by_role("status").wait_for()


def _accepted(page: Page, _world: PracticeWorld, ehr: str) -> None:
    page.goto(ehr + CHART)
    page.get_by_role("button", name="Accept:").click()
    page.get_by_role("status").wait_for()


def _refused_call(page: Page, world: PracticeWorld, ehr: str) -> None:
    world.answer = lambda: json_response({"issue": [{"details": {"text": "No notes."}}]}, 412)
    page.goto(ehr + CHART)


def _no_such_patient(page: Page, _world: PracticeWorld, ehr: str) -> None:
    page.goto(f"{ehr}/1/patients/nobody")


@needs_axe
@pytest.mark.parametrize(
    "go",
    [
        *(_nothing, _no_patients, _cards, _no_cards, _override, _overridden, _accepted),
        *(_refused_call, _no_such_patient),
    ],
    ids=lambda go: go.__name__.strip("_"),
)
def test_the_practice_ehr_has_no_violation(
    browser: Browser,
    world: PracticeWorld,
    ehr: str,
    go: Callable[[Page, PracticeWorld, str], None],
) -> None:
    page = browser.new_page()
    page.goto(ehr)
    go(page, world, ehr)
    if go is not _override:  # behind a dialog nothing can be opened
        open_everything(page)
    assert violations_in_both_schemes(page) == []
    page.close()


@needs_axe
def test_the_conformance_report_has_no_violation(browser: Browser, tmp_path: Path) -> None:
    some = {case.id for case in cases()[:12]}
    file = tmp_path / "report.html"
    file.write_text(to_page(run_suite("", among=some)), encoding="utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    open_everything(page)
    assert violations_in_both_schemes(page) == []
    page.close()


@needs_axe
def test_the_service_report_has_no_violation(browser: Browser, tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'meam.sqlite'}", KeyRing([new_key()]), clock=lambda: NOW)
    file = tmp_path / "report.html"
    file.write_text(report_page(service_report(store, Period(None, None, None))), encoding="utf-8")
    store.close()
    page = browser.new_page()
    page.goto(file.as_uri())
    open_everything(page)
    assert violations_in_both_schemes(page) == []
    page.close()


def test_the_whole_flow_by_keyboard_alone(browser: Browser, world: PracticeWorld, ehr: str) -> None:
    page = browser.new_page()
    page.goto(ehr)
    _tab_to(page, "Ada Example")
    page.keyboard.press("Enter")
    page.wait_for_url("**/patients/p1?visit=*")
    _tab_to(page, "Override")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Override this card")
    expect(dialog).to_be_visible()
    assert page.evaluate("document.activeElement.name") == "reason", "the focus is in the dialog"
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert page.evaluate("document.activeElement.textContent") == "Override", "and returns"
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    _tab_to(page, "Override this card")
    page.keyboard.press("Enter")
    page.get_by_role("status").wait_for()
    (item,) = world.feedback[0]["feedback"]
    assert item["overrideReason"]["reason"]["code"] == "seen"
    page.goto(ehr + CHART)
    _tab_to(page, "Accept: Consider measuring lactate again")
    page.keyboard.press("Enter")
    page.get_by_role("status").wait_for()
    assert len(world.created) == 1
    page.close()


def _tab_to(page: Page, name: str) -> None:
    """Press Tab until the focus is on what has the name. Raises AssertionError if it never is."""
    passed = []
    for _ in range(60):
        page.keyboard.press("Tab")
        passed.append(
            page.evaluate(
                "(document.activeElement.getAttribute('aria-label')"
                " || document.activeElement.textContent || '').trim()"
            )
        )
        if passed[-1] == name:
            return
    raise AssertionError(f"Tab never came to {name!r}, but to {passed}")


def test_every_stop_of_the_keyboard_can_be_seen(
    browser: Browser, ehr: str, explanations: dict[str, str]
) -> None:
    page = browser.new_page()
    for address in (ehr, ehr + CHART, explanations["reasons"]):
        page.goto(address)
        stops = walk(page, most=40)
        assert len(stops) >= 4
        assert all(stop["outline"] for stop in stops), [s for s in stops if not s["outline"]]
        assert all(stop["name"] for stop in stops), [s for s in stops if not s["name"]]
        assert all(stop["inside"] for stop in stops), [s for s in stops if not s["inside"]]
    page.close()


@pytest.mark.parametrize("width", [640, 320])
def test_nothing_is_lost_at_200_and_400_percent(
    browser: Browser, ehr: str, explanations: dict[str, str], width: int
) -> None:
    """A window of 1280 pixels at 200 % zoom is 640 CSS pixels wide, at 400 % 320."""
    page = browser.new_page(viewport={"width": width, "height": 400}, device_scale_factor=2)
    for address in (ehr, ehr + CHART, explanations["reasons"], explanations["model card"]):
        page.goto(address)
        open_everything(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        assert _cut_texts(page) == []
    page.close()


def _cut_texts(page: Page) -> list[str]:
    """Return texts that reach out of the window and cannot be scrolled to."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('body *')].filter(element =>
          element.checkVisibility() && !element.closest('svg, .scroll, .unseen, pre') &&
          [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim()) &&
          element.getBoundingClientRect().right > innerWidth + 1)
          .map(element => element.outerHTML.slice(0, 100))"""
    )
    return found


def test_large_text_alone_is_bearable(browser: Browser, explanations: dict[str, str]) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(explanations["reasons"])
    page.evaluate("document.documentElement.style.fontSize = '32px'")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.close()


def test_forced_colours_leave_curves_and_marks(
    browser: Browser, explanations: dict[str, str]
) -> None:
    page = browser.new_page(forced_colors="active", color_scheme="dark")
    page.goto(explanations["reasons"])
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for selector in (".chart .curve", ".step .place", ".step .link", ".strip .average"):
        stroke = page.locator(selector).first.evaluate("e => getComputedStyle(e).stroke")
        assert stroke not in (ground, "none"), selector
    assert (
        page.locator("mark").first.evaluate("e => getComputedStyle(e).borderBottomWidth") == "2px"
    )
    page.close()


def test_nothing_moves_for_those_who_asked_for_it(
    browser: Browser, ehr: str, explanations: dict[str, str]
) -> None:
    page = browser.new_page(reduced_motion="reduce")
    for address in (ehr + CHART, explanations["reasons"]):
        page.goto(address)
        moving = page.evaluate(
            """[...document.querySelectorAll('*')].filter(element => {
              const style = getComputedStyle(element);
              return style.animationName !== 'none' || parseFloat(style.transitionDuration) > 0
                || style.scrollBehavior === 'smooth';
            }).length"""
        )
        assert moving == 0
    page.close()


def test_pages_work_without_any_script(browser: Browser, ehr: str, world: PracticeWorld) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    watch = Watch(page, ehr)
    page.goto(ehr + CHART)
    page.get_by_role("button", name="Override", exact=True).click()
    page.get_by_role("button", name="Override this card").click()
    expect(page.get_by_role("button", name="Overridden")).to_be_disabled()
    assert len(world.feedback) == 1
    assert not watch.faults
    context.close()
