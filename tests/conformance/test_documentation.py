"""What docs/conformance.md says of commands, files and figures."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from conformance.__main__ import main
from conformance.case import load_requirements
from tests.conformance.mutant_matrix import MUTANTS

TEXT = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")


def action() -> Any:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    return yaml.safe_load(block)


def test_the_github_action_has_the_parts_of_one() -> None:
    workflow = action()
    assert {"name", "jobs"} <= workflow.keys()
    assert workflow[True] == ["push"]  # "on" is a boolean in YAML 1.1, which GitHub knows
    for job in workflow["jobs"].values():
        assert job["runs-on"] == "ubuntu-latest"
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/checkout@v4"))


def test_the_command_of_the_github_action_is_understood() -> None:
    commands = [step["run"] for step in action()["jobs"]["conformance"]["steps"] if "run" in step]
    (command,) = [one for one in commands if one.startswith("meam conformance")]
    assert "\n" not in command.strip()
    result = CliRunner().invoke(main, [*shlex.split(command)[2:], "--plan"])
    assert result.exit_code == 0, result.output
    assert "without JWTs, as fast as they are answered" in result.output


@pytest.mark.parametrize(
    "option", sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) - {"--peer"})
)
def test_every_option_that_is_named_exists(option: str) -> None:
    assert option in {name for one in main.commands["run"].params for name in one.opts}


def test_the_figures_are_those_of_the_files() -> None:
    rows = load_requirements()
    numbers = {number for row in rows for number in row.inferno.split() if number.isdigit()}
    assert f"holds {len(rows)} requirements" in TEXT
    assert f"{len(numbers)} are in it; the other {220 - len(numbers)} are" in TEXT
    assert f"each of {len(MUTANTS)} mutants is found by its case" in TEXT
