"""READING.md names a test for each rule, and two rules that concern the reader as a whole."""

from __future__ import annotations

import re
import subprocess
import sys
from copy import deepcopy
from importlib.resources import files
from pathlib import Path

from fhir_adapters.codes import Variable
from fhir_adapters.record_builder import build_record
from tests.fhir_adapters.reading_world import (
    BLOOD_PRESSURE,
    ENCOUNTER,
    LACTATE,
    PREDICTION_TIME,
    chart,
    sampled,
)

HERE = Path(__file__).parent
READING = files("fhir_adapters").joinpath("READING.md").read_text(encoding="utf-8")


def test_every_rule_names_a_test_that_exists() -> None:
    named = re.findall(r"((?:\.\./\w+/)?test_\w+\.py)::(test_\w+)", READING)
    rules = re.findall(r"^\| .* \| .* \| (?:\.\./\w+/)?test_", READING, re.MULTILINE)
    assert len(named) == len(rules) > 35
    for module, test in named:
        assert f"def {test}(" in (HERE / module).read_text(encoding="utf-8"), f"{module}::{test}"


def test_every_column_of_the_table_is_described() -> None:
    described = re.findall(r"^\| ([\w, ]+) \|", READING, re.MULTILINE)
    columns = {column for cell in described for column in cell.split(", ")}
    assert set(Variable.__slots__) <= columns


def test_reading_changes_no_resource() -> None:
    given = chart(LACTATE, BLOOD_PRESSURE, ENCOUNTER, sampled())
    before = deepcopy(given.resources)
    build_record(given, PREDICTION_TIME)
    assert given.resources == before


def test_reading_imports_neither_model_classes_nor_pint() -> None:
    script = (
        "import sys\n"
        "from tests.fhir_adapters.reading_world import BLOOD_PRESSURE, LACTATE, read\n"
        "read(LACTATE, BLOOD_PRESSURE)\n"
        "heavy = {'fhir', 'pint', 'torch', 'transformers', 'shap', 'lime'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
