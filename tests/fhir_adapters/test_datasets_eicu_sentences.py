"""Coded paths of eICU-CRD become sentences that the note reader understands."""

import pytest

from fhir_adapters.datasets import eicu_sentences as say
from fhir_adapters.sentences import split_sentences

EXAM = "notes/Progress Notes/Physical Exam/Physical Exam/"
HISTORY = "notes/Progress Notes/Past History/Organ Systems/"
NOTES = "notes/Progress Notes/"


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (
            "All Diagnosis|Non-operative|Diagnosis|Cardiovascular|Cardiac arrest (with or without "
            "respiratory arrest; for respiratory arrest see Respiratory System)",
            "Admission diagnosis is Cardiac arrest.",
        ),
        (
            "Was the patient admitted from the O.R. or went to the O.R. within 4 hours of "
            "admission?|No",
            "Not admitted from the operating room.",
        ),
        ("Elective|Yes", "Elective operation."),
        (
            "Non-operative Organ Systems|Organ System|Respiratory",
            "Non-operative admission, Respiratory.",
        ),
        ("Additional APACHE  Information|Saphenous vein graft?|Yes", "Saphenous vein graft."),
        (
            "Additional APACHE  Information|Thrombolytic Therapy received within 24 hours|No",
            "No Thrombolytic Therapy received within 24 hours.",
        ),
    ],
)
def test_admission_diagnosis(path, sentence):
    assert say.admission_diagnosis({"admitdxpath": f"admission diagnosis|{path}"}) == sentence


@pytest.mark.parametrize(
    ("path", "priority", "sentence"),
    [
        (
            "pulmonary|respiratory failure|acute respiratory failure",
            "Primary",
            "Pulmonary primary diagnosis, acute respiratory failure.",
        ),
        ("toxicology|drug overdose", "", "Toxicology other diagnosis, drug overdose."),
        ("surgery|cardiac surgery|s/p CABG < 7 days", "Major", "S/p CABG < 7 days."),
    ],
)
def test_diagnosis(path, priority, sentence):
    assert say.diagnosis({"diagnosisstring": path, "diagnosispriority": priority}) == sentence


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (
            "Cardiovascular (R)/Congestive Heart Failure/CHF - class IV",
            "CHF - class IV",
            "History of CHF class IV.",
        ),
        (
            "Hematology/Oncology (R)/Cancer/Cancer-Primary Site/lung",
            "lung",
            "History of Cancer-Primary Site lung.",
        ),
        ("Neurologic/Dementia/dementia", "dementia", "History of dementia."),
    ],
)
def test_past_history(path, value, sentence):
    row = {"pasthistorypath": HISTORY + path, "pasthistoryvalue": value}
    assert say.past_history(row) == sentence


@pytest.mark.parametrize(
    ("path", "value", "text", "sentence"),
    [
        (
            "Cardiovascular/Auscultation/Murmurs/no murmurs/no murmurs",
            "no murmurs",
            "no murmurs",
            "No murmurs.",
        ),
        (
            "Pulmonary/Airway/intubated",
            "intubated",
            "intubated",
            "Pulmonary exam, airway intubated.",
        ),
        ("Neurologic/GCS/Eyes Score/4", "4", "4", ""),
        ("Constitutional/Vital Sign and Physiological Data/HR/HR Current", "HR Current", "95", ""),
        (
            "Neurologic/GCS/Mental Status/Affect/calm/appropriate",
            "calm/appropriate",
            "calm/appropriate",
            "Neurologic exam, gcs, mental status, affect calm/appropriate.",
        ),
        (
            'Skin/Print "within normal limits"/within normal limits',
            "within normal limits",
            "within normal limits",
            "Skin exam within normal limits.",
        ),
    ],
)
def test_physical_exam(path, value, text, sentence):
    row = {
        "physicalexampath": EXAM + path,
        "physicalexamvalue": value,
        "physicalexamtext": text,
    }
    assert say.physical_exam(row) == sentence


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (
            "Review Of Systems/Systems/Pulmonary/Shortness of Breath/denies shortness of breath",
            "denies shortness of breath",
            "Denies shortness of breath.",
        ),
        ("Allergies / Preadmission Medications/Allergies/No", "No", "No allergies."),
        (
            "Social History / Family History/Family History/Family History Obtain Options/"
            "Not Significant",
            "Not Significant",
            "Family history is not significant.",
        ),
        (
            "Interventions/Minor/Communication with other healthcare providers and/or family",
            "Communication with other healthcare providers and/or family",
            "",
        ),
        ("Assessment and Plan/View Options/System View", "System View", ""),
    ],
)
def test_notes(path, value, sentence):
    row = {"notepath": NOTES + path, "notevalue": value, "notetext": value}
    assert say.note(row) == sentence


def test_care_plan_without_conditions_that_are_none():
    row = {"cplgroup": "Analgesia", "cplitemvalue": "Parenteral - bolus prn"}
    (sentence,) = split_sentences(say.care_plan(row))
    assert sentence.text == "Plan of care for analgesia, Parenteral, bolus on demand."
    assert not sentence.hypothetical


def test_nurse_assessment():
    assert say.nurse_assessment("Edema", "RLE", ["+1", "+1"]) == "Edema RLE +1."
    assert say.nurse_assessment("Edema", "Edema", ["no edema"]) == "No edema."
    assert say.nurse_assessment("Pacemaker/AICD", "Pacemaker/AICD", ["N/A"]) == ""


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("Family history of CAD.", "family"),
        ("History of COPD severe.", "historical"),
        ("No murmurs.", "negated"),
    ],
)
def test_the_note_reader_understands_them(text, flag):
    (sentence,) = split_sentences(text)
    assert getattr(sentence, flag)
