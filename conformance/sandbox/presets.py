"""Public sandboxes, as data: where they are, how one signs in, and what is known of each.

Nothing of it was tried from here: each statement names its source and the date of what is known.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

Access = Literal["open", "backend-services", "smart-launch", "bearer", "account"]


@dataclass(frozen=True, slots=True)
class Known:
    """One thing that is known of a sandbox."""

    fact: str
    source: str
    as_of: str  # year and month of what the source says


@dataclass(frozen=True, slots=True)
class Preset:
    """One sandbox. ``fhir`` with ``{...}`` has to be filled in by who runs it."""

    id: str
    name: str
    fhir: str
    access: Access
    sign_in: str
    known: tuple[Known, ...]
    tried: bool = False
    patients: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the base URL can be used as it stands."""
        return "{" not in self.fhir


@cache
def load_presets() -> dict[str, Preset]:
    """Return all presets by name."""
    text = files("conformance.sandbox").joinpath("presets.json").read_text(encoding="utf-8")
    presets = [
        Preset(
            **{
                **entry,
                "known": tuple(Known(**one) for one in entry["known"]),
                "patients": tuple(entry.get("patients", ())),
            }
        )
        for entry in json.loads(text)["presets"]
    ]
    return {one.id: one for one in presets}
