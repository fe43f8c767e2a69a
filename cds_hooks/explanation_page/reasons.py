"""The reasons of a prediction as rows of tables: what, which value, how strong, where from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cds_hooks.explanation_page.bars import Bar, Scale, scale_for
from cds_hooks.explanation_page.figures import (
    PERCENT,
    PageClock,
    logit_text,
    number,
    signed,
    unit_text,
    value_text,
)
from cds_hooks.reasons import HEADINGS, background_text
from cds_hooks.trends import trend_of
from model.prediction import (
    DeviceEvidence,
    SentenceEvidence,
    StructuredEvidence,
    TokenAttribution,
)

_SHOWN_EACH = 8
_SHOWN_FIRST = 3
_VISIBLE_LOGIT = 0.005  # what is weaker rounds to 0.00
_FLAGS = ("negated", "historical", "family", "hypothetical")
_FLAG_WORDS = {
    "negated": "says that this is ABSENT",
    "historical": "about the past",
    "family": "about somebody else",
    "hypothetical": "not established",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One token's row."""

    what: str
    value: str
    when: str
    bar: Bar
    logit: str
    attention: str
    sources: tuple[str, ...]
    flags: tuple[str, ...] = ()  # what the note asserts about the sentence


@dataclass(frozen=True, slots=True)
class Group:
    """Several findings with their exact sum."""

    title: str
    bar: Bar
    logit: str
    tokens: int


@dataclass(frozen=True, slots=True)
class ReasonTable:
    """The strongest reasons of one modality."""

    title: str
    rows: tuple[Reason, ...]
    not_shown: int


def strongest(tokens: Iterable[TokenAttribution]) -> list[TokenAttribution]:
    """Sort by absolute attribution, the strongest first."""
    return sorted(tokens, key=lambda token: (-abs(token.shap_logit), token.token_id))


def is_measured(token: TokenAttribution) -> bool:
    """False for a token that says that a variable was never measured."""
    evidence = token.evidence
    return not isinstance(evidence, StructuredEvidence) or evidence.measured


def token_scale(tokens: Sequence[TokenAttribution]) -> Scale:
    """Return one scale for all tokens, so that bars of different tables can be compared."""
    return scale_for((token.shap_logit, token.shap_standard_error_logit) for token in tokens)


def reason_tables(tokens: Sequence[TokenAttribution], clock: PageClock) -> tuple[ReasonTable, ...]:
    """Return a table for each modality that has tokens, measured ones only."""
    scale = token_scale(tokens)
    tables = []
    for modality, title in HEADINGS.items():
        own = strongest(t for t in tokens if t.modality == modality and is_measured(t))
        rows = tuple(reason(token, scale, clock) for token in own[:_SHOWN_EACH])
        if rows:
            tables.append(ReasonTable(title, rows, len(own) - len(rows)))
    return tuple(tables)


def not_measured(tokens: Sequence[TokenAttribution], clock: PageClock) -> ReasonTable:
    """Return the variables whose absence itself moved the prediction."""
    scale = token_scale(tokens)
    own = strongest(token for token in tokens if not is_measured(token))
    visible = [token for token in own if abs(token.shap_logit) >= _VISIBLE_LOGIT]
    rows = tuple(  # the table's heading says that they were not measured
        dataclasses.replace(reason(token, scale, clock), value="")
        for token in visible[:_SHOWN_EACH]
    )
    return ReasonTable("Not measured", rows, len(own) - len(rows))


def reason(token: TokenAttribution, scale: Scale, clock: PageClock) -> Reason:
    """Return one token as a row."""
    what, value, when = _in_words(token, clock)
    return Reason(
        what=what,
        value=value,
        when=when,
        bar=scale.bar(token.shap_logit, token.shap_standard_error_logit),
        logit=logit_text(token.shap_logit, token.shap_standard_error_logit),
        attention=f"{100 * token.attention:.1f}{PERCENT}",
        sources=token.sources,
        flags=flags_of(token),
    )


def strongest_reasons(
    tokens: Sequence[TokenAttribution], clock: PageClock, *, raises: bool
) -> tuple[Reason, ...]:
    """Return the few measured findings that raise, or lower, the prediction most."""
    own = strongest(t for t in tokens if is_measured(t) and (t.shap_logit > 0) == raises)
    scale = token_scale(tokens)
    return tuple(
        reason(token, scale, clock)
        for token in own[:_SHOWN_FIRST]
        if abs(token.shap_logit) >= _VISIBLE_LOGIT
    )


def measured_and_not(tokens: Sequence[TokenAttribution]) -> tuple[Group, ...]:
    """Return what all values did to the prediction, and what not measuring did: exact sums."""
    parts = (
        ("Everything that was measured or written", [t for t in tokens if is_measured(t)]),
        ("What was never measured", [t for t in tokens if not is_measured(t)]),
    )
    sums = [(title, sum(t.shap_logit for t in own), len(own)) for title, own in parts]
    scale = scale_for((total, 0.0) for _, total, _ in sums)
    return tuple(
        Group(title, scale.bar(total), signed(total), count) for title, total, count in sums
    )


def group_title(group: str) -> str:
    """Return a modality as cards call it, an organ system by its name."""
    for modality, title in HEADINGS.items():
        if modality == group:
            return title
    return group.capitalize()


def flags_of(token: TokenAttribution) -> tuple[str, ...]:
    """Return what a note asserts about a sentence, in words; empty for other tokens."""
    if not isinstance(token.evidence, SentenceEvidence):
        return ()
    return tuple(_FLAG_WORDS[flag] for flag in _FLAGS if getattr(token.evidence, flag))


def _in_words(token: TokenAttribution, clock: PageClock) -> tuple[str, str, str]:
    evidence = token.evidence
    if isinstance(evidence, StructuredEvidence):
        return evidence.display, _course(evidence), _when(evidence.time, clock)
    if isinstance(evidence, DeviceEvidence):
        unit = unit_text(evidence.unit)
        value = (
            f"mean {value_text(evidence.mean, evidence.unit)}, "
            f"{number(evidence.minimum)} to {number(evidence.maximum)} {unit}, "
            f"{100 * evidence.coverage:.0f}{PERCENT} of the time recorded"
        )
        return (
            evidence.display,
            value,
            clock.span(evidence.start, evidence.end),
        )
    return f"“{evidence.text}”", evidence.note_type, _when(evidence.time, clock)


def _course(evidence: StructuredEvidence) -> str:
    if not evidence.measured:
        return "not measured"
    if evidence.text or evidence.value is None:
        return background_text(evidence.text)
    last = value_text(evidence.value, evidence.unit)
    if evidence.count < 2 or evidence.minimum is None or evidence.maximum is None:
        return last
    if evidence.minimum == evidence.maximum:
        return f"{last}, the same in {evidence.count} values"
    span = f"{number(evidence.minimum)} to {number(evidence.maximum)}"
    return f"{last}, {trend_of(evidence) or 'no clear trend'} ({span}, {evidence.count} values)"


def _when(time: datetime | None, clock: PageClock) -> str:
    return "" if time is None else clock.with_age(time)
