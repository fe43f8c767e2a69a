"""CDS cards as the specification has them. A card that it forbids cannot be made.

Optional members without a value are left out; the specification forbids null and empty ones.
https://cds-hooks.hl7.org/2.0/#cds-service-response
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from cds_hooks.errors import InvalidCard

Indicator = Literal["info", "warning", "critical"]
SUMMARY_LIMIT = 140  # the summary has to be shorter
_EXTENSION_KEY = re.compile(r"[a-z]+(\.[\w-]+)+")
_RELATIVE_REFERENCE = re.compile(r"[A-Za-z]+/[A-Za-z0-9\-.]{1,64}")
_INDICATORS = ("info", "warning", "critical")
_SELECTION = ("at-most-one", "any")
_ACTION_SELECTION = ("all", "any", "at-most-one")


@dataclass(frozen=True, slots=True)
class Coding:
    """A code of a system. ``display`` is required in override reasons only."""

    code: str
    system: str
    display: str = ""

    def to_json(self) -> dict[str, Any]:
        """The JSON object."""
        _need(self.code and self.system, "a coding needs code and system")
        return _present(code=self.code, system=self.system, display=self.display)


@dataclass(frozen=True, slots=True)
class Source:
    """Who stands behind a card."""

    label: str
    url: str = ""
    icon: str = ""
    topic: Coding | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON object. Raises InvalidCard."""
        _need(self.label, "source.label is required")
        for name, url in (("url", self.url), ("icon", self.icon)):
            _need(not url or _is_absolute(url), f"source.{name} has to be an absolute URL")
        topic = self.topic.to_json() if self.topic else None
        return _present(label=self.label, url=self.url, icon=self.icon, topic=topic)


@dataclass(frozen=True, slots=True)
class Link:
    """A page behind the card, or a SMART app."""

    label: str
    url: str
    type: Literal["absolute", "smart"] = "absolute"
    app_context: str = ""  # for SMART apps only; no patient data
    autolaunchable: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """The JSON object. Raises InvalidCard."""
        _need(self.label, "link.label is required")
        _need(_is_absolute(self.url), "link.url has to be an absolute URL")
        _need(self.type in ("absolute", "smart"), "link.type is absolute or smart")
        _need(self.type == "smart" or not self.app_context, "appContext is for smart links only")
        return _present(
            label=self.label,
            url=self.url,
            type=self.type,
            appContext=self.app_context,
            autolaunchable=self.autolaunchable,
        )


