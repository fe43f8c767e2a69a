"""What tells the outcome never reaches a chart."""

import base64
from pathlib import Path

import pytest

from fhir_adapters.datasets.eicu import read_eicu
from fhir_adapters.datasets.eicu_leakage import CARE_PLAN_GROUPS, leaks
from tests.fhir_adapters.eicu_world import care_plan_row, note_row, tables, write_tables

LEAKING = [
    "Treatment: palliative care consultation (general, quality measures).",
    "Intervention, major: End of life / care limitation discussion.",
    "Care plan, ordered protocols: End of life.",
    "Comfort measures only",
    "Transition to comfort care",
    "Do not resuscitate",
    "Patient is DNR/DNI",
    "D.N.R. confirmed with daughter",
    "No CPR",
    "No intubation",
    "No augmentation of care",
    "Full therapy",
    "Full code",
    "Code status was discussed",
    "Hospice referral",
    "Patient expired at bedside",
    "Pronounced dead",
    "Time of death 03:10",
    "Brain death evaluation",
    "Withdrawal of life support",
    "Family elected to withdraw care",
    "Prognosis: poor",
    "High mortality risk",
    "Terminal",
    "Goals of care meeting held",
    "Advance directives",
    "Organ donation services called",
    "Treatment: discharge planning consult (general, support services).",
    "Ready for transfer - no bed available",
    "Discharged home with services",
    "Transferred to step-down unit",
    "Further treatment is futile",
]
HARMLESS = [
    "Major diagnosis: alcohol withdrawal (toxicology, drug withdrawal).",
    "Neurologic exam, sensation: withdraws to pain.",
    "Psychosocial Status: Withdrawn.",
    "Patient transferred from another hospital.",
    "Treatment: aggressive volume resuscitation (cardiovascular, intravenous fluid).",
    "Review of systems, genitourinary, urethral discharge: denies urethral discharge.",
    "Pacemaker/AICD dysfunction, s/p AICD discharge.",
    "Crohn disease of the terminal ileum.",
    "Increased dead space ventilation.",
    "Appears comfortable, not in acute distress.",
    "Minimally responsive, code stroke was called.",
    "Primary diagnosis: cardiac arrest, witnessed, < 15 minutes CPR.",
]


@pytest.mark.parametrize("text", LEAKING)
def test_phrases_that_tell_the_outcome(text):
    assert leaks(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_phrases_that_do_not(text):
    assert not leaks(text)


@pytest.mark.parametrize(
    "group",
    [
        "Care Limitation",
        "Prognosis",
        "Critical Care Discharge/Transfer Planning",
        "Daily Goals/Safety Risks/Discharge Requirements",
        "Family/Health Care Proxy/Contact Info",
        "Care Plan Reviewed with Patient/Family",
    ],
)
def test_care_plan_groups_that_anticipate_the_outcome_are_not_read(tmp_path, group):
    assert group not in CARE_PLAN_GROUPS
    content = tables()
    content["carePlanGeneral"] = [care_plan_row(group, "some value")]
    assert "some value" not in notes_of(tmp_path, content)


def test_a_leaking_row_is_dropped_and_its_note_kept(tmp_path):
    content = tables()
    content["note"] += [
        note_row("Interventions/Major/End of life / care limitation discussion", "End of life"),
        note_row("Interventions/Major/Shock - evaluation", "Shock - evaluation"),
    ]
    text = notes_of(tmp_path, content)
    assert "End of life" not in text
    assert "Intervention, major Shock, evaluation." in text


def notes_of(directory: Path, content: dict) -> str:
    (labelled,) = read_eicu(write_tables(directory, content))
    return "\n".join(
        base64.b64decode(r["content"][0]["attachment"]["data"]).decode()
        for r in labelled.chart.resources
        if r["resourceType"] == "DocumentReference"
    )
