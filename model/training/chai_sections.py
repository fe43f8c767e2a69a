"""The sections of CHAI's applied model card that this model can fill, from the same figures.

CHAI: Coalition for Health AI. What does not apply to research software that no site uses is said
so once, not left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.training.card_answers import CAUTION, DEVELOPER, RISKS
from model.training.card_figures import figure_text, subgroup_cell


def chai_section(info: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    """Return the sections as one Markdown chapter."""
    held_out = evaluation.get("physionet2012")
    parts = (_identity(info), _uses(), _warnings(held_out), _ingredients(), _metrics(evaluation))
    return "## Applied model card (CHAI)\n\n" + "\n".join((*parts, _resources()))


def _table(heading: str, rows: Mapping[str, str]) -> str:
    lines = [f"### {heading}", "", "| item | |", "|---|---|"]
    lines += [f"| {name} | {' '.join(text.split())} |" for name, text in rows.items()]
    return "\n".join([*lines, ""])


def _identity(info: Mapping[str, Any]) -> str:
    return _table(
        "Name and release",
        {
            "Name and version": f"{info['name']} {info['version']}",
            "Developer and contact": DEVELOPER,
            "Release stage": "Research; no clinical deployment is known.",
            "Availability": "Source code under Apache 2.0; the weights lie beside this card.",
            "Regulatory approval": "None: not a medical device.",
            "Summary": (
                "Risk of in-hospital death of adults in intensive care from structured "
                "measurements, notes and device series, with reasons of measured faithfulness."
            ),
            "Keywords": "intensive care, mortality, multimodal, FHIR, CDS Hooks, SHAP, LIME",
        },
    )


def _uses() -> str:
    return _table(
        "Uses and directions",
        {
            "Intended use and workflow": (
                "Called by an EHR through CDS Hooks when a chart is opened; in shadow mode it "
                "stores its answer and shows nothing."
            ),
            "Primary users": "Clinicians of the treating team; data scientists of a site.",
            "How to use": (
                "Validate in shadow mode, recalibrate, set thresholds, then show cards; retrain "
                "on own data where figures are poor."
            ),
            "Target patients": "Adults in intensive care.",
            "Out of scope": CAUTION,
        },
    )


def _warnings(held_out: Mapping[str, Any] | None) -> str:
    return _table(
        "Warnings",
        {
            "Known risks and limitations": RISKS,
            "Known biases and ethical considerations": (
                f"{_biases(held_out)} Race and ethnicity were not examined. Measuring itself is a "
                "signal, and who is measured is not decided by need alone."
            ),
            "Clinical risk level": (
                "Not classified by an authority; an error could delay care or cause needless care, "
                "so that a clinician must be able to see and refuse each reason."
            ),
        },
    )


def _biases(held_out: Mapping[str, Any] | None) -> str:
    """Name the subgroups whose observed deaths the model's risks do not account for."""
    rows = [] if held_out is None else held_out["subgroups"]
    known = [row for row in rows if row.get("observed_to_expected") is not None]
    if not known:
        return "Observed over expected deaths by subgroup: not measured yet (`meam evaluate`)."
    off = [
        f"{row['group']} {figure_text(row['observed_to_expected'], 2)}"
        for row in known
        if not row["observed_to_expected"][1] <= 1 <= row["observed_to_expected"][2]
    ]
    if not off:
        return "Observed over expected deaths include 1 in every subgroup."
    return f"Observed over expected deaths differ from 1 for: {'; '.join(off)}."


def _ingredients() -> str:
    return _table(
        "Trust ingredients",
        {
            "Outcome and output": "In-hospital death; probability, conformal set, reasons.",
            "Model type": (
                "Latent-bottleneck network over tokens of three modalities; attention aligned with "
                "SHAP and LIME in training."
            ),
            "Foundation models": "all-MiniLM-L6-v2, frozen, for sentences; nothing generative.",
            "Input data": "FHIR R4: Observation, DocumentReference, DiagnosticReport, Device data.",
            "Development data": "See Data and How it was trained.",
            "Bias mitigation": "See source attributes (5)(i) and (5)(ii).",
            "Ongoing maintenance": "See source attributes (8) and (9).",
            "Security and compliance": (
                "Runs inside the site; explanations encrypted at rest, hash-chained audit log, "
                "no patient data in logs. No certification."
            ),
            "Transparency": (
                "Every reason names its FHIR source and standard error; an explanation that misses "
                "its prediction is not shown; code, figures and negative results are public."
            ),
            "Funding": "None stated.",
            "Third parties": "See the attributions of the data sets and pyproject.toml.",
            "Stakeholders consulted": "None: no clinicians or patients have been consulted.",
        },
    )


def _metrics(evaluation: Mapping[str, Any]) -> str:
    held_out = evaluation.get("physionet2012")
    explained = evaluation.get("explanations", {})
    rows = {
        "Usefulness, usability, efficacy": _usefulness(held_out),
        "Fairness and equity": _fairness(held_out),
        "Safety and reliability": _safety(held_out, explained),
    }
    return _table("Key metrics", rows)


def _usefulness(held_out: Mapping[str, Any] | None) -> str:
    if held_out is None:
        return "Not measured yet: `meam evaluate` writes it. Efficacy in use: not measured."
    system = held_out["systems"][held_out["reference"]]
    return (
        f"Discrimination on held-out stays: AUROC {figure_text(system['auroc'], 3)}, AUPRC "
        f"{figure_text(system['auprc'], 3)}, {held_out['n']:,} stays, {held_out['events']} deaths. "
        "Usability and efficacy in use: not measured, since no site uses it."
    )


def _fairness(held_out: Mapping[str, Any] | None) -> str:
    if held_out is None:
        return "Not measured yet: `meam evaluate` writes it."
    rows = [
        row
        for row in held_out["subgroups"]
        if row["kind"] in ("age", "sex") and row["auroc"] is not None
    ]
    if not rows:
        return "Not measured: no subgroup has 100 stays and 10 deaths."
    return "AUROC by group: " + "; ".join(
        f"{row['group']} {subgroup_cell(row['auroc'], 3)}" for row in rows
    )


def _safety(held_out: Mapping[str, Any] | None, explained: Mapping[str, Any]) -> str:
    parts = []
    if held_out is not None:
        system = held_out["systems"][held_out["reference"]]
        parts.append(f"Calibration slope {figure_text(system['calibration_slope'], 2)}.")
    parts += [
        f"Attention and SHAP agree on {row['attention_shap_top5']:.0%} of the five strongest "
        f"tokens ({name}, n {row['n']})."
        for name, row in explained.items()
        if row["attention_shap_top5"] is not None
    ]
    return " ".join(parts) or "Not measured yet: `meam evaluate` and `meam audit` write it."


def _resources() -> str:
    return _table(
        "Resources",
        {
            "Evaluation": "evaluation.json beside this card; `meam evaluate` and `meam audit`.",
            "Clinical trials": "None.",
            "Peer-reviewed publications": "None of this model.",
            "Reimbursement": "Does not apply.",
            "Patient consent or disclosure": (
                "The site's affair; training data are de-identified and open."
            ),
        },
    )
