"""What a case expects of an answer. All findings are collected, not only the first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance.checks import JSON_CHECKS, SOUND
from conformance.exchange import Answer, NotJson
from conformance.fhir_log import FHIR_LOGS
from conformance.json_path import dicts
from conformance.predicates import judge
from conformance.session import NotRunnable, Session

REFUSALS = (401, 403)  # of a caller; the specification names neither
_DOES_WITHOUT = (
    "The service answers 200 without the data; whether it needs them is not seen from outside."
)


@dataclass(slots=True)
class Findings:
    """What was found so far. ``judged``: whether any expectation met something to judge.

    ``answers`` are those that findings are about. ``unjudged`` says why nothing could be judged.
    """

    sentences: list[str] = field(default_factory=list)
    judged: bool = False
    answers: list[Answer] = field(default_factory=list)
    unjudged: str = ""


def examine(session: Session, answer: Answer, expect: Mapping[str, Any], found: Findings) -> None:
    """Add to the findings what is not as a step expects it. Raises NotRunnable."""
    for name, expected in expect.items():
        faults = list(_EXPECTATIONS[name](session, answer, expected, found))
        found.sentences += [f"{answer.what}: {fault}" for fault in faults]
        found.answers += [answer] if faults and answer not in found.answers else []


def _status(_: Session, answer: Answer, expected: list[int], found: Findings) -> Iterator[str]:
    found.judged = True
    if answer.status not in expected:
        wanted = " or ".join(map(str, expected))
        later = answer.header("Retry-After") if answer.status in (429, 503) else ""
        again = f"; it asks to be called again after {later} s" if later.isdecimal() else ""
        yield f"status {answer.status} instead of {wanted}{again}."


def _status_not(_: Session, answer: Answer, expected: list[int], found: Findings) -> Iterator[str]:
    found.judged = True
    if answer.status in expected:
        yield f"status {answer.status}."


def _refused_with(_: Session, answer: Answer, expected: int, found: Findings) -> Iterator[str]:
    if answer.status not in REFUSALS:  # that is for another case to tell
        return
    found.judged = True
    if answer.status != expected:
        yield f"status {answer.status} instead of {expected}."


def _missing_data(
    session: Session, answer: Answer, expected: bool, found: Findings
) -> Iterator[str]:
    """Judge an answer without data. With 200 the service may say that it needs none."""
    if answer.status == 200:
        found.unjudged = _DOES_WITHOUT
        return
    found.judged = True
    if answer.status != 412:
        yield f"status {answer.status} instead of 412."


def _not_silent(session: Session, answer: Answer, expected: bool, found: Findings) -> Iterator[str]:
    if not session.cards:
        found.unjudged = "With data there are no cards either."
        return
    found.judged = True
    if answer.status == 200 and _cards(answer) == []:
        yield "an empty list of cards, though with data there are cards."


def _content_type(_: Session, answer: Answer, expected: str, found: Findings) -> Iterator[str]:
    if answer.body:
        found.judged = True
        kind = answer.header("Content-Type").partition(";")[0].strip().lower()
        if not re.fullmatch(expected, kind):
            yield f"Content-Type is '{kind}'."


def _is_json(_: Session, answer: Answer, expected: bool, found: Findings) -> Iterator[str]:
    if answer.body:
        found.judged = True
        try:
            answer.json()
        except NotJson as exc:
            yield f"the body is not JSON: {exc}."


def _json(
    _: Session, answer: Answer, expected: list[Mapping[str, Any]], found: Findings
) -> Iterator[str]:
    value = _value(answer)
    for rule in expected:
        judged, faults = judge(value, rule)
        found.judged |= judged
        yield from faults


def _check(_: Session, answer: Answer, expected: list[str], found: Findings) -> Iterator[str]:
    value = _value(answer)
    for said in (said for name in expected for said in JSON_CHECKS[name](value)):
        found.judged = True
        if said != SOUND:
            yield said


def _headers(
    session: Session, answer: Answer, expected: Mapping[str, str | None], found: Findings
) -> Iterator[str]:
    if answer.status >= 400:  # what was refused allows nothing; another case tells of that
        return
    if "Vary" in expected and answer.header("Access-Control-Allow-Origin") == "*":
        found.unjudged = "Every origin gets the same answer, which therefore need not vary."
        return
    found.judged = True
    for name, pattern in expected.items():
        value = answer.header(name)
        if pattern is None and value:
            yield f"the header {name} is there."
        elif pattern == "{{origin}}" and value not in (session.target.cors_origin, "*"):
            yield f"the header {name} does not name the origin that asked."
        elif pattern and pattern != "{{origin}}" and not re.search(pattern, value, re.IGNORECASE):
            yield f"the header {name} does not match {pattern}."


def _empty_body(_: Session, answer: Answer, expected: bool, found: Findings) -> Iterator[str]:
    if answer.status not in REFUSALS:  # that is for another case to tell
        return
    found.judged = True
    if answer.body.strip() and expected:
        yield f"the body has {len(answer.body)} bytes; it has to tell nothing."


def _within_budget(
    session: Session, answer: Answer, expected: bool, found: Findings
) -> Iterator[str]:
    found.judged = True
    if answer.elapsed_ms > session.target.time_budget_ms:
        budget_ms = session.target.time_budget_ms
        yield f"took {answer.elapsed_ms:.0f} ms; {budget_ms:.0f} ms are asked for."


def _same_cards(session: Session, answer: Answer, expected: bool, found: Findings) -> Iterator[str]:
    if answer.status == 200 and not session.cards and _cards(answer) == []:
        found.unjudged = "There are no cards that could differ."
        return
    found.judged = True
    if answer.status != 200:
        yield f"status {answer.status}; with the same data prefetched it was 200."
    elif _gist(_cards(answer)) != _gist(session.cards) and not _same_by_now(session, answer):
        yield "the cards differ in summary or indicator from those for the same data."


def _same_by_now(session: Session, answer: Answer) -> bool:
    """Ask once more with prefetch: since the first answer data got older, and a risk with them."""
    request = session.hook_request()
    now = session.post(session.service_url, request, "POST cds-services/{id}")
    return now.status == 200 and _gist(_cards(answer)) == _gist(_cards(now))


def _gist(cards: Any) -> list[tuple[Any, Any]]:
    return [(one.get("summary"), one.get("indicator")) for one in dicts(cards)]


def _cards(answer: Answer) -> Any:
    value = _value(answer)
    return value.get("cards") if isinstance(value, dict) else None


def _fhir(session: Session, answer: Answer, expected: str, found: Findings) -> Iterator[str]:
    home = [one for one in session.endpoint.seen("home") if one.fhir]
    judged, faults = FHIR_LOGS[expected](session, home)
    found.judged |= judged
    yield from faults


_EXPECTATIONS: Mapping[str, Callable[[Session, Answer, Any, Findings], Iterator[str]]] = {
    "status": _status,
    "status_not": _status_not,
    "refused_with": _refused_with,
    "missing_data": _missing_data,
    "not_silent": _not_silent,
    "content_type": _content_type,
    "is_json": _is_json,
    "json": _json,
    "check": _check,
    "headers": _headers,
    "empty_body": _empty_body,
    "within_budget": _within_budget,
    "same_cards": _same_cards,
    "fhir": _fhir,
}


def _value(answer: Answer) -> Any:
    try:
        return answer.json()
    except NotJson as exc:
        raise NotRunnable("skip", f"{answer.what}: the answer is not JSON.") from exc
