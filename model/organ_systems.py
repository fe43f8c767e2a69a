"""Which organ system a note sentence is about, for the sums on a card.

A sentence goes to the system that most of its words point to; without any, or with a tie, it is
"general". This places attributions in a group; it is no input of the network.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

GENERAL: Final = "general"

# Beginnings of words, or whole words where a bar closes them.
STEMS: Final = {
    "cardiovascular": (
        "cardi|heart|chest pain|angina|coronar|myocard|infarct|nstemi|stemi|arrhythm|atrial|afib|"
        "ventricular|tachycard|bradycard|hypotens|hypertens|blood pressure|vasopress|noradrenal|"
        "norepineph|epinephrine|adrenalin|shock|perfus|oedema|edema|ejection fraction|aort|murmur|"
        "telemetry|pacemaker|map |levophed"
    ),
    "respiratory": (
        "respir|breath|dyspn|lung|pulm|oxygen|hypox|satur|spo2|ventilat|intubat|extubat|trache|"
        "airway|pneumon|pneumoth|pleur|crackle|wheez|copd|asthma|sputum|cough|nasal cannula|"
        "bipap|cpap|hypercap|hypercarb|ards|chest x-?ray|atelect"
    ),
    "renal": (
        "renal|kidney|urin|creatinine|dialys|crrt|oligur|anur|aki|foley|nephr|fluid balance|"
        "haemofilt|hemofilt|haemodial|hemodial|gfr"
    ),
    "neurological": (
        "neuro|mental|conscious|coma|gcs|glasgow|deliri|confus|agitat|sedat|stroke|seizure|"
        "epilep|intracran|brain|cerebr|pupil|headache|hemipar|weakness|oriented|alert|pain score|"
        "encephalop|unrespons|obtund|letharg"
    ),
    "hepatic": (
        "hepat|liver|cirrho|biliru|jaund|ascit|transaminas|alt\\b|ast\\b|varic|cholang|cholecyst|"
        "albumin"
    ),
    "hematological": (
        "haem(?!o?filt|o?dial)|hem(?!i|o?filt|o?dial)|bleed|anaem|anem|transfus|platelet|thrombo|"
        "coagul|inr\\b|melena|haematem|clot|embol|dvt|packed red|neutropen"
    ),
    "metabolic": (
        "lactat|lactic|acido|alkalo|glucos|glycaem|glycem|diabet|insulin|ketoac|dka|potassium|"
        "sodium|electrolyt|magnes|calc(?:aem|em|ium)|bicarb|ph\\b|thyroid|metabol"
    ),
    "immune": (
        "seps|septic|infect|fever|febrile|afebrile|antibiot|bacter|cultur|wbc|leuko|abscess|"
        "cellulit|vancomy|pipera|merop|ceft|immun|sirs|c-reactive|crp|procalc"
    ),
    "gastrointestinal": (
        "abdom|bowel|gastr|nausea|vomit|diarr|constip|ileus|pancrea|stool|feeding tube|peritonit|"
        "colitis|enteral"
    ),
}
PATTERNS: Final = {
    system: re.compile(rf"\b(?:{stems})", re.IGNORECASE) for system, stems in STEMS.items()
}


@lru_cache(maxsize=20_000)
def organ_system(sentence: str) -> str:
    """Return the organ system that most words of a sentence name, or "general"."""
    counts = {system: len(pattern.findall(sentence)) for system, pattern in PATTERNS.items()}
    most = max(counts.values())
    leading = [system for system, count in counts.items() if count == most]
    return leading[0] if most and len(leading) == 1 else GENERAL
