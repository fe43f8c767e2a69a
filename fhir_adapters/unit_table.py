"""The UCUM units that vital signs, laboratories and devices use, as factors to a base unit.

Factors are exact where UCUM defines the unit exactly; a test holds each against ucumvert and pint.
"""

from __future__ import annotations

from typing import NamedTuple


class Unit(NamedTuple):
    """A unit of the table: base = value * factor + offset in its dimension's base unit."""

    dimension: str
    factor: float
    offset: float = 0.0


RATE, SHARE, TEMPERATURE, PRESSURE = "rate", "share", "temperature", "pressure"
MASS, LENGTH, VOLUME, TIME = "mass", "length", "volume", "time"
MASS_CONCENTRATION, AMOUNT_CONCENTRATION = "mass/volume", "amount/volume"
CHARGE_CONCENTRATION, CELLS, ENZYME = "charge/volume", "number/volume", "enzyme/volume"
INTERNATIONAL, CONDUCTANCE, FLOW, FILTRATION = "iu/volume", "conductance", "flow", "filtration"
DENSITY, OSMOLALITY, SPEED, ENERGY = "mass/area", "osmolality", "length/time", "energy"
GLYCATION, EXCRETION = "glycation", "mass/mass"

_PREFIXES = {"": 1.0, "d": 1e-1, "c": 1e-2, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
_VOLUMES_L = {"L": 1.0, "dL": 1e-1, "mL": 1e-3, "uL": 1e-6}

UNITS: dict[str, Unit] = {
    "/min": Unit(RATE, 1.0),
    "/s": Unit(RATE, 60.0),
    "Hz": Unit(RATE, 60.0),
    "/h": Unit(RATE, 1 / 60),
    "%": Unit(SHARE, 1.0),
    "1": Unit(SHARE, 100.0),
    "L/L": Unit(SHARE, 100.0),
    "Cel": Unit(TEMPERATURE, 1.0),
    "K": Unit(TEMPERATURE, 1.0, -273.15),
    "[degF]": Unit(TEMPERATURE, 5 / 9, -160 / 9),
    "mm[Hg]": Unit(PRESSURE, 1.0),
    "cm[Hg]": Unit(PRESSURE, 10.0),
    "kPa": Unit(PRESSURE, 1 / 0.133322387415),
    "Pa": Unit(PRESSURE, 1 / 133.322387415),
    "mbar": Unit(PRESSURE, 100 / 133.322387415),
    "cm[H2O]": Unit(PRESSURE, 98.0665 / 133.322387415),
    "kg": Unit(MASS, 1.0),
    "g": Unit(MASS, 1e-3),
    "[lb_av]": Unit(MASS, 0.45359237),
    "[oz_av]": Unit(MASS, 0.45359237 / 16),
    "cm": Unit(LENGTH, 1.0),
    "m": Unit(LENGTH, 100.0),
    "mm": Unit(LENGTH, 0.1),
    "[in_i]": Unit(LENGTH, 2.54),
    "[ft_i]": Unit(LENGTH, 30.48),
    "L": Unit(VOLUME, 1.0),
    "dL": Unit(VOLUME, 1e-1),
    "cL": Unit(VOLUME, 1e-2),
    "mL": Unit(VOLUME, 1e-3),
    "uL": Unit(VOLUME, 1e-6),
    "cm3": Unit(VOLUME, 1e-3),
    "fL": Unit(VOLUME, 1e-15),
    "um3": Unit(VOLUME, 1e-15),
    "pg": Unit(MASS, 1e-15),
    "mm/h": Unit(SPEED, 1.0),
    "s": Unit(TIME, 1.0),
    "ms": Unit(TIME, 1e-3),
    "us": Unit(TIME, 1e-6),
    "min": Unit(TIME, 60.0),
    "h": Unit(TIME, 3600.0),
    "d": Unit(TIME, 86400.0),
    "uS": Unit(CONDUCTANCE, 1.0),
    "mS": Unit(CONDUCTANCE, 1e3),
    "S": Unit(CONDUCTANCE, 1e6),
    "nS": Unit(CONDUCTANCE, 1e-3),
    "L/min": Unit(FLOW, 1.0),
    "mL/min": Unit(FLOW, 1e-3),
    "L/h": Unit(FLOW, 1 / 60),
    "mL/h": Unit(FLOW, 1e-3 / 60),
    "L/s": Unit(FLOW, 60.0),
    "cL/s": Unit(FLOW, 0.6),  # of spirometers
    "mL/min/{1.73_m2}": Unit(FILTRATION, 1.0),
    "kg/m2": Unit(DENSITY, 1.0),
    "mosm/kg": Unit(OSMOLALITY, 1.0),
    # The IFCC's scale of HbA1c. Read as a plain share it would give 4.8 for 48 mmol/mol (6.5 %).
    "mmol/mol": Unit(GLYCATION, 1.0),
    "mg/g": Unit(EXCRETION, 1.0),
    "kcal": Unit(ENERGY, 1.0),
    "cal": Unit(ENERGY, 1e-3),
    "kJ": Unit(ENERGY, 1 / 4.184),
    "U/L": Unit(ENZYME, 1.0),
    "mU/L": Unit(ENZYME, 1e-3),
    "kU/L": Unit(ENZYME, 1e3),
    "U/mL": Unit(ENZYME, 1e3),
    "mU/mL": Unit(ENZYME, 1.0),
    "ukat/L": Unit(ENZYME, 60.0),
    "nkat/L": Unit(ENZYME, 0.06),
    "[IU]/L": Unit(INTERNATIONAL, 1.0),
    "m[IU]/L": Unit(INTERNATIONAL, 1e-3),
    "u[IU]/mL": Unit(INTERNATIONAL, 1e-3),
    "m[IU]/mL": Unit(INTERNATIONAL, 1.0),
    "[IU]/mL": Unit(INTERNATIONAL, 1e3),
}
for _volume, _litres in _VOLUMES_L.items():
    UNITS[f"/{_volume}"] = Unit(CELLS, 1 / _litres)
    for _power in (3, 6, 9, 12):
        UNITS[f"10*{_power}/{_volume}"] = Unit(CELLS, 10.0**_power / _litres)
    for _prefix, _scale in _PREFIXES.items():
        UNITS[f"{_prefix}g/{_volume}"] = Unit(MASS_CONCENTRATION, _scale / _litres)
        UNITS[f"{_prefix}mol/{_volume}"] = Unit(AMOUNT_CONCENTRATION, _scale / _litres)
        UNITS[f"{_prefix}eq/{_volume}"] = Unit(CHARGE_CONCENTRATION, _scale / _litres)
