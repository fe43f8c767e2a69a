"""A cohort with planted causes: patient records whose true Shapley values are known exactly.

The logit of death is ``BIAS`` plus a sum of terms over independent sources:

=============  ==============================  ==================================================
term           contribution to the logit       what a coalition S sees of it
=============  ==============================  ==================================================
Main           w * x, x ~ N(0, 1) or +-1       w * x if the player is in S, else 0
Redundant      w * z, z = +-1, told by k       w * z if any of the k players is in S, else 0
               players of several modalities
Gated          w * g * x, P(g = 1) = q         w*g*x with both; w*q*x with x alone; else 0
Synergy        w * a * b, a and b = +-1        w * a * b with both players, else 0
=============  ==============================  ==================================================

A player is a token: a charted variable, a note sentence, or a device channel that is worn for
the last two hours only (one patch). The value of a coalition is the expected logit given what it
sees; the right column is exact since sources are independent and centred. Shapley values add up
over terms and are closed-form for each: w*x; w*z/k each; w*x*(g+q)/2 for the gated player and
w*x*(g-q)/2 for its gate; w*a*b/2 each. Every other player is a distractor with value 0.

The records are ordinary ``PatientRecord`` data, so that a test runs the whole path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from model.record import (
    Demographics,
    DeviceSeries,
    Measurement,
    Note,
    PatientRecord,
    Sentence,
    Stay,
)

PREDICTION_TIME = datetime(2024, 3, 1, 8, tzinfo=UTC)
BIAS = -0.5
GATE_OPEN_RATE = 0.5


@dataclass(frozen=True, slots=True)
class Main:
    """One player acts alone."""

    player: str
    weight: float


@dataclass(frozen=True, slots=True)
class Redundant:
    """Several players tell the same thing; one is enough."""

    players: tuple[str, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class Gated:
    """``player`` acts only where ``gate`` is open."""

    gate: str
    player: str
    weight: float


@dataclass(frozen=True, slots=True)
class Synergy:
    """Two players act only together, with a sign that neither shows alone."""

    first: str
    second: str
    weight: float


Term = Main | Redundant | Gated | Synergy

TERMS: tuple[Term, ...] = (
    Main("structured/creatinine", 1.0),
    Main("structured/platelets", -0.8),
    Main("note/drowsy", 0.8),
    Main("device/respiratory_rate", 0.9),
    Redundant(("structured/lactate", "note/mottled", "device/mean_blood_pressure"), 1.2),
    Gated("note/vasopressor", "structured/fraction_inspired_oxygen", 1.2),
)
SYNERGY = Synergy("structured/potassium", "device/heart_rate", 0.8)

# (unit, mean, change of the value for one unit of the source)
_CHARTED = {
    "creatinine": ("mg/dL", 1.6, 0.35),
    "platelets": ("10*3/uL", 220.0, 45.0),
    "lactate": ("mmol/L", 2.6, 1.1),
    "fraction_inspired_oxygen": ("%", 50.0, 9.0),
    "potassium": ("mmol/L", 4.3, 0.5),
    "sodium": ("mmol/L", 139.0, 3.0),
    "magnesium": ("mg/dL", 2.0, 0.2),
    "glucose": ("mg/dL", 140.0, 25.0),
    "calcium": ("mg/dL", 8.8, 0.5),
}
_WORN = {
    "respiratory_rate": ("/min", 20.0, 3.5),
    "mean_blood_pressure": ("mm[Hg]", 76.0, -9.0),
    "heart_rate": ("/min", 90.0, 12.0),
    "oxygen_saturation": ("%", 95.0, 1.0),
    "body_temperature": ("Cel", 37.2, 0.4),
}
# name -> (sentence where the source is positive, sentence where it is not)
_SENTENCES = {
    "drowsy": ("Drowsy and hard to rouse.", "Awake, alert and oriented."),
    "mottled": ("Skin is mottled and cold to the knees.", "Skin is warm and well perfused."),
    "vasopressor": ("Norepinephrine is running.", "No vasopressor is running."),
    "family": ("The family was updated by phone.", "The family visited this evening."),
    "diet": ("Tolerates a clear liquid diet.", "Takes a soft diet with assistance."),
    "line": ("Left peripheral line is patent.", "Right peripheral line was changed."),
}
_NEGATED = {"No vasopressor is running."}


@dataclass(frozen=True, slots=True)
class PlantedCase:
    """One record with its outcome and its truth.

    ``shapley`` holds every player by token name: ``structured/lactate``, ``note/0/3`` (note,
    sentence), ``device/heart_rate`` (the sum over the channel's patches).
    """

    record: PatientRecord
    died: int
    logit: float
    shapley: Mapping[str, float]


def coalition_value(terms: tuple[Term, ...], drawn: Mapping[str, float], seen: Set[str]) -> float:
    """Return the expected logit, without the bias, of a reader who sees only ``seen``."""
    return sum(_term_value(term, drawn, seen) for term in terms)


def _term_value(term: Term, drawn: Mapping[str, float], seen: Set[str]) -> float:
    match term:
        case Main(player, weight):
            return weight * drawn[player] if player in seen else 0.0
        case Redundant(players, weight):
            return weight * drawn[players[0]] if seen & set(players) else 0.0
        case Gated(gate, player, weight):
            opened = drawn[gate] if gate in seen else GATE_OPEN_RATE
            return weight * opened * drawn[player] if player in seen else 0.0
        case Synergy(first, second, weight):
            return weight * drawn[first] * drawn[second] if {first, second} <= seen else 0.0


def true_shapley(terms: tuple[Term, ...], drawn: Mapping[str, float]) -> dict[str, float]:
    """Return the closed-form Shapley value of every drawn player; distractors have 0."""
    values = dict.fromkeys(drawn, 0.0)
    for term in terms:
        match term:
            case Main(player, weight):
                values[player] += weight * drawn[player]
            case Redundant(players, weight):
                for player in players:
                    values[player] += weight * drawn[player] / len(players)
            case Gated(gate, player, weight):
                half = weight * drawn[player] / 2
                values[player] += half * (drawn[gate] + GATE_OPEN_RATE)
                values[gate] += half * (drawn[gate] - GATE_OPEN_RATE)
            case Synergy(first, second, weight):
                share = weight * drawn[first] * drawn[second] / 2
                values[first] += share
                values[second] += share
    return values


def planted_cohort(
    count: int, *, seed: int = 0, terms: tuple[Term, ...] = TERMS
) -> Iterator[PlantedCase]:
    """Yield ``count`` cases; the same seed gives the same cases."""
    generator = np.random.default_rng(seed)
    for number in range(count):
        yield _planted_case(number, terms, generator)


def draw_sources(terms: tuple[Term, ...], generator: np.random.Generator) -> dict[str, float]:
    """Draw what every player says: N(0, 1), +-1, or 0 and 1 for a gate."""
    drawn = {f"structured/{name}": generator.standard_normal() for name in _CHARTED}
    drawn |= {f"device/{name}": generator.standard_normal() for name in _WORN}
    drawn |= {f"note/{name}": _sign(generator) for name in _SENTENCES}
    for term in terms:
        match term:
            case Redundant(players, _):
                drawn |= dict.fromkeys(players, _sign(generator))
            case Synergy(first, second, _):
                drawn |= {first: _sign(generator), second: _sign(generator)}
            case Gated(gate, _, _):
                drawn[gate] = float(generator.random() < GATE_OPEN_RATE)
    return drawn


def _sign(generator: np.random.Generator) -> float:
    return 1.0 if generator.random() < 0.5 else -1.0


def _planted_case(
    number: int, terms: tuple[Term, ...], generator: np.random.Generator
) -> PlantedCase:
    drawn = draw_sources(terms, generator)
    logit = BIAS + coalition_value(terms, drawn, set(drawn))
    died = int(generator.random() < 1 / (1 + np.exp(-logit)))
    note, places = _write_note(number, drawn, generator)
    record = PatientRecord(
        demographics=Demographics(f"Patient/planted-{number}", age_years=60.0, sex="unknown"),
        prediction_time=PREDICTION_TIME,
        measurements=tuple(_write_measurements(number, drawn, generator)),
        notes=(note,),
        device_series=tuple(_write_series(number, drawn, generator)),
        stay=Stay(
            f"Encounter/planted-{number}",
            encounter_class="IMP",
            start=PREDICTION_TIME - timedelta(hours=24),
        ),
    )
    truth = true_shapley(terms, drawn)
    named = {places.get(player, player): value for player, value in truth.items()}
    return PlantedCase(record, died, logit, named)


def _write_measurements(
    number: int, drawn: Mapping[str, float], generator: np.random.Generator
) -> Iterator[Measurement]:
    """Chart each variable once, two to six hours before prediction."""
    for name, (unit, mean, change) in _CHARTED.items():
        yield Measurement(
            variable=name,
            value=round(mean + change * drawn[f"structured/{name}"], 3),
            unit=unit,
            time=PREDICTION_TIME - timedelta(minutes=float(generator.integers(120, 360))),
            source=f"Observation/planted-{number}-{name}",
        )


def _write_series(
    number: int, drawn: Mapping[str, float], generator: np.random.Generator
) -> Iterator[DeviceSeries]:
    """Record each channel every five minutes over the last two hours."""
    times_s = np.asarray(PREDICTION_TIME.timestamp() - 300.0 * np.arange(24, 0, -1), np.float64)
    for name, (unit, mean, change) in _WORN.items():
        noise = 0.2 * abs(change) * generator.standard_normal(len(times_s))
        level = mean + change * drawn[f"device/{name}"]
        yield DeviceSeries(
            channel=name,
            unit=unit,
            times_s=times_s,
            values=(level + noise - noise.mean()).astype(np.float32),
            sources=(f"Observation/planted-{number}-{name}-series",),
            source_index=np.zeros(len(times_s), np.int32),
            device=f"Device/planted-{number}",
            period_s=300.0,
        )


def _write_note(
    number: int, drawn: Mapping[str, float], generator: np.random.Generator
) -> tuple[Note, dict[str, str]]:
    """Write the sentences in random order; also return where each player's sentence stands."""
    order = generator.permutation(list(_SENTENCES))
    sentences = []
    places = {}
    for place, name in enumerate(order):
        text = _SENTENCES[name][0 if drawn[f"note/{name}"] > 0 else 1]
        sentences.append(Sentence(text, negated=text in _NEGATED))
        places[f"note/{name}"] = f"note/0/{place}"
    note = Note(
        "Progress note",
        PREDICTION_TIME - timedelta(hours=1),
        tuple(sentences),
        f"DocumentReference/planted-{number}",
    )
    return note, places
