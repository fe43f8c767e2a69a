"""MODEL_CARD.md, written from evaluation.json: no figure in it is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.explain import ExplanationBudget
from model.lime_sentences import SAMPLES
from model.training.card_answers import shipped_answers
from model.training.card_figures import COLUMNS, SUBGROUP_COLUMNS, figure_text, subgroup_cell
from model.training.chai_sections import chai_section
from model.training.source_attributes import attribute_section

HEAD = """# Model card: {name} {version}

Estimates the probability of **in-hospital death** of adults in intensive care from structured
measurements, note sentences and monitor or wearable series, and says which of them moved the
estimate.

## What it is not
- Not a medical device, not approved by any authority, not validated on patients in use.
- Not for triage, not for decisions on limiting care, not for children, not for outpatients or
  wards: it has seen intensive care only.
- Not causal: an attribution says what moved the model, not what would help the patient. "Never
  measured" can raise or lower the estimate, because measuring is a decision of the care team.

## Intended use
Research, demonstration, and silent (shadow) validation at a site by its own data scientists, who
retrain it on their own FHIR export. The reader is a clinician who also sees the patient.

## Data
| data set | licence | stays | events | used for |
|---|---|---|---|---|
{data_rows}

- PhysioNet/CinC Challenge 2012: Silva, Moody, Scott, Celi, Mark, "Predicting In-Hospital
  Mortality of ICU Patients", Computing in Cardiology 2012; ODC-By 1.0.
- eICU Collaborative Research Database Demo v2.0: Johnson, Pollard, Badawi, Raffa, PhysioNet,
  doi 10.13026/4mxk-na84; Pollard et al., Scientific Data 2018, doi 10.1038/sdata.2018.178;
  ODbL 1.0. These weights are a produced work of that database.

Base rate among training stays: {base_rate:.1%}. Every stay was written as FHIR R4 resources and
read by the record builder that also reads live charts. Known gaps of the data: PhysioNet 2012
(2001 to 2008, one hospital) has no notes; the copy of the eICU demo (2014 to 2015, 186 hospitals)
has coded note phrases rather than free text, and no laboratory, nurse-charting or minute-by-minute
monitor table. No wearable data with outcomes exist among them. Neither states race or ethnicity
to the model.
"""

LIMITS = """## Limits
- The estimate is calibrated to the death rates above; another hospital's differ. Recalibrate on
  site before showing numbers.
- With {eicu_events} deaths in the eICU demo, differences between modalities there are within
  their intervals.
- The direction of a note sentence's contribution is not to be relied on: the network reads denial,
  family history and numbers in notes poorly (`python -m tests.model.note_pairs`).
