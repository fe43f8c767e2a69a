"""Numbers, units and times as the page prints them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

# UCUM as people write it. Annotations in braces are no units.
_UNITS = {
    "mm[Hg]": "mmHg",
    "Cel": "°C",
    "10*3/uL": "×10³/µL",
    "/min": "/min",
    "uS": "µS",
    "a": "years",
    "[pH]": "",
}
_SMALLEST = 1e-6  # nothing is measured below; zeros would fill a line
_SIGNIFICANT = 3  # digits of a measured number, as on the card
MINUS = "\N{MINUS SIGN}"
PERCENT = "\N{NO-BREAK SPACE}%"


def unit_text(unit: str) -> str:
    """Return a UCUM unit as people write it, "" for one that is none."""
    if unit in _UNITS:
        return _UNITS[unit]
    return "" if unit.startswith("{") else unit


def value_text(value: float, unit: str) -> str:
    """Return "2.4 mmol/L", "88 /min", "yes": four significant digits at most."""
    if unit == "{bool}":
        return "yes" if value >= 0.5 else "no"
    shown = number(math.floor(value) if unit == "a" else value)  # a birthday counts whole
    return f"{shown} {unit_text(unit)}".strip()


def number(value: float) -> str:
    """Return a measured number in three significant digits, or all before the point."""
    size = abs(value)
    if 0 < size < _SMALLEST:
        return "almost 0"
    digits = 0 if size >= 100 or not size else _SIGNIFICANT - 1 - math.floor(math.log10(size))
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return _with_minus("0" if text == "-0" else text)


def signed(value: float, digits: int = 2) -> str:
    """Return "+0.42" or "−0.42", with a real minus sign; what rounds to nothing has none."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else _with_minus(text)


def logit_text(value: float, standard_error: float) -> str:
    """Return "+0.42 ± 0.03"; an error that rounds to nothing is "<0.01"."""
    error = f"{standard_error:.2f}" if standard_error >= 0.005 or not standard_error else "<0.01"
    return f"{signed(value)} ± {error}"


def percent(share: float) -> str:
    """Return a probability in words of one size: "23 %", "3.4 %", "under 0.1 %"."""
    if share < 0.001:
        return f"under 0.1{PERCENT}"
    if share > 0.999:
        return f"over 99.9{PERCENT}"
    digits = 0 if 0.1 <= share <= 0.9 else 1
    return f"{100 * share:.{digits}f}{PERCENT}"


@dataclass(frozen=True, slots=True)
class PageClock:
    """How a page writes times: always with their zone, the one that the cards use."""

    now: datetime  # of the prediction
    zone: tzinfo = UTC

    def at(self, time: datetime) -> str:
        """Return "23 Nov 2026, 07:40 CET"."""
        return f"{time.astimezone(self.zone):%-d %b %Y, %H:%M %Z}"

    def short(self, time: datetime) -> str:
        """Return "23 Nov 07:40 CET"."""
        return f"{time.astimezone(self.zone):%-d %b %H:%M %Z}"

    def with_age(self, time: datetime) -> str:
        """Return "23 Nov 2026, 07:40 CET (2 h before)"."""
        return f"{self.at(time)} ({self._age(time)})"

    def span(self, start: datetime, end: datetime) -> str:
        """Return "23 Nov 06:00 to 12:00 CET", with the zone of the begin where it is another."""
        first, last = start.astimezone(self.zone), end.astimezone(self.zone)
        zone = "" if first.tzname() == last.tzname() else f" {first:%Z}"
        return f"{first:%-d %b %H:%M}{zone} to {last:%H:%M %Z}"

    def _age(self, time: datetime) -> str:
        """Return "40 min before", "7 h before", "3 days before": whole ones, as on the card."""
        minutes = max(0, int((self.now - time).total_seconds() // 60))
        if minutes < 60:
            return f"{minutes} min before"
        if minutes < 48 * 60:
            return f"{minutes // 60} h before"
        return f"{minutes // (24 * 60)} days before"


def _with_minus(text: str) -> str:
    return text.replace("-", MINUS, 1) if text.startswith("-") else text
