"""Checks that no path and predicate can say.

A check of JSON yields a text for each thing that its rule is about: a sentence where that is at
fault, SOUND where it is not. One that yields nothing met nothing to judge.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from markdown_it import MarkdownIt

from conformance.exchange import Answer
from conformance.json_path import dicts
from conformance.secrets_in_text import holds_jwt
from conformance.session import Session

SOUND = ""
_SPEC_TOKENS = {"userPractitionerId", "userPractitionerRoleId", "userPatientId"} | {
    *("userRelatedPersonId", "context.userId", "context.patientId", "context.encounterId"),
}
_TOKEN = re.compile(r"\{\{(.*?)\}\}")
_VARIABLE = re.compile(r"%([A-Za-z_][\w-]*)")
_SPECIAL_WORDS = {"_id", "_count", "_sort"}
_SPECIAL_WORDS_OF_3 = {*_SPECIAL_WORDS, "_maxresults"}
_OTHER_PREFIX = re.compile(r"(ne|sa|eb|ap)(\d{4}|\{\{)")  # of dates; the subset has five others
_MODIFIER = re.compile(r"[\w.-]+(:in)?")
_LONGEST_MARKDOWN = 50_000  # the parser's time grows with the square of some texts
_DEEPEST_MARKDOWN = 100  # as in the parser's original in JavaScript; deeper text is left out
# A reversed domain name, or an absolute URI.
_GLOBAL_NAME = re.compile(r"[A-Za-z][\w-]*(\.[\w-]+)+|[A-Za-z][A-Za-z0-9+.-]*:\S+")
_MAY_BE_EMPTY = ("$.cards", "$.services")


def no_empty_values(value: Any) -> Iterator[str]:
    """Yield members that are null or empty, save where the specification allows it."""
    yield SOUND  # any answer is something that could hold them
    yield from _empty(value, "$")


def templates_use_known_tokens(value: Any) -> Iterator[str]:
    """Yield templates whose tokens the client cannot fill by release 2.0.1."""
    for where, template in _templates(value):
        unknown = [token for token in _TOKEN.findall(template) if token.strip() not in _SPEC_TOKENS]
        fault = (
            f"{where} has the token {''.join(unknown[:1])}, which is no root-level context value."
        )
        yield fault if unknown else SOUND


def templates_stay_in_the_subset(value: Any) -> Iterator[str]:
    """Yield templates with words outside of the recommended query subset of 2.0.1."""
    yield from _outside(value, _SPECIAL_WORDS)


def templates_stay_in_the_subset_of_3(value: Any) -> Iterator[str]:
    """Yield templates with words outside of the recommended query subset of 3.0."""
    yield from _outside(value, _SPECIAL_WORDS_OF_3)


def _outside(value: Any, allowed: Collection[str]) -> Iterator[str]:
    for where, template in _templates(value):
        if "?" in template:
            yield SOUND
        for name, text in parse_qsl(_query(template), keep_blank_values=True):
            special = name.startswith("_") and name not in allowed
            if special or not _MODIFIER.fullmatch(name):
                yield f"{where} searches by {name}, which is outside of the query subset."
            if _OTHER_PREFIX.match(text):
                yield f"{where} compares by the prefix {text[:2]}, outside of the query subset."


def templates_are_relative(value: Any) -> Iterator[str]:
    """Yield templates with a scheme, a host or a path from the root."""
    for where, template in _templates(value):
        absolute = "://" in template or template.startswith("/")
        yield f"{where} is not relative to the FHIR server's base." if absolute else SOUND


def dependent_keys_come_later(value: Any) -> Iterator[str]:
    """Yield templates that use %key before that key is defined."""
    for service in _services(value):
        known: set[str] = set()
        for key, template in _of_service(service):
            named = {
                name for token in _TOKEN.findall(template) for name in _VARIABLE.findall(token)
            }
            for name in sorted(named):
                early = f"The template {key} uses %{name} before a key of that name."
                yield SOUND if name in known else early
            known.add(key)


def ids_are_unique_for_a_hook(value: Any) -> Iterator[str]:
    """Yield pairs of id and hook that stand twice."""
    pairs = [(one.get("id"), one.get("hook")) for one in _services(value)]
    for pair in sorted(set(map(str, pairs))):
        again = f"The pair of id and hook {pair} stands more than once."
        yield again if list(map(str, pairs)).count(pair) > 1 else SOUND


def no_raw_html(value: Any) -> Iterator[str]:
    """Yield cards whose detail holds raw HTML, as a client that renders Markdown would find it."""
    for index, card in enumerate(_cards(value)):
        detail = card.get("detail")
        if isinstance(detail, str):
            raw = f"$.cards[{index}].detail holds raw HTML, which some clients execute."
            yield raw if _holds_html(detail) else SOUND


def one_recommended_at_most(value: Any) -> Iterator[str]:
    """Yield cards for at most one suggestion that recommend several."""
    for index, card in enumerate(_cards(value)):
        offered = dicts(card.get("suggestions"))
        marked = [one for one in offered if one.get("isRecommended") is True]
        if card.get("selectionBehavior") == "at-most-one" and offered:
            several = f"$.cards[{index}] recommends {len(marked)} suggestions; one may be taken."
            yield several if len(marked) > 1 else SOUND


def card_uuids_are_unique(value: Any) -> Iterator[str]:
    """Yield uuids of cards and suggestions that stand twice."""
    found = [card.get("uuid") for card in _cards(value)]
    for card in _cards(value):
        found += [one.get("uuid") for one in dicts(card.get("suggestions"))]
    given = [one for one in found if one is not None]
    twice = len(given) > len(set(map(str, given)))
    if given:
        again = "A uuid of a card or suggestion stands more than once in the answer."
        yield again if twice else SOUND


def extensions_are_objects(value: Any) -> Iterator[str]:
    """Yield members named extension that are no objects."""
    for where, extension in _named(value, "extension", "$"):
        yield SOUND if isinstance(extension, dict) else f"{where} is not a JSON object."


def extension_names_are_global(value: Any) -> Iterator[str]:
    """Yield extensions with names that another party may have given to something else."""
    for where, extension in _named(value, "extension", "$"):
        for name in extension if isinstance(extension, dict) else ():
            local = (
                f"{where} has the name {name}, which is neither a reversed domain name nor a URI."
            )
            yield SOUND if _GLOBAL_NAME.fullmatch(name) else local


def autolaunchable_is_spelled_so(value: Any) -> Iterator[str]:
    """Yield links whose flag is written otherwise."""
    for index, card in enumerate(_cards(value)):
        for link in dicts(card.get("links")):
            for name in link:
                if name.lower() == "autolaunchable":
                    other = f"$.cards[{index}].links writes {name}; the name is autolaunchable."
                    yield SOUND if name == "autolaunchable" else other


JSON_CHECKS: Mapping[str, Callable[[Any], Iterator[str]]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        *(no_empty_values, templates_use_known_tokens, templates_stay_in_the_subset),
        *(templates_stay_in_the_subset_of_3, templates_are_relative),
        *(dependent_keys_come_later, ids_are_unique_for_a_hook),
        *(no_raw_html, one_recommended_at_most, card_uuids_are_unique, extensions_are_objects),
        *(extension_names_are_global, autolaunchable_is_spelled_so),
    )
}


def no_secret_in_answers(session: Session) -> Iterator[tuple[Answer, str]]:
    """Yield answers of this run that repeat the access token or a JWT."""
    for answer in session.wire.answers:
        if session.access_token.encode() in answer.body:
            yield (
                answer,
                f"{answer.what} repeated the access token in an answer of {answer.status}.",
            )
        if holds_jwt(answer.body.decode("utf-8", "replace")):
            yield answer, f"{answer.what} repeated a JWT in an answer of {answer.status}."


def no_stack_trace_in_answers(session: Session) -> Iterator[tuple[Answer, str]]:
    """Yield answers of this run that show the inside of the service."""
    traces = rb"Traceback \(most recent call last\)|\n[ \t]+at [\w.$<>]+\(|\.(?:py|js|java):\d+"
    for answer in session.wire.answers:
        if re.search(traces, answer.body):
            yield answer, f"{answer.what} answered {answer.status} with a stack trace."


def no_cards_with_an_error(session: Session) -> Iterator[tuple[Answer, str]]:
    """Yield errors that carry cards."""
    for answer in session.wire.answers:
        if answer.status >= 400 and b'"cards"' in answer.body:
            yield answer, f"{answer.what} answered {answer.status} with cards."


RUN_CHECKS: Mapping[str, Callable[[Session], Iterator[tuple[Answer, str]]]] = {
    function.__name__.replace("_", "-"): function
    for function in (no_secret_in_answers, no_stack_trace_in_answers, no_cards_with_an_error)
}


def icon_fault(content: bytes) -> str:
    """Return what is wrong with an icon, "" for a PNG of 100 by 100 without transparency."""
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 29:
        return "is not a PNG"
    width, height, _, colour = struct.unpack(">IIBB", content[16:26])
    if (width, height) != (100, 100):
        return f"has {width} by {height} pixels instead of 100 by 100"
    return "has an alpha channel" if colour in (4, 6) else ""


def _empty(value: Any, where: str) -> Iterator[str]:
    if value in (None, "", [], {}) and not isinstance(value, bool | int | float):
        if where not in _MAY_BE_EMPTY:
            yield f"{where} is {_empty_name(value)}; it has to be left out."
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _empty(member, f"{where}.{name}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _empty(member, f"{where}[{index}]")


def _empty_name(value: Any) -> str:
    return "null" if value is None else {"": "an empty string"}.get(str(value), "empty")


def _services(value: Any) -> list[dict[str, Any]]:
    return dicts(value.get("services")) if isinstance(value, dict) else []


def _of_service(service: Mapping[str, Any]) -> list[tuple[str, str]]:
    held = service.get("prefetch")
    pairs = held.items() if isinstance(held, dict) else ()
    return [(key, template) for key, template in pairs if isinstance(template, str)]


def _templates(value: Any) -> Iterator[tuple[str, str]]:
    for index, service in enumerate(_services(value)):
        for key, template in _of_service(service):
            yield f"$.services[{index}].prefetch.{key}", template


def _cards(value: Any) -> list[dict[str, Any]]:
    return dicts(value.get("cards")) if isinstance(value, dict) else []


def _query(template: str) -> str:
    return template.partition("#")[0].partition("?")[2]


def _holds_html(markdown: str) -> bool:
    parser = MarkdownIt("commonmark", {"html": True, "maxNesting": _DEEPEST_MARKDOWN})
    tokens = parser.enable(["table", "strikethrough"]).parse(markdown[:_LONGEST_MARKDOWN])
    kinds = {part.type for token in tokens for part in (token, *(token.children or ()))}
    return bool(kinds & {"html_block", "html_inline"})


def _named(value: Any, name: str, where: str) -> Iterator[tuple[str, Any]]:
    """Yield members of that name outside of FHIR resources, whose extensions are arrays."""
    if isinstance(value, dict) and "resourceType" not in value:
        for key, member in value.items():
            if key == name:
                yield f"{where}.{key}", member
            else:
                yield from _named(member, name, f"{where}.{key}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _named(member, name, f"{where}[{index}]")
