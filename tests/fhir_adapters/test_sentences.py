"""Where sentences begin and end, and under which heading they stand."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from fhir_adapters.sentence_ends import MAX_SENTENCE_CHARS
from fhir_adapters.sentences import plain_sentences, split_sentences

CASES: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("sentence_boundaries.json").read_text(encoding="utf-8")
)


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 60
    assert len({case["description"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=[case["description"] for case in CASES])
def test_boundaries(case: dict[str, Any]) -> None:
    found = list(plain_sentences(case["text"]))
    assert [sentence.text for sentence in found] == case["sentences"]
    if "sections" in case:
        assert [sentence.section for sentence in found] == case["sections"]


def test_lines_that_are_meant_are_not_joined() -> None:
    text = "Seen together with the intensivist on call, who agrees to the transfer to\nMedical ICU."
    assert len(split_sentences(text, wrapped=False)) == 2
    assert len(split_sentences(text)) == 1


def test_headings_inside_a_section_are_added_to_it() -> None:
    sections = [
        sentence.section
        for sentence in split_sentences("Seen.\nImaging:\nEffusion.", "Hospital course")
    ]
    assert sections == ["Hospital course", "Hospital course – Imaging"]


def test_what_stands_under_a_heading_of_past_family_or_advice_is_flagged() -> None:
    note = """PMH: gout
