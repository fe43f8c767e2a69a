"""What became of the patients of a ``meam score`` run: counts, never who they were."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from cds_hooks.errors import ResultsUnusable
from cds_hooks.growing_file import Json
from cds_hooks.risk_assessment import NO_ESTIMATE
from cds_hooks.score_files import is_patient, reason_of


@dataclass
class Tally:
    """Patients by what became of them, and what the export itself lacked."""

    scored: int = 0
    risk_groups: Counter[str] = field(default_factory=Counter)  # of the first task
    not_applicable: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    from_earlier_run: int = 0

    @property
    def patients(self) -> int:
        """All of them."""
        return self.scored + self.not_applicable.total() + self.left_out.total()

    @property
    def complete(self) -> bool:
        """Whether no patient failed and the export could be read in full."""
        return not self.left_out and not self.remarks

    def count(self, line: Json) -> None:
        """Count a line as it stands in the files."""
        if line["resourceType"] == "RiskAssessment":
            if line["status"] == "final":
                self.scored += 1
                risk = line["prediction"][0]["qualitativeRisk"]["text"]
                self.risk_groups[risk.partition(",")[0]] += 1
            else:
                self.not_applicable[kind_of_reason(line)] += 1
        elif is_patient(line):
            self.left_out[reason_of(line)] += 1
        elif line["issue"][0]["severity"] == "warning":
            self.remarks[reason_of(line)] += 1

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

    def to_json(self) -> dict[str, Any]:
        """Return the counts by category; no id and no sentence of a chart is among them."""
        return {
            "patients": {
                "all": self.patients,
                "scored": self.scored,
                "not_applicable": self.not_applicable.total(),
                "failed": self.left_out.total(),
                "of_earlier_runs": self.from_earlier_run,
            },
            "risk_groups": dict(self.risk_groups.most_common()),
            "not_applicable": dict(self.not_applicable.most_common()),
            "failed": dict(self.left_out.most_common()),
            "export_faults": dict(self.remarks.most_common()),
        }


def kind_of_reason(line: Json) -> str:
    """Return the kind of a reason: "Too little data" of "Too little data: 3 variables ..."."""
    text = next((n["text"] for n in line["note"] if n["text"].startswith(NO_ESTIMATE)), "")
    sentence = text.removeprefix(NO_ESTIMATE)
    return min((sentence.partition(mark)[0] for mark in ":;."), key=len)


def write_summary(path: Path, document: Mapping[str, Any]) -> None:
    """Write the summary whole, for the owner alone. Raises ResultsUnusable."""
    unfinished = path.with_name(f"{path.name}.part")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(document, indent=1) + "\n")
        unfinished.replace(path)
    except OSError as exc:
        raise ResultsUnusable(f"{path} cannot be written: {exc.strerror}.") from exc


def _add_counts(table: Table, counts: Counter[str]) -> None:
    for reason, count in counts.most_common():
        table.add_row(f"  {reason}", f"{count:,}")
