"""Cards of an answer, read with suspicion: what is not as the specification says is a finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from conformance.ehr.safe_markdown import plain, to_html, web_address
from conformance.ehr.shapes import object_of, objects_of

_INDICATORS = ("info", "warning", "critical")
_BEHAVIORS = ("any", "at-most-one")


@dataclass(frozen=True, slots=True)
class Link:
    """A link that may be shown."""

    label: str
    url: str
    type: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A suggestion with its actions as the service sent them."""

    uuid: str
    label: str
    recommended: bool
    actions: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class OverrideReason:
    """A reason that the service offers for not following a card."""

    code: str
    system: str
    display: str


@dataclass(frozen=True, slots=True)
class Card:
    """One card, ready to be shown."""

    uuid: str
    summary: str
    detail_markdown: str
    indicator: str  # "unknown" for one that the specification does not name
    source_label: str
    source_url: str | None
    links: tuple[Link, ...]
    suggestions: tuple[Suggestion, ...]
    selection_behavior: str  # "any" or "at-most-one", or what no client may act on
    override_reasons: tuple[OverrideReason, ...]

    @property
    def acceptable(self) -> bool:
        """Whether suggestions may be accepted: with a selectionBehavior that a client does not
        understand, it must treat the card as an error (CDS Hooks 2.0, Card Attributes)."""
        return self.selection_behavior in _BEHAVIORS

    @property
    def detail(self) -> Markup:
        """The detail as harmless HTML."""
        return to_html(self.detail_markdown)


def cards_of(answer: object) -> tuple[tuple[Card, ...], tuple[str, ...]]:
    """Return the cards that can be shown, and a sentence for each fault of the answer."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("cards"), list):
        return (), ("The answer is not an object with an array 'cards'.",)
    cards, faults = [], []
    for number, raw in enumerate(answer["cards"], start=1):
        fault = _fault(raw)
        if fault:
            faults.append(f"Card {number} {fault}")
        if isinstance(raw, Mapping):
            cards.append(_card(raw))
    return tuple(cards), tuple(faults)


def _fault(raw: object) -> str:
    if not isinstance(raw, Mapping):
        return "is not an object."
    if not isinstance(raw.get("summary"), str) or not raw["summary"]:
        return "has no summary."
    if len(raw["summary"]) >= 140:
        return f"has a summary of {len(raw['summary'])} characters; fewer than 140 are allowed."
    if raw.get("indicator") not in _INDICATORS:
        return "has no indicator among info, warning and critical."
    if not object_of(raw.get("source")).get("label"):
        return "has no source.label."
    if raw.get("suggestions") and raw.get("selectionBehavior") not in _BEHAVIORS:
        return "has suggestions and no selectionBehavior among any and at-most-one."
    return ""


def _card(raw: Mapping[str, Any]) -> Card:
    source = object_of(raw.get("source"))
    indicator = raw.get("indicator")
    return Card(
        uuid=plain(raw.get("uuid", "")),
        summary=plain(raw.get("summary", "")),
        detail_markdown=plain(raw.get("detail", "")),
        indicator=indicator if indicator in _INDICATORS else "unknown",
        source_label=plain(source.get("label", "unnamed source")),
        source_url=web_address(source.get("url", "")),
        links=tuple(link for one in objects_of(raw.get("links")) if (link := _link(one))),
        suggestions=tuple(_suggestion(one) for one in objects_of(raw.get("suggestions"))),
        selection_behavior=plain(raw.get("selectionBehavior", "")),
        override_reasons=tuple(_reason(one) for one in objects_of(raw.get("overrideReasons"))),
    )


def _link(raw: Mapping[str, Any]) -> Link | None:
    url = web_address(raw.get("url", ""))
    if url is None:  # an EHR drops what it may not open
        return None
    return Link(plain(raw.get("label", url)), url, plain(raw.get("type", "")))


def _suggestion(raw: Mapping[str, Any]) -> Suggestion:
    return Suggestion(
        uuid=plain(raw.get("uuid", "")),
        label=plain(raw.get("label", "")),
        recommended=raw.get("isRecommended") is True,
        actions=tuple(objects_of(raw.get("actions"))),
    )


def _reason(raw: Mapping[str, Any]) -> OverrideReason:
    code, system = plain(raw.get("code", "")), plain(raw.get("system", ""))
    return OverrideReason(code, system, plain(raw.get("display", code)))
