"""Pages of a search without a date bound end where they are too old, and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fhir_adapters.page_order import NewestFirst

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SINCE = datetime(2026, 11, 20, tzinfo=UTC)
OLD_H = 24 * 30


def text(hours: float) -> str:
    return (NOW - timedelta(hours=hours)).isoformat()


def observation(hours: float) -> dict[str, Any]:
    return {"resourceType": "Observation", "effectiveDateTime": text(hours)}


def page(*resources: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]}


def of_ages(*hours: float) -> dict[str, Any]:
    return page(*map(observation, hours))


def descending(start_h: float, count: int = 6) -> list[dict[str, Any]]:
    return [observation(start_h + n) for n in range(count)]


RECENT = page(*descending(1))
OLD = page(*descending(OLD_H))


def over(*pages: dict[str, Any], since: datetime | None = SINCE) -> list[bool]:
    order = NewestFirst(since)
    return [order.is_over(one) for one in pages]


def test_an_old_page_that_comes_newest_first_ends_a_search() -> None:
    assert over(RECENT, OLD) == [False, True]


def test_a_chart_that_is_old_as_a_whole_ends_with_its_first_page() -> None:
    assert over(OLD) == [True]


def test_pages_of_one_entry_each_show_their_order_in_time() -> None:
    pages = [of_ages(1), *(of_ages(OLD_H + n) for n in range(6))]
    assert over(*pages) == [False, False, False, False, True, True, True]


def test_order_on_recent_pages_does_not_matter_where_each_page_is_older() -> None:
    """Some EHRs turn the entries of a page round."""
    assert over(of_ages(3, 1, 5, 2, 4), OLD) == [False, True]


def test_days_without_hours_may_stand_in_any_order_within_the_day() -> None:
    days = ["2026-10-09T22:00:00Z", "2026-10-09", "2026-10-09T08:00:00Z"]
    days += [f"2026-10-0{day}" for day in (7, 5, 3, 1)]
    dated = [{"resourceType": "Observation", "effectiveDateTime": one} for one in days]
    assert over(RECENT, page(*dated)) == [False, True]


@pytest.mark.parametrize(
    "pages",
    [
        (RECENT, page(*reversed(descending(OLD_H)))),  # the oldest first
        (RECENT, of_ages(OLD_H, OLD_H + 9, OLD_H + 1, OLD_H + 8, OLD_H + 2)),  # no order
        (RECENT, page(*descending(OLD_H), observation(90))),
        (RECENT, page(observation(80), *descending(OLD_H))),  # one within the days looked back on
        (page(*descending(OLD_H + 99)), page(*descending(OLD_H))),  # pages go up
        (of_ages(OLD_H, OLD_H + 1, OLD_H + 2),),  # by chance
        (of_ages(*[OLD_H] * 9),),  # one moment says nothing
        (RECENT, page()),
        (RECENT, page({"resourceType": "Observation"}, {"resourceType": "Patient"})),
    ],
)
def test_what_is_not_shown_to_be_newest_first_is_read_on(pages: tuple[dict[str, Any], ...]) -> None:
    ended = over(*pages)
    assert not ended[-1]


def test_once_pages_went_up_the_order_is_never_believed_again() -> None:
    up = [page(*descending(OLD_H + 500)), page(*descending(OLD_H)), page(*descending(OLD_H + 900))]
    assert over(*up)[1:] == [False, False]


@pytest.mark.parametrize(
    "late",
    [
        {"effectivePeriod": {"start": text(OLD_H + 3), "end": text(2)}},
        {"effectiveTiming": {"event": [text(OLD_H + 3), text(2)]}},
        {"effectiveDateTime": "2026-11"},
        {"issued": text(2)},  # a result without another time counts from its issue
    ],
)
def test_a_time_that_reaches_into_the_days_looked_back_on_reads_on(late: dict[str, Any]) -> None:
    long = {"resourceType": "Observation", **late}
    assert over(RECENT, page(*descending(OLD_H), long)) == [False, False]


def test_a_document_that_was_written_later_than_it_is_filed_reads_on() -> None:
    filed: list[dict[str, Any]]
    filed = [{"resourceType": "DocumentReference", "date": text(OLD_H + n)} for n in range(6)]
    assert over(page(*filed)) == [True]
    filed[-1] = {**filed[-1], "content": [{"attachment": {"creation": text(2)}}]}
    assert over(page(*filed)) == [False]


def test_what_is_included_says_nothing_of_the_order() -> None:
    beside = {"resource": observation(1), "search": {"mode": "include"}}
    with_included = {**OLD, "entry": [*OLD["entry"], beside]}
    assert over(RECENT, with_included) == [False, True]


def test_without_a_bound_all_pages_are_read() -> None:
    assert over(RECENT, OLD, since=None) == [False, False]


@pytest.mark.parametrize(
    "entry", [None, {}, [None], [{"resource": 7, "search": []}], [{"search": {"mode": []}}]]
)
def test_what_is_no_page_ends_nothing(entry: Any) -> None:
    assert over({"resourceType": "Bundle", "entry": entry}) == [False]


@pytest.mark.parametrize("value", ["0001-01-01", "9999-12-31", 7, {}, "soon"])
def test_times_beyond_all_dates_break_nothing(value: Any) -> None:
    odd = {"resourceType": "Observation", "effectiveDateTime": value}
    assert over(page(odd, *descending(OLD_H)))[0] in (True, False)
