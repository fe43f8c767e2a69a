"""What a card shows of the library."""

from __future__ import annotations

from dataclasses import dataclass

from cds_hooks.cards import Suggestion


@dataclass(frozen=True, slots=True)
class NextSteps:
    """A block of the card's text, and suggestions. Both may be empty."""

    paragraphs: tuple[str, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()


NONE = NextSteps()
