"""FHIRPath conditions. A condition is true, false or not known; a failure is none of these.

``fhirpathpy`` raises plain exceptions of many kinds for a faulty expression, and that only when it
is evaluated; they become ConditionFailed here, in one place.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import fhirpathpy

from cds_hooks.recommendations.patient_data import PatientData


class ConditionFailed(Exception):
    """An expression cannot be read, or cannot be evaluated. The message holds no patient data."""


def holds(expression: str, data: PatientData) -> bool | None:
    """Return whether a condition holds, None where the data do not tell. Raises ConditionFailed."""
    evaluate = compiled(expression)
    try:
        result = evaluate({}, dict(data))
    except Exception as exc:  # see the module's docstring
        raise ConditionFailed(_why(exc)) from exc
    if result == []:
        return None
    if len(result) != 1 or not isinstance(result[0], bool):
        raise ConditionFailed("it gives something else than true or false")
    return result[0]


@lru_cache(maxsize=1024)
def compiled(expression: str) -> Callable[[Any, Any], list[Any]]:
    """Parse an expression once: that takes longer than evaluating it. Raises ConditionFailed."""
    try:
        evaluate: Callable[[Any, Any], list[Any]] = fhirpathpy.compile(expression)
    except Exception as exc:
        raise ConditionFailed("it is not FHIRPath") from exc
    return evaluate


def _why(error: Exception) -> str:
    """What failed, without values: those of a message may be the patient's."""
    message = str(error)
    for known, words in (
        ("undefined environment variable: ", "there is no %"),
        ("Not implemented: ", "there is no function "),
    ):
        if known in message:
            return words + message.partition(known)[2].split()[0]
    if "did not match type" in message:
        return "it compares values of different kinds"
    return f"it cannot be evaluated ({type(error).__name__})"
