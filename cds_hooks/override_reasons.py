"""Why a clinician may set a card aside: the six categories of HL7's example value set.

http://terminology.hl7.org/ValueSet/non-adherence-reason-category, of CDS Hooks release 3.
"""

from __future__ import annotations

from cds_hooks.cards import Coding

_REASON_SYSTEM = "http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes"
OVERRIDE_REASONS = tuple(
    Coding(code, _REASON_SYSTEM, display)
    for code, display in (
        ("cds-not-applicable", "PC CDS does not apply to patient"),
        ("cds-suboptimal-context", "PC CDS delivered in suboptimal context"),
        (
            "recipient-disagrees-evidence",
            "Recipient disagrees with recommendation because of issues with the evidence",
        ),
        (
            "recipient-concerns-outcomes",
            "Recipient has concerns regarding potential health outcomes",
        ),
        (
            "does-not-align-preferences",
            "Recommendation does not align with patient preferences or values",
        ),
        ("not-convenient-feasible", "Recommendation is not convenient or feasible"),
    )
)
