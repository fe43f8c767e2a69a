"""What a sentence asserts of the patient: present, denied, past, somebody else's, or supposed.

The flags of ``Sentence`` mean:

* negated: said to be absent, or not done;
* historical: of a time before this illness (past history, "s/p", months or years ago, resolved);
* family: about somebody else than the patient. Who only reports something about the patient
  ("wife states he fell") does not count;
* hypothetical: not asserted: a condition, an instruction, a risk, or something to be ruled out.
  "Possible" and "likely" are not hypothetical: they speak of the patient's present state.

A sentence that asserts different things of different parts is split where the assertion changes:
"Denies nausea but reports diarrhoea" becomes two, each with its own flags. Words without a finding
of their own ("Patient has", "CT head") stay with their neighbour.

The method is that of NegEx and ConText (cue words with a scope, scopes ended by other words), with
a cue table and scope rules of our own; assertion_cues.py is the table. Measured in
tests/fhir_adapters/test_assertions.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fhir_adapters.assertion_cues import (
    BELONGS_TO,
    BETWEEN,
    CARRIERS,
    CUES,
    DETERMINERS,
    FAMILY_SECTIONS,
    HAS_DISEASE,
    HISTORICAL_SECTIONS,
    HYPOTHETICAL_SECTIONS,
    RELATIVES,
    STATES,
    SYMPTOMS_IN_ING,
    Cue,
)
from model.record import Sentence

_NEGATED, _HISTORICAL, _FAMILY, _HYPOTHETICAL = 1, 2, 4, 8

_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+(?:[.,:]\d+)*|[^\w\s]|\w")
