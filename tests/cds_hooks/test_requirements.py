"""REQUIREMENTS.md has each requirement from 1 to 82, with tests that exist and name the number."""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest

from tests.cds_hooks.conftest import refuse_empty

HERE = Path(__file__).parent
TABLE = files("cds_hooks").joinpath("REQUIREMENTS.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \|$", TABLE, re.MULTILINE)
TEST = re.compile(r"(test_\w+\.py)::(test_\w+)(?:\[(.+)\])?")
NUMBERS = re.compile(r"(?:^|[_ ])r(\d+)(?:_to_r(\d+))?(?=[_ ]|$)")


@cache
def _module(name: str) -> tuple[set[str], set[str]]:
    """Test functions, and all strings, of a module."""
    tree = ast.parse((HERE / name).read_text(encoding="utf-8"))
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    strings = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return functions, strings


def _numbers(name: str) -> set[int]:
    return {
        number
        for first, last in NUMBERS.findall(name)
        for number in range(int(first), int(last or first) + 1)
    }


def test_every_requirement_has_a_row() -> None:
    assert [int(number) for number, _, _ in ROWS] == list(range(1, 83))


@pytest.mark.parametrize(("number", "does", "tests"), ROWS, ids=[f"R{row[0]}" for row in ROWS])
def test_every_requirement_is_held_by_tests_that_name_it(
    number: str, does: str, tests: str
) -> None:
    assert does.strip()
    if tests.startswith("not applicable:"):
        assert len(tests) > len("not applicable: ")
        return
    for cell in tests.split("<br>"):
        named = TEST.fullmatch(cell)
        assert named, cell
        module, test, case = named.groups()
        functions, strings = _module(module)
        assert test in functions, cell
        assert case is None or case in strings, cell
        assert int(number) in _numbers(case or test), cell


def test_every_test_with_a_number_stands_in_the_table() -> None:
    named = {(module, test) for module, test, _ in TEST.findall(TABLE)}
    numbered = {
        (path.name, test)
        for path in HERE.glob("test_*.py")
        for test in _module(path.name)[0]
        if re.match(r"test_r\d", test)
    }
    assert numbered - named == set()


@pytest.mark.parametrize("value", [None, "", [], {}, {"a": [{"b": None}]}])
def test_r3_the_walker_of_all_answers_finds_what_is_empty(value: object) -> None:
    with pytest.raises(AssertionError):
        refuse_empty({"cards": [{"detail": value}]}, "$", allowed=("$.cards",))
    refuse_empty({"cards": []}, "$", allowed=("$.cards",))
