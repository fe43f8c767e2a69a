"""What a card shows of the library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cds_hooks.cards import Suggestion


@dataclass(frozen=True, slots=True)
class NextSteps:
    """A block of the card's text, and suggestions. Both may be empty."""

    paragraphs: tuple[str, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    step_ids: Mapping[str, str] = field(default_factory=dict)  # by the suggestion's uuid


NONE = NextSteps()
