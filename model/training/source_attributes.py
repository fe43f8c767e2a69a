"""The 31 source attributes that 45 CFR 170.315(b)(11)(iv)(B) asks of a predictive intervention.

Each has a number of the rule's own outline and, for a card, one answer. An answer may be that
something was not measured, and then says why; it may not be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

RULE: Final = "45 CFR 170.315(b)(11)(iv)(B)"


class AttributeMissing(ValueError):
    """A card leaves out what the rule asks for."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its number in the rule, and what it asks in our words."""

    number: str
    asks: str


@dataclass(frozen=True, slots=True)
class Group:
    """Attributes under one of the rule's nine headings."""

    heading: str
    attributes: tuple[Attribute, ...]


def _group(number: int, heading: str, *asks: str) -> Group:
    romans = ("i", "ii", "iii", "iv", "v")
    attributes = (
        Attribute(f"({number})({roman})", ask) for roman, ask in zip(romans, asks, strict=False)
    )
    return Group(heading, tuple(attributes))


GROUPS: Final[tuple[Group, ...]] = (
    _group(
        1,
        "Details and output",
        "Developer: name and contact",
        "Funding of the technical implementation",
        "Value that is put out",
        "Kind of output",
    ),
    _group(
        2,
        "Purpose",
        "Intended use",
        "Intended patients",
        "Intended users",
        "Role in the decision",
    ),
    _group(
        3,
        "Cautioned out-of-scope use",
        "Tasks, situations and populations to keep away from",
        "Known risks, inappropriate settings and uses, limitations",
    ),
    _group(
        4,
        "Development and input features",
        "Who was left in and out of the training data",
        "Demographic and social variables used as input",
        "Demographic make-up of the training data",
        "Relevance of the training data to the place of use",
    ),
    _group(
        5,
        "Fairness in development",
        "How the output was made fair",
        "How bias was managed, reduced or removed",
    ),
    _group(
        6,
        "External validation",
        "Data, setting or environment",
        "Who tested",
        "Demographic make-up of the external data",
        "How it was done",
    ),
    _group(
        7,
        "Measures of performance",
        "Validity on test data of the training data's source",
        "Fairness on test data of the training data's source",
        "Validity on data of another source",
        "Fairness on data of another source",
        "Studies of the effect on outcomes",
    ),
    _group(
        8,
        "Monitoring in use",
        "How and how often validity is monitored",
        "Validity in local data",
        "How and how often fairness is monitored",
        "Fairness in local data",
    ),
    _group(
        9,
        "Updates",
        "How and how often the model is updated",
        "How often performance is corrected where risks show",
    ),
)
NUMBERS: Final = tuple(a.number for group in GROUPS for a in group.attributes)


def attribute_section(answers: Mapping[str, str]) -> str:
    """Return the attributes with their answers as Markdown. Raises AttributeMissing."""
    lines = [f"## Source attributes ({RULE})", ""]
    lines += [f"All {len(NUMBERS)} attributes, by their numbers in the rule.", ""]
    for group in GROUPS:
        lines += [f"### {group.heading}", "", "| no. | attribute | answer |", "|---|---|---|"]
        for attribute in group.attributes:
            answer = answers.get(attribute.number, "").strip()
            if not answer:
                raise AttributeMissing(f"{attribute.number} {attribute.asks}: the card is silent")
            lines.append(f"| {attribute.number} | {attribute.asks} | {_one_line(answer)} |")
        lines.append("")
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
