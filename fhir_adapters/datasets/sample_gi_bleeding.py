"""Sample patient: bleeding gastric ulcer that bleeds again on the second day."""

from __future__ import annotations

from fhir_adapters.datasets.sample_case import Diagnosis, LabDraw, SampleCase, SampleNote
from fhir_adapters.datasets.sample_physiology import Baseline

EMERGENCY = """\
CHIEF COMPLAINT:
Vomited blood twice.

HISTORY OF PRESENT ILLNESS:
58-year-old man with two episodes of bright red vomit and black stools since last night. Took \
ibuprofen three times a day for a painful shoulder over the last month. Light-headed on standing. \
He denies abdominal pain and chest pain. No history of liver disease. Does not take \
anticoagulants.

VITAL SIGNS:
Heart rate {heart_rate}, blood pressure {systolic_blood_pressure}/{diastolic_blood_pressure}, \
respirations {respiratory_rate}, saturation {oxygen_saturation} percent on room air.

EMERGENCY DEPARTMENT COURSE:
Pale and clammy. Rectal examination shows melena. Two large cannulas. One liter of crystalloid \
and two units of red cells are running. Pantoprazole 80 mg intravenously. Gastroenterology \
called.
"""

HISTORY_AND_PHYSICAL = """\
HISTORY OF PRESENT ILLNESS:
58-year-old man with hematemesis and melena while taking ibuprofen.

PAST MEDICAL HISTORY:
Osteoarthritis of the shoulder. Hypertension. No previous ulcer. No cirrhosis. No bleeding \
disorder.

FAMILY HISTORY:
Mother had stomach cancer at 75.

SOCIAL HISTORY:
Bus driver. Smokes ten cigarettes a day. Two beers at the weekend. Married, three children.

EXAMINATION:
Pale conjunctivae. Abdomen soft, mild epigastric tenderness, no guarding. No spider nevi, no \
ascites. Lungs clear.

DATA:
Hemoglobin {hemoglobin} g/dL, blood urea nitrogen {blood_urea_nitrogen} mg/dL with creatinine \
{creatinine}. Lactate {lactate} mmol/L. Platelets {platelets}. INR \
{international_normalized_ratio}.

ASSESSMENT AND PLAN:
Acute upper gastrointestinal bleeding, likely ulcer from ibuprofen. Hemorrhagic shock, class two \
to three. Keep hemoglobin above 7. Nothing by mouth. Endoscopy tonight. Stop ibuprofen. No beta \
blocker.
"""

ENDOSCOPY = """\
PROCEDURE: Esophagogastroduodenoscopy under sedation.
INDICATION: Hematemesis.
FINDINGS: Esophagus normal, no varices. Ulcer of 15 mm in the gastric body with a visible vessel, \
oozing. Treated with adrenaline injection and two clips, bleeding stopped. Duodenum normal. \
Biopsies taken for Helicobacter pylori.
COMPLICATIONS: None.
IMPRESSION: Forrest 1b gastric ulcer, high risk of rebleeding.
"""

NURSING_DAY_1 = """\
Settled after endoscopy. One large black stool. Heart rate {heart_rate}, blood pressure \
{systolic_blood_pressure}/{diastolic_blood_pressure}. No vomiting. Denies dizziness lying down. \
Wife and eldest son visited. Asked twice when he may eat. Work certificate requested.
"""

PROGRESS_DAY_1 = """\
SUBJECTIVE:
Feels better. No further vomiting. Denies abdominal pain.

OBJECTIVE:
Heart rate {heart_rate}, blood pressure {systolic_blood_pressure}/{diastolic_blood_pressure}. \
Hemoglobin {hemoglobin}, was {first_hemoglobin} on arrival, after three units. Blood urea \
nitrogen {blood_urea_nitrogen}. Abdomen soft.

ASSESSMENT:
Bleeding gastric ulcer after endoscopic treatment, high risk of rebleeding. Acute blood loss \
anemia.

PLAN:
Pantoprazole infusion for 72 hours. Hemoglobin every six hours. Clear fluids. Crossmatched blood \
stays available.
"""

EVENT = """\
Called to the bedside because of fresh red vomit, about 400 mL, and a fall in pressure. Heart \
rate {heart_rate}, blood pressure {systolic_blood_pressure}/{diastolic_blood_pressure}. Patient \
anxious, cold and sweating. No chest pain. Rebleeding from the known gastric ulcer. Massive \
transfusion protocol started, endoscopy team and interventional radiology informed.
"""

