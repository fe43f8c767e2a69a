"""docs/synthetic-benchmark.md is executable, and its tables are the terms of the code."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

from model.synthetic import BIAS, SYNERGY, TERMS, planted_cohort

PAGE = Path(__file__).parent.parent.parent / "docs" / "synthetic-benchmark.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_example_runs_and_prints_what_it_says():
    (code,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, str(PAGE), "exec"), {})  # our own page, not somebody's input
    truth, guesses = (float(word) for word in printed.getvalue().split())
    assert truth == 1.0
    assert guesses == pytest.approx(0.25, abs=0.02)


def test_every_weight_and_the_bias_stand_in_the_page():
    for term in (*TERMS, SYNERGY):
        assert f"| {term.weight:g} " in TEXT.replace("1.0 x", "1 x")
    assert f"the bias is {BIAS:g}" in TEXT


def test_the_number_of_players_is_that_of_the_page():
    case = next(planted_cohort(1))
    assert len(case.shapley) == 20
    assert "20 players" in TEXT
    distractors = sum(np.isclose(value, 0) for value in case.shapley.values())
    assert distractors >= 20 - 9
