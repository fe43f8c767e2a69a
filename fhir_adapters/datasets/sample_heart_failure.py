"""Sample patient: acute decompensated heart failure that answers to treatment."""

from __future__ import annotations

from fhir_adapters.datasets.sample_case import Diagnosis, LabDraw, SampleCase, SampleNote
from fhir_adapters.datasets.sample_physiology import Baseline

EMERGENCY = """\
CHIEF COMPLAINT:
Cannot breathe lying down.

HISTORY OF PRESENT ILLNESS:
68-year-old man with ischemic cardiomyopathy. Five days of swelling ankles, then woke at 3 am \
gasping and sat by the window. Ran out of his water tablets a week ago. He denies chest pain and \
fever. No palpitations. No loss of consciousness.

VITAL SIGNS:
Heart rate {heart_rate}, blood pressure {systolic_blood_pressure}/{diastolic_blood_pressure}, \
respirations {respiratory_rate}, saturation {oxygen_saturation} percent on \
{fraction_inspired_oxygen} percent oxygen, temperature {body_temperature} F.

EMERGENCY DEPARTMENT COURSE:
Crackles to both mid zones, jugular veins distended. Furosemide 80 mg intravenously, \
nitroglycerin infusion, oxygen by mask with positive pressure. ECG shows sinus tachycardia and \
an old left bundle branch block, no new ST elevation.
"""

HISTORY_AND_PHYSICAL = """\
HISTORY OF PRESENT ILLNESS:
68-year-old man with heart failure with an ejection fraction of 25 percent, admitted with acute \
pulmonary edema after he stopped his diuretic.

PAST MEDICAL HISTORY:
Myocardial infarction in 2017 with stent to the left anterior descending artery. Implanted \
defibrillator since 2019, no shocks. Chronic kidney disease stage 3. Hyperlipidemia.

FAMILY HISTORY:
Brother has diabetes. Mother had a stroke at 80.

SOCIAL HISTORY:
Retired postman. Stopped smoking twelve years ago. Lives alone, his daughter does the shopping.

EXAMINATION:
Sitting upright, speaks in short sentences. Jugular venous pressure 14 cm. Bilateral crackles. \
Third heart sound present. Pitting edema to the knees. Extremities are warm. No calf tenderness.

DATA:
NT-proBNP {nt_pro_bnp} pg/mL. Troponin I {troponin_i} ng/mL, unchanged on repeat. Creatinine \
{creatinine} mg/dL, baseline 1.5.

ASSESSMENT AND PLAN:
Acute on chronic systolic heart failure, warm and wet. Trigger is the missed diuretic. No \
evidence of acute coronary syndrome. Furosemide infusion, daily weights, low sodium diet, fluid \
limit 1.5 liters. Continue carvedilol at half dose. Hold spironolactone until potassium is known.
"""

CHEST_X_RAY = """\
EXAMINATION: Chest, single portable view.
CLINICAL INFORMATION: Acute shortness of breath.
FINDINGS: Heart enlarged. Defibrillator lead in the right ventricle. Perihilar haze and Kerley B \
lines. Small pleural effusions on both sides. No pneumothorax. No focal consolidation.
IMPRESSION: Pulmonary edema with small effusions. No pneumonia.
"""

ECHOCARDIOGRAPHY = """\
EXAMINATION: Transthoracic echocardiography.
FINDINGS: Left ventricle dilated, ejection fraction 25 percent. Akinesis of the anterior wall and \
apex. Moderate functional mitral regurgitation. No aortic stenosis. No pericardial effusion. No \
left ventricular thrombus.
IMPRESSION: Severely reduced systolic function, no change from last year.
"""

NURSING_NIGHT = """\
Mask with positive pressure taken off at midnight, now on nasal oxygen. Slept propped on three \
pillows. Passed {urine_output} mL in the last hour. Weight down two kilograms since admission. \
Low sodium tray refused, asked for coffee. Daughter telephoned about bringing his hearing aid. \
Denies chest pain. No falls.
"""

PROGRESS_DAY_1 = """\
SUBJECTIVE:
Breathing is easier. Walked to the chair. Denies chest pain.

OBJECTIVE:
Heart rate {heart_rate}, blood pressure {systolic_blood_pressure}/{diastolic_blood_pressure}, \
saturation {oxygen_saturation} percent on {fraction_inspired_oxygen} percent oxygen. Crackles \
only at the bases. Creatinine {creatinine}, was {first_creatinine}. Potassium {potassium}.

ASSESSMENT:
Acute on chronic systolic heart failure, improving with diuresis. No evidence of acute coronary \
syndrome. Stable chronic kidney disease.

PLAN:
Change furosemide to twice daily bolus. Replace magnesium. Restart spironolactone tomorrow if \
potassium stays below 5. Cardiac rehabilitation leaflet given.
"""