RADIOLOGY = """\
REASON FOR CONSULTATION:
Rebleeding after endoscopic treatment.

IMPRESSION:
Angiography shows a blush from a branch of the left gastric artery. Coil embolization done, no \
further extravasation. No complication at the right groin.

RECOMMENDATIONS:
Bed rest for six hours. Check the groin and foot pulses every hour. If he bleeds again, surgery.
"""

PROGRESS_DAY_2 = """\
SUBJECTIVE:
Tired. No vomiting since the embolization. Denies abdominal pain.

OBJECTIVE:
Heart rate {heart_rate}, blood pressure {systolic_blood_pressure}/{diastolic_blood_pressure}. \
Hemoglobin {hemoglobin}. Lactate {lactate}. Urine output {urine_output} mL in the last hour.

ASSESSMENT:
Bleeding gastric ulcer, rebled on day two, now embolized. Acute blood loss anemia. No ongoing \
bleeding at present.

PLAN:
Pantoprazole infusion for 72 hours. Hemoglobin every six hours. Nothing by mouth until tomorrow. \
Intravenous iron before he leaves.
"""

CASE = SampleCase(
    name="gi-bleeding",
    given="Crispin",
    family="Example-Dogwood",
    gender="male",
    age_years=58,
    hours=46,
    encounter_class="IMP",
    location="Medical intensive care unit",
    reason="Upper gastrointestinal bleeding",
    baseline=Baseline(
        weight_kg=84, height_cm=181, heart_rate=72, mean_bp=95, hemoglobin=14.4, creatinine=1.0
    ),
    course={
        "hypovolaemia": (
            (0, 0.95),
            (3, 0.6),
            (8, 0.2),
            (18, 0.08),
            (29.2, 0.1),
            (30.2, 1.0),
            (31.6, 1.0),
            (34, 0.5),
            (38, 0.25),
            (46, 0.15),
        ),
        "blood_loss": (
            (0, 0.55),
            (5, 0.85),
            (12, 0.65),
            (28.5, 0.6),
            (31, 1.0),
            (36, 0.85),
            (46, 0.75),
        ),
        "stress": ((0, 0.4), (8, 0.15), (29.2, 0.15), (30.2, 0.4), (36, 0.2), (46, 0.15)),
        "renal_injury": ((0, 0.1), (24, 0.1), (46, 0.2)),
    },
    mobility=((0, 0.02), (20, 0.12), (28, 0.12), (30, 0.01), (46, 0.03)),
    diagnoses=(
        Diagnosis("K25.4", "Chronic or unspecified gastric ulcer with hemorrhage"),
        Diagnosis("D62", "Acute posthemorrhagic anemia"),
        Diagnosis("I10", "Essential (primary) hypertension", acute=False),
    ),
    medications=(
        "Pantoprazole 8 mg/h intravenous infusion",
        "Packed red blood cells by transfusion protocol",
    ),
    draws=(
        LabDraw(0.2, ("blood_count", "metabolic", "lactate", "coagulation", "liver")),
        LabDraw(5, ("blood_count", "lactate")),
        LabDraw(11, ("blood_count", "metabolic")),
        LabDraw(17, ("blood_count", "lactate")),
        LabDraw(24, ("blood_count", "metabolic")),
        LabDraw(30.5, ("blood_count", "lactate", "coagulation", "gas")),
        LabDraw(35, ("blood_count", "lactate", "metabolic")),
        LabDraw(42, ("blood_count", "lactate", "coagulation", "metabolic")),
    ),
    notes=(
        SampleNote(0.7, "emergency", EMERGENCY),
        SampleNote(1.5, "history_and_physical", HISTORY_AND_PHYSICAL),
        SampleNote(5.5, "endoscopy", ENDOSCOPY),
        SampleNote(13, "nursing", NURSING_DAY_1, form="binary"),
        SampleNote(20, "progress", PROGRESS_DAY_1, form="html"),
        SampleNote(30.8, "nursing", EVENT),
        SampleNote(34, "consult", RADIOLOGY, form="binary"),
        SampleNote(43.5, "progress", PROGRESS_DAY_2),
    ),
)
