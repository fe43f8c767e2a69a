"""Model cards: all 31 source attributes, CHAI's sections, and no figure that is not in the JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from model.training.card_answers import shipped_answers, site_answers
from model.training.card_figures import subgroup_cell
from model.training.chai_sections import chai_section
from model.training.model_card import model_card
from model.training.source_attributes import NUMBERS, AttributeMissing, attribute_section

SHIPPED = Path(__file__).parent.parent.parent / "model" / "checkpoints" / "meam-risk"
INFO = {"name": "meam-risk", "version": "9.9"}
STAYS = {"physionet2012-a": {"stays": 10, "events": 2}, "eicu-demo": {"stays": 5, "events": 1}}
TRAINING = {"training_stays": STAYS, "tuning_stays": STAYS}
FIGURE = [0.8, 0.7, 0.9]
SYSTEM = dict.fromkeys(
    ("auroc", "auprc", "brier", "calibration_slope", "calibration_intercept"), FIGURE
)
HELD_OUT = {
    "n": 400,
    "events": 50,
    "reference": "fused",
    "systems": {"fused": SYSTEM},
    "subgroups": [
        {
            "kind": "sex",
            "group": "female",
            "n": 180,
            "events": 20,
            "observed": 0.11,
            "predicted": 0.1,
            "auroc": FIGURE,
            "calibration_slope": FIGURE,
            "calibration_intercept": FIGURE,
            "observed_to_expected": [1.4, 1.2, 1.6],
        },
        {
            "kind": "age",
            "group": "under 50",
            "n": 30,
            "events": 1,
            "observed": 0.03,
            "predicted": 0.05,
            "auroc": None,
            "calibration_slope": None,
            "calibration_intercept": None,
            "observed_to_expected": None,
        },
    ],
}


def rows(section: str) -> dict[str, str]:
    """Return the answers of a card by their numbers."""
    found = re.findall(r"^\| (\(\d\)\([iv]+\)) \| [^|]+ \| (.*) \|$", section, re.MULTILINE)
    return dict(found)


@pytest.mark.parametrize("evaluation", [{}, {"physionet2012": HELD_OUT, "eicu_demo": HELD_OUT}])
def test_each_of_the_31_attributes_is_present_and_not_empty(evaluation):
    assert len(NUMBERS) == len(set(NUMBERS)) == 31
    found = rows(attribute_section(shipped_answers(INFO, TRAINING, evaluation)))
    assert list(found) == list(NUMBERS)
    assert all(len(answer) > 4 for answer in found.values())


def test_a_sites_card_has_all_of_them_too():
    counts = {"site": {"stays": 900, "events": 80}}
    tasks = {"in-hospital death": {"training": counts, "tuning_figures": {"auroc": 0.8123}}}
    found = rows(attribute_section(site_answers(INFO, tasks)))
    assert list(found) == list(NUMBERS)
    assert "0.812" in found["(7)(i)"]
    assert "900 labelled rows" in found["(4)(i)"]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_card_that_is_silent_about_one_is_refused(number):
    answers = shipped_answers(INFO, TRAINING, {})
    with pytest.raises(AttributeMissing, match=re.escape(number)):
        attribute_section(answers | {number: " "})


def test_figures_of_the_card_come_from_the_evaluation():
    answers = shipped_answers(INFO, TRAINING, {"physionet2012": HELD_OUT})
    assert "AUROC 0.800 (0.700 to 0.900)" in answers["(7)(i)"]
    assert "400 stays, 50 deaths" in answers["(7)(i)"]
    assert "observed/expected 1.40 (1.20 to 1.60)" in answers["(7)(ii)"]
    assert "under 50" not in answers["(7)(ii)"]
    assert "Not measured" in answers["(7)(iii)"]


def test_chais_sections_are_there_and_name_the_groups_that_are_off():
    text = chai_section(INFO, {"physionet2012": HELD_OUT})
    for heading in (
        *("Name and release", "Uses and directions", "Warnings", "Trust ingredients"),
        *("Key metrics", "Resources"),
    ):
        assert f"### {heading}" in text
    assert "differ from 1 for: female 1.40 (1.20 to 1.60)" in text


@pytest.mark.parametrize(
    ("figure", "text"),
    [(None, "-"), (0.8125, "0.812"), ([0.8125, 0.7, 0.9], "0.812 (0.700 to 0.900)")],
)
def test_a_subgroups_figure_with_interval_alone_or_missing(figure, text):
    assert subgroup_cell(figure, 3) == text


def test_the_card_says_what_the_networks_of_the_folds_were_trained_on():
    """Folds of set A are held out with those of the demo, but where the demo is tested alone."""
    info, training, evaluation = (
        json.loads((SHIPPED / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("config", "training", "evaluation")
    )
    together, alone = "held out a fold of set A and one of the eICU demo", "4,000 stays of set A."
    card = model_card(info, training, evaluation)
    assert (card.count(together), card.count(alone)) == (2, 1)
    by_hospital = card.index("whole hospitals held out")
    assert card.rindex(together) < by_hospital < card.index(alone)
    quick = {**evaluation, "eicu_demo": {**evaluation["eicu_demo"], "companion_stays": 1000}}
    del quick["physionet2012_a"], quick["eicu_demo_by_hospital"]
    card = model_card(info, training, quick)
    assert together not in card
    assert "the other folds and 1,000 stays of set A." in card


def test_the_shipped_card_has_all_of_them_and_the_attributions():
    card = (SHIPPED / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert list(rows(card)) == list(NUMBERS)
    assert "10.13026/4mxk-na84" in card
    assert "ODC-By 1.0" in card
    evaluation = json.loads((SHIPPED / "evaluation.json").read_text(encoding="utf-8"))
    value, low, high = evaluation["physionet2012"]["systems"]["fused"]["auroc"]
    assert f"{value:.3f} ({low:.3f} to {high:.3f})" in card
