"""What the cards answer to the 31 source attributes; figures come from evaluation.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from model.training.card_figures import figure_text, subgroup_cell

NOT_INPUT: Final = (
    "race, ethnicity, language, sexual orientation, gender identity, social determinants of "
    "health and health status assessments"
)
DEVELOPER: Final = (
    "The maintainers of the open-source project meam-cds; contact: the project's issue tracker."
)
OUTPUT: Final = (
    "Calibrated probability (0 to 1) of in-hospital death with a conformal set (low, high or "
    "uncertain) and signed reasons in logits, each with its standard error and source."
)
CAUTION: Final = (
    "Not for triage, for limiting care, for children, outpatients or wards, for other outcomes, "
    "or for any decision without a clinician who sees the patient."
)
RISKS: Final = (
    "Risks of another hospital differ until it is recalibrated there; old or missing values move "
    "the estimate; 'never measured' reflects the care team's choices; attributions are not causes; "
    "over-reliance and alert fatigue. Further limits stand in this card's last section."
)
MONITORING: Final = (
    "By the site that uses it: the service stores every estimate, which the site compares with "
    "outcomes, and `meam audit --bulk` measures the explanations on its patients. The project "
    "proposes a check each quarter and after every change of the chart's coding; it runs none."
)
UPDATES: Final = (
    "With releases of the project, without a fixed schedule; weights have a version and a manifest "
    "of digests, and a site may retrain with `meam train --bulk`."
)
CORRECTIONS: Final = (
    "No schedule: a fault of validity or fairness that is reported is corrected with the next "
    "release and stated in its change notes; a site can recalibrate or retrain at once."
)
BIAS: Final = (
    "Token and modality dropout against dependence on what one site happens to record; both sexes "
    "and all ages of adults in training; no race or ethnicity as input; a 'not measured' token "
    "apart from a value; calibration by availability pattern. No reweighting by group."
)


def shipped_answers(
    info: Mapping[str, Any], training: Mapping[str, Any], evaluation: Mapping[str, Any]
) -> dict[str, str]:
    """Answer for the checkpoint that is trained on the open data."""
    held_out = evaluation.get("physionet2012")
    external = (
        "Not measured: both open data sets train the checkpoint, and PhysioNet 2012 set B, which "
        "tests it, is of the hospital of set A."
    )
    return _always(info) | {
        "(4)(i)": (
            "PhysioNet 2012 set A: adults in intensive care of one hospital, 2001 to 2008, with at "
            "least 48 h of stay. eICU demo: first stays of adults still in the unit at 24 h, 186 "
            "hospitals, 2014 to 2015. Excluded: children, shorter stays."
        ),
        "(4)(iii)": _make_up(training, held_out),
        "(4)(iv)": (
            "Relevant to adult intensive care in the United States of those years; not to other "
            "wards, countries or present practice without validation there."
        ),
        "(5)(i)": (
            "Discrimination and calibration are stated by age, sex, unit and available modalities "
            "on stays that trained nothing; differences are shown, not corrected."
        ),
        "(6)(i)": external,
        "(6)(ii)": "Nobody outside the project has tested it.",
        "(6)(iii)": "Not measured: there was no external validation.",
        "(6)(iv)": (
            "Not done. A site is meant to run it in shadow mode, or `meam score` on an export, on "
            "its own patients first and to compare with their outcomes."
        ),
        "(7)(i)": _validity(held_out, "PhysioNet 2012 set B, 48 h"),
        "(7)(ii)": _fairness(held_out),
        "(7)(iii)": _out_of_fold(evaluation.get("eicu_demo")),
        "(7)(iv)": _fairness(
            evaluation.get("eicu_demo"), "By cross-validation inside the eICU demo: "
        ),
    }


def site_answers(info: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Answer for a checkpoint that a site trained; what only the site knows is named so.

    ``tasks`` are those of training.json, by the words of the outcome.
    """
    names = ", ".join(tasks)
    counts = "; ".join(
        f"{rows['stays']:,} labelled rows for {name}, {rows['events']:,} with the event"
        for name, task in tasks.items()
        for rows in task["training"].values()
    )
    areas = "; ".join(
        f"AUROC for {name} {task['tuning_figures']['auroc']:.3f}" for name, task in tasks.items()
    )
    unknown = "To be stated by the site before use; the training command does not know it."
    unmeasured = "Not measured: a site's training measures its tuning patients only."
    return _always(info) | {
        "(1)(i)": "The site that trained it, with the open-source project meam-cds.",
        "(1)(ii)": unknown,
        "(1)(iii)": (
            f"A calibrated probability (0 to 1) of each of: {names}; with a conformal set (low, "
            "high or uncertain) and, for one of them, signed reasons in logits, each with its "
            "standard error and source."
        ),
        "(2)(i)": (
            "Research and silent validation at the site: an estimate that a clinician may weigh "
            f"beside everything else, of: {names}."
        ),
        "(2)(ii)": unknown,
        "(4)(i)": (f"From the site's export: {counts}; the site's label file says who is in it."),
        "(4)(iii)": unknown,
        "(4)(iv)": "The site's own patients; later patients may differ.",
        "(5)(i)": "Not measured: nothing was compared between groups of patients.",
        "(6)(i)": "Not measured: there was no external validation.",
        "(6)(ii)": "Nobody has tested it outside the site's training.",
        "(6)(iii)": "Not measured: there was no external validation.",
        "(6)(iv)": "Not done.",
        "(7)(i)": (
            f"{areas}, of the tuning patients, who also stopped and calibrated the training: "
            "optimistic. No test patients were held out."
        ),
        "(7)(ii)": unmeasured,
        "(7)(iii)": unmeasured,
        "(7)(iv)": unmeasured,
    }


