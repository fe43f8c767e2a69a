"""Sample patient: planned colon resection, recovering as expected."""

from __future__ import annotations

from fhir_adapters.datasets.sample_case import Diagnosis, LabDraw, SampleCase, SampleNote
from fhir_adapters.datasets.sample_physiology import Baseline

OPERATIVE = """\
PROCEDURE: Laparoscopic sigmoid colectomy with primary anastomosis.
INDICATION: Recurrent diverticulitis, elective.
FINDINGS: Thickened sigmoid colon with adhesions to the bladder, no abscess, no fistula. \
Tension-free stapled anastomosis, leak test negative.
BLOOD LOSS: 250 mL, no transfusion.
COMPLICATIONS: None.
CONDITION: Transferred intubated to surgical intensive care because of a long operation and her \
sleep apnea.
"""

HISTORY_AND_PHYSICAL = """\
HISTORY OF PRESENT ILLNESS:
63-year-old woman after planned laparoscopic sigmoid colectomy, uneventful operation of five \
hours.

PAST MEDICAL HISTORY:
Four attacks of diverticulitis in two years. Obstructive sleep apnea on CPAP. Hypothyroidism. No \
cardiac disease. No diabetes.

FAMILY HISTORY:
Mother had colon cancer at 79.

SOCIAL HISTORY:
School librarian. Never smoked. No alcohol.

EXAMINATION:
Sedated, on the ventilator, follows commands when sedation is paused. Chest clear. Abdomen soft, \
dressings dry. Warm extremities.

VITAL SIGNS:
Heart rate {heart_rate}, blood pressure {systolic_blood_pressure}/{diastolic_blood_pressure}, \
saturation {oxygen_saturation} percent on {fraction_inspired_oxygen} percent oxygen, temperature \
{body_temperature} C.

ASSESSMENT AND PLAN:
Stable after elective colectomy. Wake and extubate this evening. Epidural for pain. Prophylactic \
cefazolin for 24 hours. No signs of bleeding. Sips of water after extubation.
"""

CHEST_X_RAY = """\
EXAMINATION: Chest, single portable view.
CLINICAL INFORMATION: After operation, intubated.
FINDINGS: Endotracheal tube 4 cm above the carina. Plate-like atelectasis at the left base. No \
pneumothorax. No consolidation. A little free air under the diaphragm, expected after laparoscopy.
IMPRESSION: Tube in good position. Minor atelectasis.
"""

NURSING_EVENING = """\
Extubated at five hours without difficulty, CPAP at the bedside. Pain 3 of 10 with the epidural. \
Nausea once, settled with ondansetron. No bleeding from dressings. Urine {urine_output} mL in the \
last hour. Husband brought her knitting and a book.
"""

PROGRESS_DAY_1 = """\
SUBJECTIVE:
Sore when coughing, otherwise comfortable. No nausea. Has not passed flatus yet.

OBJECTIVE:
Heart rate {heart_rate}, blood pressure {systolic_blood_pressure}/{diastolic_blood_pressure}, \
saturation {oxygen_saturation} percent. Temperature {body_temperature} C. White cells \
{white_blood_cells}, hemoglobin {hemoglobin}. Abdomen soft, wounds clean.

ASSESSMENT:
First day after elective sigmoid colectomy, recovering as expected. No sign of anastomotic leak. \
Mild atelectasis.

PLAN:
Out of bed three times today. Incentive spirometry. Clear liquids. Remove urinary catheter \
tomorrow. Heparin prophylaxis. CPAP at night.
"""

PHYSIOTHERAPY = """\
REASON FOR CONSULTATION:
Early mobilization.

IMPRESSION:
Walked 40 meters with one person, no dizziness, saturation stayed at {oxygen_saturation} percent. \
Strong cough. No fall risk beyond the epidural.

RECOMMENDATIONS:
Walk four times a day, stairs before she goes home. If saturation drops below 90 percent, stop.
"""

PROGRESS_DAY_2 = """\
SUBJECTIVE:
Slept well. Passed flatus this morning. Enjoyed her soup. No nausea.

OBJECTIVE:
Heart rate {heart_rate}, blood pressure {systolic_blood_pressure}/{diastolic_blood_pressure}, \
saturation {oxygen_saturation} percent on room air. Temperature {body_temperature} C. White cells \
{white_blood_cells}. C-reactive protein {c_reactive_protein}. Abdomen soft, bowel sounds present.

ASSESSMENT:
Second day after elective sigmoid colectomy, recovering as expected. No sign of anastomotic leak.

PLAN:
Soft diet. Stop the epidural, oral analgesia. Surgical ward today. Aim for home in two days.
"""

CASE = SampleCase(
    name="postoperative",
    given="Dorothea",
    family="Example-Elm",
    gender="female",
    age_years=63,
    hours=46,
    encounter_class="IMP",
    location="Surgical intensive care unit",
    reason="Recovery after elective sigmoid colectomy",
    baseline=Baseline(
        weight_kg=78, height_cm=167, heart_rate=70, mean_bp=88, hemoglobin=12.9, creatinine=0.8
    ),
    course={
        "inflammation": ((0, 0.1), (8, 0.35), (20, 0.38), (32, 0.25), (46, 0.15)),
        "stress": ((0, 0.1), (5, 0.35), (12, 0.3), (24, 0.2), (46, 0.1)),
        "hypovolaemia": ((0, 0.25), (8, 0.12), (20, 0.05), (46, 0.0)),
        "lung_injury": ((0, 0.2), (12, 0.18), (24, 0.12), (46, 0.03)),
        "blood_loss": ((0, 0.12), (12, 0.2), (46, 0.18)),
        "encephalopathy": ((0, 0.6), (3, 0.5), (5, 0.05), (8, 0.0)),
    },
    oxygen=((0, 0.4), (5, 0.35), (14, 0.28), (26, 0.24), (34, 0.21)),
    mobility=((0, 0.0), (6, 0.02), (20, 0.25), (32, 0.4), (46, 0.6)),
    ventilated=((0.2, True), (2, True), (4, True), (5.2, False), (8, False)),
    diagnoses=(
        Diagnosis(
            "K57.32",
            "Diverticulitis of large intestine without perforation or abscess without bleeding",
        ),
        Diagnosis("G47.33", "Obstructive sleep apnea (adult) (pediatric)", acute=False),
        Diagnosis("E03.9", "Hypothyroidism, unspecified", acute=False),
    ),
    medications=(
        "Ropivacaine and fentanyl by epidural infusion",
        "Acetaminophen 1 g every 6 hours",
        "Heparin 5000 units subcutaneously every 8 hours",
        "Levothyroxine 75 micrograms by mouth daily",
    ),
    draws=(
        LabDraw(0.4, ("blood_count", "metabolic", "gas", "lactate", "coagulation")),
        LabDraw(8, ("blood_count", "lactate", "gas")),
        LabDraw(18, ("blood_count", "metabolic", "inflammation")),
        LabDraw(42, ("blood_count", "metabolic", "inflammation")),
    ),
    notes=(
        SampleNote(0.5, "operative", OPERATIVE),
        SampleNote(1.2, "history_and_physical", HISTORY_AND_PHYSICAL),
        SampleNote(1.6, "chest_x_ray", CHEST_X_RAY),
        SampleNote(8, "nursing", NURSING_EVENING, form="binary"),
        SampleNote(20, "progress", PROGRESS_DAY_1, form="html"),
        SampleNote(27, "consult", PHYSIOTHERAPY, form="binary"),
        SampleNote(44, "progress", PROGRESS_DAY_2),
    ),
)
