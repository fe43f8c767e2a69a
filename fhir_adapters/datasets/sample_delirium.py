"""Sample patient: delirium and kidney injury in an old man; his hospital charts in SI units."""

from __future__ import annotations

from fhir_adapters.datasets.sample_case import Diagnosis, LabDraw, SampleCase, SampleNote
from fhir_adapters.datasets.sample_physiology import Baseline

HISTORY_AND_PHYSICAL = """\
CHIEF COMPLAINT:
Found confused at home.

HISTORY OF PRESENT ILLNESS:
86-year-old man, lives alone, found by his niece sitting in the dark and talking to people who \
were not there. He had eaten and drunk little for four days of hot weather. His new water tablet \
was started two weeks ago. He cannot give a history. Niece reports no fall, no fever and no \
cough.

PAST MEDICAL HISTORY:
Hypertension. Chronic kidney disease stage 3, usual creatinine 120 umol/L. Prostate enlargement. \
Atrial fibrillation, on apixaban. Mild forgetfulness, no diagnosis of dementia.

FAMILY HISTORY:
Brother had Parkinson disease.

SOCIAL HISTORY:
Retired clockmaker. Wears hearing aids. No alcohol.

EXAMINATION:
Awake, looks around, answers off the point, cannot name the months backwards. Tongue dry. Heart \
irregular. Lungs clear. Abdomen soft, bladder not palpable. No focal weakness, no neck stiffness. \
No head injury seen.

DATA:
Creatinine {creatinine} umol/L. Potassium {potassium} mmol/L. Sodium {sodium} mmol/L. Haemoglobin \
{hemoglobin} g/L. C-reactive protein {c_reactive_protein} mg/L.

ASSESSMENT AND PLAN:
Delirium with acute kidney injury from dehydration and a new diuretic. Stop indapamide and \
ramipril. Slow saline. Bladder scan. Urine dipstick shows leukocytes, culture sent. No sign of \
stroke or meningitis. Avoid sedatives if possible.
"""

HEAD_CT = """\
EXAMINATION: CT of the head without contrast.
CLINICAL INFORMATION: Acute confusion, on apixaban.
FINDINGS: No haemorrhage. No subdural collection. No acute infarct. Moderate small vessel change \
and generalised atrophy, in keeping with age. No fracture.
IMPRESSION: No acute abnormality.
"""

NURSING_FIRST_NIGHT = """\
Did not sleep. Climbed out of bed twice, pulled out one cannula. Sees cats on the curtain. Calmer \
when his niece speaks to him on the telephone. Hearing aids in, glasses on. Bladder scan 180 mL, \
no retention. Fluids continue. No fall. Bed low, sensor mat in place.
"""

PROGRESS_DAY_1 = """\
SUBJECTIVE:
Sleepy this morning after a bad night. Denies pain.

OBJECTIVE:
Heart rate {heart_rate} and irregular, blood pressure \
{systolic_blood_pressure}/{diastolic_blood_pressure}. Temperature {body_temperature} C. Creatinine \
{creatinine} umol/L, was {first_creatinine}. Potassium {potassium}. Attention poor, disoriented to \
day and place.

ASSESSMENT:
Hyperactive delirium, mostly at night. Acute kidney injury on chronic kidney disease, not yet \
better. Possible urinary infection. No urinary retention.

PLAN:
Nitrofurantoin is not suitable at this renal function, give cefalexin. Continue fluids with daily \
weights. Hold apixaban until renal function is clear. Soft diet, thickened fluids are not needed.
"""

GERIATRICS = """\
REASON FOR CONSULTATION:
Delirium.

IMPRESSION:
Delirium on likely mild cognitive impairment. Causes are dehydration, kidney injury, possible \
urinary infection and a strange place. Sleep and wake are reversed. No sign of depression. No \
hypoactive features now.

RECOMMENDATIONS:
Daylight and a clock in view, family at mealtimes, one nurse a shift. Melatonin at night. \
Haloperidol 0.25 mg only if he is a danger to himself. If no better in a week, MRI.
"""

SOCIAL_WORK = """\
Spoke with the niece. Lives alone in a two-room flat, third floor, no lift. Neighbour has a key. \
Receives no home help. Insurance covers a place in geriatric rehabilitation. Niece asks about a \
house emergency call button. No guardianship.
"""

