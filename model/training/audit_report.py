"""The audit as a table, as JSON and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from model.training.audit import RecordAudit
from model.training.audit_lines import Line, passed
from model.training.faithfulness import GRID
from model.training.figures import ForestRow, Picture, banded_curves, forest_plot
from model.training.report_page import PageTable, Section, write_page

HEADINGS = ("what", "excellent", "measured", "95 % interval", "n", "verdict")
NAMES = {
    "near_exact": "near-exact SHAP",
    "served": "served SHAP",
    "attention": "attention, occlusion's signs",
    "random": "random",
}
SHARES = (  # of the forest plot: figures between 0 and 1
    *("top5_overlap", "seed_stability_top5", "attention_shap_spearman", "attention_shap_top5"),
    *("served_comprehensiveness", "served_sufficiency", "attention_comprehensiveness"),
    *("shap_occlusion_top5", "shap_gradients_top5"),
    *("attention_occlusion_top5", "attention_gradients_top5"),
)


def audit_table(lines: Sequence[Line], title: str) -> Table:
    """Return one line a claim."""
    table = Table(title=title)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == HEADINGS[0] else "right")
    colours = {"pass": "green", "fail": "bold red"}
    for line in lines:
        *cells, verdict = _cells(line)
        colour = colours.get(verdict)
        table.add_row(*cells, f"[{colour}]{verdict}[/]" if colour else verdict)
    return table


def _cells(line: Line) -> tuple[str, ...]:
    value = "-" if line.value is None else _number(line.value)
    interval = "-"
    if line.low is not None and line.high is not None:
        interval = f"{_number(line.low)} to {_number(line.high)}"
    return (line.words, line.excellent, value, interval, str(line.n), line.verdict)


def _number(value: float) -> str:
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.01 else f"{value:.1e}"


def audit_document(
    about: Mapping[str, Any], lines: Sequence[Line], rows: Sequence[RecordAudit]
) -> dict[str, Any]:
    """Return what audit.json holds: the lines, and the figures of every record."""
    return {
        **about,
        "passed": passed(lines),
        "lines": [line.to_json() for line in lines],
        "records": [row.figures for row in rows],
    }


def write_audit_page(
    path: Path, about: Mapping[str, Any], lines: Sequence[Line], rows: Sequence[RecordAudit]
) -> None:
    """Write the page beside the JSON."""
    failed = [line for line in lines if line.verdict == "fail"]
    held = sum(line.verdict == "pass" for line in lines)
    lead = (
        f"{about['model']} on {about['n']} records ({about['source']}): {held} of "
        f"{held + len(failed)} lines with a bound pass. Means over records with 95 % bootstrap "
        "intervals; largest values have none."
    )
    sections = [
        Section(
            "Every line",
            tables=[
                PageTable(
                    "The bounds are those that the project set itself beforehand.",
                    HEADINGS,
                    [_cells(line) for line in lines],
                )
            ],
        ),
        Section("Faithfulness and agreement", pictures=[_deletion(rows), _shares(lines, rows)]),
    ]
    write_page(path, f"Audit of {about['model']}", lead, sections)


def _deletion(rows: Sequence[RecordAudit]) -> Picture:
    curves = {
        words: {
            "x": GRID.tolist(),
            "value": np.mean([row.falls[name] for row in rows], axis=0).tolist(),
        }
        for name, words in NAMES.items()
    }
    peak = {name: max(curve["value"]) for name, curve in curves.items()}
    share = peak[NAMES["served"]] / peak[NAMES["near_exact"]]
    title = (
        "Hiding what served SHAP names first lowers the logit "
        f"{share:.0%} as far as near-exact SHAP does"
    )
    svg = banded_curves(
        "deletion",
        curves,
        x_label="share of the tokens hidden, those that raise the logit first",
        y_label="fall of the logit",
        description=title,
    )
    return Picture(title, svg, f"Mean over {len(rows)} records.")


def _bound(line: Line) -> str:
    return "no bound" if line.verdict == "reported" else f"bound {line.excellent}"


def _shares(lines: Sequence[Line], rows: Sequence[RecordAudit]) -> Picture:
    known = {line.figure: line for line in lines}
    shown = [known[name] for name in SHARES if name in known and known[name].value is not None]
    forest = [
        ForestRow(line.words, line.value, line.low, line.high, _bound(line)) for line in shown
    ]
    agreement = known["attention_shap_top5"].value
    title = (
        "Attention and SHAP name the same tokens"
        if agreement is not None and agreement >= 0.8
        else "Attention and SHAP do not name the same tokens often enough"
    )
    svg = forest_plot(
        "agreement", forest, x_label="share or correlation", description=title, reference=1.0
    )
    return Picture(title, svg, f"{len(rows)} records; bars are 95 % bootstrap intervals.")
