"""The cases: one JSON file a rule below ``cases/``, as ``cases.schema.json`` describes them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Literal

Level = Literal["SHALL", "SHOULD", "MAY", "ADVICE"]
LEVELS: tuple[Level, ...] = ("SHALL", "SHOULD", "MAY", "ADVICE")
VERSIONS = ("2.0.1", "3.0")


class CaseError(Exception):
    """A case or the table of requirements cannot be read; the message names the file."""


@dataclass(frozen=True, slots=True)
class Case:
    """One rule and the steps that try it.

    ``level`` is how strongly the specification asks for what is observed. ADVICE is a rule that
    it leaves open, and that safety or experience asks for.
    """

    id: str
    description: str
    requirements: tuple[str, ...]
    level: Level
    versions: tuple[str, ...]
    steps: tuple[Mapping[str, Any], ...]
    needs: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()  # where the rule is about these hooks only
    invariant: str = ""  # of the logical models of 3.0, where the rule is one
    link: str = ""
    area: str = ""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One row of requirements.csv."""

    id: str
    area: str
    inferno: str  # numbers of Inferno's cds-hooks_2.0; with L those of its cds-hooks-library_1.0.1
    versions: str
    section: str
    level: str
    actor: str
    text: str
    cases: tuple[str, ...]
    reason: str


def load_requirements() -> tuple[Requirement, ...]:
    """Return all requirements in their order."""
    text = files("conformance").joinpath("requirements.csv").read_text(encoding="utf-8")
    return tuple(
        Requirement(cases=tuple(row.pop("cases").split()), **row)
        for row in csv.DictReader(text.splitlines())
    )


def load_cases() -> tuple[Case, ...]:
    """Return all cases, by name. Raises CaseError."""
    rows = {one.id: one for one in load_requirements()}
    folder = files("conformance").joinpath("cases")
    found = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return tuple(_case(file, rows) for file in found if file.name.endswith(".json"))


def _case(file: Traversable, rows: Mapping[str, Requirement]) -> Case:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return Case(
            id=file.name.removesuffix(".json"),
            description=data["description"],
            requirements=tuple(data["requirements"]),
            level=data["level"],
            versions=tuple(data["versions"]),
            steps=tuple(data["steps"]),
            needs=tuple(data.get("needs", ())),
            hooks=tuple(data.get("hooks", ())),
            invariant=data.get("invariant", ""),
            link=rows[data["requirements"][0]].section,
            area=rows[data["requirements"][0]].area,
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise CaseError(f"The case {file.name} cannot be read: {exc!r}.") from exc
