"""How long a server asks its clients to pause: Retry-After and the RateLimit header families."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping
from datetime import datetime

_EPOCH_THRESHOLD_S = 1_000_000_000  # a reset above this is a moment, not a number of seconds


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the pause that a refused request asks for, or None if it names none."""
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    if text:
        try:
            moment = email.utils.parsedate_to_datetime(text)
        except ValueError:
            return _reset_s(headers, now)
        return max(0.0, moment.timestamp() - now.timestamp())
    return _reset_s(headers, now)


def pause_s(headers: Mapping[str, str], now: datetime) -> float:
    """Return the pause before the next request: more than 0 only if no request is left."""
    remaining = _number(headers, "Remaining", ("r", "remaining"))
    if remaining is None or remaining > 0:
        return 0.0
    return _reset_s(headers, now) or 0.0


def _reset_s(headers: Mapping[str, str], now: datetime) -> float | None:
    reset = _number(headers, "Reset", ("t", "reset"))
    if reset is not None and reset > _EPOCH_THRESHOLD_S:
        return max(0.0, reset - now.timestamp())
    return reset


def _number(headers: Mapping[str, str], suffix: str, keys: tuple[str, ...]) -> float | None:
    """Read RateLimit-<suffix>, X-RateLimit-<suffix>, or a parameter of the one RateLimit header."""
    for name in (f"RateLimit-{suffix}", f"X-RateLimit-{suffix}", f"X-Rate-Limit-{suffix}"):
        found = re.match(r"\s*(\d+(?:\.\d+)?)", headers.get(name, ""))
        if found:
            return float(found[1])
    combined = headers.get("RateLimit", "")
    found = re.search(rf"(?:^|[;,\s])(?:{'|'.join(keys)})\s*=\s*(\d+)", combined)
    return float(found[1]) if found else None
