"""The library of next steps: our files, then a site's own, which add to ours or replace them.

A step is a PlanDefinition and the ActivityDefinition that it names, each in a JSON file. A site's
file with the id of one of ours takes its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cds_hooks.errors import SettingsError
from cds_hooks.recommendations.json_lines import Path as JsonPath
from cds_hooks.recommendations.json_lines import line_of, lines_of
from cds_hooks.recommendations.step import Step, step_of

SHIPPED = Path(__file__).parent / "library"
KINDS = ("PlanDefinition", "ActivityDefinition")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one file, and where."""

    file: Path
    line: int
    cause: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.cause}"


@dataclass(frozen=True, slots=True)
class LibraryFile:
    """One file that could be parsed."""

    path: Path
    text: str
    resource: dict[str, Any]

    def fault(self, place: JsonPath, cause: str) -> Fault:
        """A fault at a place in the file."""
        return Fault(self.path, line_of(lines_of(self.text), place), cause)


def load_steps(folder: Path | None, disabled: Iterable[str] = ()) -> tuple[Step, ...]:
    """Return the steps that this site offers. Raises SettingsError with every fault.

    Our own files were checked when they were made, and a site's are checked here: that needs
    fhir.resources, whose import takes longer than the rest of our start.
    """
    from_site: list[LibraryFile] = []
    if folder is not None:
        from cds_hooks.recommendations.check import check_folder

        from_site, faults = check_folder(folder)
        if faults:
            raise SettingsError(
                f"recommendations.folder: {'; '.join(map(str, faults))}",
                setting="recommendations.folder",
                fix=f"meam check-recommendations {folder} explains it",
            )
    ours, broken = read_folder(SHIPPED)
    if broken:
        raise SettingsError(f"the installation is damaged: {broken[0]}")
    steps = steps_of([*ours, *from_site])
    off = set(disabled)
    unknown = sorted(off - {step.id for step in steps})
    if unknown:
        raise SettingsError(
            f"recommendations.disabled: there is no step {unknown[0]!r}",
            setting="recommendations.disabled",
            fix="meam check-recommendations lists the steps",
        )
    return tuple(step for step in steps if step.id not in off)


def steps_of(files: Iterable[LibraryFile]) -> tuple[Step, ...]:
    """Join active plans with their activities, by id; of several with one id the last counts."""
    plans, activities = {}, {}
    for file in files:
        resource = file.resource
        if resource["resourceType"] == "PlanDefinition":
            plans[resource["id"]] = resource
        else:
            activities[resource["url"]] = resource
    return tuple(
        step_of(plan, activities[plan["action"][0]["definitionCanonical"]])
        for _, plan in sorted(plans.items())
        if plan["status"] == "active"
    )


def read_folder(folder: Path) -> tuple[list[LibraryFile], list[Fault]]:
    """Return the files of a folder that are JSON objects, and what is wrong with the others."""
    files, faults = [], []
    for path in sorted(folder.glob("*.json")):
        found = _read(path)
        if isinstance(found, Fault):
            faults.append(found)
        else:
            files.append(found)
    return files, faults


def resources_of(files: Iterable[LibraryFile], kind: str) -> Iterator[LibraryFile]:
    """The files of one resource type."""
    return (file for file in files if file.resource.get("resourceType") == kind)


def _read(path: Path) -> LibraryFile | Fault:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        return Fault(path, 1, f"cannot be read as UTF-8 text: {exc}")
    try:
        resource = json.loads(text)
    except json.JSONDecodeError as exc:
        return Fault(path, exc.lineno, f"not JSON: {exc.msg}")
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    if kind not in KINDS:
        return Fault(path, 1, f"expected a resourceType of {' or '.join(KINDS)}, got {kind!r}")
    return LibraryFile(path, text, resource)
