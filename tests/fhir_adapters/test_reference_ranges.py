"""The laboratory's reference range: in the variable's unit, or none at all."""

from __future__ import annotations

import pytest

from fhir_adapters.codes import load_variables
from fhir_adapters.reference_ranges import NO_RANGE, reference_range
from fhir_adapters.values import Value

CREATININE = load_variables()["creatinine"]
UCUM = "http://unitsofmeasure.org"
VALUE = Value(1.1, "mg/dL", "mg/dL", UCUM)


def quantity(value: object, unit: str = "mg/dL") -> dict[str, object]:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def test_a_range_in_the_unit_of_the_variable() -> None:
    element = {"referenceRange": [{"low": quantity(0.6), "high": quantity(1.2)}]}
    assert reference_range(element, VALUE, CREATININE) == (0.6, 1.2)


def test_a_range_in_another_unit_is_converted() -> None:
    element = {"referenceRange": [{"low": quantity(53, "umol/L"), "high": quantity(106, "umol/L")}]}
    low, high = reference_range(element, VALUE, CREATININE)
    assert low == pytest.approx(0.6, abs=0.01)
    assert high == pytest.approx(1.2, abs=0.01)


def test_a_bound_without_a_unit_is_in_that_of_the_value() -> None:
    element = {"referenceRange": [{"high": {"value": 1.2}}]}
    assert reference_range(element, VALUE, CREATININE) == (None, 1.2)


def test_the_normal_range_is_chosen_among_others() -> None:
    critical = {"type": {"coding": [{"code": "critical"}]}, "low": quantity(0), "high": quantity(9)}
    normal = {"type": {"coding": [{"code": "normal"}]}, "high": quantity(1.2)}
    element = {"referenceRange": [critical, normal]}
    assert reference_range(element, VALUE, CREATININE) == (None, 1.2)


@pytest.mark.parametrize(
    "ranges",
    [
        *(None, "0.6-1.2", [], ["0.6"], [{"text": "0.6 to 1.2"}]),
        [{"low": quantity("x"), "high": quantity(1, "furlong")}],
        [{"low": quantity(2), "high": quantity(1)}],
        [{"high": quantity(1.2), "age": {"high": {"value": 1}}}],
        [{"high": quantity(10**400)}],
    ],
)
def test_what_cannot_be_read_is_no_range(ranges: object) -> None:
    assert reference_range({"referenceRange": ranges}, VALUE, CREATININE) == NO_RANGE
