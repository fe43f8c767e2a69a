"""``meam score``: every patient of a Bulk Data export, one RiskAssessment a line.

Memory holds one patient at a time, and the ids of those that an earlier run has written.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from cds_hooks.errors import ResultsUnusable
from cds_hooks.export_progress import export_bars, shown_by
from cds_hooks.growing_file import Json
from cds_hooks.risk_assessment import NO_ESTIMATE, risk_assessment
from cds_hooks.score_files import ScoreFiles, Terms, is_patient, left_out
from cds_hooks.settings import Settings
from cds_hooks.site_codes import concept_map_digest, site_codes
from fhir_adapters.bulk import BulkProgress, read_bulk
from fhir_adapters.chart import Chart
from fhir_adapters.codes import CodeTable
from fhir_adapters.errors import ChartError, NoPatient, UnsupportedFhirVersion, WrongPatient
from fhir_adapters.last_moment import record_at_last_moment
from fhir_adapters.record_builder import build_record
from model.errors import RecordError
from model.predictor import Predictor, load_predictor
from model.record import PatientRecord, ReportLine

LAST: Literal["last"] = "last"
PredictionTime = datetime | Literal["last"] | None  # None: the moment at which the run began

_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (NoPatient, "no-patient"),
    (WrongPatient, "wrong-patient"),
    (UnsupportedFhirVersion, "unsupported-version"),
    (RecordError, "record"),
)


@dataclass
class Tally:
    """Patients by what became of them, and what the export itself lacked."""

    scored: int = 0
    not_applicable: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    from_earlier_run: int = 0

    @property
    def patients(self) -> int:
        """All of them."""
        return self.scored + self.not_applicable.total() + self.left_out.total()

    def count(self, line: Json) -> None:
        """Count a line as it stands in the files."""
        if line["resourceType"] == "RiskAssessment":
            if line["status"] == "final":
                self.scored += 1
            else:
                self.not_applicable[_first_reason(line)] += 1
            return
        (issue,) = line["issue"]
        word = issue["details"]["coding"][0]["code"]
        if is_patient(line):
            self.left_out[word] += 1
        elif issue["severity"] == "warning":
            self.remarks[word] += 1

    def table(self) -> Table:
        """Return the summary."""
        table = Table(title="Scored patients", title_justify="left")
        table.add_column("")
        table.add_column("patients", justify="right")
        table.add_row("all", f"{self.patients:,}")
        table.add_row("scored", f"{self.scored:,}")
        table.add_row("not applicable", f"{self.not_applicable.total():,}")
        _add_counts(table, self.not_applicable)
        table.add_row("failed", f"{self.left_out.total():,}")
        _add_counts(table, self.left_out)
        return table

    def remarks_in_words(self) -> list[str]:
        """Return the sentences below the table."""
        sentences = []
        if self.from_earlier_run:
            sentences.append(f"{self.from_earlier_run:,} of them are of an earlier run.")
        if self.remarks:
            words = ", ".join(f"{word} {count:,}" for word, count in self.remarks.most_common())
            sentences.append(f"The export could not be read in full: {words}.")
        return sentences


def score(
    bulk: Path,
    results: Path,
    *,
    left_out: Path | None = None,
    checkpoint: Path | None = None,
    prediction_time: PredictionTime = None,
    concept_map: Path | None = None,
    console: Console | None = None,
) -> Tally:
    """Score an export, or go on with a run that was stopped; print the summary.

    ``left_out`` (default: ``<results>.left-out.ndjson``) gets patients that failed and what the
    export lacks. ``concept_map``: a site's own codes. Raises ResultsUnusable, SettingsError,
    FhirError for an unusable export, and ModelError.
    """
    console = console or Console(stderr=True)
    predictor = load_predictor(checkpoint or Settings().checkpoint)
    rest = left_out or results.with_name(f"{results.stem}.left-out.ndjson")
    with export_bars(console) as bars:
        show = shown_by(bars, "scoring patients")
        tally = score_with(
            predictor, bulk, results, rest, prediction_time, concept_map, on_progress=show
        )
    console.print(tally.table())
    for sentence in (*tally.remarks_in_words(), f"Results: {results}. Left out: {rest}."):
        console.print(sentence, soft_wrap=True, highlight=False)
    return tally


def score_with(
    predictor: Predictor,
    bulk: Path,
    results: Path,
    left_out: Path,
    prediction_time: PredictionTime = None,
    concept_map: Path | None = None,
    *,
    on_progress: Callable[[BulkProgress], None] | None = None,
) -> Tally:
    """Score an export with a loaded model."""
    for path in (results, left_out):
        if bulk.resolve() in path.resolve().parents:
            raise ResultsUnusable(f"{path} lies in the export and would be read with it.")
    tally = Tally()
    codes = site_codes(concept_map)
    terms = _terms(predictor, prediction_time, left_out, concept_map)
    with ScoreFiles(results, left_out, terms, tally.count) as files:
        tally.from_earlier_run = tally.patients

        def remark(line: ReportLine) -> None:
            written = files.add_remark(line)
            if written is not None:
                tally.count(written)

        moment = prediction_time or files.terms.started
        charts = read_bulk(bulk, on_progress=on_progress, report=remark, work_directory=files.work)
        for chart in charts:
            if files.has(f"Patient/{chart.patient_id}"):
                continue
            resource = scored(chart, predictor, moment, files.terms.started, codes)
            if resource["resourceType"] == "RiskAssessment":
                files.add_result(resource)
            else:
                files.add_left_out(resource)
            tally.count(resource)
    return tally


def scored(
    chart: Chart,
    predictor: Predictor,
    moment: datetime | Literal["last"],
    now: datetime,
    codes: CodeTable | None = None,
) -> Json:
    """Return a patient's RiskAssessment, or the OperationOutcome that says why there is none."""
    patient = f"Patient/{chart.patient_id}"
    try:
        record = _record(chart, moment, now, codes)
        if record is None:
            sentence = f"{patient} has no data with a time, so there is no last moment to score"
            return left_out(patient, "no-data", sentence)
        return risk_assessment(record, *predictor(record))
    except (ChartError, RecordError) as exc:
        word = next((word for kind, word in _REASONS if isinstance(exc, kind)), "chart")
        return left_out(patient, word, str(exc))


