"""Readable sentences from the coded paths of eICU-CRD.

Clinicians picked most of these notes from menus, so a row is a path such as
``cardiovascular|shock / hypotension|septic shock``. Each function returns the sentence of one
row, or "" for a row that says nothing about the patient (menu options, print settings).

The sentences are made to be read as prose is: no "heading: value" that would open a section, and
a finding that is denied or past stands alone ("No murmurs."), so that nothing else is with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Cells = Mapping[str, str]

_NUMERIC = re.compile(r"[-+<>]?\s*\d+(?:\.\d+)?%?$")
_GUIDANCE = re.compile(
    r"\s*\([^()]*(?:\bsee\b|with or without|do not include|includes|\bfor )[^()]*\)?", re.I
)
_SPACES = re.compile(r"\s+")
_DASH = re.compile(r"\s+-+\s*")
_ALONE = re.compile(r"(?:no|not|denies|without|never|s/p)\b", re.I)
# Words of the menus that prose uses differently, or that a reader of prose takes for a condition.
_REWORDED = (
    (re.compile(r"(?<=\d) - (?=\d)"), "-"),
    (_DASH, ", "),
    (re.compile(r"\bprn\b", re.I), "on demand"),
    (re.compile(r"\bprophylaxis\b", re.I), "prevention"),
    (re.compile(r"\bprophylactic\b", re.I), "preventive"),
    (re.compile(r"\bhx\b(?! of)", re.I), "history of"),
)

_EXAM = "notes/Progress Notes/Physical Exam/Physical Exam/"
_HISTORY = "notes/Progress Notes/Past History/Organ Systems/"
_NO_FINDING = frozenset({"scored", "performed", "not performed", "other", "n/a", "unknown"})

# Menu branches of the note table, and how a sentence begins. Branches not named are options of
# the program (print copies, screens to skip, billing, time-out checklists, talks with family).
_NOTE_BRANCHES = (
    ("Progress Notes/Social History / Family History/Social History/Social History/", ""),
    ("Progress Notes/Review Of Systems/Systems/", "Review of systems"),
    ("Progress Notes/Interventions/", "Intervention"),
    ("Progress Notes/Admission Page One/Reason for Readmission:/", "Readmitted for"),
    ("Progress Notes/Surgery/Operative Status/", "Surgery"),
    ("Procedure Notes/Catheter Insertion/", "Catheter insertion"),
    ("Procedure Notes/Intubation/", "Intubation"),
    ("Procedure Notes/Extubation/", "Extubation"),
    ("Procedure Notes/Bronchoscopy/", "Bronchoscopy"),
    ("Procedure Notes/CPR/", "CPR"),
    ("Procedure Notes/Lumbar Puncture/", "Lumbar puncture"),
    ("Procedure Notes/Paracentesis/", "Paracentesis"),
)
_FAMILY = "Progress Notes/Social History / Family History/Family History/"
_FIXED_NOTES = {
    f"{_FAMILY}Family History Obtain Options/Not Significant": "Family history is not significant.",
    "Progress Notes/Allergies / Preadmission Medications/Allergies/Yes": "Has allergies.",
    "Progress Notes/Allergies / Preadmission Medications/Allergies/No": "No allergies.",
    "Progress Notes/Allergies / Preadmission Medications/Pre-Admission Medications/Yes": (
        "Takes medication at home."
    ),
    "Progress Notes/Allergies / Preadmission Medications/Pre-Admission Medications/No": (
        "No medication at home."
    ),
}
_NOTE_BOILERPLATE = re.compile(
    r"Obtain Options/|Sterile procedures|consent|Communication with|"
    r"Print \"|skin prep|Other/Other$|Billing",
    re.IGNORECASE,
)


def admission_diagnosis(cells: Cells) -> str:
    """Return for example "Admission diagnosis is Sepsis, pulmonary." """
    parts = cells["admitdxpath"].split("|")
    value = _GUIDANCE.sub("", parts[-1]).strip()
    if "All Diagnosis" in parts:
        return _sentence(f"Admission diagnosis is {value}")
    if "Organ System" in parts:
        return _sentence(f"{parts[1].replace(' Organ Systems', ' admission')}, {value}")
    label = parts[-2].rstrip("?")
    if label.startswith("Was the patient admitted from the O.R."):
        label = "Admitted from the operating room"
    if label.startswith("Patient transferred from another hospital"):
        return "Patient transferred from another hospital."
    if label == "Elective":
        label = "Elective operation"
    if value in ("No", "none"):
        return _sentence(f"No {label}" if label[:8] != "Admitted" else f"Not {label.lower()}")
    return _sentence(label if value == "Yes" else f"{label}, {value}")


def diagnosis(cells: Cells) -> str:
    """Return for example "Cardiovascular major diagnosis, septic shock." """
    priority = cells["diagnosispriority"].strip() or "Other"
    return _of_organ_system(f"{priority.lower()} diagnosis", cells["diagnosisstring"])


def treatment(cells: Cells) -> str:
    """Return for example "Cardiovascular treatment, vasopressors, phenylephrine." """
    return _of_organ_system("treatment", cells["treatmentstring"])


def care_plan(cells: Cells) -> str:
    """Return for example "Plan of care for airway, Intubated/oral ETT." """
    value = cells["cplitemvalue"]
    if value.lower() in ("", "none", "unknown"):
        return ""
    if _ALONE.match(value):
        return _sentence(value)
    return _sentence(f"Plan of care for {_group(cells['cplgroup'])}, {value}")


def past_history(cells: Cells) -> str:
    """Return for example "History of COPD severe."; a comma would end what is history."""
    path, value = cells["pasthistorypath"], cells["pasthistoryvalue"]
    if not path.startswith(_HISTORY):
        return "Past history without health problems." if value == "No Health Problems" else ""
    branch = path.removeprefix(_HISTORY).removesuffix(value).rstrip("/").split("/")
    category = branch[-1]
    value = _DASH.sub(" ", value)
    if _says(value, category) or _abbreviates(value, category):
        return _sentence(f"History of {value}")
    return _sentence(f"History of {category} {value}")


def physical_exam(cells: Cells) -> str:
    """Return findings in words; numbers are measurements and scores, read elsewhere."""
    path, value = cells["physicalexampath"], cells["physicalexamvalue"]
    if not path.startswith(_EXAM) or value.lower() in _NO_FINDING:
        return ""
    if _NUMERIC.match(cells["physicalexamtext"].strip()):
        return ""
    system, _, rest = path.removeprefix(_EXAM).partition("/")
    return _finding(f"{system} exam", rest, value)


def note(cells: Cells) -> str:
    """Return for example "Family history of CAD." """
    path = cells["notepath"].removeprefix("notes/")
    if path in _FIXED_NOTES:
        return _FIXED_NOTES[path]
    value = cells["notevalue"]
    if _NOTE_BOILERPLATE.search(path):
        return ""
    if path.startswith(_FAMILY):
        return _sentence(f"Family history of {value}")
    for branch, label in _NOTE_BRANCHES:
        if path.startswith(branch):
            finding = _with_amount(value, cells["notetext"])
            return _finding(label, path.removeprefix(branch), finding, menu_value=value)
    return ""


def nurse_assessment(label: str, attribute: str, values: list[str]) -> str:
    """Return one sentence of all values of an attribute: "Neurologic speech clear." """
    known = [v for v in dict.fromkeys(values) if v.lower() not in _NO_FINDING]
    if not known:
        return ""
    if len(known) == 1 and _ALONE.match(known[0]):
        return _sentence(known[0])
    part = attribute if attribute.isupper() else attribute.lower()
    name = label if _says(attribute, label) or not attribute else f"{label} {part}"
    return _sentence(f"{name} {', '.join(known)}")


def _sentence(text: str) -> str:
    for pattern, words in _REWORDED:
        text = pattern.sub(words, text)
    text = _SPACES.sub(" ", text).strip(" .;,")
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _finding(label: str, branch: str, finding: str, menu_value: str | None = None) -> str:
    """Say a finding with the menu branches that lead to it, once each."""
    if _ALONE.match(finding):
        return _sentence(finding)
    value = finding if menu_value is None else menu_value
    said = {value.lower(), label.lower(), "location", "score", "obtain options", ""}
    kept = []
    for part in branch.removesuffix(value).rstrip("/").split("/"):
        name = part.strip().lower()
        name = name[1:-1] if name.startswith("(") and name.endswith(")") else name
        if name in said or name.startswith("print ") or _says(value, name):
            continue
        said.add(name)
        kept.append(name)
    return _sentence(" ".join([", ".join([*filter(None, [label]), *kept]), finding]))


def _of_organ_system(label: str, path: str) -> str:
    """Return organ system, label and the specific end of a path of the problem list."""
    parts = path.split("|")
    specific = ", ".join(parts[2:] or parts[1:])
    return _sentence(specific if _ALONE.match(specific) else f"{parts[0]} {label}, {specific}")


def _group(name: str) -> str:
    return name if name.startswith("DVT") else name.lower()


def _says(text: str, words: str) -> bool:
    return words.lower() in text.lower()


def _abbreviates(value: str, category: str) -> bool:
    """Whether the value begins with the category's initials: CHF, Congestive Heart Failure."""
    initials = "".join(word[0] for word in category.split())
    return len(initials) > 1 and value.upper().startswith(initials.upper())


def _with_amount(value: str, text: str) -> str:
    """Add what was typed beside a menu entry; program spellings of the entry add nothing."""
    same = value.replace(" ", "").lower() == text.replace(" ", "").lower()
    return value if same or not text else f"{value} {text}"