FAMILY HISTORY:
Myocardial infarction
RETURN PRECAUTIONS:
Fever
Call your doctor if you notice:
Bleeding
PLAN:
Discharge"""
    flags = [
        (one.historical, one.family, one.hypothetical)
        for one in split_sentences(note, wrapped=False)
    ]
    assert flags == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
        (False, False, True),
        (False, False, False),
    ]


@pytest.mark.parametrize(
    ("note", "flagged", "present"),
    [
        (
            "PMH: HTN, DM, CHF\nNeuro: sedated\nCV: hypotensive on norepinephrine",
            ["HTN, DM, CHF"],
            ["Neuro: sedated", "CV: hypotensive on norepinephrine"],
        ),
        ("PMHx: HTN\n\n24 hour events:\n- Febrile to 39.1", ["HTN"], ["Febrile to 39.1"]),
        (
            "Past Medical History:\n- COPD\n\nPatient was intubated.\n\nDoor code: 3",
            ["COPD"],
            ["Patient was intubated.", "Door code: 3"],
        ),
        (
            "FH: father with MI\nSocial: lives alone\nLungs: crackles",
            ["father with MI"],
            ["Social: lives alone", "Lungs: crackles"],
        ),
        ("Return precautions: fever\nNeuro: obtunded", ["fever"], ["Neuro: obtunded"]),
        ("PMH: gout. Neuro: sedated. Intubated.", ["gout."], ["Neuro: sedated.", "Intubated."]),
        ("Past Medical History:\nasthma\nNeuro: sedated", ["asthma"], ["Neuro: sedated"]),
        ("PMH:\nCardiac: CAD\nGI: GERD", ["Cardiac: CAD", "GI: GERD"], []),
        (
            "Family History:\nMother: asthma\nUncle: lymphoma",
            ["Mother: asthma", "Uncle: lymphoma"],
            [],
        ),
        ("Past Medical History:\n\nasthma\n\ngout", ["asthma", "gout"], []),
    ],
)
def test_a_section_of_the_past_ends_where_something_else_begins(
    note: str, flagged: list[str], present: list[str]
) -> None:
    found = split_sentences(note)
    is_flagged = {one.text: one.historical or one.family or one.hypothetical for one in found}
    assert is_flagged == dict.fromkeys(flagged, True) | dict.fromkeys(present, False)


def test_what_follows_a_section_of_the_past_stands_under_the_outer_heading() -> None:
    found = split_sentences("PMH: gout\nNeuro: sedated", "Course", wrapped=False)
    assert [one.section for one in found] == ["Course – PMH", "Course"]


@pytest.mark.parametrize(
    "between",
    ["Problem: COPD | Year: 2010", "‣ COPD"],
)
def test_a_section_of_the_past_ends_after_its_table_or_list_in_markup(between: str) -> None:
    past, present = split_sentences(f"{between}\nPatient was intubated.", "Past medical history")
    assert (past.historical, present.historical, present.section) == (True, False, "")


def test_an_unchecked_box_is_not_asserted() -> None:
    checked, unchecked = split_sentences("☑ Do intubate\n☐ Dialysis")
    assert (checked.hypothetical, unchecked.hypothetical) == (False, True)


def test_a_table_row_is_flagged_by_its_status_not_by_words_in_cells() -> None:
    rows = split_sentences(
        "Problem: Asthma | Status: Resolved\n"
        "Vaccine: Tetanus | Status: Refused\n"
        "Drug: Ibuprofen | Directions: one as needed | Date: Nov 1999 | Status: Active"
    )
    assert [row.historical for row in rows] == [True, False, False]
    assert [row.negated for row in rows] == [False, True, False]
    assert not any(row.hypothetical for row in rows)


def test_a_concern_is_over_when_it_is_completed_other_things_were_done() -> None:
    rows = split_sentences(
        "Concern: Pneumonia | Status: Completed\nVaccine: Tetanus | Status: Completed"
    )
    assert [row.historical for row in rows] == [True, False]


def test_resolved_concerns_of_a_problem_list_are_past() -> None:
    text = "Active Concerns\nAsthma\nResolved Concerns\nPneumonia"
    active, resolved = split_sentences(text, "PROBLEMS", wrapped=False)
    assert (active.historical, resolved.historical) == (False, True)
    assert resolved.section == "PROBLEMS – Resolved Concerns"


def test_no_word_of_a_note_is_lost() -> None:
    note = "\n".join(case["text"] for case in CASES if "sections" not in case)
    kept = " ".join(f"{one.section} {one.text}" for one in split_sentences(note))
    words = {word.strip(".,:;()!?\"'") for word in note.split() if word[0].isalpha()}
    lost = {word for word in words if word.isascii() and word not in kept}
    assert lost == {"Page", "diet.Ambulating"}


HOSTILE = {
    "one endless line": "word " * 40_000,
    "one endless word": "x" * 200_000,
    "words of 400 letters": ("y" * 400 + " ") * 500,
    "stops": ". " * 100_000,
    "dots": "." * 200_000,
    "commas after no": "no " + "fever, " * 28_000,
    "cues only": "no " * 66_000,
    "cue chains": "no history of " * 14_000,
    "if clauses": "if fever, " * 20_000,
    "open parentheses": "(" * 200_000,
    "quotes": '"' * 200_000,
    "colons": "a: " * 66_000,
    "headings": "HEADING:\n" * 22_000,
    "empty lines": "\n" * 200_000,
    "numbers": "1. " * 66_000,
    "counting list": " ".join(f"{n}) item" for n in range(1, 20_000)),
    "bars": "a | " * 50_000,
    "dashes": "- " * 100_000,
    "signs": "-x +y " * 33_000,
    "relatives": "mother father sister " * 9_500,
    "years": "1999 " * 40_000,
    "capitals": "ABC DEF " * 25_000,
    "wrapped": ("word " * 16 + "\n") * 2_400,
    "spaces": " " * 200_000,
    "combining": "e" + "\u0301" * 199_999,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_takes_linear_time(name: str) -> None:
    text = HOSTILE[name]
    started = time.process_time()
    sentences = split_sentences(text)
    assert time.process_time() - started < 15  # a quadratic step over 200,000 takes minutes
    assert all(len(sentence.text) <= MAX_SENTENCE_CHARS for sentence in sentences)


@pytest.mark.parametrize(
    ("note", "absent"),
    [
        ("Denies:\n- chest pain\n- fever\n\nAssessment:\n- pneumonia", {"chest pain", "fever"}),
        ("Patient denies the following:\n- chest pain\nReports:\n- cough", {"chest pain"}),
        ("Pertinent negatives:\n* chest pain\n* fever\nMeds:\n* aspirin", {"chest pain", "fever"}),
        ("No history of:\n1. MI\n2. stroke\nPlan:\n1. aspirin", {"MI", "stroke"}),
        ("Denies:\n- chest pain\nHas cough.\n- sputum", {"chest pain"}),
        ("Reports:\n- chest pain", set()),
        ("No acute events overnight:\n- fever", set()),
        ("Denies any complaints today:\n- sputum", set()),
        ("Denies chest pain:\n- sputum", set()),
        ("No evidence of:\n- pneumonia\n\nSlept well.\n- cough", {"pneumonia"}),
        ("No history of:\n- MI\n- had a stroke in May\n- fever", {"MI", "fever"}),
    ],
)
def test_a_list_under_a_denial_is_denied_and_nothing_after_it(note: str, absent: set[str]) -> None:
    items = {"chest pain", "fever", "pneumonia", "cough", "aspirin", "MI", "stroke", "sputum"}
    found = {one.text: one.negated for one in split_sentences(note) if one.text in items}
    assert {text for text, negated in found.items() if negated} == absent
    assert not any(one.negated for one in split_sentences(note) if "had a stroke" in one.text)
    assert len(found) > 0
