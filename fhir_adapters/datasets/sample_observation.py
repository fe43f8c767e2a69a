"""Sample patient: chest pain ruled out for a heart attack, stable and about to go home."""

from __future__ import annotations

from fhir_adapters.datasets.sample_case import Diagnosis, LabDraw, SampleCase, SampleNote
from fhir_adapters.datasets.sample_physiology import Baseline

EMERGENCY = """\
CHIEF COMPLAINT:
Stabbing pain in the left chest.

HISTORY OF PRESENT ILLNESS:
46-year-old man with three hours of stabbing pain in the left chest, worse when he twists. Helped \
a friend move house at the weekend. No shortness of breath. Denies sweating, nausea and \
palpitations. Pain does not go to the arm or jaw.

PAST MEDICAL HISTORY:
Hyperlipidemia, no medication. No diabetes. No hypertension.

FAMILY HISTORY:
Father had a myocardial infarction at 58.

SOCIAL HISTORY:
Accountant. Never smoked. Runs twice a week.

EXAMINATION:
Comfortable. Pain is reproduced by pressing the left fourth rib. Heart and lungs normal. No leg \
swelling.

DATA:
ECG normal, repeated after three hours without change. Troponin I {troponin_i} ng/mL.

ASSESSMENT AND PLAN:
Chest wall pain is most likely. Low risk score. Observe, second troponin at three hours, stress \
test in the morning. No sign of pulmonary embolism.
"""

CHEST_X_RAY = """\
EXAMINATION: Chest, two views.
CLINICAL INFORMATION: Chest pain.
FINDINGS: Lungs clear. No pneumothorax. No rib fracture. Heart and mediastinum normal.
IMPRESSION: Normal chest.
"""

NURSING = """\
Slept most of the night, telemetry shows sinus rhythm. Pain 1 of 10 after ibuprofen. Walks to the \
bathroom without help. Regular diet, ate all of his supper. Asked for the wireless password. Wife \
will collect him tomorrow. No falls.
"""

STRESS_TEST = """\
PROCEDURE: Exercise ECG on the treadmill.
INDICATION: Chest pain, low probability of coronary disease.
FINDINGS: Eleven minutes of the Bruce protocol, 96 percent of the predicted heart rate. No chest \
pain. No ST depression. No arrhythmia.
COMPLICATIONS: None.
IMPRESSION: Normal exercise test.
"""

PROGRESS = """\
SUBJECTIVE:
Only a little sore. No chest pain at rest. No shortness of breath.

OBJECTIVE:
Heart rate {heart_rate}, blood pressure {systolic_blood_pressure}/{diastolic_blood_pressure}, \
saturation {oxygen_saturation} percent on room air. Troponin I {troponin_i} ng/mL on repeat. \
Exercise test normal.

ASSESSMENT:
Chest wall pain. Myocardial infarction ruled out.

PLAN:
Home today. Ibuprofen for three days, statin discussed. Return if pain comes back on exertion. \
Follow up with his own doctor.
"""

CASE = SampleCase(
    name="observation",
    given="Emil",
    family="Example-Fir",
    gender="male",
    age_years=46,
    hours=21,
    encounter_class="OBSENC",
    location="Telemetry observation unit",
    reason="Chest pain, rule out myocardial infarction",
    baseline=Baseline(
        weight_kg=81, height_cm=183, heart_rate=66, mean_bp=91, oxygen_saturation=98, glucose=96
    ),
    course={"stress": ((0, 0.4), (3, 0.15), (8, 0.0), (21, 0.0))},
    mobility=((0, 0.2), (6, 0.3), (14, 0.5), (21, 0.8)),
    vitals_every_hours=4,
    diagnoses=(
        Diagnosis("R07.89", "Other chest pain"),
        Diagnosis("E78.5", "Hyperlipidemia, unspecified", acute=False),
    ),
    medications=("Ibuprofen 400 mg by mouth every 8 hours as needed",),
    draws=(
        LabDraw(0.3, ("blood_count", "metabolic", "cardiac")),
        LabDraw(3.3, ("cardiac",)),
    ),
    notes=(
        SampleNote(1.3, "emergency", EMERGENCY),
        SampleNote(1.6, "chest_x_ray", CHEST_X_RAY),
        SampleNote(11, "nursing", NURSING, form="binary"),
        SampleNote(17.5, "procedure", STRESS_TEST, form="binary"),
        SampleNote(20, "progress", PROGRESS, form="html"),
    ),
)