CARDIOLOGY = """\
REASON FOR CONSULTATION:
Recurrent decompensation.

IMPRESSION:
Ischemic cardiomyopathy, decompensated after stopping furosemide. Device interrogation shows no \
ventricular arrhythmia. Not in cardiogenic shock, lactate {lactate}. Renal function is stable.

RECOMMENDATIONS:
Start sacubitril-valsartan before he leaves. Add an SGLT2 inhibitor. Upgrade to cardiac \
resynchronization to be discussed as an outpatient.
"""

PROGRESS_DAY_2 = """\
SUBJECTIVE:
Slept flat on one pillow. No cough. Denies chest pain.

OBJECTIVE:
Heart rate {heart_rate}, blood pressure {systolic_blood_pressure}/{diastolic_blood_pressure}, \
saturation {oxygen_saturation} percent. Ankles still swollen, jugular veins flat. Weight down 4.5 \
kg in all.

ASSESSMENT:
Acute on chronic systolic heart failure, improving with diuresis. No evidence of acute coronary \
syndrome. Stable chronic kidney disease.

PLAN:
Oral torsemide from today. Move to the telemetry ward. Pharmacist will arrange a weekly pill box.
"""

CASE = SampleCase(
    name="heart-failure",
    given="Anselm",
    family="Example-Birch",
    gender="male",
    age_years=68,
    hours=48,
    encounter_class="IMP",
    location="Coronary care unit",
    reason="Acute decompensated heart failure",
    baseline=Baseline(
        weight_kg=89,
        height_cm=178,
        heart_rate=72,
        mean_bp=86,
        pulse_pressure=48,
        oxygen_saturation=96,
        creatinine=1.5,
        urea_nitrogen=27,
        potassium=4.4,
        nt_pro_bnp=2300,
        troponin_i=0.03,
        beta_blockade=0.5,
        hemoglobin=12.4,
        glucose=112,
    ),
    course={
        "congestion": ((0, 0.95), (6, 0.85), (16, 0.6), (30, 0.4), (48, 0.25)),
        "pump_failure": ((0, 0.35), (12, 0.3), (30, 0.2), (48, 0.18)),
        "stress": ((0, 1.0), (3, 0.7), (8, 0.3), (48, 0.1)),
        "renal_injury": ((0, 0.04), (24, 0.05), (48, 0.04)),
        "diuresis": ((0, 0.0), (1, 0.9), (10, 1.0), (24, 0.7), (48, 0.35)),
    },
    oxygen=(
        (0, 0.28),
        (0.6, 0.28),
        (1, 0.5),
        (6, 0.45),
        (12, 0.36),
        (24, 0.3),
        (38, 0.24),
        (48, 0.21),
    ),
    mobility=((0, 0.02), (20, 0.1), (48, 0.3)),
    units={"body_temperature": "[degF]"},
    diagnoses=(
        Diagnosis("I50.23", "Acute on chronic systolic (congestive) heart failure"),
        Diagnosis("I25.5", "Ischemic cardiomyopathy", acute=False),
        Diagnosis("I25.2", "Old myocardial infarction", acute=False),
        Diagnosis("N18.30", "Chronic kidney disease, stage 3 unspecified", acute=False),
    ),
    medications=(
        "Furosemide 80 mg intravenously twice daily",
        "Carvedilol 6.25 mg by mouth twice daily",
        "Atorvastatin 40 mg by mouth at night",
        "Aspirin 81 mg by mouth daily",
    ),
    draws=(
        LabDraw(0.3, ("blood_count", "metabolic", "cardiac", "lactate", "gas")),
        LabDraw(3.5, ("cardiac",)),
        LabDraw(8, ("metabolic", "lactate")),
        LabDraw(18, ("metabolic", "blood_count")),
        LabDraw(30, ("metabolic",)),
        LabDraw(42, ("metabolic", "cardiac")),
    ),
    notes=(
        SampleNote(0.9, "emergency", EMERGENCY),
        SampleNote(1.8, "chest_x_ray", CHEST_X_RAY),
        SampleNote(3, "history_and_physical", HISTORY_AND_PHYSICAL),
        SampleNote(12, "nursing", NURSING_NIGHT, form="binary"),
        SampleNote(16, "echocardiography", ECHOCARDIOGRAPHY),
        SampleNote(21, "progress", PROGRESS_DAY_1, form="html"),
        SampleNote(27, "consult", CARDIOLOGY, form="binary"),
        SampleNote(45, "progress", PROGRESS_DAY_2),
    ),
)
