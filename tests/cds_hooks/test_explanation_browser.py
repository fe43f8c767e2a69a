"""The explanation page in a real browser: light, dark, phone and paper."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from flask import Flask
from playwright.sync_api import expect

from cds_hooks.explanation_page.routes import explanation_pages
from cds_hooks.keys import KeyRing, new_key
from cds_hooks.links import ExplanationLinks
from cds_hooks.store import Store
from model.record import Note, Sentence
from tests.benchmarks.page_figures import LARGEST_KB, measured
from tests.browser import (
    Watch,
    chromium,
    low_contrast,
    needs_chromium,
    served,
    unnamed_controls,
)
from tests.cds_hooks.explained_patient import CARD, NOW, stored_explanation

pytestmark = needs_chromium
EVIL = "<script>alert(1)</script><img src='http://evil.test/x.png'>\u202egnp.exe " + "A" * 400


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    keys = KeyRing([new_key()])
    folder = tmp_path_factory.mktemp("pages")
    store = Store(f"sqlite:///{folder / 'meam.sqlite'}", keys, clock=lambda: NOW)
    store.save_explanation(stored_explanation())
    store.save_explanation(hostile())
    links = ExplanationLinks("http://service.test", keys, timedelta(hours=24))
    app = Flask(__name__)
    app.register_blueprint(explanation_pages(store, links))
    with served(app) as base:
        yield {
            card: f"{base}/explanations/{links.token(card)}" for card in (CARD, hostile().card_uuid)
        }
    store.close()


def hostile():
    stored = stored_explanation()
    note = Note(EVIL, NOW, (Sentence(EVIL, EVIL),), f"DocumentReference/{EVIL}")
    record = dataclasses.replace(stored.record, notes=(note,))
    card = "11111111-1111-4111-8111-111111111111"
    return dataclasses.replace(stored, card_uuid=card, record=record)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_the_page_reads_well(browser, address, scheme, width):
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
    watch = Watch(page, address[CARD])
    page.goto(address[CARD])
    assert page.get_by_role("heading", level=1).inner_text().startswith("In-hospital death: 37")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not watch.faults
    assert not low_contrast(page)
    assert not unnamed_controls(page)
    page.close()


def test_hostile_text_does_nothing(browser, address):
    url = address[hostile().card_uuid]
    page = browser.new_page(viewport={"width": 390, "height": 800})
    watch = Watch(page, url)
    page.goto(url)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert not watch.faults
    page.close()


def test_every_link_of_the_page_leads_somewhere(browser, address):
    page = browser.new_page()
    page.goto(address[CARD])
    targets = page.evaluate(
        "[...document.querySelectorAll('nav a')].map(a => !!document.querySelector(a.hash))"
    )
    assert targets
    assert all(targets)
    page.close()


def test_charts_show_curves_and_marks(browser, address):
    page = browser.new_page()
    page.goto(address[CARD])
    expect(page.locator("figure.chart")).to_have_count(8)
    assert page.locator("rect.mark.raises").count() >= 3
    assert page.locator("path.curve").first.bounding_box()["width"] > 300
    page.close()


def test_the_page_is_light_and_soon_of_use(browser, address):
    """Figures of real patients are in docs/explanation-page.md."""
    found = measured(browser, address[CARD], with_axe=False)
    assert found["kb"] < LARGEST_KB
    assert found["requests"] <= 3, "the page, its style sheet and its icon"
    assert found["server_ms"] + found["interactive_ms"] < 1000


def test_a_phone_shows_tables_without_scrolling_sideways(browser, address):
    """A table that runs out of the window hid LIME, attention and what the record held."""
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(address[CARD])
    for cells in (".three td .num", ".coverage td"):
        places = page.locator(cells).evaluate_all(
            "all => all.map(one => one.getBoundingClientRect().right)"
        )
        assert len(places) >= 9
        assert max(places) <= 390
    for label in ("SHAP", "LIME", "Attention", "Newest:"):
        expect(page.locator(".narrow", has_text=label).first).to_be_visible()
    page.close()


def test_the_keyboard_reaches_the_notes(browser, address):
    page = browser.new_page()
    page.goto(address[CARD])
    focused = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        focused.add(page.evaluate("document.activeElement.tagName"))
    assert {"A", "SUMMARY"} <= focused
    page.close()
