"""The records of an export's labelled patients, at the times of their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cds_hooks.labels import Label
from fhir_adapters.bulk import BulkProgress, read_bulk
from fhir_adapters.chart import Chart
from fhir_adapters.codes import CodeTable
from fhir_adapters.errors import ChartError
from fhir_adapters.record_builder import build_record
from model.record import PatientRecord, ReportLine

if TYPE_CHECKING:
    from model.training.cohort import CaseFacts

DATA_SET, VIEW = "site", "recorded"
_MOST_SHOWN = 10

OnProgress = Callable[[BulkProgress], None]
LabelledRecords = list[tuple[Label, PatientRecord]]


@dataclass(slots=True)
class LeftOut:
    """Labelled rows that do not train, by reason, with the first sentences."""

    counts: Counter[str] = field(default_factory=Counter)
    sentences: list[str] = field(default_factory=list)

    def add(self, reason: str, sentence: str) -> None:
        """Note one row."""
        self.counts[reason] += 1
        if len(self.sentences) < _MOST_SHOWN:
            self.sentences.append(sentence)


def labelled_records(
    bulk: Path,
    labels: Mapping[str, list[Label]],
    left_out: LeftOut,
    on_progress: OnProgress,
    work_directory: Path,
    codes: CodeTable | None = None,
) -> Iterator[LabelledRecords]:
    """Yield, for each labelled patient of an export, the records at the times of the labels."""
    missing = dict.fromkeys(labels)
    charts = read_bulk(
        bulk,
        on_progress=on_progress,
        report=lambda line: _note(line, left_out),
        work_directory=work_directory,
    )
    for chart in charts:
        if chart.patient_id in missing:
            del missing[chart.patient_id]
            rows = list(_records(chart, labels[chart.patient_id], left_out, codes))
            if rows:
                yield rows
    for patient in missing:
        for label in labels[patient]:
            left_out.add("not-in-export", f"line {label.line}: its patient is not in the export")


def _note(line: ReportLine, left_out: LeftOut) -> None:
    """Keep what the export itself lacks; types that no record uses are no lack."""
    if line.reason != "type":
        left_out.add(f"export: {line.reason}", line.sentence)


def _records(
    chart: Chart, labels: list[Label], left_out: LeftOut, codes: CodeTable | None
) -> Iterator[tuple[Label, PatientRecord]]:
    for label in labels:
        where = f"line {label.line}"
        stay = replace(chart, encounter_id=label.encounter_id)
        try:
            record = build_record(stay, label.prediction_time, codes=codes)
        except ChartError as exc:
            left_out.add("chart", f"{where}: {exc}")
            continue
        if label.encounter_id is not None and record.stay is None:
            left_out.add("encounter", f"{where}: its encounter is not in the chart at that time")
        elif not (record.measurements or record.notes or record.device_series):
            left_out.add("no-data", f"{where}: the chart holds no data up to its prediction time")
        else:
            yield label, record


def facts_of(label: Label, record: PatientRecord) -> CaseFacts:
    """Return what is known of a row beside its tokens."""
    from model.training.cohort import CaseFacts

    return CaseFacts(
        data_set=DATA_SET,
        stay_id=label.stay_id,
        group=label.group,
        site=label.site,
        view=VIEW,
        labels={task: float(outcome) for task, outcome in label.outcomes.items()},
        age_years=record.demographics.age_years,
        sex=record.demographics.sex,
        unit_type="" if record.stay is None else record.stay.unit_type,
    )
