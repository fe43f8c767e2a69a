"""Sample patient: diabetic ketoacidosis, closing its gap within a day."""

from __future__ import annotations

from fhir_adapters.datasets.sample_case import Diagnosis, LabDraw, SampleCase, SampleNote
from fhir_adapters.datasets.sample_physiology import Baseline

EMERGENCY = """\
CHIEF COMPLAINT:
Vomiting and fast breathing.

HISTORY OF PRESENT ILLNESS:
27-year-old woman with type 1 diabetes. Stomach upset for two days, could not keep food down and \
left out her insulin because she was not eating. Very thirsty, passing a lot of urine. Diffuse \
abdominal pain. No fever. No cough. Denies alcohol and drugs. Not pregnant, test negative.

VITAL SIGNS:
Heart rate {heart_rate}, blood pressure {systolic_blood_pressure}/{diastolic_blood_pressure}, \
respirations {respiratory_rate} and deep, saturation {oxygen_saturation} percent, temperature \
{body_temperature} C.

DATA:
Glucose {glucose} mg/dL, arterial pH {arterial_ph}, bicarbonate {bicarbonate} mmol/L, potassium \
{potassium} mmol/L, sodium {sodium} mmol/L. Ketones strongly positive.

EMERGENCY DEPARTMENT COURSE:
Two liters of saline, insulin infusion at 0.1 units/kg/h. ECG normal, no peaked T waves.
"""

HISTORY_AND_PHYSICAL = """\
HISTORY OF PRESENT ILLNESS:
27-year-old woman with diabetic ketoacidosis after leaving out insulin during a stomach upset.

PAST MEDICAL HISTORY:
Type 1 diabetes since the age of nine. One earlier ketoacidosis in 2015. No retinopathy. No \
kidney disease.

FAMILY HISTORY:
Cousin has celiac disease. No other diabetes in the family.

SOCIAL HISTORY:
Graduate student, shares a flat. Does not smoke.

EXAMINATION:
Dry mouth, deep breathing, smell of acetone. Awake, a little slow. Abdomen tender everywhere, no \
guarding. Lungs clear. Skin without infection.

ASSESSMENT AND PLAN:
Severe diabetic ketoacidosis, trigger is viral gastroenteritis. No sign of pneumonia or urinary \
infection. Fluids, insulin infusion, potassium in each liter. Glucose hourly, gap every four \
hours. Add dextrose when glucose is below 250.
"""

CHEST_X_RAY = """\
EXAMINATION: Chest, single portable view.
CLINICAL INFORMATION: Ketoacidosis, look for a trigger.
FINDINGS: Lungs clear. No consolidation. No pleural effusion. Heart size normal. No air under the \
diaphragm.
IMPRESSION: Normal chest.
"""

NURSING_NIGHT = """\
Insulin infusion at 5 units per hour. Glucose {glucose}. Asks for water, vomited once at two \
hours, none since. Abdominal pain gone. Urine {urine_output} mL in the last hour. Flatmate \
brought her phone charger and a blanket. Wears her own glucose sensor.
"""

PROGRESS_DAY_1 = """\
SUBJECTIVE:
Hungry. No nausea, no abdominal pain.

OBJECTIVE:
Heart rate {heart_rate}, respirations {respiratory_rate}, blood pressure \
{systolic_blood_pressure}/{diastolic_blood_pressure}. Glucose {glucose}, was {first_glucose}. \
Bicarbonate {bicarbonate}, was {first_bicarbonate}. pH {arterial_ph}. Potassium {potassium}.

ASSESSMENT:
Diabetic ketoacidosis, gap closed. No infection found.

PLAN:
Basal insulin now, stop the infusion two hours later. Diabetic diet. Potassium by mouth. Leave \
the step-down unit tomorrow.
"""

ENDOCRINOLOGY = """\
REASON FOR CONSULTATION:
Insulin regimen and sick-day rules.

IMPRESSION:
Type 1 diabetes with good control before, last HbA1c 7.4 percent. Ketoacidosis from stopping \
insulin during illness. No sign of thyroid disease or adrenal insufficiency.

RECOMMENDATIONS:
Glargine 18 units at night and lispro with meals. Never stop basal insulin. Ketone strips \
prescribed. If vomiting lasts more than four hours, come in.
"""

PROGRESS_DAY_2 = """\
SUBJECTIVE:
Well, ate breakfast and lunch. No nausea, no abdominal pain.

OBJECTIVE:
Heart rate {heart_rate}, respirations {respiratory_rate}, blood pressure \
{systolic_blood_pressure}/{diastolic_blood_pressure}. Glucose {glucose}. Bicarbonate \
{bicarbonate}.

ASSESSMENT:
Diabetic ketoacidosis, resolved. No infection found.

PLAN:
Education done, repeats the sick-day rules correctly. Home this evening with her flatmate. \
Clinic in one week.
"""

CASE = SampleCase(
    name="ketoacidosis",
    given="Felicity",
    family="Example-Ginkgo",
    gender="female",
    age_years=27,
    hours=40,
    encounter_class="IMP",
    location="Step-down unit",
    reason="Diabetic ketoacidosis",
    baseline=Baseline(
        weight_kg=58,
        height_cm=169,
        heart_rate=72,
        mean_bp=84,
        creatinine=0.7,
        urea_nitrogen=11,
        glucose=165,
        oxygen_saturation=98,
        hemoglobin=13.4,
        potassium=4.0,
        sodium=140,
    ),
    course={
        "ketoacidosis": ((0, 1.0), (4, 0.8), (10, 0.4), (16, 0.15), (22, 0.04), (40, 0.0)),
        "hypovolaemia": ((0, 0.65), (4, 0.4), (10, 0.15), (20, 0.03), (40, 0.0)),
        "renal_injury": ((0, 0.3), (8, 0.2), (24, 0.0)),
        "encephalopathy": ((0, 0.2), (6, 0.08), (10, 0.0)),
        "stress": ((0, 0.3), (6, 0.1), (40, 0.0)),
    },
    mobility=((0, 0.03), (12, 0.1), (24, 0.4), (40, 0.7)),
    vitals_every_hours=2,
    glucose_sensor=True,
    diagnoses=(
        Diagnosis("E10.10", "Type 1 diabetes mellitus with ketoacidosis without coma"),
        Diagnosis("A08.4", "Viral intestinal infection, unspecified"),
    ),
    medications=(
        "Insulin regular by intravenous infusion, 0.1 units/kg/h",
        "Potassium chloride 20 mmol in each liter of fluid",
        "Insulin glargine 18 units subcutaneously at night",
    ),
    draws=(
        LabDraw(0.3, ("metabolic", "gas", "blood_count", "lactate")),
        LabDraw(2, ("metabolic",)),
        LabDraw(4, ("metabolic", "gas")),
        LabDraw(8, ("metabolic",)),
        LabDraw(12, ("metabolic", "gas")),
        LabDraw(18, ("metabolic", "gas")),
        LabDraw(30, ("metabolic",)),
        LabDraw(38, ("metabolic",)),
    ),
    notes=(
        SampleNote(1.1, "emergency", EMERGENCY),
        SampleNote(2.2, "history_and_physical", HISTORY_AND_PHYSICAL),
        SampleNote(2.5, "chest_x_ray", CHEST_X_RAY),
        SampleNote(9.5, "nursing", NURSING_NIGHT, form="binary"),
        SampleNote(20, "progress", PROGRESS_DAY_1, form="html"),
        SampleNote(25, "consult", ENDOCRINOLOGY, form="binary"),
        SampleNote(39, "progress", PROGRESS_DAY_2),
    ),
)
