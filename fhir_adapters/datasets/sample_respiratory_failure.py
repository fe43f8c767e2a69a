"""Sample patient: pneumonia on chronic obstructive lung disease, non-invasive ventilation."""

from __future__ import annotations

from fhir_adapters.datasets.sample_case import Diagnosis, LabDraw, SampleCase, SampleNote
from fhir_adapters.datasets.sample_physiology import Baseline

HISTORY_AND_PHYSICAL = """\
CHIEF COMPLAINT:
Worsening breathlessness for three days.

HISTORY OF PRESENT ILLNESS:
64-year-old man with severe COPD. Three days of cough with green sputum, fever since yesterday. \
Used his inhaler every hour without relief. Found grey and sweating by a neighbour. No chest \
pain. Denies hemoptysis. No leg swelling.

PAST MEDICAL HISTORY:
COPD, last FEV1 38 percent of predicted. Two admissions for exacerbation last year, never \
intubated. Home oxygen at night. Hypertension.

FAMILY HISTORY:
Father had emphysema. Sister has asthma.

SOCIAL HISTORY:
45 pack years, stopped last winter. Former welder. Keeps two parakeets.

EXAMINATION:
Uses accessory muscles, speaks in single words. Poor air entry on both sides, wheezes throughout, \
crackles at the right base. Heart regular. No edema. Tired but easily roused.

VITAL SIGNS:
Temperature {body_temperature} C, heart rate {heart_rate}, blood pressure \
{systolic_blood_pressure}/{diastolic_blood_pressure}, respirations {respiratory_rate}, saturation \
{oxygen_saturation} percent on {fraction_inspired_oxygen} percent oxygen.

DATA:
Arterial pH {arterial_ph}, carbon dioxide {arterial_carbon_dioxide_pressure} mmHg, oxygen \
{arterial_oxygen_pressure} mmHg. White cells {white_blood_cells}. Lactate {lactate}.

ASSESSMENT AND PLAN:
Acute on chronic hypoxic and hypercapnic respiratory failure from right lower lobe pneumonia and \
COPD exacerbation. Non-invasive ventilation, target saturation 88 to 92 percent. Ceftriaxone and \
azithromycin. Prednisone. Nebulised bronchodilators. No evidence of heart failure or pulmonary \
embolism. Would accept intubation.
"""

CHEST_X_RAY = """\
EXAMINATION: Chest, single portable view.
CLINICAL INFORMATION: Breathless, fever, COPD.
FINDINGS: Hyperinflated lungs. Dense consolidation in the right lower lobe with air bronchograms. \
No pneumothorax. No cavitation. Small right pleural effusion cannot be excluded. Heart size \
normal.
IMPRESSION: Right lower lobe pneumonia on emphysema.
"""

RESPIRATORY_NURSING = """\
On non-invasive ventilation, mask fits, small leak. Respirations {respiratory_rate}, saturation \
{oxygen_saturation} percent. Removes the mask to drink. Thick green sputum, suctioned twice. \
Tired, wakes to voice. Denies pain. Neighbour will feed the parakeets.
"""

PROGRESS_DAY_1 = """\
SUBJECTIVE:
Still short of breath at rest. No chest pain.

OBJECTIVE:
Heart rate {heart_rate}, respirations {respiratory_rate}, saturation {oxygen_saturation} percent \
on {fraction_inspired_oxygen} percent oxygen. Temperature {body_temperature} C. pH {arterial_ph}, \
carbon dioxide {arterial_carbon_dioxide_pressure}. Coarse crackles at the right base. Wheeze is \
less.

ASSESSMENT:
Acute on chronic hypoxic and hypercapnic respiratory failure from pneumonia. Pneumococcal antigen \
positive in urine. High risk of failing non-invasive ventilation. No septic shock.

PLAN:
Continue ceftriaxone, stop azithromycin on day three. Non-invasive ventilation around the clock \
with short breaks. Repeat gas every six hours. Nutrition to see, high-calorie drinks.
"""

PULMONARY = """\
REASON FOR CONSULTATION:
Respiratory failure, help with ventilation.

IMPRESSION:
Severe pneumococcal pneumonia with COPD exacerbation. Hypercapnia is slowly better, oxygen needs \
remain high at {fraction_inspired_oxygen} percent. No indication for bronchoscopy. No empyema on \
bedside ultrasound.

RECOMMENDATIONS:
Raise inspiratory pressure to 16. If pH falls below 7.25 or he tires, intubate early. Pulmonary \
rehabilitation after recovery. If he smokes again, offer varenicline.
"""