def _always(info: Mapping[str, Any]) -> dict[str, str]:
    """Answers that do not depend on the data."""
    return {
        "(1)(i)": DEVELOPER,
        "(1)(ii)": "None stated: the project names no funding source.",
        "(1)(iii)": OUTPUT,
        "(1)(iv)": "Prediction, with an explanation of the prediction.",
        "(2)(i)": (
            "Research, demonstration and silent validation at a site: an estimate of the risk of "
            "in-hospital death that a clinician may weigh beside everything else."
        ),
        "(2)(ii)": "Adults in intensive care.",
        "(2)(iii)": "Clinicians of the treating team; data scientists who validate it at a site.",
        "(2)(iv)": "Informs; it neither augments nor replaces a clinician's decision by itself.",
        "(3)(i)": CAUTION,
        "(3)(ii)": RISKS,
        "(4)(ii)": f"Sex and age (from the date of birth) are input. Not input: {NOT_INPUT}.",
        "(5)(ii)": BIAS,
        "(7)(v)": "None: no study of its effect on patients' outcomes has been made.",
        "(8)(i)": MONITORING,
        "(8)(ii)": "Not measured: it depends on the site; see the process above.",
        "(8)(iii)": "As for validity, by age, sex, unit and available modalities.",
        "(8)(iv)": "Not measured: it depends on the site.",
        "(9)(i)": f"{UPDATES} This is version {info['version']}.",
        "(9)(ii)": CORRECTIONS,
    }


def _make_up(training: Mapping[str, Any], held_out: Mapping[str, Any] | None) -> str:
    """Return stays by data set, and age and sex as far as the evaluation counted them."""
    counts = "; ".join(
        f"{name}: {part['stays']:,} stays, {part['events']} deaths"
        for name, part in training["training_stays"].items()
    )
    rows = [] if held_out is None else held_out["subgroups"]
    shares = [
        f"{row['group']} {row['n'] / held_out['n']:.0%}"
        for row in rows
        if held_out is not None and row["kind"] in ("age", "sex")
    ]
    twin = f" Of set B, drawn from the same source as set A: {', '.join(shares)}." if shares else ""
    return f"{counts}.{twin} Not measured, as the model does not read them: {NOT_INPUT}."


def _validity(figures: Mapping[str, Any] | None, where: str) -> str:
    if figures is None:
        return "Not measured yet: `meam evaluate` writes it."
    system = figures["systems"][figures["reference"]]
    parts = [
        f"{words} {figure_text(system[name], digits)}"
        for name, words, digits in (
            ("auroc", "AUROC", 3),
            ("auprc", "AUPRC", 3),
            ("brier", "Brier", 4),
            ("calibration_slope", "calibration slope", 2),
            ("calibration_intercept", "intercept", 2),
        )
    ]
    return (
        f"{where}, {figures['n']:,} stays, {figures['events']} deaths: {'; '.join(parts)} "
        "(95 % bootstrap intervals)."
    )


def _out_of_fold(figures: Mapping[str, Any] | None) -> str:
    """The nearest thing to another source: networks that never saw the stays they predict."""
    if figures is None:
        return "Not measured: no open data set with outcomes is left that trains nothing."
    words = _validity(figures, "eICU demo, 24 h, cross-validated")
    return (
        "Not measured on an external source. The nearest is cross-validation inside a data set of "
        f"186 hospitals that also trains the shipped network: {words}"
    )


def _fairness(figures: Mapping[str, Any] | None, lead: str = "") -> str:
    if figures is None:
        return "Not measured yet: `meam evaluate` writes it."
    groups = [
        f"{row['kind']} {row['group']} ({row['n']:,}, {row['events']}): AUROC "
        f"{subgroup_cell(row['auroc'], 3)}, {_observed(row)}"
        for row in figures["subgroups"]
        if row["kind"] in ("age", "sex") and row["auroc"] is not None
    ]
    unmeasured = f"Not measured for {NOT_INPUT}."
    return f"{lead}{'; '.join(groups)}. {unmeasured}"


def _observed(row: Mapping[str, Any]) -> str:
    ratio: Sequence[float] | None = row.get("observed_to_expected")
    if ratio is not None:
        return f"observed/expected {figure_text(ratio, 2)}"
    return f"observed {row['observed']:.1%}, predicted {row['predicted']:.1%}"
