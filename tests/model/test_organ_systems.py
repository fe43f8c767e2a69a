"""Sentences are placed with the organ system that they are about."""

from __future__ import annotations

import pytest

from model.organ_systems import organ_system
from model.tokens import tokenize
from tests.model.worlds import CONFIG, chart, embed, note


@pytest.mark.parametrize(
    ("sentence", "system"),
    [
        ("Reports chest pain radiating to the left arm.", "cardiovascular"),
        ("Hypotensive overnight, noradrenaline increased.", "cardiovascular"),
        ("Bilateral crackles, now on 6 litres of oxygen.", "respiratory"),
        ("Intubated for hypoxic respiratory failure.", "respiratory"),
        ("Oliguric, started on CRRT.", "renal"),
        ("GCS 7, pupils equal.", "neurological"),
        ("Known cirrhosis with ascites.", "hepatic"),
        ("Ongoing bleeding, two units of packed red cells transfused.", "hematological"),
        ("Lactate rising, metabolic acidosis.", "metabolic"),
        ("Blood cultures grew E. coli, antibiotics started.", "immune"),
        ("Abdomen distended, no bowel sounds.", "gastrointestinal"),
        ("Haemodialysis today.", "renal"),
        ("Family meeting at noon.", "general"),
        ("", "general"),
    ],
)
def test_known_sentences(sentence, system):
    assert organ_system(sentence) == system


def test_a_tie_is_general():
    assert organ_system("Fever and dyspnoea.") == "general"


def test_note_tokens_carry_it():
    tokens = tokenize(chart(notes=(note(1, "Oliguric since noon."),)), CONFIG, embed)
    assert tokens.labels[len(CONFIG.variables)].organ_system == "renal"
