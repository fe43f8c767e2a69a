"""The feedback report against sums by hand, and that nothing but counts is in it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from cds_hooks.feedback import FeedbackItem, store_feedback
from cds_hooks.feedback_report import driver_name, feedback_report, week_name
from cds_hooks.keys import KeyRing
from cds_hooks.override_reasons import OVERRIDE_REASONS
from cds_hooks.rates import Rate
from cds_hooks.store import Store
from tests.cds_hooks import world
from tests.cds_hooks.stored_things import COMMENT, KEY, a_card

REASON = OVERRIDE_REASONS[0]


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    made = Store(database_url, KeyRing([KEY]), clock=lambda: world.NOW)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [  # Wilson 1927; the first two as in Newcombe, Statistics in Medicine 1998, 17:857, table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (1, 1, 0.2065, 1.0),
    ],
)
def test_wilson_intervals(count: int, of: int, low: float, high: float) -> None:
    interval = Rate(count, of).interval()
    assert interval is not None
    assert interval == pytest.approx((low, high), abs=5e-5)


def test_of_nothing_nothing_is_known() -> None:
    assert Rate(0, 0).interval() is None
    assert Rate(0, 0).to_json() == {"count": 0, "of": 0}


@pytest.mark.parametrize(
    ("moment", "week"),
    [
        (datetime(2026, 11, 23, tzinfo=UTC), "2026-W48"),
        (datetime(2026, 11, 22, 23, 59, tzinfo=UTC), "2026-W47"),
        (datetime(2027, 1, 3, tzinfo=UTC), "2026-W53"),
        (datetime(2024, 12, 30, tzinfo=UTC), "2025-W01"),
    ],
)
def test_iso_weeks(moment: datetime, week: str) -> None:
    assert week_name(moment.timestamp()) == week


@pytest.mark.parametrize(
    ("token", "name"),
    [
        ("structured/lactate", "structured: lactate"),
        ("note/2/5", "notes"),
        ("device/heart_rate/7", "device: heart_rate"),
    ],
)
def test_drivers_are_counted_by_what_they_are(token: str, name: str) -> None:
    assert driver_name(token) == name


def _card(store: Store, indicator: str, *drivers: str, shown: bool = True) -> str:
    card = a_card(indicator=indicator, drivers=drivers, shown=shown)
    store.record_answer([], [card], {})
    return card.card_uuid


def _say(store: Store, card: str, outcome: str, minute: int = 0, **more: object) -> None:
    at = f"2026-11-23T12:{minute:02d}:00Z"
    item = FeedbackItem(card, outcome, at, **more)  # type: ignore[arg-type]
    store_feedback(store, "meam-risk", "open", (item,))


def _coded(code: str, system: str = REASON.system) -> dict[str, str]:
    return {"reason_code": code, "reason_system": system}


@pytest.fixture
def told(store: Store) -> Store:
    """Six cards that were shown: two accepted, three overridden, one without an answer."""
    lactate, note = "structured/lactate", "note/0/1"
    _say(store, _card(store, "critical", lactate, note, "note/3/0"), "accepted")
    changed_mind = _card(store, "critical", lactate)
    _say(store, changed_mind, "overridden", 1, **_coded(REASON.code))
    _say(store, changed_mind, "accepted", 2)
    _say(store, _card(store, "warning", lactate), "overridden", **_coded(REASON.code))
    _say(store, _card(store, "warning", note), "overridden", user_comment=COMMENT)
    _say(store, _card(store, "warning"), "overridden", **_coded("secret words", "urn:x"))
    _card(store, "warning", lactate)
    _card(store, "critical", lactate, shown=False)
    _say(store, "b0000000-0000-0000-0000-000000000000", "overridden")
    return store


def test_the_report_counts_cards_by_their_latest_outcome(told: Store) -> None:
    report = feedback_report(told)
    third = {"count": 1, "of": 3, "share": 0.3333, "low": 0.0615, "high": 0.7923}
    assert report.to_json() == {
        "all": {
            "cards": 6,
            "answered": {"count": 5, "of": 6, "share": 0.8333, "low": 0.4365, "high": 0.9699},
            "accepted": {"count": 2, "of": 5, "share": 0.4, "low": 0.1176, "high": 0.7693},
            "overridden": {"count": 3, "of": 5, "share": 0.6, "low": 0.2307, "high": 0.8824},
        },
        "byIndicator": report.to_json()["byIndicator"],
        "byDriver": report.to_json()["byDriver"],
        "byWeek": {"2026-W48": report.to_json()["all"]},
        "byStep": report.to_json()["byStep"],
        "overrideReasons": {
            REASON.display: third,
            "no reason given": third,
            "a code that we do not offer": third,
        },
        "overriddenWithComment": 1,
        "suggestionsAccepted": 0,
        "unknownItems": 1,
    }  # fmt: skip
    sums = {
        name: (one.cards, one.accepted, one.overridden)
        for groups in (report.by_indicator, report.by_driver)
        for name, one in groups.items()
    }
    assert sums == {
        "warning": (4, 0, 3),
        "critical": (2, 2, 0),
        "structured: lactate": (4, 2, 1),
        "notes": (2, 1, 1),
        "no reasons shown": (1, 0, 1),
    }


def test_only_counts_leave_the_database(told: Store) -> None:
    printed = json.dumps(feedback_report(told).to_json())
    for secret in ("Miller", "secret words", "urn:x", "pat-1", "b0000000"):
        assert secret not in printed


def test_accepted_suggestions_are_counted_where_we_offered_them(store: Store) -> None:
    card = a_card(suggestion_uuids=("s-1", "s-2"))
    store.record_answer([], [card], {})
    _say(store, card.card_uuid, "accepted", accepted_suggestions=("s-1", "s-2"))
    other = a_card()
    store.record_answer([], [other], {})
    _say(store, other.card_uuid, "accepted", accepted_suggestions=("s-1",))
    report = feedback_report(store)
    assert (report.suggestions_accepted, report.unknown_items) == (2, 1)


def _offering(store: Store, *steps: str) -> dict[str, str]:
    """A card that offers steps; the suggestion of each, and the card as "card"."""
    uuids = {step: str(uuid.uuid4()) for step in steps}
    card = a_card(
        suggestion_uuids=tuple(uuids.values()),
        step_ids={suggestion: step for step, suggestion in uuids.items()},
    )
    store.record_answer([], [card], {})
    return {**uuids, "card": card.card_uuid}


def test_each_next_step_counts_the_cards_that_offered_it(store: Store) -> None:
    for number in range(6):
        offer = _offering(store, "repeat-lactate", "glucose-low-review")
        if number < 3:
            accepted = (offer["repeat-lactate"],)
            _say(store, offer["card"], "accepted", accepted_suggestions=accepted)
        elif number < 5:
            _say(store, offer["card"], "overridden")
    both = _offering(store, "repeat-lactate", "vte-assessment")
    chosen = (both["repeat-lactate"], both["vte-assessment"])
    _say(store, both["card"], "accepted", accepted_suggestions=chosen)
    changed = _offering(store, "vte-assessment")
    _say(store, changed["card"], "accepted", 1, accepted_suggestions=(changed["vte-assessment"],))
    _say(store, changed["card"], "overridden", 2)
    report = feedback_report(store)
    sums = {name: (one.cards, one.answered, one.accepted) for name, one in report.by_step.items()}
    assert sums == {
        "repeat-lactate": (7, 6, 4),
        "glucose-low-review": (6, 5, 0),
        "vte-assessment": (2, 2, 2),
    }
    assert report.to_json()["byStep"]["repeat-lactate"]["accepted"]["share"] == 0.6667


def test_steps_that_are_accepted_one_by_one_all_count(store: Store) -> None:
    """A client sends an item for each click, some of them twice, and the card goes at the end."""
    offer = _offering(store, "repeat-lactate", "vte-assessment", "glucose-low-review")
    first, second = offer["repeat-lactate"], offer["vte-assessment"]
    _say(store, offer["card"], "accepted", 2, accepted_suggestions=(second,))
    for _ in range(2):
        _say(store, offer["card"], "accepted", 1, accepted_suggestions=(first,))
    _say(store, offer["card"], "accepted", 3, accepted_suggestions=(first,))
    report = feedback_report(store)
    assert (report.suggestions_accepted, report.all_cards.accepted) == (2, 1)
    accepted = {name: one.accepted for name, one in report.by_step.items()}
    assert accepted == {"repeat-lactate": 1, "vte-assessment": 1, "glucose-low-review": 0}
    _say(store, offer["card"], "overridden", 4, **_coded(REASON.code))
    again = feedback_report(store)
    assert (again.all_cards.accepted, again.all_cards.overridden) == (0, 1)
    assert again.reasons == {REASON.display: 1}
    assert again.suggestions_accepted == 2, "the orders are there, whatever became of the card"
    assert {name: one.accepted for name, one in again.by_step.items()} == accepted


def test_the_outcome_is_the_latest_by_the_users_time_in_whatever_order_items_come(
    store: Store,
) -> None:
    offer = _offering(store, "repeat-lactate")
    _say(store, offer["card"], "overridden", 9, **_coded(REASON.code))
    accepted = (offer["repeat-lactate"],)
    _say(store, offer["card"], "accepted", 1, accepted_suggestions=accepted)
    report = feedback_report(store)
    assert (report.all_cards.overridden, report.suggestions_accepted) == (1, 1)
    assert report.delays_s == [540.0]


def test_the_time_to_feedback_is_the_users_own(store: Store) -> None:
    _say(store, _card(store, "critical"), "accepted", 3)
    _say(store, _card(store, "critical"), "overridden", 7)
    _card(store, "critical")
    assert sorted(feedback_report(store).delays_s) == [180.0, 420.0]


def test_accepted_steps_are_told_once(store: Store) -> None:
    offer = _offering(store, "repeat-lactate")
    item = FeedbackItem(
        offer["card"], "accepted", "2026-11-23T12:00:00Z", (offer["repeat-lactate"],)
    )
    first = store_feedback(store, "meam-risk", "open", (item,))
    again = store_feedback(store, "meam-risk", "open", (item,))
    assert (first.accepted_steps, again.accepted_steps) == (("repeat-lactate",), ())


def test_a_client_that_sends_all_it_knows_accepts_each_step_once(store: Store) -> None:
    offer = _offering(store, "repeat-lactate", "vte-assessment")
    known = (offer["repeat-lactate"], offer["vte-assessment"])
    told = [
        store_feedback(
            store,
            "meam-risk",
            "open",
            (
                FeedbackItem(
                    offer["card"], "accepted", f"2026-11-23T12:0{count}:00Z", known[:count]
                ),
            ),
        ).accepted_steps
        for count in (1, 2)
    ]
    assert told == [("repeat-lactate",), ("vte-assessment",)]


def test_another_issuer_cannot_speak_of_a_card(store: Store) -> None:
    card = _card(store, "critical")
    item = FeedbackItem(card, "accepted", "2026-11-23T12:00:00Z")
    receipt = store_feedback(store, "meam-risk", "https://other.example", (item,))
    assert (receipt.stored, receipt.unknown) == (1, 1)
    report = feedback_report(store)
    assert (report.all_cards.answered, report.unknown_items) == (0, 1)


def test_another_tenant_cannot_speak_of_a_card(store: Store) -> None:
    """Nor can its word keep the hospital's own from being heard."""
    card, older = a_card(tenant="north", suggestion_uuids=()), a_card(suggestion_uuids=())
    store.record_answer([], [card, older], {})
    item = FeedbackItem(card.card_uuid, "accepted", "2026-11-23T12:00:00Z")
    told = [
        store_feedback(store, "meam-risk", "open", (item,), tenant=tenant)
        for tenant in ("south", "", "north", "north")
    ]
    assert [one.unknown for one in told] == [1, 1, 0, 0]
    assert [one.repeated for one in told] == [0, 0, 0, 1]
    report = feedback_report(store)
    assert (report.all_cards.answered, report.unknown_items) == (1, 2)
    about_older = FeedbackItem(older.card_uuid, "accepted", "2026-11-23T12:00:00Z")
    receipt = store_feedback(store, "meam-risk", "open", (about_older,), tenant="north")
    assert receipt.unknown == 0, "a card whose tenant is not known"


