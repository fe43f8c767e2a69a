"""What is checked, as data: ``checks.json``, one entry a check, and five verdicts on each.

``needed``: without it no answer can be given. ``useful``: a part of the chart, time or comfort is
lost without it. ``informative``: good to know beforehand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Literal

Level = Literal["needed", "useful", "informative"]
LEVELS: tuple[Level, ...] = ("needed", "useful", "informative")
Verdict = Literal["pass", "fail", "skip", "omit", "error"]
VERDICTS: tuple[Verdict, ...] = ("pass", "fail", "skip", "omit", "error")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to know about a server. ``sends``: what goes over the wire for it, in words."""

    id: str
    area: str
    level: Level
    description: str
    why: str
    sends: str = ""


@dataclass(slots=True)
class Found:
    """What a probe saw: ``faults`` make it fail, ``notes`` are worth knowing either way."""

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Omitted(Exception):
    """The check does not apply to this server or this run; the message says why."""


class NotTried(Exception):
    """The check could not be tried, because something before it failed."""


class Refused(Exception):
    """The server refused just what the check asks for; the message says how."""


@cache
def load_checks() -> tuple[Check, ...]:
    """Return all checks in the order in which they run."""
    text = files("conformance.sandbox").joinpath("checks.json").read_text(encoding="utf-8")
    return tuple(Check(**entry) for entry in json.loads(text)["checks"])
