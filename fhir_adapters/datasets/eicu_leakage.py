"""What must not reach a model that predicts hospital death from eICU-CRD.

A decision to limit care, a prognosis, the plan for the patient's discharge or the words for
death tell the outcome rather than the state of the patient. Rows that say so are dropped, also
where they deny it: "no DNR order" was written because somebody asked.
"""

from __future__ import annotations

import re
from functools import cache

# The care plan is read by an allow-list: a group that is not named here is not read. Left out on
# purpose: Care Limitation, Prognosis, Critical Care Discharge/Transfer Planning, Daily Goals/
# Safety Risks/Discharge Requirements, Family/Health Care Proxy/Contact Info, Care Plan Reviewed
# with Patient/Family, Care Providers (names the palliative team), and feeding rates.
CARE_PLAN_GROUPS = frozenset(
    {
        "Activity",
        "Acuity",
        "Airway",
        "Analgesia",
        "Baseline Status",
        "DVT Prophylaxis",
        "Infectious Disease",
        "Ordered Protocols",
        "Planned Procedures",
        "Pressure Ulcer Treatment",
        "Psychosocial Status",
        "Route-Status",
        "Safety/Restraints",
        "Sedation",
        "Stress Ulcer Prophylaxis",
        "Ventilation",
        "Volume Status",
    }
)

_LEAKING = re.compile(
    r"""
      palliat | hospice | bereave | \bmorgue\b | autopsy | \bmortuary\b
    | \bcomfort\ (?:measures?|care|only|goal) | \bcmo\b | comfort[- ]directed
    | \bd\.?n\.?[ri]\b\.? | do[- ]not[- ](?:resuscitate|intubate|escalate|attempt)
    | \bno\ (?:cpr|code|intubation|cardioversion|vasopressors|augmentation|escalation|dialysis)\b
    | \bcode\ status\b | \bfull\ (?:code|therapy)\b | allow\ natural
    | care\ limit | limit(?:ation|ing|ed)?\ (?:of\ )?(?:care|therapy|treatment|life)
    | \bfutil(?:e|ity)\b | advance[d]?\ directive | living\ will | \bp?olst\b
    | end[- ]of[- ]life | goals?\ of\ care | \bethics\b
    | withdr(?:aw|ew)\w*\ (?:of\ )?(?:\w+\ )?(?:care|support|life|treatment|therap|ventilat)
    | (?:care|support|treatment|therapy)\ (?:was\ )?withdrawn
    | \bexpired\b | \bdeceased\b | \bdied\b | \bdying\b | \bdeath\b | \bdead\b(?!\ space)
    | \bterminal(?:ly)?\b(?!\ ileum) | organ\ (?:donat|procure) | brain[- ]dea[dt]
    | prognos | mortality
    | discharge[ds]?\ (?:plan|home|to|location|requirement|summary|disposition)
    | transferred?\ to\ | \bdisposition\b | ready\ for\ transfer
    | family\ (?:meeting|conference)
    """,
    re.IGNORECASE | re.VERBOSE,
)


@cache  # menu phrases: few differ among very many rows
def leaks(text: str) -> bool:
    """Return whether a phrase tells the outcome or a decision that anticipates it."""
    return _LEAKING.search(text) is not None