def test_an_issuer_and_a_tenant_can_be_chosen(store: Store) -> None:
    for issuer, tenant in (("a", ""), ("b", "north"), ("b", "south"), ("b", "south")):
        store.record_answer([], [a_card(issuer=issuer, tenant=tenant)], {})
        item = FeedbackItem("unknown", "overridden", "2026-11-23T12:00:00Z")
        store_feedback(store, "meam-risk", issuer, (item,), tenant=tenant)

    def counts(**chosen: str) -> tuple[int, int]:
        report = feedback_report(store, **chosen)
        return report.all_cards.cards, report.unknown_items

    assert counts() == (4, 3)
    assert counts(issuer="a") == counts(tenant="") == (1, 1)
    assert counts(issuer="b") == (3, 2)
    assert counts(issuer="b", tenant="south") == (2, 1)
    assert counts(issuer="a", tenant="south") == (0, 0)


def test_a_period_and_a_service_can_be_chosen(told: Store) -> None:
    today, tomorrow = world.NOW, world.NOW + timedelta(days=1)
    assert feedback_report(told, since=today, until=tomorrow).all_cards.cards == 6
    assert feedback_report(told, since=tomorrow).all_cards.cards == 0
    assert feedback_report(told, until=today).unknown_items == 0
    assert feedback_report(told, service_id="other").all_cards.cards == 0
