"""FETCHING.md names a test for each rule; the tests that it names are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.resources import files
from pathlib import Path

FETCHING = files("fhir_adapters").joinpath("FETCHING.md").read_text(encoding="utf-8")
HERE = Path(__file__).parent
ROW = re.compile(r"^\|(.+)\|(.+)\|(.+)\|$", re.MULTILINE)


def rows() -> list[tuple[str, str, str]]:
    table = FETCHING.partition("| rule | behaviour | test |")[2]
    found = [tuple(cell.strip() for cell in row) for row in ROW.findall(table)]
    return [row for row in found if not row[0].startswith("---")]


@cache
def functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_rule_names_a_test_that_exists() -> None:
    missing = []
    for rule, _, test in rows():
        name, _, function = test.partition("::")
        path = HERE / name
        if not path.is_file() or function not in functions_of(path):
            missing.append(f"{rule}: {test}")
    assert missing == []
    assert len(rows()) > 90


def test_every_requirement_on_fetching_has_a_rule() -> None:
    named = {int(number) for rule, _, _ in rows() for number in re.findall(r"\b(\d\d)\b", rule)}
    assert {28, 29, 30, 31, 32, 36} <= named
