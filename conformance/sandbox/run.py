"""Runs all checks on one server and gives each a verdict.

pass: judged, and as expected. fail: judged, and not. skip: could not be tried, because something
before it failed. omit: does not apply to this server or this run. error: the connection broke.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from conformance.bounded import NoAnswer
from conformance.plain_text import broken_by, plain
from conformance.sandbox import probes_chart, probes_observations, probes_server
from conformance.sandbox.checks import (
    LEVELS,
    Check,
    Found,
    Level,
    NotTried,
    Omitted,
    Refused,
    Verdict,
    load_checks,
)
from conformance.sandbox.session import Session

Probe = Callable[[Session, Found], None]
_MODULES = (probes_server, probes_observations, probes_chart)
_WRITING = ("write-order", "write-task")
_LAST = ("errors-are-outcomes", "rate-limit-headers")  # they look at all answers of the run


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a check. The sentences hold no value of a patient."""

    check: Check
    verdict: Verdict
    findings: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """All results, what was learnt for a configuration, and what a reader made of the charts."""

    fhir: str
    software: str
    started_at: datetime
    seconds: float
    requests: int
    patients: tuple[str, ...]
    results: tuple[Result, ...] = field(repr=False)
    silence: str = ""  # why no request at all was answered
    facts: Mapping[str, Any] = field(default_factory=dict)
    known: tuple[Mapping[str, str], ...] = ()  # what a preset says of this server
    reading: Mapping[str, Any] = field(default_factory=dict)

    def count(self, verdict: Verdict, level: Level | None = None) -> int:
        """Return how many checks (of a level) got the verdict."""
        chosen = (one for one in self.results if level in (None, one.check.level))
        return Counter(one.verdict for one in chosen)[verdict]

    def failed(self, least: Level) -> bool:
        """Say whether a check failed or broke that matters at least as much as ``least``."""
        grave = LEVELS[: LEVELS.index(least) + 1]
        return any(
            one.verdict in ("fail", "error") and one.check.level in grave for one in self.results
        )


def probe_of(check: Check) -> Probe:
    """Return the function that tries a check: it has the check's name."""
    name = check.id.replace("-", "_")
    for module in _MODULES:
        if name in vars(module):
            probe: Probe = vars(module)[name]
            return probe
    raise LookupError(f"There is no probe for the check {check.id}.")


def run_checks(
    session: Session,
    checks: Sequence[Check],
    progress: Callable[[Result], None] = lambda _: None,
    *,
    writing: bool = False,
) -> Run:
    """Run the checks in their order; those that look at all answers come last."""
    started_at, start = datetime.now(UTC), time.perf_counter()
    results: dict[str, Result] = {}
    for check in sorted(checks, key=lambda one: one.id in _LAST):
        results[check.id] = _result(session, check, writing=writing)
        progress(results[check.id])
    return Run(
        fhir=session.server.base_url,
        software=plain(str(session.facts.get("software", ""))),
        started_at=started_at,
        seconds=time.perf_counter() - start,
        requests=len(session.server.wire.answers),
        patients=_patients(session),
        results=tuple(results[check.id] for check in checks),
        silence="" if session.server.wire.answers else session.server.wire.last_silence,
        facts=session.facts,
    )


def most_requests(patients: int) -> int:
    """Return how many requests a run sends at most: the checks', and some for each patient."""
    return 2 * len(load_checks()) + 5 * patients


def _result(session: Session, check: Check, *, writing: bool) -> Result:
    start = time.perf_counter()
    found = Found()
    verdict: Verdict
    if check.id in _WRITING and not writing:
        return Result(check, "omit", (), ("The run only reads; --write tries it.",), 0.0)
    try:
        probe_of(check)(session, found)
        verdict = "fail" if found.faults else "pass"
    except Omitted as exc:
        verdict, found = "omit", Found(notes=[str(exc)])
    except NotTried as exc:
        verdict, found = "skip", Found(notes=[str(exc)])
    except Refused as exc:
        verdict, found = "fail", Found(faults=[*found.faults, str(exc)])
    except NoAnswer as exc:
        verdict, found = "error", Found(faults=[*found.faults, str(exc)])
    except Exception as exc:  # noqa: BLE001  # one answer that breaks the suite ends one check, not all
        verdict, found = "error", Found(faults=[*found.faults, broken_by(exc)])
    faults, notes = (tuple(map(plain, said)) for said in (found.faults, found.notes))
    return Result(check, verdict, faults, notes, time.perf_counter() - start)


def _patients(session: Session) -> tuple[str, ...]:
    try:
        return tuple(session.patients)
    except (NotTried, NoAnswer):
        return ()
