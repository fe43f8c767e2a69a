from itertools import combinations
from math import factorial

import numpy as np
import pytest

from model.synthetic import (
    GATE_OPEN_RATE,
    SYNERGY,
    TERMS,
    Gated,
    Main,
    Redundant,
    Synergy,
    coalition_value,
    draw_sources,
    planted_cohort,
    true_shapley,
)

ALL_TERMS = (*TERMS, SYNERGY)


def players_of(terms):
    named = set()
    for term in terms:
        match term:
            case Main(player, _):
                named |= {player}
            case Redundant(players, _):
                named |= set(players)
            case Gated(gate, player, _):
                named |= {gate, player}
            case Synergy(first, second, _):
                named |= {first, second}
    return sorted(named)


def enumerated_shapley(value, players):
    """Shapley values by their definition, over all coalitions."""
    n = len(players)
    shapley = {}
    for player in players:
        others = [other for other in players if other != player]
        total = 0.0
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for coalition in combinations(others, size):
                seen = set(coalition)
                total += weight * (value(seen | {player}) - value(seen))
        shapley[player] = total
    return shapley


@pytest.mark.parametrize("seed", range(5))
def test_closed_form_equals_exact_enumeration(seed):
    drawn = draw_sources(ALL_TERMS, np.random.default_rng(seed))
    players = players_of(ALL_TERMS)
    exact = enumerated_shapley(lambda seen: coalition_value(ALL_TERMS, drawn, seen), players)
    closed = true_shapley(ALL_TERMS, drawn)
    assert {name: closed[name] for name in players} == pytest.approx(exact)


def test_values_sum_to_the_logit_and_distractors_have_none():
    drawn = draw_sources(ALL_TERMS, np.random.default_rng(0))
    closed = true_shapley(ALL_TERMS, drawn)
    empty = coalition_value(ALL_TERMS, drawn, set())
    assert sum(closed.values()) == pytest.approx(
        coalition_value(ALL_TERMS, drawn, set(drawn)) - empty
    )
    assert (
        closed["structured/sodium"]
        == closed["note/diet"]
        == closed["device/oxygen_saturation"]
        == 0
    )


@pytest.mark.parametrize(
    "seen",
    [
        {"structured/creatinine"},
        {"note/mottled"},
        {"structured/fraction_inspired_oxygen"},
        {"note/vasopressor"},
        {"structured/potassium"},
    ],
)
def test_a_coalition_is_worth_the_expected_logit_of_those_who_see_it(seen):
    generator = np.random.default_rng(1)
    drawn = draw_sources(ALL_TERMS, generator)
    if "note/mottled" in seen:  # the copies of one source say the same
        seen = seen | {"structured/lactate", "device/mean_blood_pressure"}
    others = [
        draw_sources(ALL_TERMS, generator) | {name: drawn[name] for name in seen}
        for _ in range(4000)
    ]
    everyone = set(drawn)
    logits = [coalition_value(ALL_TERMS, other, everyone) for other in others]
    error = np.std(logits) / np.sqrt(len(logits))
    assert coalition_value(ALL_TERMS, drawn, seen) == pytest.approx(
        np.mean(logits), abs=4.5 * error
    )


def test_a_closed_gate_speaks_against_what_it_closes():
    drawn = dict.fromkeys(players_of(TERMS), 0.0)
    drawn |= {"structured/fraction_inspired_oxygen": 2.0, "note/vasopressor": 0.0}
    closed = true_shapley(TERMS, drawn)
    assert closed["structured/fraction_inspired_oxygen"] == pytest.approx(1.2 * GATE_OPEN_RATE)
    assert closed["note/vasopressor"] == pytest.approx(-1.2 * GATE_OPEN_RATE)


def test_the_same_seed_gives_the_same_cohort():
    first, again = (list(planted_cohort(3, seed=5)) for _ in range(2))
    assert [case.shapley for case in first] == [case.shapley for case in again]
    assert [case.record.measurements for case in first] == [
        case.record.measurements for case in again
    ]


def test_truth_names_the_sentences_where_they_stand():
    case = next(planted_cohort(1, seed=2))
    sentences = case.record.notes[0].sentences
    assert {key for key in case.shapley if key.startswith("note/")} == {
        f"note/0/{place}" for place in range(len(sentences))
    }


def test_outcomes_follow_the_planted_logit():
    cases = list(planted_cohort(3000, seed=0))
    logits = np.array([case.logit for case in cases])
    died = np.array([case.died for case in cases])
    expected = 1 / (1 + np.exp(-logits))
    assert died.mean() == pytest.approx(expected.mean(), abs=0.03)
    assert died[logits > 2].mean() > 0.8 > 0.2 > died[logits < -2.5].mean()
