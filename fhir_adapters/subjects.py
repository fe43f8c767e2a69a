"""Whose resource it is.

A reference to another patient refuses the whole chart (WrongPatient): something upstream mixed
two people. What names nobody, or cannot be tied to the patient, is left out and reported.

A reference counts by its resource type and id. The host of an absolute reference does not count,
because one server is often known by several (proxies, internal names); ids of one server are
unique, and a request speaks to one server. What belongs to another encounter is kept: it is the
patient's own history.
"""

from __future__ import annotations

from collections.abc import Mapping

from fhir_adapters.chart import Resource
from fhir_adapters.errors import WrongPatient

_HOLDERS = ("subject", "patient", "for", "securityContext")  # "for": of a Task


class Ownership:
    """Judges whether resources are those of one patient."""

    def __init__(self, patient_id: str, patient: Resource, aliases: Mapping[str, str]) -> None:
        self._patient_id = patient_id
        self._aliases = aliases
        self._identifiers = _identifiers(patient.get("identifier"))
        # "" is the patient's own reference; any other text says why it proves nothing.
        self._verdicts: dict[str, str] = {f"Patient/{patient_id}": ""}
        self.references = {f"Patient/{patient_id}"}  # known so far to be the patient's own

    def objection(self, resource: Resource, source: str) -> str:
        """Return "" if the resource is the patient's, else why that is not proven.

        Raises WrongPatient if it is another patient's.
        """
        subject = resource.get("for" if resource.get("resourceType") == "Task" else "subject")
        if type(subject) is list and len(subject) == 1:  # Composition.subject in R5
            subject = subject[0]
        if type(subject) is not dict:
            self.refuse_other_patients(resource, source)
            return "names no patient as its subject"
        reference = subject.get("reference")
        if type(reference) is str:
            verdict = self._verdicts.get(reference)
            return self._judge(reference, source) if verdict is None else verdict
        if reference is None and self._is_identified(subject.get("identifier")):
            return ""
        return "its subject has no reference that names the patient"

    def refuse_other_patients(self, resource: Resource, source: str) -> None:
        """Raise WrongPatient if any of the resource's holders is another patient."""
        for element in _HOLDERS:
            holders = resource.get(element)
            for holder in holders if isinstance(holders, list) else [holders]:
                reference = holder.get("reference") if isinstance(holder, dict) else None
                if isinstance(reference, str) and reference not in self._verdicts:
                    self._judge(reference, source)

    def about_somebody_else(self, observation: Resource) -> bool:
        """Whether ``focus`` says that it is not about the patient (a fetus, a donor)."""
        focus = observation.get("focus")
        for entry in focus if isinstance(focus, list) else [focus]:
            reference = entry.get("reference") if isinstance(entry, dict) else None
            if not isinstance(reference, str) or self._kind_and_id(reference) != (
                "Patient",
                self._patient_id,
            ):
                return True
        return False

    def _judge(self, reference: str, source: str) -> str:
        kind, identity = self._kind_and_id(reference)
        if kind == "Patient" and identity == self._patient_id:
            verdict = ""
            self.references.add(reference)
        elif kind == "Patient":
            raise WrongPatient(
                f"{source} belongs to another patient than Patient/{self._patient_id}; "
                "nothing of this chart is used",
                source=source,
            )
        elif kind:
            verdict = f"its subject is a {kind}, not the patient"
        else:
            verdict = "its subject's reference cannot be tied to the patient"
        self._verdicts[reference] = verdict
        return verdict

    def _kind_and_id(self, reference: str) -> tuple[str, str]:
        """Return type and id that a reference names, ("", "") if it names none that can be told.

        An unknown ``urn:uuid:`` or ``urn:oid:`` reference counts as a Patient's: it stands where
        the patient belongs and is not ours.
        """
        reference = self._aliases.get(reference, reference).strip()
        if reference.startswith(("urn:uuid:", "urn:oid:")):
            return "Patient", reference.split(":", 2)[2]
        if reference.startswith("#") or "?" in reference:
            return "", ""
        parts = reference.split("#", 1)[0].rstrip("/").split("/")
        if len(parts) >= 4 and parts[-2] == "_history":
            parts = parts[:-2]
        kind = parts[-2] if len(parts) >= 2 else ""
        return (kind, parts[-1]) if kind.isalpha() and kind[0].isupper() else ("", "")

    def _is_identified(self, identifier: object) -> bool:
        return bool(self._identifiers & _identifiers([identifier]))


def _identifiers(identifiers: object) -> set[tuple[str, str]]:
    """Return (system, value) of the identifiers that have both."""
    found: set[tuple[str, str]] = set()
    for identifier in identifiers if isinstance(identifiers, list) else []:
        if isinstance(identifier, dict):
            system, value = identifier.get("system"), identifier.get("value")
            if isinstance(system, str) and isinstance(value, str) and system and value:
                found.add((system, value))
    return found
