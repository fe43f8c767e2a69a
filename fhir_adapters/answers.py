"""Coded answers that stand for a number: "eyes open to speech" is 3 points.

``answers.csv`` holds them by variable, system and code. An empty system means that the code is
a word as written in ``text`` or ``valueString``, compared without case.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

from fhir_adapters.codes import SYSTEM_SPELLINGS, Variable, VariableTableError, load_variables


def answer(variable: Variable, system: object, code: object) -> float | None:
    """Return the number that a coded answer or word stands for, ``None`` if the table has none."""
    if not isinstance(system, str) or not isinstance(code, str) or len(code) > 64:
        return None
    key = code if system else code.strip().casefold()
    return _answers().get((variable.name, system, key))


@cache
def _answers() -> dict[tuple[str, str, str], float]:
    text = files("fhir_adapters").joinpath("answers.csv").read_text(encoding="utf-8")
    return parse_answers(text)


def parse_answers(text: str) -> dict[tuple[str, str, str], float]:
    """Read the table; raises VariableTableError that names the line at fault."""
    answers: dict[tuple[str, str, str], float] = {}
    for line, row in enumerate(csv.DictReader(text.splitlines()), start=2):
        variable = load_variables().get(row["variable"])
        if variable is None:
            raise VariableTableError(f"answers.csv, line {line}: no variable {row['variable']!r}")
        number = float(row["value"])
        if not variable.plausible_low <= number <= variable.plausible_high:
            raise VariableTableError(f"answers.csv, line {line}: {number} is not plausible")
        for system in SYSTEM_SPELLINGS.get(row["system"], (row["system"],)):
            key = (variable.name, system, row["code"])
            if key in answers:
                raise VariableTableError(f"answers.csv, line {line}: {row['code']!r} occurs twice")
            answers[key] = number
    return answers
