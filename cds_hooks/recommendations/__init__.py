"""Next steps that a clinician may consider: a library of FHIR files, and what a card offers of it.

``library`` reads the files, ``patient_data`` shows them the patient, ``conditions`` asks whether a
step applies, ``orders`` whether it was ordered already, ``offer`` ranks and chooses.
"""
