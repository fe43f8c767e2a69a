"""``python -m tests.conformance.mutant_matrix``: every mutant against every case.

The test suite runs a part of this: each mutant against its own case, against all cases that look
at discovery and at the first answer, and against an eighth of the others.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from conformance.case import Case
from tests.conformance.mutants import (
    ANSWERS,
    ANSWERS_3,
    BEHAVIOURS,
    BEHAVIOURS_3,
    BEHAVIOURS_OF_ENCOUNTERS,
)
from tests.conformance.suite_world import cases, run_suite

_LOOKING = {"discovery", "baseline", "all-answers", "https"}
# Where discovery itself is broken no hook can be called: then all that depends on it is skipped.
_BUDGET_MS = 50.0


@dataclass(frozen=True)
class Mutant:
    case: str
    version: str
    broken: str = ""
    change: Callable[[Any], Any] = lambda answer: answer
    hook: str = "patient-view"

    def failing(self, among: Collection[str] | None = None) -> list[tuple[str, str]]:
        """Return which cases fail or break, with their verdicts."""
        slow = self.broken == "answer-comes-in-time"
        budget_ms = _BUDGET_MS if slow else 10_000.0
        run = run_suite(
            self.broken,
            self.version,
            self.change,
            among=among,
            hook=self.hook,
            time_budget_ms=budget_ms,
        )
        return [
            (one.case.id, one.verdict) for one in run.results if one.verdict in ("fail", "error")
        ]


MUTANTS = (
    *(Mutant(case, "2.0.1", broken=rule) for case, rule in BEHAVIOURS.items()),
    *(
        Mutant(case, "2.0.1", broken=rule, hook="encounter-start")
        for case, rule in BEHAVIOURS_OF_ENCOUNTERS.items()
    ),
    *(Mutant(case, "3.0", broken=rule) for case, rule in BEHAVIOURS_3.items()),
    *(Mutant(case, "2.0.1", change=change) for case, change in ANSWERS.items()),
    *(Mutant(case, "3.0", change=change) for case, change in ANSWERS_3.items()),
)


def near(mutant: Mutant) -> set[str]:
    """Return the cases that the test suite tries a mutant with."""
    index = MUTANTS.index(mutant)
    calling = [case for case in cases() if not _only_looks(case)]
    looking = [case for case in cases() if _only_looks(case)]
    some = calling[index % 8 :: 8] if mutant.broken else []
    return {mutant.case, *(case.id for case in (*some, *looking))}


def _only_looks(case: Case) -> bool:
    return all(
        step["do"] in _LOOKING and not {"method", "jwt", "headers"} & step.keys()
        for step in case.steps
    )


def main() -> None:
    start, wrong = time.process_time(), 0
    for mutant in MUTANTS:
        failing = mutant.failing()
        if failing != [(mutant.case, "fail")]:
            wrong += 1
            sys.stdout.write(f"{mutant.case} ({mutant.version}): {failing}\n")
    seconds = time.process_time() - start
    sys.stdout.write(f"{len(MUTANTS)} mutants, {wrong} not as they ought, {seconds:.0f} CPU-s\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
