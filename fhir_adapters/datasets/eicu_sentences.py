"""Readable sentences from the coded paths of eICU-CRD.

Clinicians picked most of these notes from menus, so a row is a path such as
``cardiovascular|shock / hypotension|septic shock``. Each function returns the sentence of one
row, or "" for a row that says nothing about the patient (menu options, print settings).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Cells = Mapping[str, str]

_NUMERIC = re.compile(r"[-+<>]?\s*\d+(?:\.\d+)?%?$")
_GUIDANCE = re.compile(r"\s*\((?:[^()]*\bsee\b|with or without|Do not include)[^()]*\)?", re.I)
_SPACES = re.compile(r"\s+")

_EXAM = "notes/Progress Notes/Physical Exam/Physical Exam/"
_HISTORY = "notes/Progress Notes/Past History/Organ Systems/"
_NO_FINDING = frozenset({"scored", "performed", "not performed", "other"})

# Menu branches of the note table, and how a sentence begins. Branches not named are options of
# the program (print copies, screens to skip, billing, time-out checklists, talks with family).
_NOTE_BRANCHES = (
    ("Progress Notes/Social History / Family History/Family History/", "Family history"),
    ("Progress Notes/Social History / Family History/Social History/", "Social history"),
    ("Progress Notes/Review Of Systems/Systems/", "Review of systems"),
    ("Progress Notes/Interventions/", "Intervention"),
    ("Progress Notes/Allergies / Preadmission Medications/", "Admission"),
    ("Progress Notes/Admission Page One/Reason for Readmission:/", "Reason for readmission"),
    ("Progress Notes/Surgery/Operative Status/", "Surgery"),
    ("Procedure Notes/Catheter Insertion/", "Catheter insertion"),
    ("Procedure Notes/Intubation/", "Intubation"),
    ("Procedure Notes/Extubation/", "Extubation"),
    ("Procedure Notes/Bronchoscopy/", "Bronchoscopy"),
    ("Procedure Notes/CPR/", "CPR"),
    ("Procedure Notes/Lumbar Puncture/", "Lumbar puncture"),
    ("Procedure Notes/Paracentesis/", "Paracentesis"),
)
_NOTE_BOILERPLATE = re.compile(
    r"Obtain Options/(?:Not )?Performed$|Sterile procedures|consent|Communication with|"
    r"Print \"|skin prep|Other/Other$|Billing",
    re.IGNORECASE,
)


def admission_diagnosis(cells: Cells) -> str:
    """Return for example "Admission diagnosis: Sepsis, pulmonary." """
    parts = cells["admitdxpath"].split("|")
    value = _GUIDANCE.sub("", parts[-1]).strip()
    if "All Diagnosis" in parts:
        return _sentence("Admission diagnosis", value)
    if "Organ System" in parts:
        return _sentence(parts[1].replace(" Organ Systems", " admission"), value)
    label = parts[-2]
    if label.startswith("Was the patient admitted from the O.R."):
        label = "Admitted from the operating room"
    if label.startswith("Patient transferred from another hospital"):
        return "Patient transferred from another hospital."
    return _sentence(label.rstrip("?"), value)


def diagnosis(cells: Cells) -> str:
    """Return for example "Major diagnosis: septic shock (cardiovascular, shock / hypotension)." """
    priority = cells["diagnosispriority"].strip() or "Other"
    return _sentence(f"{priority} diagnosis", _leaf_first(cells["diagnosisstring"]))


def treatment(cells: Cells) -> str:
    """Return for example "Treatment: vasopressors, phenylephrine (cardiovascular, shock)." """
    return _sentence("Treatment", _leaf_first(cells["treatmentstring"]))


def care_plan(cells: Cells) -> str:
    """Return for example "Care plan, airway: Intubated/oral ETT." """
    return _sentence(f"Care plan, {cells['cplgroup'].lower()}", cells["cplitemvalue"])


def past_history(cells: Cells) -> str:
    """Return for example "Past history, COPD: COPD - severe." """
    path, value = cells["pasthistorypath"], cells["pasthistoryvalue"]
    if not path.startswith(_HISTORY):
        finding = "" if value.lower() in _NO_FINDING else value.lower()
        return _sentence("Past history", finding)
    branch = path.removeprefix(_HISTORY).removesuffix(value).rstrip("/").split("/")
    category = branch[-1] if branch[-1].lower() != value.lower() else ""
    return _sentence(f"Past history, {category}" if category else "Past history", value)


def physical_exam(cells: Cells) -> str:
    """Return findings in words; numbers are measurements and scores, read elsewhere."""
    path, value = cells["physicalexampath"], cells["physicalexamvalue"]
    if not path.startswith(_EXAM) or value.lower() in _NO_FINDING:
        return ""
    if _NUMERIC.match(cells["physicalexamtext"].strip()):
        return ""
    system, _, rest = path.removeprefix(_EXAM).partition("/")
    return _sentence(_label(f"{system} exam", rest, value), value)


def note(cells: Cells) -> str:
    """Return for example "Family history: CAD." """
    path = cells["notepath"].removeprefix("notes/")
    if _NOTE_BOILERPLATE.search(path):
        return ""
    value, text = cells["notevalue"], cells["notetext"]
    for branch, label in _NOTE_BRANCHES:
        if path.startswith(branch):
            finding = _with_amount(value, text)
            return _sentence(_label(label, path.removeprefix(branch), value), finding)
    return ""


def nurse_assessment(label: str, attribute: str, values: list[str]) -> str:
    """Return one sentence of all values of an attribute: "Neurologic, speech: clear." """
    attribute = "" if attribute.lower() == label.lower() else f", {attribute}"
    return _sentence(f"{label}{attribute}", ", ".join(dict.fromkeys(values)))


def _sentence(label: str, finding: str) -> str:
    finding = _SPACES.sub(" ", finding).strip(" .;")
    return f"{_SPACES.sub(' ', label).strip()}: {finding}." if finding else ""


def _leaf_first(path: str) -> str:
    parts = path.split("|")
    if len(parts) < 3:
        return ", ".join(reversed(parts))
    return f"{', '.join(parts[2:])} ({parts[0]}, {parts[1]})"


def _label(label: str, path: str, value: str) -> str:
    """Name the menu branches between the section and the value, once each."""
    branches = path.removesuffix(value).rstrip("/").split("/")
    said = {value.lower(), label.lower(), "location", "score", ""}
    kept = []
    for branch in branches:
        name = branch.strip().strip("()").lower() if branch.startswith("(") else branch.lower()
        if name in said or name.startswith("print ") or name.endswith("obtain options"):
            continue
        said.add(name)
        kept.append(name)
    return ", ".join([label, *kept])


def _with_amount(value: str, text: str) -> str:
    """Add what was typed beside a menu entry; program spellings of the entry add nothing."""
    same = value.replace(" ", "").lower() == text.replace(" ", "").lower()
    return value if same or not text else f"{value} {text}"
