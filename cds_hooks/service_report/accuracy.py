"""Predictions against outcomes: which belong together, and how right they were.

Of each outcome the first prediction with an estimate counts: a chart that is opened often would
else count often. Predictions of shadow mode count as those that were shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cds_hooks.errors import LabelsUnusable
from cds_hooks.kept_prediction import KeptTask
from cds_hooks.rates import Rate
from cds_hooks.service_report.cells import Cells, Json
from cds_hooks.service_report.outcomes import FIRST_TASK, Outcome, Outcomes
from cds_hooks.service_report.reading import AnsweredHook
from cds_hooks.service_report.statistics import (
    auroc,
    brier,
    calibration_bins,
    calibration_slope,
    observed_to_expected,
)
from cds_hooks.store import Store


@dataclass(frozen=True, slots=True)
class Case:
    """One prediction of one task with what came of it."""

    risk: float
    outcome: int
    subgroups: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Joined:
    """Predictions that found their outcome, one for each."""

    pairs: tuple[tuple[AnsweredHook, Outcome], ...]
    without_outcome: int  # predictions with an estimate


def joined(hooks: Iterable[AnsweredHook], outcomes: Outcomes, store: Store) -> Joined:
    """Find the outcome of each prediction, and keep the first prediction of each outcome.

    Raises LabelsUnusable where predictions of several sources find one outcome: it is one's only.
    """
    if outcomes.by_patient:
        rows = {store.patient_fingerprint(name): found for name, found in outcomes.rows.items()}
        outcomes = Outcomes(by_patient=True, tasks=outcomes.tasks, rows=rows)
    first: dict[int, tuple[AnsweredHook, Outcome]] = {}
    without = 0
    for hook in hooks:  # the oldest first
        if not hook.finding.tasks:
            continue
        found = _outcome_of(hook, outcomes)
        if found is None:
            without += 1
        elif first.setdefault(found.line, (hook, found))[0].source != hook.source:
            raise LabelsUnusable(
                f"line {found.line}: predictions for more than one issuer or tenant have this id;"
                " say with --issuer and --tenant whose is meant."
            )
    return Joined(tuple(first.values()), without)


def _outcome_of(hook: AnsweredHook, outcomes: Outcomes) -> Outcome | None:
    if outcomes.by_patient:
        return outcomes.after(hook.patient, hook.at)
    named = (outcomes.rows[name] for name in sorted(hook.names) if name in outcomes.rows)
    return next((rows[0] for rows in named), None)


def accuracy(found: Joined, outcomes: Outcomes, cells: Cells) -> Json:
    """The document's part. Raises LabelsUnusable where no prediction is of a file's task."""
    tasks = []
    for task in outcomes.tasks:
        cases, display = _cases(found, task)
        if found.pairs and not cases:
            held = sorted({one.task for hook, _ in found.pairs for one in hook.finding.tasks})
            raise LabelsUnusable(
                f"No stored prediction is of the task {task}; they are of {', '.join(held)}."
            )
        tasks.append({"task": display or task or "outcome", **figures(cases, cells)})
    return {
        "outcomes": cells.count(outcomes.count),
        "matched": cells.count(len(found.pairs)),
        "outcomesWithoutPrediction": cells.count(outcomes.count - len(found.pairs)),
        "predictionsWithoutOutcome": cells.count(found.without_outcome),
        "models": sorted({hook.model for hook, _ in found.pairs}),
        "tasks": tasks,
    }


def _cases(found: Joined, task: str) -> tuple[list[Case], str]:
    cases, display = [], ""
    for hook, outcome in found.pairs:
        kept = _task_of(hook, task)
        if kept is not None and task in outcome.by_task:
            cases.append(Case(kept.probability, outcome.by_task[task], hook.finding.subgroups))
            display = kept.display
    return cases, display


def _task_of(hook: AnsweredHook, task: str) -> KeptTask | None:
    held = hook.finding.tasks
    if task == FIRST_TASK:
        return held[0]
    return next((one for one in held if one.task == task), None)


def figures(cases: Sequence[Case], cells: Cells) -> Json:
    """All figures of one task; only counts where one of the classes is small."""
    whole = _counts(cases, cells)
    if _too_small(cases, cells):
        return whole
    outcomes, risks = _arrays(cases)
    area, slope = auroc(outcomes, risks), calibration_slope(outcomes, risks)
    return {
        **whole,
        "meanRisk": round(float(risks.mean()), 4),
        "observed": Rate(int(outcomes.sum()), len(cases)).to_json(),
        "auroc": area.to_json() if area else None,
        "observedToExpected": observed_to_expected(outcomes, risks).to_json(),
        "calibrationSlope": slope.to_json() if slope else None,
        "brier": round(brier(outcomes, risks), 4),
        "calibration": [
            {"risk": round(risk, 4), "observed": Rate(events, size).to_json()}
            for risk, events, size in calibration_bins(outcomes, risks, least=cells.least)
        ],
        "subgroups": _subgroups(cases, cells),
    }


def _subgroups(cases: Sequence[Case], cells: Cells) -> dict[str, dict[str, Json]]:
    kinds = dict.fromkeys(kind for case in cases for kind in case.subgroups)
    found = {kind: _groups(cases, kind, cells) for kind in kinds}
    return {kind: rows for kind, rows in found.items() if len(rows) > 1}


def _groups(cases: Sequence[Case], kind: str, cells: Cells) -> dict[str, Json]:
    """The groups of one kind. With one hidden, a second one is, so that it does not follow."""
    by_group: dict[str, list[Case]] = {}
    for case in cases:
        by_group.setdefault(case.subgroups.get(kind, "not known"), []).append(case)
    hidden = {name for name, own in by_group.items() if _too_small(own, cells)}
    rest = sorted(set(by_group) - hidden, key=lambda name: (len(by_group[name]), name))
    if len(hidden) == 1 and rest and cells.least > 1:
        hidden.add(rest[0])
    small = cells.hide({name: len(own) for name, own in by_group.items()})
    rows: dict[str, Json] = {}
    for name in sorted(by_group):
        own = by_group[name]
        if name in hidden:
            rows[name] = {"n": cells.hidden(len(own)) if name in small else len(own)}
            if cells.least == 1:
                rows[name]["events"] = sum(case.outcome for case in own)
            continue
        outcomes, risks = _arrays(own)
        area = auroc(outcomes, risks)
        rows[name] = {
            **_counts(own, cells),
            "auroc": area.to_json() if area else None,
            "observedToExpected": observed_to_expected(outcomes, risks).to_json(),
        }
    return rows


def _counts(cases: Sequence[Case], cells: Cells) -> Json:
    events = sum(case.outcome for case in cases)
    hidden = cells.small(events) or cells.small(len(cases) - events)
    return {
        "n": cells.count(len(cases)),
        "events": cells.hidden(events) if hidden else events,
    }


def _too_small(cases: Sequence[Case], cells: Cells) -> bool:
    """Whether events or non-events are too few to be shown, or to have figures."""
    events = sum(case.outcome for case in cases)
    return min(events, len(cases) - events) < max(cells.least, 1)


def _arrays(cases: Sequence[Case]) -> tuple[np.ndarray, np.ndarray]:
    outcomes = np.array([case.outcome for case in cases], float)
    return outcomes, np.array([case.risk for case in cases], float)
