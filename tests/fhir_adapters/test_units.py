"""Units: UCUM, the spellings of EHRs and devices, and numbers without any unit."""

from __future__ import annotations

import pytest

from fhir_adapters.codes import variable
from fhir_adapters.ucum import linear_conversion, preload
from fhir_adapters.unit_table import MASS_CONCENTRATION, UNITS
from fhir_adapters.units import (
    UCUM,
    conversion,
    mdc_units,
    unit_aliases,
    unitless_conversion,
)
from tests.fhir_adapters.reading_world import (
    MDC,
    left_out,
    observation,
    quantity,
    read,
    sampled,
    values,
)


def converted(
    name: str, number: float, unit: str = "", code: str = "", system: str = UCUM
) -> float:
    """Return a number in the variable's canonical unit."""
    found = conversion(variable(name), unit, code, system)
    assert found is not None, (name, unit, code)
    return number * found.factor + found.offset


@pytest.mark.parametrize(
    ("name", "number", "code", "expected"),
    [
        ("body_temperature", 98.6, "[degF]", 37.0),
        ("body_temperature", 310.15, "K", 37.0),
        ("systolic_blood_pressure", 16.0, "kPa", 120.0),
        ("body_weight", 176.37, "[lb_av]", 80.0),
        ("body_height", 70, "[in_i]", 177.8),
        ("body_height", 1.8, "m", 180.0),
        ("heart_rate", 1.25, "Hz", 75.0),
        ("fraction_inspired_oxygen", 0.4, "1", 40.0),
        ("hematocrit", 0.42, "L/L", 42.0),
        ("platelets", 250_000, "/uL", 250.0),
        ("platelets", 250, "10*9/L", 250.0),
        ("hemoglobin", 140, "g/L", 14.0),
        ("alkaline_phosphatase", 1.5, "ukat/L", 90.0),
        ("troponin_i", 40, "ng/L", 0.04),
        ("urine_output", 0.5, "L", 500.0),
        ("sleep_duration", 420, "min", 7.0),
        ("rr_interval", 0.8, "s", 800.0),
        ("c_reactive_protein", 5, "mg/dL", 50.0),
        ("positive_end_expiratory_pressure", 5, "mbar", 5.1),
    ],
)
def test_ucum_units_are_converted(name: str, number: float, code: str, expected: float) -> None:
    assert converted(name, number, code=code) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "number", "code", "expected"),
    [
        ("glucose", 5.5, "mmol/L", 99.1),
        ("creatinine", 88.4, "umol/L", 1.0),
        ("bilirubin", 17.1, "umol/L", 1.0),
        ("blood_urea_nitrogen", 7.14, "mmol/L", 20.0),
        ("cholesterol", 5.0, "mmol/L", 193.3),
        ("lactate", 18.0, "mg/dL", 2.0),
        ("calcium", 2.5, "mmol/L", 10.0),
        ("calcium", 5.0, "meq/L", 10.0),
        ("magnesium", 2.0, "meq/L", 2.43),
        ("sodium", 140, "meq/L", 140.0),
        ("potassium", 15.6, "mg/dL", 4.0),
        ("hemoglobin", 8.7, "mmol/L", 14.0),
        ("phosphate", 1.0, "mmol/L", 3.1),
        ("ammonia", 100, "ug/dL", 58.7),
    ],
)
def test_mass_amount_and_charge_are_converted_by_molar_mass(
    name: str, number: float, code: str, expected: float
) -> None:
    assert converted(name, number, code=code) == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("heart_rate", "BEATS PER MINUTE", 1.0),
        ("heart_rate", "beats/minute", 1.0),
        ("heart_rate", "bpm", 1.0),
        ("heart_rate", "{beat}/min}", 1.0),
        ("respiratory_rate", "Breaths Per Minute", 1.0),
        ("respiratory_rate", "breaths/min", 1.0),
        ("body_weight", "KILOGRAMS", 1.0),
        ("body_weight", "lbs", 0.45359237),
        ("body_height", "inches", 2.54),
        ("oxygen_saturation", "%O2", 1.0),
        ("oxygen_saturation", "percent", 1.0),
        ("systolic_blood_pressure", "mmHg", 1.0),
        ("systolic_blood_pressure", "mm Hg", 1.0),
        ("white_blood_cells", "x10e3/uL", 1.0),
        ("white_blood_cells", "K/uL", 1.0),
        ("white_blood_cells", "x10*9/L", 1.0),
        ("white_blood_cells", "G/L", 1.0),
        ("white_blood_cells", "10^3/µL", 1.0),
        ("alanine_aminotransferase", "IU/L", 1.0),
        ("alanine_aminotransferase", "[iU]/L", 1.0),
        ("alanine_aminotransferase", "Units/L", 1.0),
        ("thyrotropin", "uIU/mL", 1.0),
        ("hemoglobin", "g/dl", 1.0),
        ("hemoglobin", "GM/DL", 1.0),
        ("sodium", "mEq/L", 1.0),
        ("creatinine", "MG/DL", 1.0),
        ("creatinine", "μmol/L", 0.011312),
        ("estimated_gfr", "mL/min/1.73m2", 1.0),
        ("estimated_gfr", "mL/min", 1.0),
        ("glasgow_coma_scale", "score", 1.0),
        ("international_normalized_ratio", "{ratio}", 1.0),
        ("arterial_ph", "pH", 1.0),
        ("erythrocyte_sedimentation_rate", "mm/h", 1.0),
    ],
)
def test_spelling_variants_are_understood_without_a_code(
    name: str, unit: str, expected: float
) -> None:
    assert converted(name, 1.0, unit=unit, system="") == pytest.approx(expected)


