"""What a server says instead of data, or beside it: OperationOutcomes and HTTP statuses.

Only the codes of an issue are repeated: severity, issue code, and short codes of details.coding
("4119" is Epic's "the answer may not hold the entire record"). Free text (details.text,
diagnostics, display) may name the patient, so it never enters a message, a card or a log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fhir_adapters.errors import (
    FhirBadAnswer,
    FhirError,
    FhirForbidden,
    FhirForeignOrigin,
    FhirNotFound,
    FhirRejected,
    FhirTimeout,
    FhirTooLarge,
    FhirTruncated,
    FhirUnauthorized,
    FhirUnavailable,
)
from model.record import ReportLine

_SEVERITIES = frozenset({"fatal", "error", "warning", "information", "success"})
_ISSUE_CODE = re.compile(r"[a-z][a-z-]{1,29}")
_DETAIL_CODE = re.compile(r"[A-Za-z0-9_-]{1,12}")
_MOST_ISSUES = 5  # a server that lists an issue a patient would fill the card

_ERRORS_BY_STATUS: dict[int, type[FhirUnauthorized | FhirForbidden | FhirNotFound]] = {
    401: FhirUnauthorized,
    403: FhirForbidden,
    404: FhirNotFound,
    410: FhirNotFound,
}
_REASONS: tuple[tuple[type[FhirError], str], ...] = (
    (FhirTimeout, "timeout"),
    (FhirUnavailable, "unavailable"),
    (FhirTruncated, "truncated"),
    (FhirUnauthorized, "unauthorized"),
    (FhirForbidden, "forbidden"),
    (FhirNotFound, "not-found"),
    (FhirRejected, "rejected"),
    (FhirTooLarge, "too-large"),
    (FhirForeignOrigin, "foreign-origin"),
    (FhirBadAnswer, "bad-answer"),
)


def reason_of(error: FhirError) -> str:
    """Return the stable word of an error, for ``ReportLine.reason``."""
    return next((word for kind, word in _REASONS if isinstance(error, kind)), "error")


def outcome_lines(outcome: Mapping[str, Any], source: str) -> list[ReportLine]:
    """Turn an OperationOutcome that came among data into completeness warnings.

    All issues count, ``information`` too (reason "outcome-note" instead of "outcome"): on some
    servers an informational entry is the only word that data were suppressed.
    """
    lines = []
    for severity, words in _issues(outcome):
        reason = "outcome-note" if severity in ("information", "success") else "outcome"
        lines.append(
            ReportLine(source, reason, f"{source}: the FHIR server added a notice ({words})")
        )
    return lines[:_MOST_ISSUES]


def error_for(status: int, body: Any, what: str, retry_after_s: float | None = None) -> FhirError:
    """Make the error for an HTTP status of 400 and above; ``body`` is parsed JSON or None."""
    said = "; ".join(words for _, words in _issues(body)) if isinstance(body, dict) else ""
    message = f"{what}: the FHIR server answered {status}"
    if said:
        message += f" with an OperationOutcome ({said})"
    if status == 429 or status >= 500:
        return FhirUnavailable(message, retry_after_s=retry_after_s)
    return _ERRORS_BY_STATUS.get(status, FhirRejected)(message)


def summary(outcome: Mapping[str, Any]) -> str:
    """Return the codes of an OperationOutcome in one line."""
    return "; ".join(words for _, words in _issues(outcome))


def _issues(outcome: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield severity and words of each issue; an outcome without any counts as one unknown."""
    if outcome.get("resourceType") != "OperationOutcome":
        return
    issues = outcome.get("issue")
    found = [i for i in issues if isinstance(i, dict)] if isinstance(issues, list) else []
    for issue in found[:_MOST_ISSUES] or [{}]:
        severity = issue.get("severity")
        severity = severity if severity in _SEVERITIES else "unknown severity"
        code = issue.get("code")
        code = code if isinstance(code, str) and _ISSUE_CODE.fullmatch(code) else "no code"
        yield severity, " ".join((f"{severity}/{code}", *_detail_codes(issue)))


def _detail_codes(issue: Mapping[str, Any]) -> Iterator[str]:
    details = issue.get("details")
    codings = details.get("coding") if isinstance(details, dict) else None
    for coding in codings if isinstance(codings, list) else ():
        code = coding.get("code") if isinstance(coding, dict) else None
        if isinstance(code, str) and _DETAIL_CODE.fullmatch(code):
            yield code
