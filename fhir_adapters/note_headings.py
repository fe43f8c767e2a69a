"""Section headings of clinical notes: "HPI:", "ASSESSMENT AND PLAN", "Allergies: penicillin".

A heading gives its sentences their context and is itself no sentence. So a line counts as one only
where that is safe: it is on the list below, or it stands alone before a colon, or it stands alone
in capitals in a note that is otherwise not in capitals. "Lungs: clear" and "BP: 120/80" are
findings with their names, and stay whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_KNOWN = frozenset(
    " ".join(name.split())
    for name in """
    a, a&p, a/p, ap, active issues, active problems, addendum, admission diagnoses,
    admission diagnosis, admission labs, admission medications, admission physical exam,
    admitting diagnosis, advance directives, allergies, allergies and adverse reactions,
    allergies and intolerances, allergy, anesthesia, assessment, assessment & plan,
    assessment and plan, assessment and recommendations, assessment/plan, assessment/plan of care,
    brief history, brief hospital course, care plan, cc, chief complaint, chief complaints,
    clinical history, clinical impression, clinical information, clinical notes, comments,
    comparison, complications, conclusion, conclusions, condition at discharge, condition on discharge,
    consults, course, course in ed, current medications, data, diagnoses, diagnosis,
    diagnostic studies, diet, discharge condition, discharge diagnoses, discharge diagnosis,
    discharge disposition, discharge exam, discharge instructions, discharge labs,
    discharge medications, discharge physical exam, discharge plan, disposition, ed course,
    emergency department course, encounters, events, exam, examination, family history, family hx,
    fam hx, fh, fhx, findings, follow up, follow-up, followup, followup instructions,
    follow-up instructions, functional status, general appearance, goals, habits,
    health concerns, history, history and physical, history of past illness,
    history of present illness, history of the present illness, home medications, home meds,
    hospital course, hospital course by problem, hpi, hx, icu course, imaging, immunizations,
    impression, impression and plan, impression/plan, in summary, indication, indications,
    instructions, interim history, interval events, interval history, interventions, issues,
    lab results, laboratory data, laboratory results, laboratory studies, labs, labs on admission,
    labs on discharge, major surgical or invasive procedure, medical equipment, medical history,
    medication, medications, medications at home, medications on admission,
    medications on discharge, meds, microbiology, narrative, nursing assessment, nutrition, o,
    objective, objective data, operation, operative findings, outpatient medications,
    overnight events, p, past history, past illness, past medical and surgical history,
    past medical history, past medical hx, past psychiatric history, past surgical history,
    past surgical hx, patient instructions, pe, pertinent results, physical exam,
    physical examination, plan, plan of care, plan of treatment, pmh, pmhx, postoperative diagnosis,
    preoperative diagnosis, present illness, presenting complaint, primary diagnosis,
    principal diagnosis, problem list, problems, procedure, procedures, procedures performed,
    prognosis, psh, pshx, radiology, reason for admission, reason for consult,
    reason for consultation, reason for referral, reason for visit, recommendation,
    recommendations, resolved problems, result, results, return precautions, review of systems, ros,
    s, secondary diagnoses, secondary diagnosis, sh, shx, social history, social hx,
    studies, subjective, subjective data, summary, surgical history, technique,
    treatment, treatment plan, vital signs, vitals, when to call, when to seek care,
    reasons to return, warning signs
    """.split(",")
)
_MAX_HEADING_CHARS = 60
_MAX_HEADING_WORDS = 7

_BEFORE_COLON = re.compile(r"([^:]{1,60}):(?:\s+|$)(.*)", re.DOTALL)
_BEFORE_DASH = re.compile(r"([A-Z][A-Z&/ ]{1,30}) ?[-–—] (\S.*)", re.DOTALL)
_DECORATION = re.compile(r"^[#*_=\s]+|[#*_=\s]+$")
_SENTENCE_INSIDE = re.compile(r"[.!?;,]\s|[.!?;,]$")
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|will|denies|reports|states|given|the following"
    r"|as follows|include|includes|including|shows?|showed)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Heading:
    """A section's title and what stands on its line after it."""

    title: str
    rest: str
    known: bool  # on the list; an unknown one under which nothing stands is kept as a sentence


def inline_heading(line: str) -> Heading | None:
    """Return the known heading that the line or sentence begins with: "HPI: 65 yo man ..."."""
    matched = _BEFORE_COLON.match(line)
    if matched and _is_known(matched.group(1)):
        return Heading(_title(matched.group(1)), matched.group(2).strip(), known=True)
    dashed = _BEFORE_DASH.match(line)
    if dashed and len(dashed.group(1)) > 2 and _is_known(dashed.group(1)):
        return Heading(_title(dashed.group(1)), dashed.group(2).strip(), known=True)
    return None


def heading_line(line: str, *, shouting: bool) -> Heading | None:
    """Return the heading that the whole line is. ``shouting``: the note is all in capitals."""
    if len(line) > _MAX_HEADING_CHARS or not line[:1]:
        return None
    bare = _DECORATION.sub("", line)
    if bare.endswith(":") and _stands_alone(bare[:-1]):
        return Heading(_title(bare), "", known=_is_known(bare))
    if _is_known(bare) and (len(bare) > 3 or bare.isupper()) and len(bare) > 1:
        return Heading(_title(bare), "", known=True)
    letters = [letter for letter in bare if letter.isalpha()]
    in_capitals = len(letters) > 3 and all(letter.isupper() for letter in letters)
    if in_capitals and not shouting and _stands_alone(bare) and not re.search(r"\d", bare):
        return Heading(_title(bare), "", known=False)
    return None


def is_shouting(text: str) -> bool:
    """Whether most letters of a text are capitals."""
    sample = text[:4_000]
    capitals = sum(letter.isupper() for letter in sample)
    return capitals > sum(letter.islower() for letter in sample)


def _stands_alone(words: str) -> bool:
    return (
        bool(words.strip())
        and len(words.split()) <= _MAX_HEADING_WORDS
        and (words.lstrip()[0].isupper() or _is_known(words))
        and not _SENTENCE_INSIDE.search(words)
        and not _VERB.search(words)
    )


def _is_known(words: str) -> bool:
    return " ".join(words.lower().strip(" :*#_").split()) in _KNOWN


def _title(words: str) -> str:
    return " ".join(words.strip(" :*#_=").split())
