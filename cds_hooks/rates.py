"""Counts of cards and the rates that follow from them, with 95 % intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

_Z_95 = 1.959963984540054  # the 97.5 % quantile of the normal distribution


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of ``of`` with its 95 % interval; nothing is known where ``of`` is 0."""

    count: int
    of: int

    def interval(self) -> tuple[float, float] | None:
        """Wilson's interval, which holds for small counts and for shares of 0 and 1."""
        if self.of == 0:
            return None
        share, z2 = self.count / self.of, _Z_95**2
        middle = share + z2 / (2 * self.of)
        spread = _Z_95 * math.sqrt(share * (1 - share) / self.of + z2 / (4 * self.of**2))
        whole = 1 + z2 / self.of
        return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)

    def to_json(self) -> dict[str, Any]:
        """Count and base; share and interval only where there is a base."""
        interval = self.interval()
        if interval is None:
            return {"count": self.count, "of": self.of}
        low, high = (round(end, 4) for end in interval)
        share = round(self.count / self.of, 4)
        return {"count": self.count, "of": self.of, "share": share, "low": low, "high": high}


@dataclass(slots=True)
class Tally:
    """Cards of one group."""

    cards: int = 0
    accepted: int = 0
    overridden: int = 0

    @property
    def answered(self) -> int:
        """Cards with feedback."""
        return self.accepted + self.overridden

    def add(self, outcome: str | None) -> None:
        """Count a card; ``outcome`` None: no feedback came."""
        self.cards += 1
        self.accepted += outcome == "accepted"
        self.overridden += outcome == "overridden"

    def rates(self) -> dict[str, Rate]:
        """Answered of all cards, accepted and overridden of those answered."""
        return {
            "answered": Rate(self.answered, self.cards),
            "accepted": Rate(self.accepted, self.answered),
            "overridden": Rate(self.overridden, self.answered),
        }


@dataclass(slots=True)
class StepTally:
    """Cards that offered one next step."""

    cards: int = 0
    answered: int = 0  # of these cards, whatever was said about the other steps
    accepted: int = 0  # of these, with this step among the accepted suggestions

    def add(self, *, answered: bool, accepted: bool) -> None:
        """Count a card."""
        self.cards += 1
        self.answered += answered
        self.accepted += accepted

    def rates(self) -> dict[str, Rate]:
        """Answered of all cards that offered it, accepted of those answered."""
        return {
            "answered": Rate(self.answered, self.cards),
            "accepted": Rate(self.accepted, self.answered),
        }