PROGRESS_DAY_2 = """\
SUBJECTIVE:
Can say a whole sentence. Ate half of his breakfast. No chest pain.

OBJECTIVE:
Heart rate {heart_rate}, respirations {respiratory_rate}, saturation {oxygen_saturation} percent \
on {fraction_inspired_oxygen} percent oxygen. Temperature {body_temperature} C. pH {arterial_ph}, \
carbon dioxide {arterial_carbon_dioxide_pressure}. C-reactive protein {c_reactive_protein}.

ASSESSMENT:
Acute on chronic hypoxic and hypercapnic respiratory failure from pneumonia, slowly improving. \
Pneumococcal antigen positive in urine. No septic shock.

PLAN:
Non-invasive ventilation at night and for two hours in the afternoon. High-flow oxygen in \
between. Sit out of bed. Continue prednisone for five days in all.
"""

CASE = SampleCase(
    name="respiratory-failure",
    given="Bartholomew",
    family="Example-Cedar",
    gender="male",
    age_years=64,
    hours=48,
    encounter_class="IMP",
    location="Medical-surgical intensive care unit",
    reason="Acute on chronic respiratory failure",
    baseline=Baseline(
        weight_kg=62,
        height_cm=174,
        heart_rate=80,
        mean_bp=92,
        respiratory_rate=17,
        oxygen_saturation=93,
        carbon_dioxide=47,
        bicarbonate=28.5,
        hemoglobin=15.4,
        white_cells=8.4,
        albumin=3.3,
    ),
    course={
        "lung_injury": ((0, 0.85), (8, 0.9), (18, 0.85), (30, 0.7), (48, 0.5)),
        "hypercapnia": ((0, 0.85), (4, 0.8), (14, 0.55), (30, 0.35), (48, 0.2)),
        "inflammation": ((0, 0.65), (10, 0.75), (24, 0.6), (48, 0.4)),
        "stress": ((0, 0.8), (6, 0.5), (24, 0.3), (48, 0.15)),
        "hypovolaemia": ((0, 0.3), (8, 0.1), (48, 0.05)),
        "encephalopathy": ((0, 0.15), (12, 0.15), (30, 0.0)),
    },
    oxygen=((0, 0.4), (6, 0.55), (20, 0.55), (34, 0.45), (48, 0.38)),
    mobility=((0, 0.02), (36, 0.04), (48, 0.12)),
    diagnoses=(
        Diagnosis("J96.21", "Acute and chronic respiratory failure with hypoxia"),
        Diagnosis("J13", "Pneumonia due to Streptococcus pneumoniae"),
        Diagnosis("J44.1", "Chronic obstructive pulmonary disease with (acute) exacerbation"),
        Diagnosis("I10", "Essential (primary) hypertension", acute=False),
    ),
    medications=(
        "Ceftriaxone 2 g intravenously daily",
        "Prednisone 40 mg by mouth daily",
        "Ipratropium and albuterol nebulised every 4 hours",
        "Enoxaparin 40 mg subcutaneously daily",
    ),
    draws=(
        LabDraw(0.4, ("blood_count", "metabolic", "gas", "lactate", "inflammation", "cardiac")),
        LabDraw(3, ("gas",)),
        LabDraw(9, ("gas", "lactate")),
        LabDraw(17, ("gas", "blood_count", "metabolic")),
        LabDraw(24, ("gas", "inflammation")),
        LabDraw(32, ("gas", "metabolic")),
        LabDraw(41, ("gas", "blood_count", "metabolic", "inflammation")),
    ),
    notes=(
        SampleNote(1.6, "history_and_physical", HISTORY_AND_PHYSICAL),
        SampleNote(1.9, "chest_x_ray", CHEST_X_RAY),
        SampleNote(9, "nursing", RESPIRATORY_NURSING, form="binary"),
        SampleNote(19, "progress", PROGRESS_DAY_1),
        SampleNote(26, "consult", PULMONARY, form="html"),
        SampleNote(43, "progress", PROGRESS_DAY_2, form="binary"),
    ),
)
