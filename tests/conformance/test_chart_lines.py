"""Lines of the practice EHR's chart: whatever a server sends, a line can be shown."""

from __future__ import annotations

import base64

import pytest

from conformance.ehr.chart_lines import encounter_text, note_line, panels, patient_line


def observation(name="Heart rate", category="vital-signs", time="2026-11-23T06:40:00Z", **value):
    return {
        "code": {"text": name},
        "category": [{"coding": [{"code": category}]}],
        "effectiveDateTime": time,
        **value,
    }


def test_the_newest_of_each_kind_is_shown_by_category():
    old = observation(time="2026-11-23T01:00:00Z", valueQuantity={"value": 80, "unit": "/min"})
    new = observation(time="2026-11-23T06:00:00Z", valueQuantity={"value": 121, "unit": "/min"})
    lab = observation("Lactate", "laboratory", valueQuantity={"value": 4.6, "unit": "mmol/L"})
    (vitals, (line,)), (labs, _) = panels([old, lab, new])
    assert (vitals, labs) == ("Vital signs", "Laboratory")
    assert (line.value, line.when, line.count) == ("121 /min", "2026-11-23 06:00", 2)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"valueQuantity": {"value": 4.6}}, "4.6"),
        ({"valueString": "<b>"}, "<b>"),
        ({"valueBoolean": False}, "False"),
        ({"valueCodeableConcept": {"coding": [{"code": "POS"}]}}, "POS"),
        ({"component": [{"code": {"text": "A"}, "valueInteger": 1}]}, "A 1"),
        ({}, "no value"),
        ({"dataAbsentReason": {"text": "unknown"}}, "no value"),
    ],
)
def test_every_shape_of_a_value_has_a_line(value, text):
    ((_, (line,)),) = panels([observation(**value)])
    assert line.value == text


@pytest.mark.parametrize(
    ("sampled", "text"),
    [
        ({"origin": {"value": 30, "unit": "Cel"}, "factor": 0.1, "data": "5 E 21"}, "32.1 °C"),
        ({"origin": {"value": 0}, "data": "5 U"}, "2 samples"),
        ({"data": ""}, "0 samples"),
        ({"origin": {"value": 0}, "data": "5"}, "5 (1 sample)"),
    ],
)
def test_a_series_stands_apart_with_its_last_value(sampled, text):
    ((title, (line,)),) = panels([observation(valueSampledData=sampled)])
    assert title == "Devices and other observations"
    assert line.value.startswith(text)


@pytest.mark.parametrize(
    ("attachment", "text"),
    [
        ({"contentType": "text/plain", "data": base64.b64encode(b"Hello").decode()}, "Hello"),
        ({"contentType": "text/plain", "data": "%"}, "(the attachment is not valid base64)"),
        ({"contentType": "text/plain", "url": "Binary/1"}, "(stored apart)"),
        ({"contentType": "application/pdf", "data": ""}, "(application/pdf)"),
        ({}, "(no attachment)"),
    ],
)
def test_a_note_shows_what_is_inline(attachment, text):
    assert note_line({"content": [{"attachment": attachment}]}).text == text


def test_the_newest_is_the_latest_instant_and_not_the_largest_text():
    """08:00 in Vienna is before 07:30 in London."""
    times = {"2026-11-23T08:00:00+01:00": 1, "2026-11-23T07:30:00Z": 2}
    found = [
        {"code": {"text": "x"}, "effectiveDateTime": time, "valueInteger": value}
        for time, value in times.items()
    ]
    ((_, (line,)),) = panels(found)
    assert (line.value, line.when) == ("2", "2026-11-23 07:30")


def test_sparse_resources_have_lines():
    assert patient_line({"id": "1"}).name == "(no name)"
    assert encounter_text({}) == "no current encounter"
    assert panels([{}])[0][1][0].what == "(no code)"
