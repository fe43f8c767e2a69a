"""Sample patient: septic shock from the urinary tract, getting worse in spite of treatment."""

from __future__ import annotations

from fhir_adapters.datasets.sample_case import Diagnosis, LabDraw, Order, SampleCase, SampleNote
from fhir_adapters.datasets.sample_physiology import Baseline

EMERGENCY = """\
CHIEF COMPLAINT:
Fever, shaking chills and confusion since this morning.

HISTORY OF PRESENT ILLNESS:
72-year-old woman brought in by her husband. Two days of burning on urination and right flank \
pain, then rigors overnight. He noticed that she was slow to answer. She denies chest pain, \
shortness of breath and abdominal pain. No vomiting. No recent travel.

VITAL SIGNS:
Temperature {body_temperature} C, heart rate {heart_rate}, blood pressure \
{systolic_blood_pressure}/{diastolic_blood_pressure}, respirations {respiratory_rate}, \
saturation {oxygen_saturation} percent on room air.

EMERGENCY DEPARTMENT COURSE:
Right costovertebral angle tenderness. Urine is cloudy, nitrite and leukocyte esterase positive. \
Two sets of blood cultures were drawn, then ceftriaxone 2 g was given within the first hour. \
30 mL/kg of balanced crystalloid is running. Admit to medical intensive care.
"""

HISTORY_AND_PHYSICAL = """\
HISTORY OF PRESENT ILLNESS:
72-year-old woman with type 2 diabetes admitted with sepsis from a urinary source. Blood pressure \
stayed low after the first two liters of fluid and she is now on norepinephrine.

PAST MEDICAL HISTORY:
Type 2 diabetes, on metformin. Hypertension. Cholecystectomy in 2009. No history of kidney \
disease. No history of heart failure.

FAMILY HISTORY:
Father died of a myocardial infarction at 71. Mother had breast cancer.

SOCIAL HISTORY:
Lives with her husband in a second-floor flat. Never smoked. Drinks a glass of wine on Sundays.

REVIEW OF SYSTEMS:
Positive for fever, chills and dysuria. Negative for cough, chest pain, headache and rash.

EXAMINATION:
Ill-appearing, flushed and warm. Slow to answer but follows commands. Lungs clear, no wheezes. \
Heart regular and fast, no murmur. Abdomen soft, not tender. Right flank tender to percussion. \
Capillary refill 4 seconds. No leg swelling.

DATA:
Lactate {first_lactate} mmol/L. White cells {white_blood_cells}. Creatinine {creatinine} mg/dL, \
her usual is 0.9. Procalcitonin {procalcitonin} ng/mL.

ASSESSMENT AND PLAN:
Septic shock from pyelonephritis. Continue ceftriaxone until cultures speciate. Norepinephrine \
for a mean pressure of 65 or above. Repeat lactate every four hours. Hold metformin. Insulin by \
scale. Renal ultrasound to exclude obstruction.
"""

CHEST_X_RAY = """\
EXAMINATION: Chest, single portable view.
CLINICAL INFORMATION: Sepsis, central line placement.
FINDINGS: Right internal jugular line with its tip in the lower superior vena cava. No \
pneumothorax. Lung volumes are low. No focal consolidation. No pleural effusion. Heart size is \
normal.
IMPRESSION: Line in good position. No pneumonia.
"""

NURSING_DAY_1 = """\
Patient restless, oriented to person and place, not to time. Norepinephrine at 0.10 mcg/kg/min to \
hold mean pressure. Hands and feet are cool, knees mottled. Urine dark, last hour {urine_output} \
mL. Skin intact, turned every two hours. Husband visited and took her reading glasses home. \
Patient is on a diabetic diet but ate nothing. Insurance card copied by the admissions office.
"""

PROGRESS_DAY_1 = """\
SUBJECTIVE:
Says that she is thirsty. Denies chest pain. No abdominal pain.

OBJECTIVE:
Heart rate {heart_rate}, blood pressure {systolic_blood_pressure}/{diastolic_blood_pressure}, \
mean {mean_blood_pressure} on norepinephrine 0.18 mcg/kg/min. Temperature {body_temperature} C. \
Lactate {first_lactate} on arrival, now {lactate}. Creatinine {creatinine}. Urine output has \
fallen through the night.

ASSESSMENT:
Septic shock from pyelonephritis, not controlled. Blood cultures grow gram-negative rods in both \
sets. New acute kidney injury. No sign of a second source.

PLAN:
Broaden to meropenem. Add vasopressin. Echocardiogram at the bedside shows no left ventricular \
dysfunction. Nephrology to see. Diabetic diet when awake enough to eat.
"""

NEPHROLOGY = """\
REASON FOR CONSULTATION:
Rising creatinine and falling urine output.

IMPRESSION:
Acute kidney injury, septic and ischemic, on kidneys that were normal before. Creatinine rose \
from {first_creatinine} to {creatinine} mg/dL, potassium {potassium} mmol/L, bicarbonate \
{bicarbonate} mmol/L. Ultrasound shows no hydronephrosis. No uremic signs. No need for dialysis \
tonight.

RECOMMENDATIONS:
Avoid nephrotoxins and contrast. Adjust meropenem to renal function. Repeat potassium and gases \
every six hours. If potassium is above 6 or acidosis progresses, start continuous replacement \
therapy.
"""

