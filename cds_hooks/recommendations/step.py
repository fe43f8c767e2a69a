"""One next step, as its PlanDefinition and ActivityDefinition say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_adapters.elements import dicts_of, text_of
from model.prediction import DeviceEvidence, StructuredEvidence, TokenAttribution

ADDRESSES = "urn:meam:extension:addresses"  # of a PlanDefinition: "variable" and "organSystem"
PUBLISHED = "urn:meam:extension:published"  # of a relatedArtifact: when the guideline came out
NEWER = "urn:meam:extension:newer-edition"  # of a relatedArtifact: known, and not reviewed
Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Citation:
    """The guideline that a step rests on."""

    label: str  # short, for the card: "BTS oxygen guideline 2017"
    text: str  # organisation, title, place, year
    url: str
    published: str  # FHIR date: "2017-06"
    newer: str = ""  # an edition that we know of and did not review


@dataclass(frozen=True, slots=True)
class Condition:
    """FHIRPath that has to be true of the patient's data."""

    expression: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """What may be offered, to whom, and why."""

    id: str
    title: str  # "Consider ..."
    plan_url: str
    activity: Resource  # ActivityDefinition
    conditions: tuple[Condition, ...]  # all have to be true
    citations: tuple[Citation, ...]
    variables: frozenset[str]
    organ_systems: frozenset[str]
    reviewed: str = ""  # FHIR date of the last review, "" if none is stated
    approved: str = ""  # FHIR date on which somebody approved its use

    @property
    def kind(self) -> str:
        """The type of the resource that it creates: ServiceRequest or Task."""
        return str(self.activity["kind"])

    def addresses(self, token: TokenAttribution) -> bool:
        """Whether the step is about what this token of an explanation says."""
        if token.organ_system in self.organ_systems:
            return True
        evidence = token.evidence
        if isinstance(evidence, StructuredEvidence):
            return evidence.variable in self.variables
        return isinstance(evidence, DeviceEvidence) and evidence.channel in self.variables


def step_of(plan: Resource, activity: Resource) -> Step:
    """Make the step of a PlanDefinition and the ActivityDefinition that it names."""
    (action,) = plan["action"]
    return Step(
        id=plan["id"],
        title=plan["title"],
        plan_url=plan["url"],
        activity=activity,
        conditions=tuple(
            Condition(one["expression"]["expression"], one["expression"].get("description", ""))
            for one in action["condition"]
        ),
        citations=tuple(citations_of(plan)),
        variables=addressed(plan, "variable"),
        organ_systems=addressed(plan, "organSystem"),
        reviewed=text_of(plan.get("lastReviewDate")),
        approved=text_of(plan.get("approvalDate")),
    )


def citations_of(plan: Resource) -> list[Citation]:
    """The guidelines that a PlanDefinition cites."""
    return [
        Citation(
            label=one.get("label", ""),
            text=one.get("citation", ""),
            url=one.get("url", ""),
            published=_extension(one, PUBLISHED, "valueDate"),
            newer=_extension(one, NEWER, "valueString"),
        )
        for one in dicts_of(plan.get("relatedArtifact"))
        if one.get("type") == "citation"
    ]


def _extension(artifact: Resource, url: str, value: str) -> str:
    held = (one for one in dicts_of(artifact.get("extension")) if one.get("url") == url)
    return next((text_of(one.get(value)) for one in held), "")


def addressed(plan: Resource, what: str) -> frozenset[str]:
    """The codes of one kind ("variable", "organSystem") that a PlanDefinition addresses."""
    return frozenset(
        inner["valueCode"]
        for extension in dicts_of(plan.get("extension"))
        if extension.get("url") == ADDRESSES
        for inner in dicts_of(extension.get("extension"))
        if inner.get("url") == what and "valueCode" in inner
    )