- Attention is taught to agree with the attributions; it is a proxy of them and no explanation.
- Differences of the subgroup table are measured, not corrected.
"""


SET_A = "physionet2012_a"
FOLD_TABLES = {
    SET_A: "PhysioNet 2012 set A, 48 h after admission, by patient",
    "eicu_demo_by_hospital": "eICU demo, 24 h after admission, whole hospitals held out",
}


HELD_OUT_TOGETHER = (
    "Each of the five networks held out a fold of set A and one of the eICU demo together, and was "
    "trained on the other folds of both."
)


def model_card(
    info: Mapping[str, Any], training: Mapping[str, Any], evaluation: Mapping[str, Any]
) -> str:
    """Return the card; sections whose figures are not in ``evaluation`` are left out."""
    base_rate = info["tasks"][0]["base_rate"]
    parts = [
        HEAD.format(
            name=info["name"],
            version=info["version"],
            base_rate=base_rate,
            data_rows=_data_rows(training, evaluation),
        ),
        _training_section(training),
    ]
    if "physionet2012" in evaluation:
        parts.append(_held_out_section(evaluation["physionet2012"]))
    # Set A has a table only where its folds were held out in the same runs as those of the demo.
    by_patient = HELD_OUT_TOGETHER if SET_A in evaluation else ""
    if "eicu_demo" in evaluation:
        parts.append(_eicu_section(evaluation["eicu_demo"], by_patient))
    parts += [
        _folds_section(heading, evaluation[key], by_patient if key == SET_A else "")
        for key, heading in FOLD_TABLES.items()
        if key in evaluation
    ]
    if "explanations" in evaluation:
        parts.append(_explanation_section(evaluation["explanations"]))
    parts.append(attribute_section(shipped_answers(info, training, evaluation)))
    parts.append(chai_section(info, evaluation))
    eicu_events = sum(part["eicu-demo"]["events"] for part in _splits(training))
    parts.append(LIMITS.format(eicu_events=eicu_events))
    return "\n".join(parts)


def _splits(training: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return training["training_stays"], training["tuning_stays"]


def _data_rows(training: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    licences = {"physionet2012-a": "ODC-By 1.0", "eicu-demo": "ODbL 1.0"}
    rows = [
        f"| {name} | {licences[name]} | {counts['stays']:,} | {counts['events']} | {use} |"
        for part, use in zip(_splits(training), ("training", "stopping, calibration"), strict=True)
        for name, counts in part.items()
    ]
    if "physionet2012" in evaluation:
        test = evaluation["physionet2012"]
        rows.append(
            f"| physionet2012-b | ODC-By 1.0 | {test['n']:,} | {test['events']} | test only |"
        )
    return "\n".join(rows)


def _training_section(training: Mapping[str, Any]) -> str:
    settings = training["settings"]
    loss = settings["consistency"]
    seconds = sum(epoch["seconds"] for epoch in training["history"])
    teaching = sum(epoch["teaching_seconds"] for epoch in training["history"])
    return (
        "## How it was trained\n"
        f"One network, {len(training['history'])} epochs, batches of {settings['batch_size']}, "
        f"AdamW (rate {settings['learning_rate']:g}, weight decay {settings['weight_decay']:g}), "
        f"dropout {settings['network']['dropout']:g}, averaged weights, seed {settings['seed']}. "
        f"{_soft_label_text(training)}"
        "Half of the rows were shown whole; of the others a random share of tokens was hidden, and "
        "whole modalities at random. Consistency loss with kappa "
        f"{loss['noise_multiple']:g}, tau {loss['gate_logit']:g}, lambda {loss['kl_weight']:g}, "
        f"mu {loss['mass_weight']:g}; teachers: packages shap (antithetic permutations) and lime. "
        f"It took {seconds / 60:.1f} minutes on CPU, {teaching / max(seconds, 1e-9):.0%} of it "
        "teaching. `meam train` repeats it.\n"
    )


def _soft_label_text(training: Mapping[str, Any]) -> str:
    """Say what the network was taught of each outcome."""
    if not training.get("softened_tasks"):
        return ""
    share = training["settings"]["soft_label_share"]
    return (
        f"What it was taught is {share:.0%} the probability that boosted trees, logistic "
        "regression and words of notes gave the stay out of fold, and "
        f"{1 - share:.0%} the outcome itself. "
    )


def figures_table(comparison: Mapping[str, Any]) -> str:
    """Return the systems of a comparison as a Markdown table with 95 % intervals."""
    headings = " | ".join(heading for _, heading, _ in COLUMNS)
    lines = [f"| system | {headings} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, figures in comparison["systems"].items():
        cells = (figure_text(figures[column], digits) for column, _, digits in COLUMNS)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def differences_text(comparison: Mapping[str, Any]) -> str:
    """Return the paired AUROC differences as one sentence."""
    pairs = [
        f"{name} {figure_text(estimate, 3)}"
        for name, estimate in comparison["auroc_differences"].items()
    ]
    return f"AUROC of {comparison['reference']} minus that of: " + "; ".join(pairs) + "."


def _held_out_section(figures: Mapping[str, Any]) -> str:
    return (
        "## Held-out test: PhysioNet 2012 set B, 48 h after admission\n"
        f"{figures['n']:,} stays, {figures['events']} deaths, never used for training or tuning; "
        "95 % bootstrap intervals.\n\n"
        f"{figures_table(figures)}\n\n{differences_text(figures)}\n\n"
        f"{_subgroup_table(figures['subgroups'])}\n"
    )


def _eicu_section(figures: Mapping[str, Any], folds: str) -> str:
    scored = figures["with_apache"]
    return (
        "## Cross-validation: eICU demo, 24 h after admission\n"
        f"{figures['n']:,} stays, {figures['events']} deaths; five folds grouped by patient, "
        f"pooled out of fold. {folds or _fold_training(figures)}\n\n"
        f"{figures_table(figures)}\n\n{differences_text(figures)}\n\n"
        f"Stays with an APACHE IVa prediction ({scored['n']:,}, {scored['events']} deaths; its "
        "Event 1 is at the threshold 0.3):\n\n"
        f"{figures_table(scored)}\n\n"
        f"{_subgroup_table(figures['subgroups'])}\n"
    )


def _folds_section(heading: str, figures: Mapping[str, Any], folds: str) -> str:
    return (
        f"## Cross-validation: {heading}\n"
        f"{figures['n']:,} stays, {figures['events']} deaths; five folds, pooled out of fold. "
        f"{folds or _fold_training(figures)}\n\n"
        f"{figures_table(figures)}\n\n{differences_text(figures)}\n"
    )


def _fold_training(figures: Mapping[str, Any]) -> str:
    """Say how the networks of the folds differ from the shipped one."""
    stays, loss = figures.get("companion_stays"), figures.get("consistency_loss", True)
    others = "set A" if stays is None else f"{stays:,} stays of set A"
    without = "" if loss else ", without the consistency loss"
    return f"The networks are trained on the other folds and {others}{without}."


def _subgroup_table(rows: Sequence[Mapping[str, Any]]) -> str:
    headings = ("subgroup", "n", "deaths", "observed", "predicted")
    names = " | ".join((*headings, *(heading for _, heading, _ in SUBGROUP_COLUMNS)))
    lines = [f"| {names} |", "|---" * (len(headings) + len(SUBGROUP_COLUMNS)) + "|"]
    for row in rows:
        figures = (subgroup_cell(row.get(name), digits) for name, _, digits in SUBGROUP_COLUMNS)
        lines.append(
            f"| {row['kind']}: {row['group']} | {row['n']:,} | {row['events']} "
            f"| {row['observed']:.1%} | {row['predicted']:.1%} | " + " | ".join(figures) + " |"
        )
    return "\n".join(lines)


def _explanation_section(figures: Mapping[str, Any]) -> str:
    lines = [
        "## Explanations",
        "Agreement of pooled attention with SHAP, and of SHAP with LIME on note sentences, by the "
        f"estimators that serve ({ExplanationBudget().pairs} antithetic pairs, {SAMPLES} LIME "
        "samples); means over a sample.",
        "",
        "| sample | n | attention-SHAP top 5 | attention-SHAP Spearman | SHAP-LIME notes in common "
        "| largest efficiency gap (logit) |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in figures.items():
        cells = [
            "-" if row[key] is None else f"{row[key]:.3f}"
            for key in (
                "attention_shap_top5",
                "attention_shap_spearman",
                "shap_lime_notes_common_share",
            )
        ]
        gap = f"{row['largest_efficiency_gap_logit']:.1e}"
        lines.append(f"| {name} | {row['n']} | " + " | ".join(cells) + f" | {gap} |")
    return "\n".join(lines) + "\n"
