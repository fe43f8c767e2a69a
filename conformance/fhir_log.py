"""What a case expects of the FHIR requests that a service made to us while it answered.

Each function returns whether there was anything to judge, and a sentence for each fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, unquote

from conformance.bodies import one_missing
from conformance.endpoint import JWKS_PATH, NEXT_PAGE, READS, Seen
from conformance.session import Session

# Words that say how an answer is written or cut, and not what it is about.
_SHAPING = {"_format", "_pretty", "_count", "_sort", "_summary", "_elements"}


def _bearer(session: Session, home: list[Seen]) -> tuple[bool, list[str]]:
    right = f"Bearer {session.access_token}"
    wrong = [one for one in home if one.authorization != right]
    fault = f"{len(wrong)} of {len(home)} FHIR requests came without the access token."
    return bool(home), [fault] if wrong else []


def _only_reads(_: Session, home: list[Seen]) -> tuple[bool, list[str]]:
    methods = sorted({one.method for one in home}.difference(READS))
    return bool(home), [f"the FHIR server was asked by {', '.join(methods)}."] if methods else []


def _no_given(session: Session, home: list[Seen]) -> tuple[bool, list[str]]:
    """Keys that were sent in any form are not fetched again."""
    left_out = one_missing(session)
    given = {_plain(query) for key, query in session.queries.items() if key != left_out}
    given.discard(_plain(session.queries[left_out]))  # two keys may ask for the same
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


FHIR_LOGS: Mapping[str, Callable[[Session, list[Seen]], tuple[bool, list[str]]]] = {
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


def _plain(query: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return what is asked for, however it is written: path and search words in one order."""
    path, _, words = query.partition("?")
    pairs = parse_qsl(words, keep_blank_values=True)
    return unquote(path).strip("/"), tuple(sorted(one for one in pairs if one[0] not in _SHAPING))