PROGRESS_DAY_2 = """\
SUBJECTIVE:
Knows that he is in hospital. Complains about the tea. Denies pain.

OBJECTIVE:
Heart rate {heart_rate} and irregular, blood pressure \
{systolic_blood_pressure}/{diastolic_blood_pressure}. Creatinine {creatinine} umol/L, was \
{first_creatinine} on arrival. Potassium {potassium}. Drinks well with help. Still agitated in the \
evening.

ASSESSMENT:
Hyperactive delirium, mostly at night. Acute kidney injury on chronic kidney disease, now \
improving. Urine culture grows Escherichia coli.

PLAN:
Continue cefalexin for seven days in all. Stop fluids when he drinks 1.5 litres. Restart apixaban \
tomorrow. Geriatric rehabilitation applied for.
"""

CASE = SampleCase(
    name="delirium",
    given="Gottfried",
    family="Example-Hazel",
    gender="male",
    age_years=86,
    hours=48,
    encounter_class="IMP",
    location="Intermediate care ward",
    reason="Delirium and acute kidney injury",
    baseline=Baseline(
        weight_kg=67,
        height_cm=170,
        heart_rate=82,
        mean_bp=90,
        pulse_pressure=62,
        oxygen_saturation=96,
        creatinine=1.36,
        urea_nitrogen=26,
        hemoglobin=12.1,
        potassium=4.6,
        sodium=141,
        albumin=3.2,
        beta_blockade=0.3,
    ),
    course={
        "renal_injury": ((0, 0.85), (12, 0.9), (24, 0.75), (36, 0.5), (48, 0.3)),
        "hypovolaemia": ((0, 0.5), (8, 0.3), (20, 0.12), (48, 0.03)),
        "encephalopathy": (
            (0, 0.3),
            (8, 0.45),
            (12, 0.35),
            (20, 0.25),
            (32, 0.4),
            (38, 0.2),
            (48, 0.2),
        ),
        "inflammation": ((0, 0.2), (20, 0.28), (36, 0.2), (48, 0.12)),
        "stress": ((0, 0.25), (8, 0.6), (14, 0.15), (24, 0.15), (32, 0.5), (38, 0.1), (48, 0.1)),
    },
    mobility=((0, 0.1), (8, 0.2), (20, 0.08), (32, 0.2), (48, 0.15)),
    vitals_every_hours=4,
    units={"creatinine": "umol/L", "glucose": "mmol/L", "hemoglobin": "g/L"},
    diagnoses=(
        Diagnosis("F05", "Delirium due to known physiological condition"),
        Diagnosis("N17.9", "Acute kidney failure, unspecified"),
        Diagnosis("N39.0", "Urinary tract infection, site not specified"),
        Diagnosis("I48.91", "Unspecified atrial fibrillation", acute=False),
        Diagnosis("N18.30", "Chronic kidney disease, stage 3 unspecified", acute=False),
    ),
    medications=(
        "Sodium chloride 0.9 percent 75 mL/h intravenously",
        "Cefalexin 500 mg by mouth twice daily",
        "Melatonin 3 mg by mouth at night",
        "Bisoprolol 2.5 mg by mouth daily",
    ),
    draws=(
        LabDraw(0.5, ("blood_count", "metabolic", "inflammation", "lactate")),
        LabDraw(9, ("metabolic",)),
        LabDraw(18, ("metabolic", "inflammation", "blood_count")),
        LabDraw(30, ("metabolic",)),
        LabDraw(42, ("metabolic", "inflammation")),
    ),
    notes=(
        SampleNote(1.9, "history_and_physical", HISTORY_AND_PHYSICAL),
        SampleNote(2.8, "head_ct", HEAD_CT),
        SampleNote(13, "nursing", NURSING_FIRST_NIGHT, form="binary"),
        SampleNote(20, "progress", PROGRESS_DAY_1),
        SampleNote(26, "consult", GERIATRICS, form="html"),
        SampleNote(29, "social_work", SOCIAL_WORK, form="binary"),
        SampleNote(44, "progress", PROGRESS_DAY_2),
    ),
)
