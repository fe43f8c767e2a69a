"""The codes that a site's charts use: the standard ones, and its own by a FHIR ConceptMap file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cds_hooks.errors import SettingsError
from fhir_adapters.codes import CodeTable, VariableTableError, standard_codes
from fhir_adapters.concept_map import read_concept_map


def site_codes(concept_map: Path | None) -> CodeTable:
    """Return the code table. Raises SettingsError that names the place in the file at fault."""
    if concept_map is None:
        return standard_codes()
    try:
        return read_concept_map(concept_map)
    except VariableTableError as exc:
        raise SettingsError(f"concept_map {concept_map}: {exc}") from exc


def concept_map_digest(concept_map: Path | None) -> str:
    """Return what tells two runs apart that read their charts by different maps, "" for none."""
    return "" if concept_map is None else hashlib.sha256(concept_map.read_bytes()).hexdigest()
