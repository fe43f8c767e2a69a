"""One deadline for a whole hook request, shared by everything that fetches for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from fhir_adapters.errors import FhirTimeout


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on a clock that only goes forward. Background work uses ``after(math.inf)``."""

    at_s: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> Deadline:
        return cls(clock() + seconds, clock)

    def remaining_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at_s - self.clock())

    @property
    def expired(self) -> bool:
        return self.remaining_s() == 0.0

    def require(self, what: str) -> float:
        """Return the seconds left, more than 0; raise FhirTimeout naming ``what`` if none are."""
        remaining = self.remaining_s()
        if remaining == 0.0:
            raise FhirTimeout(f"{what}: no answer within the time allowed for this request")
        return remaining