@dataclass(frozen=True, slots=True)
class Action:
    """A change of the chart that a clinician may accept."""

    type: Literal["create", "update", "delete"]
    description: str
    resource: Mapping[str, Any] | None = None
    resource_id: str = ""  # "ServiceRequest/1", for delete

    def to_json(self) -> dict[str, Any]:
        """The JSON object. Raises InvalidCard."""
        _need(self.type in ("create", "update", "delete"), "action.type is unknown")
        _need(self.description, "action.description is required")
        if self.type == "delete":
            _need(self.resource is None, "a delete action carries no resource")
            _need(
                _RELATIVE_REFERENCE.fullmatch(self.resource_id),
                "a delete action names a relative reference in resourceId",
            )
        else:
            resource = self.resource or {}
            _need(resource.get("resourceType"), f"a {self.type} action carries a whole resource")
            _need(self.type == "create" or resource.get("id"), "an updated resource needs its id")
            _need(not self.resource_id, f"a {self.type} action has no resourceId")
            _refuse_empty(resource, "action.resource")
        return _present(
            type=self.type,
            description=self.description,
            resource=self.resource,
            resourceId=self.resource_id,
        )


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Actions that belong together, accepted by one click."""

    label: str
    uuid: str
    actions: tuple[Action, ...] = ()
    is_recommended: bool | None = None
    action_selection_behavior: str = ""  # v3, only for clients known to support it

    def to_json(self) -> dict[str, Any]:
        """The JSON object. Raises InvalidCard."""
        _need(self.label and self.uuid, "a suggestion needs label and uuid")
        behavior = self.action_selection_behavior
        _need(not behavior or behavior in _ACTION_SELECTION, "actionSelectionBehavior is unknown")
        return _present(
            label=self.label,
            uuid=self.uuid,
            isRecommended=self.is_recommended,
            actions=[action.to_json() for action in self.actions],
            actionSelectionBehavior=behavior,
        )


@dataclass(frozen=True, slots=True)
class Card:
    """One piece of advice."""

    uuid: str
    summary: str
    indicator: Indicator
    source: Source
    detail: str = ""  # GitHub-Flavored Markdown; all text from data is escaped
    suggestions: tuple[Suggestion, ...] = ()
    selection_behavior: str = ""
    override_reasons: tuple[Coding, ...] = ()
    links: tuple[Link, ...] = ()
    extension: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.to_json()  # an invalid card does not come into being

    def to_json(self) -> dict[str, Any]:
        """The JSON object. Raises InvalidCard."""
        _check_summary(self.summary)
        _need(self.uuid, "card.uuid is always sent: without it there is no feedback")
        _need(self.indicator in _INDICATORS, "card.indicator is info, warning or critical")
        self._check_selection()
        for reason in self.override_reasons:
            _need(reason.display, "an override reason needs a display")
        for key in self.extension:
            _need(_EXTENSION_KEY.fullmatch(key), f"extension {key}: expected a reversed domain")
        _refuse_empty(self.extension, "card.extension", top=True)
        return _present(
            uuid=self.uuid,
            summary=self.summary,
            detail=self.detail,
            indicator=self.indicator,
            source=self.source.to_json(),
            suggestions=[suggestion.to_json() for suggestion in self.suggestions],
            selectionBehavior=self.selection_behavior,
            overrideReasons=[reason.to_json() for reason in self.override_reasons],
            links=[link.to_json() for link in self.links],
            extension=self.extension,
        )

    def _check_selection(self) -> None:
        if not self.suggestions:
            _need(not self.selection_behavior, "selectionBehavior is for cards with suggestions")
            return
        _need(
            self.selection_behavior in _SELECTION,
            "a card with suggestions needs selectionBehavior at-most-one or any",
        )
        recommended = sum(1 for one in self.suggestions if one.is_recommended)
        _need(
            self.selection_behavior == "any" or recommended <= 1,
            "at-most-one allows at most one recommended suggestion",
        )


def cards_response(
    cards: tuple[Card, ...],
    system_actions: tuple[Action, ...] = (),
    *,
    action_selection_supported: bool = False,
) -> dict[str, Any]:
    """The body of an answer. ``cards`` may be empty: nothing to advise. Raises InvalidCard."""
    uuids = [card.uuid for card in cards]
    uuids += [suggestion.uuid for card in cards for suggestion in card.suggestions]
    _need(len(set(uuids)) == len(uuids), "uuids of cards and suggestions have to be unique")
    uses = any(one.action_selection_behavior for card in cards for one in card.suggestions)
    _need(
        action_selection_supported or not uses,
        "actionSelectionBehavior is only for clients that are known to support it",
    )
    answer: dict[str, Any] = {"cards": [card.to_json() for card in cards]}
    if system_actions:
        answer["systemActions"] = [action.to_json() for action in system_actions]
    return answer


def _check_summary(summary: str) -> None:
    length = len(summary.encode("utf-16-le")) // 2  # as a JavaScript client counts
    _need(0 < length < SUMMARY_LIMIT, f"card.summary has {length} characters, expected 1 to 139")
    _need(summary.isprintable(), "card.summary holds a line break or a control character")


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value or value is False}


def _refuse_empty(value: Any, path: str, *, top: bool = False) -> None:
    if value is None or (not top and value in ("", [], {}, ())):
        raise InvalidCard(f"{path} is null or empty")
    children = value.items() if isinstance(value, Mapping) else ()
    if isinstance(value, list | tuple):
        children = enumerate(value)  # type: ignore[assignment]
    for name, child in children:
        _refuse_empty(child, f"{path}.{name}")


def _is_absolute(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("https", "http") and bool(parts.hostname)


def _need(condition: object, message: str) -> None:
    if not condition:
        raise InvalidCard(message)
