"""Where the pages of a search have gone past the time that is looked back on.

A prefetched search has no date bound: after the last days come years, page by page, and each page
costs the clinician's time. The search asks for the newest first, but servers ignore ``_sort``, so
the order is believed only where the entries show it: then all that follows is older.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from fhir_adapters.chart import Resource
from fhir_adapters.documents import attachments_of
from fhir_adapters.elements import dict_of, dicts_of, text_of
from fhir_adapters.times import EARLIEST_ZONE, Moment, parse_moment

# Chance gives five times in falling order once in 120 pages, and such a page seldom ends a search.
_ENOUGH_FALLS = 4
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_DATE_CHARACTERS = 10  # of YYYY-MM-DD
_BESIDE_RESULTS = frozenset({"include", "outcome"})  # of Bundle.entry.search.mode


class _Span(NamedTuple):
    """Between which instants all times of a resource lie, whatever zone they are of."""

    earliest: datetime
    latest: datetime


class NewestFirst:
    """What the pages of one search show of their order. It is told of each page, in turn."""

    def __init__(self, since: datetime | None) -> None:
        """``since``: what is older is of no use; None: nothing is too old."""
        self._since = since
        self._falls = 0  # times that were surely older than the one before
        self._fell_to: datetime | None = None
        self._oldest: datetime | None = None  # of the pages before
        self._refuted = False

    def is_over(self, page: Resource) -> bool:
        """Whether this page is too old as a whole, and those after it are older still."""
        if self._since is None:
            return False
        spans = list(_spans(page))
        if not spans:
            return False
        newest = max(span.latest for span in spans)
        in_order = self._in_order(spans)
        if self._oldest is not None and any(span.earliest > self._oldest for span in spans):
            self._refuted = True
        oldest = min(span.latest for span in spans)
        self._oldest = oldest if self._oldest is None else min(oldest, self._oldest)
        known = in_order and not self._refuted and self._falls >= _ENOUGH_FALLS
        return known and newest < self._since

    def _in_order(self, spans: list[_Span]) -> bool:
        """Whether nothing on a page is surely newer than what stands before it; counts falls."""
        lowest, falls, fell_to = spans[0].latest, 0, self._fell_to or spans[0].earliest
        for span in spans:
            if span.earliest > lowest:
                return False
            lowest = min(lowest, span.latest)
            if span.latest < fell_to:
                falls, fell_to = falls + 1, span.earliest
        self._falls += falls
        self._fell_to = fell_to
        return True


def _spans(page: Resource) -> Iterator[_Span]:
    for entry in dicts_of(page.get("entry")):
        resource = dict_of(entry.get("resource"))
        if text_of(dict_of(entry.get("search")).get("mode")) not in _BESIDE_RESULTS:
            span = _span(resource)
            if span is not None:
                yield span


def _span(resource: Resource) -> _Span | None:
    """Return when a result was true or written, None where it does not say so."""
    stated = [(text, parse_moment(text)) for text in _times(resource)]
    known = [(text, moment) for text, moment in stated if moment is not None]
    if not known:
        return None
    return _Span(min(_earliest(*each) for each in known), max(each.latest for _, each in known))


def _times(resource: Resource) -> list[Any]:
    """Return all times that count for the sort or for the record; ``issued`` is the later one."""
    period = dict_of(resource.get("effectivePeriod"))
    timing = dict_of(resource.get("effectiveTiming"))
    events = timing.get("event")
    bounds = dict_of(dict_of(timing.get("repeat")).get("boundsPeriod"))
    effective = [
        *(resource.get("effectiveDateTime"), resource.get("effectiveInstant")),
        *(period.get("start"), period.get("end"), bounds.get("start"), bounds.get("end")),
        *(events if isinstance(events, list) else ()),
    ]
    if resource.get("resourceType") == "Observation" and any(effective):
        return effective
    written = [one.get("creation") for one in attachments_of(resource)]
    return [*effective, resource.get("date"), resource.get("issued"), *written]


def _earliest(text: object, moment: Moment) -> datetime:
    if moment.exact:
        return moment.time
    if len(str(text).strip()) < _DATE_CHARACTERS:
        return _LONG_AGO  # a year, or a month of it
    try:
        return moment.time - timedelta(days=1) - EARLIEST_ZONE
    except OverflowError:
        return _LONG_AGO
