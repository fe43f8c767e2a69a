"""``meam evaluate --bulk``: what the service would say of a site's patients, beside their outcomes.

The figures are of the probabilities that cards state: calibrated, and only where the model is
applicable. Intervals are bootstrapped over groups of patients, so that a patient with several rows
is not several patients. The checkpoint is only read.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from cds_hooks.errors import ResultsUnusable
from cds_hooks.export_progress import export_progress
from cds_hooks.labelled_records import LeftOut, labelled_records
from cds_hooks.labels import Label, Labels, read_labels
from cds_hooks.outcome_tasks import read_tasks
from cds_hooks.site_codes import site_codes
from model.predictor import Predictor, load_predictor

if TYPE_CHECKING:
    from model.prediction import Prediction
    from model.training.metrics import Metric

JSON = "site-evaluation.json"
COLUMNS = (  # name in the JSON, heading, digits
    ("auroc", "AUROC", 3),
    ("auprc", "AUPRC", 3),
    ("brier", "Brier", 4),
    ("calibration_slope", "slope", 2),
    ("calibration_intercept", "intercept", 2),
)


@dataclass(frozen=True, slots=True)
class SiteCases:
    """Whose outcomes are known, and which checkpoint is measured on them."""

    bulk: Path
    labels: Path
    checkpoint: Path
    concept_map: Path | None = None  # the site's own codes
    tasks: Path | None = None  # the columns of the labels, where they are not outcome_NAME


@dataclass(slots=True)
class _Cases:
    """Probabilities and outcomes of each task, and what could not be measured."""

    groups: dict[str, list[str]] = field(default_factory=dict)
    outcomes: dict[str, list[float]] = field(default_factory=dict)
    probabilities: dict[str, list[float]] = field(default_factory=dict)
    not_applicable: Counter[str] = field(default_factory=Counter)  # rows by reason

    def add(self, label: Label, prediction: Prediction) -> None:
        if not prediction.applicability.applicable:
            self.not_applicable.update(prediction.applicability.codes)
        for task in prediction.tasks:
            if task.task in label.outcomes:
                self.groups.setdefault(task.task, []).append(label.group)
                self.outcomes.setdefault(task.task, []).append(label.outcomes[task.task])
                self.probabilities.setdefault(task.task, []).append(task.probability)


def evaluate_site(
    cases: SiteCases, report: Path, *, resamples: int = 1000, console: Console | None = None
) -> dict[str, Any]:
    """Measure every labelled task, print the table, and write JSON into the folder ``report``.

    Raises LabelsUnusable, ResultsUnusable, SettingsError, FhirError and ModelError.
    """
    console = console or Console(stderr=True)
    codes = site_codes(cases.concept_map)
    labels = read_labels(cases.labels, read_tasks(cases.tasks) if cases.tasks else ())
    predictor = load_predictor(cases.checkpoint)
    _require_tasks(labels, predictor, cases)
    report.mkdir(parents=True, exist_ok=True)
    found, left_out = _Cases(), LeftOut()
    with (
        tempfile.TemporaryDirectory(prefix="meam-evaluation-") as work,
        export_progress(console, "predicting") as show,
    ):
        for rows in labelled_records(
            cases.bulk, labels.by_patient, left_out, show, Path(work), codes
        ):
            for label, record in rows:
                found.add(label, predictor.predict(record))
    document = _document(predictor, labels, found, left_out, resamples)
    (report / JSON).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    _print(document, left_out, console)
    console.print(f"Report: {report / JSON}", soft_wrap=True, highlight=False)
    return document


def _require_tasks(labels: Labels, predictor: Predictor, cases: SiteCases) -> None:
    known = [task.name for task in predictor.checkpoint.info.tasks]
    unknown = [task.name for task in labels.tasks if task.name not in known]
    if unknown:
        raise ResultsUnusable(
            f"{cases.labels} has outcomes of {', '.join(unknown)}; {cases.checkpoint} predicts"
            f" {', '.join(known)}."
        )


def _document(
    predictor: Predictor, labels: Labels, found: _Cases, left_out: LeftOut, resamples: int
) -> dict[str, Any]:
    info = predictor.checkpoint.info
    return {
        "model": f"{info.name} {predictor.version}",
        "intervals": "95 % bootstrap over groups of patients",
        "rows": sum(len(rows) for rows in labels.by_patient.values()),
        "left_out": dict(left_out.counts),
        "not_applicable": dict(found.not_applicable),
        "tasks": {
            task.name: _figures(
                found.groups.get(task.name, []),
                found.outcomes.get(task.name, []),
                found.probabilities.get(task.name, []),
                resamples,
            )
            for task in labels.tasks
        },
    }


def _figures(
    groups: Sequence[str], outcomes: Sequence[float], probabilities: Sequence[float], resamples: int
) -> dict[str, Any]:
    """Return n, events and [value, low, high] of each figure; None where the rows have none."""
    import numpy as np

    from model.training.evaluation import rounded_estimate
    from model.training.metrics import bootstrap_or_none

    figures: dict[str, Any] = {"n": len(outcomes), "events": int(sum(outcomes))}
    if not outcomes:
        return figures | dict.fromkeys(name for name, _, _ in COLUMNS)
    seen, said = np.array(outcomes, np.float64), np.array(probabilities, np.float64)
    figures |= {"observed": round(seen.mean(), 4), "predicted": round(said.mean(), 4)}
    for name, metric in _metrics().items():
        estimate = bootstrap_or_none(
            metric, seen, said, resamples=resamples, groups=np.array(groups)
        )
        figures[name] = rounded_estimate(estimate)
    return figures


def _metrics() -> Mapping[str, Metric]:
    from model.training import metrics

    return {name: getattr(metrics, name) for name, _, _ in COLUMNS}


def _print(document: Mapping[str, Any], left_out: LeftOut, console: Console) -> None:
    from model.training.card_figures import figure_text

    for sentence in left_out.sentences:
        console.print(f"Not used: {sentence}.", highlight=False)
    for title, counts in (
        ("Not used", document["left_out"]),
        ("The model does not apply", document["not_applicable"]),
    ):
        if counts:
            words = ", ".join(f"{word} {count:,}" for word, count in counts.items())
            console.print(f"{title} in all: {words}.", highlight=False)
    table = Table(title=f"{document['model']}; {document['intervals']}")
    for heading in ("task", "n", "events", *(heading for _, heading, _ in COLUMNS)):
        table.add_column(heading)
    for task, figures in document["tasks"].items():
        cells = [figure_text(figures[name], digits) for name, _, digits in COLUMNS]
        table.add_row(task, f"{figures['n']:,}", f"{figures['events']:,}", *cells)
    console.print(table)
