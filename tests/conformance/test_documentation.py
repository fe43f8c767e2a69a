"""What the pages on the suite say of commands, files and figures."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from conformance.__main__ import main
from conformance.case import load_cases, load_requirements
from conformance.sandbox.checks import load_checks
from tests.cds_hooks.running import free_port
from tests.conformance.mutant_matrix import MUTANTS
from tests.conformance.own_modes import MODES
from tests.conformance.test_suite import CLIENTS_OWN, INVARIANTS, WIDER

HOME = Path(__file__).parents[2]
TEXT = (HOME / "docs" / "conformance.md").read_text(encoding="utf-8")
_WORDS = ("No", "One", "Two", "Three", "Four", "Five", "Six")
# Starts the correct service where the example says that one is, without JWTs.
START = """#!/bin/sh
exec {python} -c '
from tests.conformance.correct_service import Agreement, CorrectService
CorrectService(Agreement(), "missing-jwt").app().run(port={port})
'
"""


def action() -> Any:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    return yaml.safe_load(block)


def commands() -> dict[str, str]:
    steps = action()["jobs"]["conformance"]["steps"]
    return {step["name"]: step["run"] for step in steps if "run" in step}


def test_the_github_action_has_the_parts_of_one() -> None:
    workflow = action()
    assert {"name", "jobs"} <= workflow.keys()
    assert workflow[True] == ["push"]  # "on" is a boolean in YAML 1.1, which GitHub knows
    for job in workflow["jobs"].values():
        assert job["runs-on"] == "ubuntu-latest"
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step)
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/checkout@v4"))


def test_the_commands_of_the_github_action_work(tmp_path: Path) -> None:
    """Each as the runner does it, ``bash -e``, with the suite of this environment."""
    port = str(free_port())
    script = tmp_path / "start-my-service.sh"
    script.write_text(START.format(python=sys.executable, port=port))
    script.chmod(0o755)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(HOME)}
    started = subprocess.Popen(
        ["bash", "-e", "-c", f"{commands()['Start the service']}\nwait".replace("8080", port)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for command in (commands()["Start the service"].splitlines()[1], None):
            command = command or commands()["Try the service"]
            done = subprocess.run(
                ["bash", "-e", "-c", command.replace("8080", port)],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        os.killpg(started.pid, 15)
        started.wait(10)
    suite = ElementTree.parse(tmp_path / "cds-hooks.xml").getroot()
    assert int(suite.get("tests", "0")) > 150
    assert suite.get("errors") == "0"
    assert (tmp_path / "cds-hooks.html").read_text().startswith("<!doctype html>")


def test_what_the_github_action_installs_has_everything(tmp_path: Path) -> None:
    """The cases and the pages are files of the packages, and could be forgotten."""
    command = shlex.split(commands()["Install the suite"].replace("./suite", str(HOME)))
    assert command[:2] == ["pip", "install"]
    assert (HOME / Path(command[command.index("-c") + 1]).name).is_file()
    source = tmp_path / "source"
    folders = ("conformance", "cds_hooks", "fhir_adapters", "model")
    source.mkdir()
    for name in (*folders, "pyproject.toml", "README.md", "LICENSE"):
        (source / name).symlink_to(HOME / name)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    target = tmp_path / "installed"
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, timeout=300)
    packaged = {
        file.relative_to(target).as_posix() for file in (target / "conformance").rglob("*.*")
    }
    ours = {
        file.relative_to(HOME).as_posix()
        for file in (HOME / "conformance").rglob("*.*")
        if file.suffix != ".pyc"
    }
    assert not ours - packaged


@pytest.mark.parametrize(
    "option", sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT)) - {"--peer", "--retry"})
)
def test_every_option_that_is_named_exists(option: str) -> None:
    if option in ("--retry-delay", "--retry-connrefused"):
        return
    assert option in {name for one in main.commands["run"].params for name in one.opts}


def test_the_figures_are_those_of_the_files() -> None:
    rows = load_requirements()
    numbers = {number for row in rows for number in row.inferno.split() if number.isdigit()}
    assert f"holds {len(rows)} requirements" in TEXT
    assert f"{len(numbers)} are in it; the other {220 - len(numbers)} are" in TEXT
    assert len(CLIENTS_OWN) == 220 - len(numbers)
    assert f"The {len(INVARIANTS)} invariants of" in TEXT
    assert f"each of {len(MUTANTS)} mutants is found by its case" in TEXT
    assert f"{_WORDS[len(WIDER) + 2]} faults break more than one rule" in TEXT


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("README.md", f"against {len(load_cases())} cases"),
        ("CHANGELOG.md", f"against {len(load_cases())} cases"),
        ("docs/sandbox.md", f"\n{len(load_checks())} checks, data in"),
        (
            "docs/conformance-peers.md",
            f"the {sum('jwt' in one.needs and '2.0.1' in one.versions for one in load_cases())} "
            "cases about JWTs are omitted",
        ),
    ],
)
def test_other_pages_have_the_same_figures(file: str, said: str) -> None:
    text = (HOME / file).read_text(encoding="utf-8")
    assert said in text
    known = {len(load_cases()), sum("2.0.1" in one.versions for one in load_cases())}
    told = re.findall(r"\b(\d{3}) (?:cases|rules)\b", text)
    assert set(map(int, told)) <= known


def test_each_mode_of_the_table_has_all_cases() -> None:
    rows = re.findall(r"^\| ([^|]*) \| ((?:\d+ \| ){4}\d+) \|$", TEXT, re.M)
    assert [name for name, _ in rows] == [mode.name for mode in MODES]
    for mode, (_, cells) in zip(MODES, rows, strict=True):
        applying = sum(mode.version in case.versions for case in load_cases())
        assert sum(map(int, cells.split(" | "))) == applying, mode.name
