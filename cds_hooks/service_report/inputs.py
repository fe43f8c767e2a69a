"""Drift over the period: the stability index of each input, as drift.py takes it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from cds_hooks.drift import stability_index
from cds_hooks.service_report.cells import Json
from cds_hooks.service_report.reading import AnsweredHook


def drift(hooks: Sequence[AnsweredHook]) -> Json | None:
    """The inputs of the model that answered most hooks; None where no input was watched.

    Bins are those of a model's training, so those of two models cannot be added up.
    """
    models = Counter(one.model for one in hooks if one.finding.bins)
    if not models:
        return None
    (model, watched), *_ = models.most_common()
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for hook in hooks:
        if hook.model == model:
            for name, place in hook.finding.bins.items():
                counts[name][place] += 1
    width = max(one.finding.bin_count for one in hooks if one.model == model)
    rows = [
        _row(name, [float(found[place]) for place in range(width)])
        for name, found in counts.items()
    ]
    known = sorted(
        (row for row in rows if row["index"] is not None),
        key=lambda row: (-row["index"], row["input"]),
    )
    return {
        "model": model,
        "hooks": watched,
        "inputs": known,
        "inputsWithTooFewValues": len(rows) - len(known),
    }


def _row(name: str, counts: list[float]) -> Json:
    index = stability_index(counts)
    return {
        "input": name,
        "values": int(sum(counts)),
        "index": None if index is None else round(index, 3),
    }
