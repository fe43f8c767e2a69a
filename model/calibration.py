"""From a logit to what may be said: a calibrated probability and a conformal set.

Both are fitted on tuning data for each availability pattern (which modalities a record holds)
where that has enough cases, else pooled. Fitting is part of training; this is its result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model.prediction import Modality, RiskGroup

NO_MODALITY = "none"


def availability_pattern(available: tuple[Modality, ...]) -> str:
    """Return the key of a pattern: "structured+note", "device", "none"."""
    return "+".join(m for m in ("structured", "note", "device") if m in available) or NO_MODALITY


@dataclass(frozen=True, slots=True)
class LogitMap:
    """probability = sigmoid(logit / temperature + intercept)."""

    temperature: float
    intercept: float
    cases: int = 0  # tuning cases that it was fitted on
    events: int = 0

    def probability(self, logit: float) -> float:
        """Return the calibrated probability, strictly between 0 and 1 for finite logits."""
        z = max(-700.0, min(700.0, logit / self.temperature + self.intercept))
        return 1.0 / (1.0 + math.exp(-z))


@dataclass(frozen=True, slots=True)
class Calibration:
    """The maps of one task."""

    pooled: LogitMap
    by_pattern: Mapping[str, LogitMap] = field(default_factory=dict)

    def probability(self, logit: float, pattern: str) -> float:
        """Use the pattern's own map where there is one."""
        return self.by_pattern.get(pattern, self.pooled).probability(logit)

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers for calibration.json."""
        return {
            "pooled": _map_to_json(self.pooled),
            "by_pattern": {key: _map_to_json(value) for key, value in self.by_pattern.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        """Inverse of to_json."""
        patterns = {key: LogitMap(**value) for key, value in data["by_pattern"].items()}
        return cls(LogitMap(**data["pooled"]), patterns)


def _map_to_json(value: LogitMap) -> dict[str, float]:
    return {
        "temperature": value.temperature,
        "intercept": value.intercept,
        "cases": value.cases,
        "events": value.events,
    }


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Largest nonconformity (1 - probability of the outcome) still inside the set, by outcome."""

    no_event: float
    event: float


@dataclass(frozen=True, slots=True)
class ConformalSets:
    """Mondrian split conformal sets of one task: coverage holds within each outcome."""

    alpha: float  # share of cases whose outcome may fall outside
    pooled: Thresholds
    by_pattern: Mapping[str, Thresholds] = field(default_factory=dict)

    def members(self, probability: float, pattern: str) -> tuple[bool, bool]:
        """Return whether "no event" and "event" are in the set; at least one always is.

        A set may come out empty where the classes are far apart. The more conforming outcome is
        then kept: a larger set cannot cover less.
        """
        limit = self.by_pattern.get(pattern, self.pooled)
        slack_no_event = limit.no_event - probability
        slack_event = limit.event - (1.0 - probability)
        if slack_no_event < 0 and slack_event < 0:
            return slack_no_event >= slack_event, slack_event > slack_no_event
        return slack_no_event >= 0, slack_event >= 0

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers for conformal.json."""
        return {
            "alpha": self.alpha,
            "pooled": [self.pooled.no_event, self.pooled.event],
            "by_pattern": {key: [t.no_event, t.event] for key, t in self.by_pattern.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ConformalSets:
        """Inverse of to_json."""
        patterns = {key: Thresholds(*pair) for key, pair in data["by_pattern"].items()}
        return cls(data["alpha"], Thresholds(*data["pooled"]), patterns)


def risk_group(members: tuple[bool, bool]) -> RiskGroup:
    """Name the set: only "no event" is low, only "event" is high, both is uncertain."""
    no_event, event = members
    if no_event and event:
        return "uncertain"
    return "high" if event else "low"
