"""Probes of Observation searches: what finds what, in which order, on how many pages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from conformance.json_path import dicts
from conformance.sandbox.checks import Found, NotTried, Omitted
from conformance.sandbox.server import Page, quoted
from conformance.sandbox.session import Session, codes_of, observations, reference_of

_LOINC = "http://loinc.org"
_MOST_PAGES = 12
_CODES = 10  # in one search; enough to see whether a list is understood


def vital_signs(session: Session, found: Found) -> None:
    """Finding none is no fault of the search; it is noted."""
    _by_category(session, found, "vital-signs")


def laboratory(session: Session, found: Found) -> None:
    """Likewise."""
    _by_category(session, found, "laboratory")


def nobody_elses(session: Session, found: Found) -> None:
    """Judge all Observations that were found so far."""
    pages = [session.chart(one) for one in ("vital-signs", "laboratory", "activity")]
    resources = [one for page in pages for one in page.resources]
    if not resources:
        raise NotTried("No Observation was found.")
    foreign = [one for one in resources if not _is_of(one, session.patient)]
    if foreign:
        count = f"{len(foreign)} of {len(resources)}"
        found.faults.append(f"{count} Observations are of another subject.")


def category_is_kept(session: Session, found: Found) -> None:
    """A code of the category has to stand in each of them."""
    for category in ("vital-signs", "laboratory"):
        resources = session.chart(category).resources
        others = [one for one in resources if category not in codes_of(one, "category")]
        if others:
            found.faults.append(
                f"{len(others)} of {len(resources)} Observations are not of {category}."
            )


def by_code(session: Session, found: Found) -> None:
    """Ask for codes that were just seen; each has to be found again."""
    codes = _seen_codes(session)
    page = session.asked(_by_codes(session, codes))
    held = {code for one in page.resources for code in codes_of(one, "code")}
    missing = [code for code in codes if code not in held]
    session.facts["by_code"] = not missing
    if missing and "next" not in page.links:
        found.faults.append(f"{len(missing)} of {len(codes)} codes were not found again.")
    if any(not codes_of(one, "code") & set(codes) for one in page.resources):
        found.faults.append("Observations of other codes came along.")


def by_code_and_system(session: Session, found: Found) -> None:
    """Compare a search by system and code with one by code."""
    loinc = [code for code in _seen_codes(session, _LOINC) if code]
    if not loinc:
        raise Omitted("No Observation has a LOINC code.")
    alone = session.whole(_by_codes(session, loinc))
    both = session.asked(_by_codes(session, [f"{_LOINC}|{code}" for code in loinc]))
    if set(alone.ids()) != set(both.ids()):
        found.faults.append(
            f"{len(both.resources)} with the system, {len(alone.resources)} without."
        )


def several_categories(session: Session, found: Found) -> None:
    """Both parts have to be in the whole; a later page may hold the rest."""
    parts = [session.chart(one) for one in ("vital-signs", "laboratory")]
    page = session.page(observations(session.patient, "vital-signs,laboratory"))
    session.facts["several_categories"] = not page.fault
    if page.fault:
        found.faults.append(page.fault)
        return
    wanted = {one for part in parts for one in part.ids()}
    if "next" not in page.links and not wanted <= set(page.ids()):
        session.facts["several_categories"] = False
        found.faults.append(f"{len(page.resources)} were found; one by one it was {len(wanted)}.")


def without_category(session: Session, found: Found) -> None:
    """A refusal is nothing wrong; it is what many servers do."""
    page = session.page(f"Observation?patient={quoted(session.patient)}&_count=5")
    session.facts["without_category"] = not page.fault
    if page.fault:
        found.faults.append(f"It is refused. {page.fault}")


def patient_spellings(session: Session, found: Found) -> None:
    """What prefetch templates write is compared with the two other spellings."""
    category, page = session.largest
    counts = {"patient=ID": len(page.resources)}
    for words in ("patient=Patient/", "subject=Patient/"):
        query = observations(session.patient, category).replace("patient=", words, 1)
        other = session.page(query)
        if other.fault:
            found.faults.append(other.fault)
        else:
            counts[f"{words}ID"] = len(other.resources)
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{words} finds {count}" for words, count in counts.items())
        found.faults.append(f"{told}.")


def date_filter(session: Session, found: Found) -> None:
    """Take the day of the middle one; a day is judged as a whole, in any time zone."""
    day, expected = _middle_day(session)
    page = session.page(_dated(session, f"date=ge{day.isoformat()}"))
    session.facts["date_filter"] = not page.fault
    if page.fault:
        found.faults.append(page.fault)
        return
    early = [one for one in page.resources if _is_before(one, day)]
    if early:
        found.faults.append(f"{len(early)} of {len(page.resources)} Observations are older.")
    missing = expected - set(page.ids())
    if missing and "next" not in page.links:
        found.faults.append(f"{len(missing)} Observations of later days are missing.")


def date_range(session: Session, found: Found) -> None:
    """The day alone, between its beginning and the next."""
    day, _ = _middle_day(session)
    after = day + timedelta(days=1)
    page = session.asked(_dated(session, f"date=ge{day.isoformat()}&date=lt{after.isoformat()}"))
    if not page.resources:
        found.faults.append("None was found on a day that has some.")
    if any(_is_before(one, day) or _is_after(one, after) for one in page.resources):
        found.faults.append("Observations of other days came along.")


def count(session: Session, found: Found) -> None:
    """Ask for two of the many."""
    category, _ = session.largest
    page = session.asked(_sized(session, category, 2))
    if len(page.resources) > 2:
        found.faults.append(f"{len(page.resources)} came on a page of 2.")


def next_link(session: Session, found: Found) -> None:
    """The page of two is not the last: there are three or more."""
    category, _ = session.largest
    page = session.whole(_sized(session, category, 2))
    if len(page.resources) > 2:
        raise NotTried("All came on one page.")
    link = page.links.get("next")
    if not link:
        found.faults.append("The page has no next link, though more are there.")
    elif session.server.resolve(link) is None:
        found.faults.append("The next link leads to another scheme, host or port.")


def paging_is_complete(session: Session, found: Found) -> None:
    """Read the same search in quarters, and compare."""
    category, whole = session.largest
    size = max(2, math.ceil(len(whole.resources) / 4))
    seen: list[str] = []
    pages = 0
    for page in _pages(session, _sized(session, category, size)):
        pages += 1
        if page.fault:
            found.faults.append(f"Page {pages}: {page.fault}")
            return
        seen += page.ids()
    session.facts["pages_read"] = pages
    found.notes.append(f"{len(seen)} Observations on {pages} pages of {size}.")
    if len(set(seen)) < len(seen):
        found.faults.append(f"{len(seen) - len(set(seen))} came on two pages.")
    missing = set(whole.ids()) - set(seen)
    if pages < _MOST_PAGES:
        session.facts["counted"] = len(set(seen))
    if missing and pages < _MOST_PAGES:
        found.faults.append(f"{len(missing)} of {len(whole.resources)} came on no page.")


def large_page(session: Session, found: Found) -> None:
    """Whether a bound is met can be seen only where there is more than it."""
    page = session.page(
        f"Observation?patient={quoted(session.patient)}&category={session.largest[0]}&_count=500"
    )
    if page.fault:
        found.faults.append(page.fault)
        return
    held = len(page.resources)
    session.facts["page_of_500"] = held
    found.notes.append(f"{held} came.")
    if "next" in page.links and held < 500:
        found.faults.append(f"The server's pages end at {held}.")


def sort(session: Session, found: Found) -> None:
    """Judge instants only: periods and days can be put in more than one order."""
    _, page = session.largest
    times = [moment for one in page.resources if (moment := _moment(one))]
    session.facts["sort"] = times == sorted(times, reverse=True)
    if not session.facts["sort"]:
        wrong = sum(later > earlier for earlier, later in pairwise(times))
        found.faults.append(f"{wrong} of {len(times)} are newer than the one before.")


def total(session: Session, found: Found) -> None:
    """Compare the total of a small page with what is known to be there."""
    category, whole = session.largest
    page = session.whole(_sized(session, category, 2))
    if page.total is None:
        raise Omitted("The Bundle has no total.")
    held = session.facts.get("counted") or len(whole.resources)
    if "next" in whole.links and "counted" not in session.facts:
        raise Omitted("There are more than were counted.")
    if page.total != held:
        found.faults.append(f"total is {page.total}, and {held} were found.")


def _by_category(session: Session, found: Found, category: str) -> None:
    page = session.chart(category)
    session.facts.setdefault("categories", {})[category] = not page.fault
    if page.fault:
        found.faults.append(page.fault)
    else:
        more = " and more" if "next" in page.links else ""
        found.notes.append(f"{len(page.resources)}{more} of patient {_number(session)}.")


def _number(session: Session) -> int:
    return session.patients.index(session.patient) + 1


def _is_of(resource: Mapping[str, Any], patient: str) -> bool:
    return reference_of(resource).partition("/_history")[0].endswith(f"Patient/{patient}")


def _seen_codes(session: Session, system: str = "") -> list[str]:
    _, page = session.largest
    codings = [
        coding
        for one in page.resources
        if isinstance(one.get("code"), dict)
        for coding in dicts(one["code"].get("coding"))
        if not system or coding.get("system") == system
    ]
    return list(dict.fromkeys(str(one["code"]) for one in codings if "code" in one))[:_CODES]


def _by_codes(session: Session, codes: list[str]) -> str:
    words = quoted(",".join(codes))
    return f"Observation?patient={quoted(session.patient)}&code={words}&_count=500"


def _sized(session: Session, category: str, size: int) -> str:
    return f"Observation?patient={quoted(session.patient)}&category={category}&_count={size}"


def _dated(session: Session, words: str) -> str:
    return f"{observations(session.patient, session.largest[0])}&{words}"


def _pages(session: Session, query: str) -> Iterator[Page]:
    page = session.server.search(query)
    seen = {query}
    for _ in range(_MOST_PAGES):
        yield page
        link = page.links.get("next")
        if not link or link in seen:
            return
        seen.add(link)
        page = session.server.search(link)


def _middle_day(session: Session) -> tuple[date, set[str]]:
    """Return the day of the middle Observation, and what is a day or more later."""
    _, page = session.largest
    dated = [(moment, one) for one in page.resources if (moment := _moment(one))]
    if len(dated) < 3:
        raise Omitted("Too few Observations have a time.")
    moments = sorted(moment for moment, _ in dated)
    day = moments[len(moments) // 2].date()
    surely_later = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=2)
    expected = {f"Observation/{one.get('id')}" for moment, one in dated if moment >= surely_later}
    return day, expected


def _moment(resource: Mapping[str, Any]) -> datetime | None:
    text = resource.get("effectiveDateTime") or resource.get("effectiveInstant")
    if not isinstance(text, str) or "T" not in text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # The first and the last year have no room for offsets and days beside them.
    return moment.astimezone(UTC) if moment.tzinfo and 1 < moment.year < MAXYEAR else None


def _is_before(resource: Mapping[str, Any], day: date) -> bool:
    """Say whether it is surely before the day: 14 hours are the widest offset there is."""
    moment = _moment(resource)
    return moment is not None and moment < _start(day) - timedelta(hours=14)


def _is_after(resource: Mapping[str, Any], day: date) -> bool:
    moment = _moment(resource)
    return moment is not None and moment >= _start(day) + timedelta(hours=14)


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