def test_spellings_are_understood_in_the_code_as_well() -> None:
    """Some senders put "C", which is coulomb in UCUM, or "mmHg" where the UCUM code belongs."""
    assert converted("body_temperature", 37.0, code="C") == 37.0
    assert converted("systolic_blood_pressure", 120, code="mmHg") == 120


def test_ucum_code_counts_before_the_unit_text() -> None:
    assert converted("body_weight", 80, unit="lb", code="kg") == 80


def test_unit_text_counts_where_the_code_is_of_another_system() -> None:
    snomed = "http://snomed.info/sct"
    assert converted("bicarbonate", 24, unit="mmol/L", code="258813002", system=snomed) == 24


def test_device_unit_codes_are_read() -> None:
    assert converted("heart_rate", 60, unit="x", code="264864", system=MDC) == 60
    assert converted("systolic_blood_pressure", 120, code="266016", system=MDC) == 120


def test_known_code_of_another_dimension_is_not_overruled_by_the_unit_text() -> None:
    assert conversion(variable("body_weight"), "kg", "Cel", UCUM) is None


@pytest.mark.parametrize(
    ("name", "unit", "code"),
    [
        ("body_temperature", "foo", ""),
        ("body_temperature", "mmHg", "mm[Hg]"),
        ("heart_rate", "%", "%"),
        ("glasgow_coma_scale", "%", ""),
        ("platelets", "g/L", "g/L"),
        ("creatinine", "meq/L", "meq/L"),
        ("hemoglobin", "x" * 65, ""),
        ("hemoglobin", "", "x" * 65),
        ("heart_rate", "", ""),
    ],
)
def test_units_that_cannot_be_converted(name: str, unit: str, code: str) -> None:
    assert conversion(variable(name), unit, code, UCUM) is None


def test_inconvertible_unit_is_quarantined_with_a_sentence() -> None:
    record = read(observation(code="8310-5", value=quantity(98.6, "F0O")))
    assert values(record) == []
    assert left_out(record) == [
        ("unit", "Observation/o1: unit 'F0O' is not convertible to Cel (body_temperature)")
    ]


