"""A chart whose every text is an attack on whoever shows it, and where it may be met again."""

from __future__ import annotations

import base64
from typing import Any

from tests.practice_site import LOINC, ago, encounter, observation, patient

NOTE_CATEGORY = "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category"
HOST = "evil.test"
SCRIPT = "<script>alert('EVIL')</script>"
IMAGE = f"<img src=http://{HOST}/x.png onerror=alert(1)>"
BREAKOUT = f"\"'></td></table><h1>EVIL</h1><a href=javascript:alert(1)>x</a>{IMAGE}"
MARKDOWN = (
    f"[click](javascript:alert(1)) ![pic](http://{HOST}/y.png) <http://{HOST}/z> "
    f"[r]: http://{HOST} | a | b | `code` **bold** {SCRIPT}"
)
BIDI = "not \u202eevissergga\u202c \u2066isolated\u2069 \u200fmark"
HIDDEN = "zero\u200bwidth\u2060joined\ufeffhere \u00ad soft"
CONTROLS = "bell\u0007 escape\u001b[31m null\u0001 delete\u007f c1\u0085"
RTL = "المريض يشكو من ألم في الصدر"
EMOJI = "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f321\ufe0f"
PILED = "Z" + "\u0300\u0301\u0302\u0303" * 25
JINJA = "{{ 7*7 }} {% raw %} ${7*7} %s %(x)s"
LONG = "Wolfeschlegelsteinhausenbergerdorff" * 12  # 420 characters without a break
ALL = (SCRIPT, IMAGE, BREAKOUT, MARKDOWN, BIDI, HIDDEN, CONTROLS, RTL, EMOJI, PILED, JINJA)
READABLE = ("isolated", "bold", "{{ 7*7 }}", "المريض")  # must still be there for a reader
TEXT = " ".join(ALL)
LARGE_NOTE_BYTES = 10_000_000


def hostile_chart(identity: str) -> list[dict[str, Any]]:
    """Return the resources: each field that people read holds an attack."""
    concept = {"text": TEXT, "coding": [{"display": TEXT, "code": BREAKOUT}]}
    return [
        patient(identity, name=[{"text": LONG + TEXT, "family": TEXT, "given": list(ALL)}]),
        encounter(identity, location=[{"location": {"display": TEXT}}], serviceType=concept),
        *_values(identity, concept),
        *_devices(identity),
        _note(identity, "note-1", _note_text().encode()),
        _note(identity, "note-2", ("Looks septic. " + "\u202e" * 2000).encode()),
    ]


def large_note(identity: str) -> dict[str, Any]:
    """Return a note of 10 MB: sentences that look alike, and one line without an end."""
    sentence = f"Looks septic {SCRIPT} {BIDI}. "
    half = LARGE_NOTE_BYTES // 2
    text = sentence * (half // len(sentence.encode())) + "A" * half
    return _note(identity, "note-large", text.encode())


def _values(identity: str, concept: dict[str, Any]) -> list[dict[str, Any]]:
    flag = [{"coding": [{"code": "H", "display": TEXT}], "text": TEXT}]
    lactate = [
        observation(identity, f"lac-{n}", "2524-7", 4.1 + n, "mmol/L", 9 - n, "laboratory")
        for n in range(3)
    ]
    for one in lactate:
        one["code"]["text"] = TEXT
        one["code"]["coding"][0]["display"] = TEXT
        one["interpretation"] = flag
        one["note"] = [{"text": TEXT}]
        one["referenceRange"] = [{"low": {"value": -1e300}, "high": {"value": 1e300}, "text": TEXT}]
    return [
        *lactate,
        observation(identity, "huge", "2160-0", 1e300, "mg/dL", 3, "laboratory"),
        observation(identity, "unit", "8867-4", 88, TEXT, 3, "vital-signs"),
        observation(identity, "rate", "8867-4", 118, "/min", 2, "vital-signs"),
        {
            **observation(identity, "words", "0000-0", 1, "1", 3, "laboratory", code=concept),
            "valueQuantity": None,
            "valueString": TEXT,
        },
    ]


def _devices(identity: str) -> list[dict[str, Any]]:
    return [
        observation(
            *(identity, f"dev-{n}", "8867-4", 100 + n % 5, "/min", 6 - n / 10, "activity"),
            device={"reference": f"Device/{identity}-watch", "display": TEXT},
        )
        for n in range(30)
    ] + [
        {
            "resourceType": "Device",
            "id": f"{identity}-watch",
            "deviceName": [{"name": TEXT, "type": "user-friendly-name"}],
            "patient": {"reference": f"Patient/{identity}"},
        }
    ]


def _note_text() -> str:
    headings = "".join(f"{text}:\nLooks septic, {text}.\n\n" for text in ALL)
    return f"ASSESSMENT:\nLooks septic. {TEXT}\n{LONG}\nseptic {LONG}.\n\n{headings}"


def _note(identity: str, name: str, content: bytes) -> dict[str, Any]:
    return {
        "resourceType": "DocumentReference",
        "id": f"{identity}-{name}",
        "status": "current",
        "type": {"coding": [{"system": LOINC, "code": "11506-3"}], "text": TEXT},
        "category": [{"coding": [{"system": NOTE_CATEGORY, "code": "clinical-note"}]}],
        "subject": {"reference": f"Patient/{identity}"},
        "date": ago(5),
        "description": TEXT,
        "author": [{"display": TEXT}],
        "content": [
            {
                "attachment": {
                    "contentType": "text/plain; charset=utf-8",
                    "title": TEXT,
                    "data": base64.b64encode(content).decode(),
                }
            }
        ],
    }


def without_nothing(value: Any) -> Any:
    """Drop members that are None: FHIR knows no null."""
    if isinstance(value, dict):
        return {key: without_nothing(one) for key, one in value.items() if one is not None}
    return [without_nothing(one) for one in value] if isinstance(value, list) else value
