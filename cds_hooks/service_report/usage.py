"""What the service did: hooks, answers, whether the model could speak, how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from cds_hooks.service_report.cells import Cells, Json, counted
from cds_hooks.service_report.reading import AnsweredHook

ANSWERS = {
    "card": "card with an estimate",
    "no-estimate": "card that says why there is no estimate",
    "short": "short card, the finding was seen before",
    "held-back": "nothing: the user had seen the finding",
    "nothing": "nothing to advise",
}
STATES = {
    "clear": "estimate, low or high at the stated confidence",
    "uncertain": "estimate, and the model says that it is uncertain",
    "too-little-data": "no estimate: too little data",
    "out-of-distribution": "no estimate: unlike the training data",
    "deceased": "no estimate: the patient has died",
    "not-inpatient": "no estimate: not an inpatient",
    "under-age": "no estimate: not an adult",
    "age-unknown": "no estimate: age not known",
    "other": "no estimate: another reason",
}
_EDGES_MS = (50, 100, 200, 450, 1000)  # the specification asks for about 500 ms


def usage(hooks: Sequence[AnsweredHook], cells: Cells) -> Json:
    """The document's parts about answered hooks."""
    by_source = counted(hooks, lambda one: "\n".join(_source(one)))
    hidden = cells.hide(by_source)
    services = [
        {
            **dict(zip(("service", "model", "mode"), name.split("\n"), strict=True)),
            "hooks": cells.hidden(count) if name in hidden else count,
        }
        for name, count in by_source.items()
    ]
    return {
        "hooks": cells.count(len(hooks)),
        "services": services,
        "answers": cells.shares(_ordered(counted(hooks, answer_of), ANSWERS)),
        "applicability": cells.shares(_ordered(counted(hooks, state_of), STATES)),
        "unexplained": cells.count(_unexplained(hooks)),
        "latencyMs": _latency(hooks, cells),
    }


def answer_of(hook: AnsweredHook) -> str:
    """What was answered, by the keys of ANSWERS. In shadow mode: what would have been."""
    answer = hook.finding.answer
    return "no-estimate" if answer == "card" and not hook.finding.tasks else answer


def state_of(hook: AnsweredHook) -> str:
    """Whether the model could speak, by the keys of STATES. Of several reasons the first."""
    finding = hook.finding
    if not finding.tasks:
        code = finding.codes[0] if finding.codes else "other"
        return code if code in STATES else "other"
    uncertain = any(one.risk_group == "uncertain" for one in finding.tasks)
    return "uncertain" if uncertain else "clear"


def _source(hook: AnsweredHook) -> tuple[str, str, str]:
    return hook.service_id, hook.model, "active" if hook.shown else "shadow"


def _ordered(counts: dict[str, int], names: dict[str, str]) -> dict[str, int]:
    return {name: counts[name] for name in names if name in counts}


def _unexplained(hooks: Sequence[AnsweredHook]) -> int:
    return sum(1 for one in hooks if one.finding.tasks and not one.finding.explained)


def _latency(hooks: Sequence[AnsweredHook], cells: Cells) -> Json | None:
    """None where there are too few hooks for a quantile that is not one hook's own."""
    if len(hooks) < cells.least:
        return None
    times = np.array([one.duration_ms for one in hooks])
    p50, p95, p99 = (round(float(one), 1) for one in np.quantile(times, (0.5, 0.95, 0.99)))
    return {"p50": p50, "p95": p95, "p99": p99, "counts": cells.parts(_binned(times))}


def _binned(times: np.ndarray) -> dict[str, int]:
    edges = (0.0, *map(float, _EDGES_MS), np.inf)
    counts, _ = np.histogram(times, edges)
    names = [
        f"below {_EDGES_MS[0]} ms",
        *(f"{low} to {high} ms" for low, high in pairwise(_EDGES_MS)),
        f"{_EDGES_MS[-1]} ms or more",
    ]
    return dict(zip(names, counts.tolist(), strict=True))
