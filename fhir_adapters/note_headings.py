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
    a, a&p, a/p, active issues, active problems, addendum, admission diagnoses, admission
    diagnosis, admission labs, admission medications, admission physical exam, admitting
    diagnosis, allergies, allergies and adverse reactions, allergies and intolerances, allergy,
    ap, assessment, assessment & plan, assessment and plan, assessment and recommendations,
    assessment/plan, assessment/plan of care, brief history, brief hospital course, care plan,
    cc, chief complaint, chief complaints, clinical history, clinical impression, clinical
    information, clinical notes, comments, conclusion, conclusions, consults, course, course in
    ed, current medications, data, diagnoses, diagnosis, diagnostic studies, discharge
    diagnoses, discharge diagnosis, discharge exam, discharge instructions, discharge labs,
    discharge medications, discharge physical exam, discharge plan, ed course, emergency
    department course, encounters, events, exam, examination, fam hx, family history, family hx,
    fh, fhx, findings, follow up, follow-up, follow-up instructions, followup, followup
    instructions, functional status, general appearance, goals, health concerns, history,
    history and physical, history of past illness, history of present illness, history of the
    present illness, home medications, home meds, hospital course, hospital course by problem,
    hpi, hx, icu course, imaging, immunizations, impression, impression and plan,
    impression/plan, in summary, indication, indications, instructions, interim history,
    interval events, interval history, interventions, issues, lab results, laboratory data,
    laboratory results, laboratory studies, labs, labs on admission, labs on discharge, major
    surgical or invasive procedure, medical equipment, medical history, medication, medications,
    medications at home, medications on admission, medications on discharge, meds, microbiology,
    narrative, nursing assessment, o, objective, objective data, operation, operative findings,
    outpatient medications, overnight events, p, past history, past illness, past medical and
    surgical history, past medical history, past medical hx, past psychiatric history, past
    surgical history, past surgical hx, patient instructions, pe, pertinent results, physical
    exam, physical examination, plan, plan of care, plan of treatment, pmh, pmhx, postoperative
    diagnosis, preoperative diagnosis, present illness, presenting complaint, primary diagnosis,
    principal diagnosis, problem list, problems, procedure, procedures, procedures performed,
    psh, pshx, radiology, reason for admission, reason for consult, reason for consultation,
    reason for referral, reason for visit, reasons to return, recommendation, recommendations,
    resolved problems, result, results, return precautions, review of systems, ros, s, secondary
    diagnoses, secondary diagnosis, sh, shx, social history, social hx, studies, subjective,
    subjective data, summary, surgical history, treatment, treatment plan, vital signs, vitals,
    warning signs, when to call, when to seek care
    """.split(",")
)
_MAX_HEADING_CHARS = 60
_MAX_HEADING_WORDS = 7

_BEFORE_COLON = re.compile(r"([^:]{1,60}):(?:\s+|$)(.*)", re.DOTALL)
_BEFORE_DASH = re.compile(r"([A-Z][A-Z&/ ]{1,30}) ?[-–—] (\S.*)", re.DOTALL)
_PULSE = re.compile(r"[a-zA-Z]:\s*\d")  # "P: 88" is no plan
_DECORATION = frozenset("#*_= ")
_DIGIT = re.compile(r"\d")
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
    if matched and _is_known(matched.group(1)) and not _PULSE.match(line):
        return Heading(_title(matched.group(1)), matched.group(2).strip(), known=True)
    dashed = _BEFORE_DASH.match(line)
    if dashed and len(dashed.group(1)) > 2 and _is_known(dashed.group(1)):
        return Heading(_title(dashed.group(1)), dashed.group(2).strip(), known=True)
    return None


def heading_line(line: str, *, capitals_count: bool) -> Heading | None:
    """Return the heading that the whole line is.

    ``capitals_count``: a line in capitals is a heading even where it is not on the list.
    """
    if len(line) > _MAX_HEADING_CHARS:
        return None
    bare = line.strip("#*_= ") if line[:1] in _DECORATION or line[-1:] in _DECORATION else line
    if bare.endswith(":"):
        return Heading(_title(bare), "", known=_is_known(bare)) if _stands_alone(bare[:-1]) else None
    in_capitals = bare.isupper()
    if (len(bare) > 3 or in_capitals) and len(bare) > 1 and _is_known(bare):
        return Heading(_title(bare), "", known=True)
    if in_capitals and capitals_count and _stands_alone(bare) and not _DIGIT.search(bare):
        letters = sum(letter.isalpha() for letter in bare)
        return Heading(_title(bare), "", known=False) if letters > 3 else None
    return None


def is_shouting(text: str) -> bool:
    """Whether most letters of a text are capitals."""
    sample = text[:4_000]
    capitals = sum(letter.isupper() for letter in sample)
    return capitals > 2 * sum(letter.islower() for letter in sample)


def _stands_alone(words: str) -> bool:
    return (
        bool(words.strip())
        and len(words.split()) <= _MAX_HEADING_WORDS
        and (words.lstrip()[0].isupper() or _is_known(words))
        and not _SENTENCE_INSIDE.search(words.replace(",", "") if words.isupper() else words)
        and ": " not in words
        and not _VERB.search(words)
    )


def _is_known(words: str) -> bool:
    return " ".join(words.lower().strip(" :*#_").split()) in _KNOWN


def _title(words: str) -> str:
    return " ".join(words.strip(" :*#_=").split())
