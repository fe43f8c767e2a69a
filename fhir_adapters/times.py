"""FHIR times as UTC, and the latest instant that each of them can mean.

A record must not hold anything that may be later than the prediction time. A time with its offset
is exact. A date proves no hour of its day in any time zone: it counts from the end of that day,
and is known to be past only when the day has ended everywhere (UTC-12), or when an exact time of
the resource itself (``issued``, ``meta.lastUpdated``) proves that it existed by then. A time
without an offset may be any zone's.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from fhir_adapters.chart import Resource

LATEST_ZONE = timedelta(hours=12)  # how long after UTC the last time zone ends a day
EARLIEST_ZONE = timedelta(hours=14)  # how long before UTC the first one begins it


class Moment(NamedTuple):
    """A time of the chart: ``time`` is shown and used, ``latest`` decides what is past."""

    time: datetime
    latest: datetime
    exact: bool = True


_DATE_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?\s*([Zz]|[+-]\d\d:?\d\d)?"
)
_DATE = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?")


def parse_moment(text: object) -> Moment | None:
    """Read a FHIR dateTime, instant or date; ``None`` if it is none of them."""
    if type(text) is not str or len(text) > 64:
        return None
    if len(text) > 19 and text[10] == "T":  # the usual shape: seconds and an offset or Z
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            return _parse_unusual(text)
        if time.tzinfo is not None:
            return _exact(time)
    return _parse_unusual(text)


def _exact(time: datetime) -> Moment | None:
    if time.tzinfo is UTC:  # as most are written
        return Moment(time, time)
    try:
        time = time.astimezone(UTC)
    except OverflowError:  # year 1 or 9999 beside an offset
        return None
    return Moment(time, time)


def _parse_unusual(text: str) -> Moment | None:
    text = text.strip()
    matched = _DATE_TIME.fullmatch(text)
    try:
        if matched is None:
            return _parse_date(text)
        day, hour, minute, second, fraction, offset = matched.groups()
        # A leap second (":60") counts as the second before: Python has no 60.
        second = "59" if second == "60" else second or "00"
        offset = (offset or "Z").upper()
        time = datetime.fromisoformat(f"{day}T{hour}:{minute}:{second}{fraction or ''}{offset}")
        moment = _exact(time)
        if moment is None or matched.group(6):
            return moment
        return Moment(moment.time, moment.time + LATEST_ZONE, exact=False)
    except (ValueError, OverflowError):
        return None


def _parse_date(text: str) -> Moment | None:
    matched = _DATE.fullmatch(text)
    if matched is None:
        return None
    year, month, day = (int(part) if part else 0 for part in matched.groups())
    if day:
        after = date(year, month, day) + timedelta(days=1)
    elif month:
        after = date(year + month // 12, month % 12 + 1, 1)
    else:
        after = date(year + 1, 1, 1)
    end = datetime(after.year, after.month, after.day, tzinfo=UTC)
    return Moment(end - timedelta(seconds=1), end + LATEST_ZONE, exact=False)


def effective_moment(observation: Resource) -> Moment | None:
    """Return when an Observation was true: its effective time, else when it was issued.

    A period counts from its end, a period without end from its start, a Timing from its last
    event. A result without effective time cannot be later than its issue.
    """
    text = observation.get("effectiveDateTime")
    if text is not None:
        return parse_moment(text)
    for element, read in _OTHER_EFFECTIVES.items():
        if element in observation:
            return read(observation[element])
    return parse_moment(observation.get("issued"))


def _end_of_period(period: object) -> Moment | None:
    if not isinstance(period, dict):
        return None
    end = period.get("end")
    return parse_moment(period.get("start") if end is None else end)


def _end_of_timing(timing: object) -> Moment | None:
    if not isinstance(timing, dict):
        return None
    events = timing.get("event")
    moments = [parse_moment(event) for event in events] if isinstance(events, list) else []
    known = [moment for moment in moments if moment is not None]
    if known:
        return max(known, key=lambda moment: moment.latest)
    repeat = timing.get("repeat")
    return _end_of_period(repeat.get("boundsPeriod")) if isinstance(repeat, dict) else None


_OTHER_EFFECTIVES: dict[str, Any] = {
    "effectivePeriod": _end_of_period,
    "effectiveInstant": parse_moment,
    "effectiveTiming": _end_of_timing,
}


def surely_later(text: object, instant: datetime) -> bool:
    """Whether a FHIR time lies after an instant in every time zone that it may be of."""
    moment = parse_moment(text)
    if moment is None:
        return False
    if moment.exact:
        return moment.time > instant
    day = str(text).strip()[:10]
    return day > (instant + EARLIEST_ZONE).date().isoformat()[: len(day)]


def proof_of_existence(resource: Resource) -> datetime | None:
    """Return the earliest exact time at which the resource states that it existed."""
    meta = resource.get("meta")
    stated = (
        parse_moment(resource.get("issued")),
        parse_moment(meta.get("lastUpdated")) if isinstance(meta, dict) else None,
    )
    return min((moment.time for moment in stated if moment and moment.exact), default=None)
