"""Report pages: self-contained, legible, and every figure with a title and a description."""

from __future__ import annotations

import re

import numpy as np
import pytest

from model.training.curves import (
    calibration_bins,
    curves,
    observed_to_expected,
    wilson,
)
from model.training.evaluation import Comparison, System
from model.training.evaluation_page import write_evaluation_page
from model.training.figures import ForestRow, Picture, dose_plot, forest_plot
from model.training.report_page import PageTable, Section, page
from tests.browser import chromium, low_contrast, needs_chromium, unnamed_controls


@pytest.fixture(scope="module")
def figures():
    """An evaluation of a system that knows something, with two subgroups."""
    rng = np.random.default_rng(0)
    logits = rng.normal(-1.5, 1.2, 600)
    truth = 1 / (1 + np.exp(-logits))
    outcomes = (rng.random(600) < truth) * 1.0
    comparison = Comparison(outcomes)
    comparison.add("fused", System(truth, 0.3))
    for name in ("structured only", "device only"):
        noisy = 1 / (1 + np.exp(-logits - rng.normal(0, 1, 600)))
        comparison.add(f"fused: {name}", System(noisy, 0.3))
    comparison.add("trees + logistic", System(np.sqrt(truth), 0.3))
    found = comparison.to_json(reference="fused", resamples=20)
    known = {"n": 300, "events": 60, "observed": 0.2, "predicted": 0.19}
    estimates = {
        "auroc": [0.8, 0.7, 0.9],
        "calibration_slope": [1.0, 0.8, 1.2],
        "calibration_intercept": [0.0, -0.2, 0.2],
        "observed_to_expected": [1.3, 1.1, 1.5],
    }
    found["subgroups"] = [
        {"kind": "sex", "group": "female", **known, **estimates},
        {"kind": "age", "group": "under 50", **known, **dict.fromkeys(estimates)},
    ]
    return found


@pytest.fixture(scope="module")
def path(figures, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "evaluation.html"
    sample = {
        "n": 5,
        "attention_shap_top5": 0.8,
        "attention_shap_spearman": None,
        "shap_lime_notes_common_share": 0.7,
        "largest_efficiency_gap_logit": 1e-7,
    }
    evaluation = {"physionet2012": figures, "explanations": {"set B": sample}}
    write_evaluation_page(file, "meam-risk 9", evaluation)
    return file


def test_the_page_loads_nothing_and_holds_every_figure(path):
    text = path.read_text()
    assert text.count("<figure>") == 6  # ROC, PR, calibration, subsets, two of subgroups
    assert not re.search(r'(?:src|href)="http', text.replace("http://www.w3.org", ""))
    assert "<script" not in text
    assert "600 stays that trained nothing" in text
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_titles_say_the_finding(path):
    text = path.read_text()
    assert "Observed and predicted deaths differ for sex: female" in text
    assert re.search(r"AUROC 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\); trees \+ logistic", text)


@needs_chromium
def test_the_page_is_legible_in_a_browser(path):
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": 1100, "height": 900})
        faults: list[str] = []
        tab.on("console", lambda message: faults.append(message.text))
        tab.on("request", lambda request: faults.append(request.url))
        tab.goto(path.as_uri())
        assert faults == [path.as_uri()]
        assert not unnamed_controls(tab)
        assert not low_contrast(tab)
        wide = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0
        sizes = tab.evaluate(
            "[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().width)"
        )
        assert min(sizes) > 300


def test_text_from_outside_is_escaped():
    section = Section(
        "<b>", ["<i>"], [Picture("<u>", "<svg></svg>", "<s>")], [PageTable("<p>", ["a"], [["<q>"]])]
    )
    text = page("<h>", "<l>", [section])
    for tag in ("<b>", "<i>", "<u>", "<s>", "<q>", "<l>"):
        assert tag not in text


def test_a_plot_describes_itself_and_draws_rows_without_values():
    drawn = forest_plot(
        "f", [ForestRow("a & b", 0.5, 0.4, 0.6), ForestRow("none", None)],
        x_label="x", description='says "so"',
    )  # fmt: skip
    assert drawn.startswith('<svg role="img" aria-label="says &quot;so&quot;"')
    assert "a &amp; b" in drawn
    doses = dose_plot("d", [0, 1], {"y": [(0.5, 0.4, 0.6), (0.6, 0.5, 0.7)]}, "more")
    assert "</svg>" in doses


def test_a_perfect_system_has_a_perfect_curve_and_a_band_of_no_width():
    outcomes = np.repeat([0.0, 1.0], 50)
    found = curves(outcomes, np.linspace(0.01, 0.99, 100))
    assert found["roc"]["value"][1:] == found["roc"]["low"][1:] == [1.0] * 40
    assert set(found["precision_recall"]["value"]) == {1.0}


def test_calibration_bins_count_every_case():
    outcomes = np.tile([0.0, 0.0, 0.0, 1.0], 50)
    bins = calibration_bins(outcomes, np.full(200, 0.25))
    assert sum(row["n"] for row in bins) == 200
    assert sum(row["events"] for row in bins) == 50
    assert all(row["low"] <= row["observed"] <= row["high"] for row in bins)


@pytest.mark.parametrize(
    ("events", "count", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634)]
)
def test_wilson_intervals_are_the_known_ones(events, count, low, high):
    assert wilson(events, count) == pytest.approx((low, high), abs=2e-4)


def test_observed_over_expected_has_the_exact_poisson_interval():
    outcomes = np.r_[np.ones(10), np.zeros(90)]
    ratio, low, high = observed_to_expected(outcomes, np.full(100, 0.1))
    assert (ratio, low, high) == pytest.approx((1.0, 0.4795, 1.839), abs=1e-3)
