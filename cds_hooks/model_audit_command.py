"""``meam audit``: does a checkpoint's explanation keep what is promised of it?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from cds_hooks.audit_records import export_records, open_data_records, sample_records
from cds_hooks.site_codes import site_codes
from cds_hooks.train_command import progress_bars
from model.predictor import Predictor, load_predictor
from model.record import PatientRecord

if TYPE_CHECKING:
    from model.tokens import TokenArrays

RANDOMISED_RECORDS = 8  # explained by networks of shuffled weights
RANDOMISED_PAIRS = 4
JSON, PAGE = "audit.json", "audit.html"


@dataclass(frozen=True, slots=True)
class AuditPlaces:
    """What is audited, on which records, and where the report goes."""

    checkpoint: Path
    output: Path
    data: Path | None = None  # open data sets
    bulk: Path | None = None  # a site's export
    records: int = 16
    concept_map: Path | None = None  # the site's own codes


def audit(places: AuditPlaces, *, quick: bool = False, console: Console | None = None) -> bool:
    """Audit a checkpoint, print the table, write JSON and page; return whether nothing failed.

    Raises CheckpointError, DataMissing, FhirError, SettingsError, and ResultsUnusable for an
    export without a readable patient.
    """
    from model.training.audit import AuditEffort, audit_records, networks_of
    from model.training.audit_controls import randomised_similarity
    from model.training.audit_lines import audit_lines, passed
    from model.training.audit_report import audit_document, audit_table, write_audit_page
    from model.training.export import WEIGHTS

    console = console or Console(stderr=True)
    places.output.mkdir(parents=True, exist_ok=True)  # before an hour of work, not after it
    predictor = load_predictor(places.checkpoint, threads=1)
    records, source = audited_records(places)
    tokens = _usable(predictor, records, console)
    weights = places.checkpoint / WEIGHTS
    audited = networks_of(predictor.checkpoint, weights.read_bytes() if weights.is_file() else None)
    effort = AuditEffort.quick() if quick else AuditEffort()
    with progress_bars(console) as progress:
        task = progress.add_task("auditing records", total=len(tokens))
        rows = audit_records(
            audited,
            tokens,
            effort,
            budget=predictor.budget,
            on_record=lambda: progress.advance(task),
        )
    similar: list[float] = []
    if audited.torch is not None:
        similar = randomised_similarity(
            audited.torch, tokens[:RANDOMISED_RECORDS], pairs=RANDOMISED_PAIRS
        )
    lines = audit_lines([row.figures for row in rows], similar)
    info = predictor.checkpoint.info
    about: dict[str, Any] = {
        "model": f"{info.name} {info.version}",
        "source": source,
        "n": len(rows),
        "quick": quick,
    }
    document = audit_document(about, lines, rows)
    (places.output / JSON).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    write_audit_page(places.output / PAGE, about, lines, rows)
    console.print(audit_table(lines, f"Audit of {about['model']}: {len(rows)} records, {source}"))
    console.print(f"Report: {places.output / PAGE}", soft_wrap=True, highlight=False)
    return passed(lines)


def audited_records(places: AuditPlaces) -> tuple[list[PatientRecord], str]:
    """Return the records, and what they are."""
    if places.data is not None:
        return open_data_records(places.data, places.records), "stays of the open data sets"
    if places.bulk is not None:
        codes = site_codes(places.concept_map)
        return export_records(places.bulk, places.records, codes), "patients of an export"
    return sample_records(places.records), "sample patients"


def _usable(
    predictor: Predictor, records: Sequence[PatientRecord], console: Console
) -> list[TokenArrays]:
    """Tokenise; charts that say nothing beyond who the patient is have no explanation."""
    tokens = [predictor.tokenize(record) for record in records]
    usable = [arrays for arrays in tokens if arrays.available]
    if len(usable) < len(tokens):
        console.print(f"Left out: {len(tokens) - len(usable)} records without any measurement.")
    return usable