PROGRESS_DAY_2 = """\
SUBJECTIVE:
Drowsy, opens her eyes to voice, answers with single words. Denies chest pain.

OBJECTIVE:
Heart rate {heart_rate}, blood pressure {systolic_blood_pressure}/{diastolic_blood_pressure}, \
mean {mean_blood_pressure} on norepinephrine 0.40 mcg/kg/min and vasopressin. Needs \
{fraction_inspired_oxygen} percent oxygen by high flow. Lactate {lactate}. Creatinine \
{creatinine}. Platelets {platelets}.

ASSESSMENT:
Septic shock from pyelonephritis, not controlled. Blood cultures grow gram-negative rods in both \
sets. Now failing lungs and kidneys and early coagulopathy. Lactate is rising, perfusion is \
getting worse.

PLAN:
Hydrocortisone 50 mg every six hours. CT abdomen to look for an abscess or emphysematous \
pyelonephritis as soon as she can travel. Prepare for intubation. Diabetic diet when awake enough \
to eat.
"""

NURSING_DAY_2 = """\
Mottling now up to both thighs. Vasopressors raised twice this shift. Patient drowsy, not \
following complex commands. Urine {urine_output} mL in the last hour. Husband at the bedside, \
asked about parking vouchers. No pressure injury. No bleeding from lines.
"""

CASE = SampleCase(
    name="sepsis",
    given="Wilhelmina",
    family="Example-Ashby",
    gender="female",
    age_years=72,
    hours=47,
    encounter_class="IMP",
    location="Medical intensive care unit",
    reason="Septic shock",
    baseline=Baseline(weight_kg=71, height_cm=163, heart_rate=77, mean_bp=94, glucose=138),
    course={
        "inflammation": ((0, 0.85), (4, 0.85), (12, 0.95), (24, 1.0), (36, 0.95), (47, 0.9)),
        "vasoplegia": ((0, 0.45), (8, 0.55), (16, 0.6), (24, 0.66), (36, 0.8), (47, 0.95)),
        "hypovolaemia": ((0, 0.65), (4, 0.35), (10, 0.2), (30, 0.2), (47, 0.25)),
        "renal_injury": ((0, 0.15), (12, 0.4), (24, 0.75), (47, 1.0)),
        "lung_injury": ((0, 0.05), (16, 0.15), (30, 0.35), (47, 0.55)),
        "encephalopathy": ((0, 0.2), (12, 0.2), (30, 0.4), (47, 0.55)),
        "stress": ((0, 0.3), (12, 0.2), (47, 0.1)),
    },
    oxygen=((0, 0.21), (10, 0.21), (12, 0.28), (24, 0.35), (34, 0.45), (47, 0.55)),
    mobility=((0, 0.05), (47, 0.01)),
    diagnoses=(
        Diagnosis("A41.9", "Sepsis, unspecified organism"),
        Diagnosis("N10", "Acute pyelonephritis"),
        Diagnosis("E11.9", "Type 2 diabetes mellitus without complications", acute=False),
        Diagnosis("I10", "Essential (primary) hypertension", acute=False),
    ),
    medications=(
        "Norepinephrine infusion, titrated to a mean pressure of 65 mmHg",
        "Vasopressin 0.03 units/min intravenously",
        "Meropenem 1 g intravenously every 12 hours",
        "Insulin lispro by sliding scale",
    ),
    orders=(Order("2524-7", "Lactate, repeat every 4 hours", 2.6),),
    draws=(
        LabDraw(
            0.3,
            ("blood_count", "metabolic", "lactate", "inflammation", "coagulation", "liver"),
        ),
        LabDraw(4, ("lactate", "gas")),
        LabDraw(8, ("lactate", "metabolic")),
        LabDraw(16, ("blood_count", "metabolic", "lactate", "gas")),
        LabDraw(24, ("metabolic", "lactate", "inflammation", "coagulation", "liver")),
        LabDraw(32, ("lactate", "gas", "metabolic")),
        LabDraw(40, ("blood_count", "metabolic", "lactate", "gas", "coagulation")),
        LabDraw(45, ("lactate", "gas", "metabolic", "inflammation")),
    ),
    notes=(
        SampleNote(1.0, "emergency", EMERGENCY),
        SampleNote(2.5, "history_and_physical", HISTORY_AND_PHYSICAL),
        SampleNote(3.4, "chest_x_ray", CHEST_X_RAY),
        SampleNote(10, "nursing", NURSING_DAY_1, form="binary"),
        SampleNote(19, "progress", PROGRESS_DAY_1, form="html"),
        SampleNote(28, "consult", NEPHROLOGY, form="binary"),
        SampleNote(42, "progress", PROGRESS_DAY_2),
        SampleNote(46, "nursing", NURSING_DAY_2),
    ),
)
