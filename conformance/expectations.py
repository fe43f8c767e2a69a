"""What a case expects of an answer. All findings are collected, not only the first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance.bodies import one_missing
from conformance.checks import JSON_CHECKS
from conformance.endpoint import JWKS_PATH, NEXT_PAGE, Seen
from conformance.exchange import Answer, NotJson
from conformance.predicates import judge
from conformance.session import NotRunnable, Session


@dataclass(slots=True)
class Findings:
    """What was found so far. ``judged``: whether any expectation met something to judge."""

    sentences: list[str] = field(default_factory=list)
    judged: bool = False


def examine(session: Session, answer: Answer, expect: Mapping[str, Any], found: Findings) -> None:
    """Add to the findings what is not as a step expects it. Raises NotRunnable."""
    for name, expected in expect.items():
        faults = list(_EXPECTATIONS[name](session, answer, expected, found))
        found.sentences += [f"{answer.what}: {fault}" for fault in faults]


def _status(_: Session, answer: Answer, expected: list[int], found: Findings) -> Iterator[str]:
    found.judged = True
    if answer.status not in expected:
        yield f"status {answer.status} instead of {' or '.join(map(str, expected))}."


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
    found.judged = True
    for name in expected:
        yield from JSON_CHECKS[name](value)


def _headers(
    session: Session, answer: Answer, expected: Mapping[str, str | None], found: Findings
) -> Iterator[str]:
    if answer.status >= 400:  # what was refused allows nothing; another case tells of that
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
    if answer.status != 401:  # that is for another case to tell
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
    found.judged = True
    if answer.status != 200:
        yield f"status {answer.status}; with the same data prefetched it was 200."
    elif _gist(_value(answer).get("cards")) != _gist(session.cards):
        yield "the cards differ in summary or indicator from those for the same data."


def _gist(cards: Any) -> list[tuple[Any, Any]]:
    held = cards if isinstance(cards, list) else []
    return [(one.get("summary"), one.get("indicator")) for one in held if isinstance(one, dict)]


def _fhir(session: Session, answer: Answer, expected: str, found: Findings) -> Iterator[str]:
    home = [one for one in session.endpoint.seen("home") if one.fhir]
    judged, faults = _FHIR_LOGS[expected](session, home)
    found.judged |= judged
    yield from faults


def _bearer(session: Session, home: list[Seen]) -> tuple[bool, list[str]]:
    right = f"Bearer {session.access_token}"
    wrong = [one for one in home if one.authorization != right]
    fault = f"{len(wrong)} of {len(home)} FHIR requests came without the access token."
    return bool(home), [fault] if wrong else []


def _only_reads(_: Session, home: list[Seen]) -> tuple[bool, list[str]]:
    methods = sorted({one.method for one in home} - {"GET"})
    return bool(home), [f"the FHIR server was asked by {', '.join(methods)}."] if methods else []


def _no_given(session: Session, home: list[Seen]) -> tuple[bool, list[str]]:
    """Keys that were sent in any form are not fetched again."""
    left_out = one_missing(session)
    given = {_plain(query) for key, query in session.queries.items() if key != left_out}
    again = [one for one in home if _plain(one.query) in given]
    return True, [
        f"{len(again)} prefetch keys were fetched though they were sent."
    ] if again else []


def _no_query(session: Session, home: list[Seen]) -> tuple[bool, list[str]]:
    queries = {_plain(query) for query in session.queries.values()}
    again = [one for one in home if _plain(one.query) in queries]
    return True, [
        f"{len(again)} prefetch keys were fetched though they were sent."
    ] if again else []


def _none(_: Session, home: list[Seen]) -> tuple[bool, list[str]]:
    return True, [f"{len(home)} FHIR requests were made."] if home else []


def _some(_: Session, home: list[Seen]) -> tuple[bool, list[str]]:
    return True, [] if home else ["no FHIR request was made for data that were not prefetched."]


def _next_page(_: Session, home: list[Seen]) -> tuple[bool, list[str]]:
    followed = any(NEXT_PAGE in one.query for one in home)
    return True, [] if followed else ["the next page of a prefetched Bundle was not read."]


def _token_stays_home(session: Session, home: list[Seen]) -> tuple[bool, list[str]]:
    carried = [
        one for one in session.endpoint.seen("foreign") if session.access_token in one.authorization
    ]
    fault = "the access token went to another origin than that of fhirServer."
    return bool(home), [fault] if carried else []


def _nothing_foreign(session: Session, _: list[Seen]) -> tuple[bool, list[str]]:
    called = [one for one in session.endpoint.seen("foreign") if one.query != JWKS_PATH]
    return True, ["a server that is not agreed upon was called."] if called else []


def _no_foreign_keys(session: Session, _: list[Seen]) -> tuple[bool, list[str]]:
    called = [one for one in session.endpoint.seen("foreign") if one.query == JWKS_PATH]
    return True, ["a JWK Set at an address that is not agreed upon was fetched."] if called else []


_FHIR_LOGS: Mapping[str, Callable[[Session, list[Seen]], tuple[bool, list[str]]]] = {
    "bearer": _bearer,
    "only-reads": _only_reads,
    "only-what-is-missing": _no_given,
    "nothing-again": _no_query,
    "none": _none,
    "some": _some,
    "next-page": _next_page,
    "token-stays-home": _token_stays_home,
    "nothing-foreign": _nothing_foreign,
    "no-foreign-keys": _no_foreign_keys,
}
_EXPECTATIONS: Mapping[str, Callable[[Session, Answer, Any, Findings], Iterator[str]]] = {
    "status": _status,
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


def _plain(query: str) -> str:
    path, _, words = query.partition("?")
    return f"{path}?{'&'.join(sorted(words.replace('%2C', ',').replace('%7C', '|').split('&')))}"


def _value(answer: Answer) -> Any:
    try:
        return answer.json()
    except NotJson as exc:
        raise NotRunnable("skip", f"{answer.what}: the answer is not JSON.") from exc
