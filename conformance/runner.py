"""Runs the cases against a service and gives each one of five verdicts.

pass: judged, and as expected. fail: judged, and not. skip: could not be tried, because something
before it failed. omit: does not apply to this service or this run. error: the suite or the
connection broke.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from conformance.bounded import NoAnswer
from conformance.case import LEVELS, Case, Level
from conformance.endpoint import Endpoint
from conformance.evidence import Exchange, exchange_of
from conformance.exchange import Wire
from conformance.expectations import Findings
from conformance.json_path import BadPath
from conformance.plain_text import broken_by, plain
from conformance.run_facts import NO_CARDS, facts_of
from conformance.session import NotRunnable, Session
from conformance.steps import asks_for_fetching, run_step
from conformance.target import Target

Verdict = Literal["pass", "fail", "skip", "omit", "error"]
_CALLS = {"call": 1, "feedback": 1, "timing": 5, "every-service": 1, "icons": 1}
_MOST_EVIDENCE = 3  # of the exchanges of a case; the findings name them all
VERDICTS: tuple[Verdict, ...] = ("pass", "fail", "skip", "omit", "error")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a case. ``findings`` holds sentences without values of a patient.

    ``evidence`` shows what went over the wire where the case failed.
    """

    case: Case
    verdict: Verdict
    findings: tuple[str, ...]
    seconds: float
    evidence: tuple[Exchange, ...] = field(default=(), repr=False)

    def failed(self, least: Level) -> bool:
        """Say whether the case failed or broke, and asks at least as strongly as ``least``."""
        strong = LEVELS[: LEVELS.index(least) + 1]
        return self.verdict in ("fail", "error") and self.case.level in strong


@dataclass(frozen=True, slots=True)
class Run:
    """All results, and what was run."""

    service: str
    service_id: str
    version: str
    started_at: datetime
    seconds: float
    requests: int
    results: tuple[Result, ...] = field(repr=False)
    silence: str = ""  # why no request at all was answered
    untried: str = ""  # why there was no service whose hook could be fired
    facts: Mapping[str, str] = field(default_factory=dict)  # what a reader asks about the run

    def count(self, verdict: Verdict) -> int:
        """Return how many cases got the verdict."""
        return Counter(result.verdict for result in self.results)[verdict]

    @property
    def without_cards(self) -> bool:
        """Whether the hook was answered and there was no card that a rule could look at."""
        return self.facts.get("Cards") == NO_CARDS

    def failed(self, least: Level) -> bool:
        """Say whether a case failed or broke that asks at least as strongly as ``least``."""
        return any(result.failed(least) for result in self.results)


def run_cases(
    target: Target,
    cases: Iterable[Case],
    endpoint: Endpoint,
    wire: Wire,
    progress: Callable[[Result], None] = lambda _: None,
) -> Run:
    """Run all cases of the target's version; those that look at all answers come last."""
    chosen = [case for case in cases if target.version in case.versions]
    chosen.sort(key=lambda case: any(step["do"] == "all-answers" for step in case.steps))
    started_at, start = datetime.now(UTC), time.perf_counter()
    session = Session(target, wire, endpoint)
    results = []
    for case in chosen:
        results.append(_run_case(session, case))
        progress(results[-1])
    service_id, untried = _service_id(session)
    return Run(
        service=target.discovery_url,
        service_id=service_id,
        version=target.version,
        started_at=started_at,
        seconds=time.perf_counter() - start,
        requests=len(wire.answers),
        results=tuple(results),
        silence="" if wire.answers else wire.last_silence,
        untried=untried,
        facts={name: plain(value) for name, value in facts_of(session).items()},
    )


def most_requests(cases: Iterable[Case]) -> int:
    """Return how many requests the cases send at most, as far as that is known beforehand."""
    steps = [step for case in cases for step in case.steps]
    sent = sum(_CALLS.get(step["do"], 0) * len(step.get("each", (0,))) for step in steps)
    again = sum(step.get("times", 1) - 1 + step.get("twice", False) for step in steps)
    methods = sum("method" in step for step in steps if step["do"] == "discovery")
    tried = any(asks_for_fetching(step) for step in steps)
    compared = sum("same_cards" in step.get("expect", {}) for step in steps)
    return 2 + sent + again + methods + tried + compared  # 2: discovery and the first hook request


def _run_case(session: Session, case: Case) -> Result:
    start = time.perf_counter()
    found = Findings()
    verdict, findings = _judge(session, case, found)
    counted = Counter(findings)
    findings = [
        plain(one) + (f" ({many} times)" if many > 1 else "") for one, many in counted.items()
    ]
    seconds = time.perf_counter() - start
    return Result(case, verdict, tuple(findings), seconds, _evidence(session, found))


def _evidence(session: Session, found: Findings) -> tuple[Exchange, ...]:
    shown = found.answers[:_MOST_EVIDENCE]
    return tuple(
        exchange_of(one, session.access_token, made_up=session.made_up_patient) for one in shown
    )


def _judge(session: Session, case: Case, found: Findings) -> tuple[Verdict, list[str]]:
    try:
        if "jwt" in case.needs and session.target.keys is None:
            return "omit", ["The run signs no JWT."]
        if case.hooks and session.service["hook"] not in case.hooks:
            return "omit", [f"The rule is about {' and '.join(case.hooks)}."]
        for step in case.steps:
            run_step(session, step, found)
    except NotRunnable as exc:
        if not found.sentences:
            return ("omit" if exc.verdict == "omit" else "skip"), [str(exc)]
    except NoAnswer as exc:
        return "error", [*found.sentences, str(exc)]
    except BadPath as exc:
        return "error", [f"The case cannot be applied to this request: {exc}"]
    except Exception as exc:  # noqa: BLE001  # one answer that breaks the suite ends one case, not all
        return "error", [*found.sentences, broken_by(exc)]
    if found.sentences:
        return "fail", found.sentences
    if not found.judged:
        return "omit", [found.unjudged or "The answer has nothing that this rule is about."]
    return "pass", []


def _service_id(session: Session) -> tuple[str, str]:
    """Return the id of the service that was tried, or else why there was none."""
    try:
        return plain(str(session.service["id"])), ""
    except (NotRunnable, NoAnswer) as exc:
        return "", plain(str(exc))