def test_inconvertible_samples_are_quarantined_with_a_sentence() -> None:
    record = read(sampled(origin=quantity(0, "%")))
    assert left_out(record) == [
        ("unit", "Observation/s1: heart_rate has SampledData in a unit unlike /min")
    ]


@pytest.mark.parametrize(
    ("name", "number", "factor"),
    [
        ("heart_rate", 72, 1.0),  # one unit is in use
        ("body_temperature", 37.2, 1.0),
        ("body_temperature", 98.6, 5 / 9),  # plausible in Fahrenheit only
        ("systolic_blood_pressure", 120, 1.0),
        ("oxygen_saturation", 0.97, 100.0),
        ("body_height", 178, 1.0),
        ("glasgow_coma_scale", 15, 1.0),
    ],
)
def test_number_without_unit_is_read_where_only_one_unit_fits(
    name: str, number: float, factor: float
) -> None:
    found = unitless_conversion(variable(name), number) or conversion(variable(name), "", "", "")
    assert found is not None
    assert found.factor == pytest.approx(factor)


@pytest.mark.parametrize(
    ("name", "number"),
    [("body_weight", 80), ("glucose", 90), ("systolic_blood_pressure", 30), ("heart_rate", 5)],
)
def test_number_without_unit_that_fits_several_units_or_none_is_refused(
    name: str, number: float
) -> None:
    assert unitless_conversion(variable(name), number) is None


def test_unitless_value_is_used_with_a_remark_or_left_out_with_a_sentence() -> None:
    bare = observation(value={"value": 72})
    record = read(bare, observation("o2", "29463-7", {"value": 80}))
    assert values(record) == [("heart_rate", 72)]
    assert [line.sentence for line in record.report.remarks] == [
        "Observation/o1: heart_rate has no unit; only one of those in use fits its number"
    ]
    assert left_out(record) == [
        (
            "unit",
            "Observation/o2: body_weight has no unit, and its number fits not just one of "
            "those in use",
        )
    ]


def test_rarer_ucum_codes_are_converted_by_pint() -> None:
    assert converted("urine_output", 1, code="[foz_us]") == pytest.approx(29.57, rel=1e-3)
    assert converted("glucose", 1, code="mg/(10.mL)") == pytest.approx(10.0)
    assert converted("glucose", 1, code="mmol/(10.mL)") == pytest.approx(1801.56)
    assert conversion(variable("glucose"), "", "[not-ucum]", UCUM) is None
    assert conversion(variable("glucose"), "", "m", UCUM) is None


def test_unit_table_agrees_with_ucum() -> None:
    """Each factor of the table against ucumvert and pint, within the dimension."""
    by_dimension: dict[str, str] = {}
    unknown_to_pint = {"mL/min/{1.73_m2}", "mosm/kg", "10*3/uL"}
    for code, unit in UNITS.items():
        first = by_dimension.setdefault(unit.dimension, code)
        # mm/h rather than mol and eq: pint takes a charge of one for all, we ask the variable.
        found = linear_conversion(code, first)
        assert found is not None, (code, first)
        base = UNITS[first]
        factor = unit.factor / base.factor
        offset = (unit.offset - base.offset) / base.factor
        if code not in unknown_to_pint:
            assert found[0] == pytest.approx(factor, rel=1e-5), (code, first)
            assert found[1] == pytest.approx(offset, abs=1e-2), (code, first)


def test_aliases_lead_to_units_of_the_table() -> None:
    targets = [code for codes in unit_aliases().values() for code in codes]
    targets += list(mdc_units().values())
    assert set(targets) <= set(UNITS)
    assert not set(unit_aliases()) & set(UNITS), "an alias that is a UCUM code is never looked up"
    assert UNITS["mg/dL"].dimension == MASS_CONCENTRATION


def test_preload_pays_for_the_import() -> None:
    preload()
    assert linear_conversion("g", "kg") == pytest.approx((0.001, 0.0))
