"""Rules of the house that no linter keeps."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("cds_hooks", "fhir_adapters", "model", "conformance", "tests")
FOLDERS = (*PACKAGES, "docs")
TEXTS = (".py", ".md", ".csv", ".toml", ".html", ".css", ".json", ".txt")
LONGEST_MODULE = 400  # a chapter has 80 to 250 lines; beyond this it is two
FILES = [
    *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*"))),
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "Makefile", "pyproject.toml")),
    *(ROOT / name for name in ("constraints.txt", "requirements-fhir-server.txt")),
]
SOURCES = {
    path.relative_to(ROOT): path.read_text(encoding="utf-8")
    for path in FILES
    if path.is_file() and (path.suffix in TEXTS or path.name == "Makefile")
}
MODULES = {path: text for path, text in SOURCES.items() if path.suffix == ".py"}


@pytest.mark.parametrize("pattern", [r"\bTODO\b", r"\bFIXME\b", r"\bXXX\b", r"@@\w+@@"])
def test_nothing_is_put_off(pattern):
    own = Path("tests/test_house.py")
    assert not [path for path, text in SOURCES.items() if re.search(pattern, text) and path != own]


def test_no_module_is_a_drawer():
    drawers = {"utils", "util", "common", "helpers", "misc", "base"}
    assert not [path for path in MODULES if path.stem in drawers]


def test_no_module_is_too_long():
    long = {path: text.count("\n") for path, text in MODULES.items() if path.parts[0] != "tests"}
    assert not {path: lines for path, lines in long.items() if lines > LONGEST_MODULE}


def test_every_module_says_what_it_is_for():
    silent = [
        path
        for path, text in MODULES.items()
        if path.parts[0] != "tests" and text and not text.startswith('"""')
    ]
    assert not silent


def test_every_package_is_installed():
    project = tomllib.loads(SOURCES[Path("pyproject.toml")])
    listed = set(project["tool"]["setuptools"]["packages"])
    found = {
        ".".join(path.parent.parts)
        for path in MODULES
        if path.name == "__init__.py" and path.parts[0] != "tests"
    }
    assert listed == found


def test_every_dependency_is_pinned():
    project = tomllib.loads(SOURCES[Path("pyproject.toml")])["project"]
    extras = project["optional-dependencies"].values()
    named = [*project["dependencies"], *(name for extra in extras for name in extra)]
    pins = SOURCES[Path("constraints.txt")].splitlines()
    pinned = {_name(line) for line in pins if "==" in line and not line.startswith("#")}
    assert not {_name(requirement) for requirement in named} - pinned


def _name(requirement: str) -> str:
    return re.split(r"[\[=<>]", requirement)[0].lower().replace("_", "-").replace(".", "-")