def _record(
    chart: Chart, moment: datetime | Literal["last"], now: datetime, codes: CodeTable | None
) -> PatientRecord | None:
    if isinstance(moment, datetime):
        return build_record(chart, moment, codes=codes)
    return record_at_last_moment(chart, now, codes=codes)


def _terms(
    predictor: Predictor,
    prediction_time: PredictionTime,
    left_out: Path,
    concept_map: Path | None,
) -> Terms:
    """Return what makes two runs the same: graphs, calibration, the site's codes, the moment."""
    checkpoint = predictor.checkpoint
    digest = hashlib.sha256(checkpoint.encode_graph + checkpoint.fuse_graph)
    for by_task in (checkpoint.calibration, checkpoint.conformal):
        plain = {task: fitted.to_json() for task, fitted in by_task.items()}
        digest.update(json.dumps(plain, sort_keys=True).encode())
    digest.update(concept_map_digest(concept_map).encode())
    asked = "now" if prediction_time is None else str(prediction_time)
    info = checkpoint.info
    started = datetime.now(UTC).replace(microsecond=0)
    model = f"{info.name} {info.version}"
    return Terms(model, digest.hexdigest(), asked, left_out.name, started)


def _first_reason(line: Json) -> str:
    """Return the kind of a reason: "Too little data" of "Too little data: 3 variables ..."."""
    text = next((n["text"] for n in line["note"] if n["text"].startswith(NO_ESTIMATE)), "")
    sentence = text.removeprefix(NO_ESTIMATE)
    return min((sentence.partition(mark)[0] for mark in ":;."), key=len)


def _add_counts(table: Table, counts: Counter[str]) -> None:
    for reason, count in counts.most_common():
        table.add_row(f"  {reason}", f"{count:,}")
