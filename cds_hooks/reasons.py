"""The reasons on a card: which tokens are shown, and how each is put into words.

A reason says direction, value, unit, time and source. What was not measured, and what a note
denies, is worded so that it cannot be read as a finding.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cds_hooks.escape import escaped
from cds_hooks.trends import trend_of
from model.prediction import (
    DeviceEvidence,
    Explanation,
    GroupAttribution,
    Modality,
    SentenceEvidence,
    StructuredEvidence,
    TokenAttribution,
)

MOST_REASONS = 5
_SENTENCE_LIMIT = 300
_NAME_LIMIT = 60
HEADINGS: dict[Modality, str] = {
    "structured": "Laboratory results, charted vital signs and background",
    "note": "Clinical notes",
    "device": "Monitor and wearable data",
}
_KINDS = {"structured": "charted data", "note": "notes", "device": "device data"}
_UNITS = {
    "mm[Hg]": "mmHg",
    "Cel": "°C",
    "10*3/uL": "×10³/µL",
    "uS": "µS",
    "/min": "per min",
    "a": "years",
    "[pH]": "",
    "1": "",
}
_LEAST_BALANCE = math.log(1.1)
_STRENGTHS = (  # by the factor on the odds that an attribution in logits amounts to
    (math.log(2.0), "Strongly"),
    (math.log(1.25), "Moderately"),
    (0.0, "Slightly"),
)
_SMALLEST = 1e-6  # nothing is measured below; zeros would fill a line
_UNTIMED_UNITS = frozenset({"{bool}"})
_ACRONYM = re.compile(r"\bicu\b")


@dataclass(frozen=True, slots=True)
class Moment:
    """The clock of a card: how times are written, and from when on a value is stale."""

    now: datetime
    zone: ZoneInfo
    stale_after: timedelta

    def words(self, time: datetime) -> str:
        """Time with its zone, and how long ago it is: "2026-11-23 07:40 UTC, 2 h ago"."""
        local = time.astimezone(self.zone)
        stale = ", stale" if self.stale(time) else ""
        return f"{local:%Y-%m-%d %H:%M %Z}, {_ago(self.now - time)}{stale}"

    def stale(self, time: datetime) -> bool:
        """Whether a value of this time is older than the site accepts as current."""
        return self.now - time > self.stale_after


def shown_tokens(explanation: Explanation) -> tuple[TokenAttribution, ...]:
    """The strongest tokens that stand out from their own estimation error, at most five."""
    clear = [
        token
        for token in explanation.tokens
        if abs(token.shap_logit) > token.shap_standard_error_logit
    ]
    clear.sort(key=lambda token: (-abs(token.shap_logit), token.token_id))
    return tuple(clear[:MOST_REASONS])


def reason_lines(tokens: tuple[TokenAttribution, ...], moment: Moment) -> list[str]:
    """Markdown: a heading for each modality among the tokens, and a list item for each token."""
    lines: list[str] = []
    for modality, heading in HEADINGS.items():
        items = [reason_line(token, moment) for token in tokens if token.modality == modality]
        if items:
            lines += [f"{heading}:", "", *items, ""]
    return lines


def balance_sentence(by_modality: Sequence[GroupAttribution]) -> str:
    """What each modality as a whole does: exact sums over all its findings, shown or not."""
    parts = []
    for group in by_modality:
        kind = _KINDS.get(group.group)
        if kind is None or group.token_count == 0:
            continue
        effect = "hardly change it"
        if abs(group.shap_logit) >= max(_LEAST_BALANCE, group.standard_error_logit):
            effect = "raise it" if group.shap_logit > 0 else "lower it"
        parts.append(f"all {kind} together {effect}")
    if not parts:
        return ""
    return f"Compared with the estimate for an empty chart, {'; '.join(parts)}."


def reason_line(token: TokenAttribution, moment: Moment) -> str:
    """One reason as a list item: direction, finding, source."""
    evidence = token.evidence
    if isinstance(evidence, StructuredEvidence):
        finding = _structured(evidence, moment)
    elif isinstance(evidence, DeviceEvidence):
        finding = _device(evidence, moment)
    else:
        finding = _sentence(evidence, moment)
    return f"- {_effect(token.shap_logit)}: {finding}{_sources(token.sources)}"


def _effect(shap_logit: float) -> str:
    """Direction and strength in words: "Strongly raises the risk"."""
    direction = "raises" if shap_logit > 0 else "lowers"
    strength = next(word for least, word in _STRENGTHS if abs(shap_logit) >= least)
    return f"{strength} {direction} the risk"


def quantity(value: float, unit: str) -> str:
    """A number with its unit as clinicians write it: "4.1 mmol/L", "38.5 °C", "yes"."""
    if unit == "{bool}":
        return "yes" if value >= 0.5 else "no"
    number = _number(math.floor(value) if unit == "a" else value, 3)  # a birthday counts whole
    name = _unit(unit)
    return f"{number} {name}" if name else number


def _number(value: float, digits: int) -> str:
    """So many significant digits, written out: "1,235", "4.1", "0.00002"."""
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    if not value:
        return "0"
    if abs(value) < _SMALLEST:
        return "almost 0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def background_text(text: str) -> str:
    """A word of the record as clinicians write it: "medical ICU"."""
    return _ACRONYM.sub("ICU", text)


def _unit(unit: str) -> str:
    if unit.startswith("{") and unit.endswith("}"):
        return ""
    return _UNITS.get(unit) if unit in _UNITS else escaped(unit)  # type: ignore[return-value]


def _structured(evidence: StructuredEvidence, moment: Moment) -> str:
    name = escaped(evidence.display, _NAME_LIMIT)
    if not evidence.measured:
        return (
            f"{name} was not measured in the time that the model looks at."
            " This is about what was done, not about a value."
        )
    if evidence.text:
        return f"{name}: {escaped(background_text(evidence.text), _NAME_LIMIT)}"
    if evidence.value is None:
        return f"{name}, without a value"
    said = f"{name} {quantity(evidence.value, evidence.unit)}"
    details = [moment.words(evidence.time)] if evidence.time else []
    details += _course(evidence)
    return f"{said} ({'; '.join(details)})" if details else said


def _course(evidence: StructuredEvidence) -> list[str]:
    """Range and trend, where there are several values."""
    if evidence.count < 2 or evidence.unit in _UNTIMED_UNITS:
        return []
    course = []
    if evidence.minimum is not None and evidence.maximum is not None:
        course.append(_range(evidence.minimum, evidence.maximum, evidence.count))
    trend = trend_of(evidence)
    if trend and evidence.trend_per_hour is not None:
        amount = f"{_number(abs(evidence.trend_per_hour), 2)} {_unit(evidence.unit)}".rstrip()
        course.append(f"{trend} by {amount} an hour")
    return course


def _range(minimum: float, maximum: float, count: int) -> str:
    low, high = quantity(minimum, "{}"), quantity(maximum, "{}")
    if low == high:
        return "both values alike" if count == 2 else f"all {count} values alike"
    return f"range {low} to {high} in {count} values"


def _device(evidence: DeviceEvidence, moment: Moment) -> str:
    name = escaped(evidence.display, _NAME_LIMIT)
    return (
        f"{name} {quantity(evidence.mean, evidence.unit)} on average"
        f" ({_span(evidence.start, evidence.end, moment)};"
        f" range {quantity(evidence.minimum, '{}')} to {quantity(evidence.maximum, '{}')};"
        f" recorded {evidence.coverage * 100:.0f} % of the time)"
    )


def _span(start: datetime, end: datetime, moment: Moment) -> str:
    """ "2026-11-23 06:00 to 12:00 UTC"; the day and the zone of the end where they are others."""
    first, last = start.astimezone(moment.zone), end.astimezone(moment.zone)
    zone = "" if first.tzname() == last.tzname() else f" {first:%Z}"
    day = "" if first.date() == last.date() else f"{last:%Y-%m-%d} "
    stale = ", stale" if moment.stale(end) else ""
    return f"{first:%Y-%m-%d %H:%M}{zone} to {day}{last:%H:%M %Z}{stale}"


def _sentence(evidence: SentenceEvidence, moment: Moment) -> str:
    note = escaped(evidence.note_type, _NAME_LIMIT) or "Note"
    if evidence.section:
        note += f", {escaped(evidence.section, _NAME_LIMIT)}"
    meaning = [
        words
        for said, words in (
            (evidence.negated, "says that this is ABSENT"),
            (evidence.historical, "about the past"),
            (evidence.family, "about somebody else than the patient"),
            (evidence.hypothetical, "not established"),
        )
        if said
    ]
    flags = f" [{'; '.join(meaning)}]" if meaning else ""
    quote = escaped(evidence.text, _SENTENCE_LIMIT)
    return f"{note} ({moment.words(evidence.time)}){flags}: “{quote}”"


def _sources(sources: tuple[str, ...]) -> str:
    if not sources:
        return ""
    others = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return f" – source: {escaped(sources[0], 160)}{others}"


def _ago(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    if minutes < 48 * 60:
        return f"{minutes // 60} h ago"
    return f"{minutes // (24 * 60)} days ago"
