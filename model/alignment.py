"""Agreement of attention, Shapley values and LIME about the same tokens.

Attention is not an explanation. Compared with attributions it shows whether what the network
looked at is also what moved its answer.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from model.prediction import Agreement

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

STRONGEST: Final = 5  # as many as a card shows
NOISE_FLOOR: Final = 1.0  # standard errors; the teacher of the consistency loss uses the same
FEWEST_RANKED: Final = 5  # a rank correlation of fewer tokens says nothing


def agreement(
    shap: Doubles, errors: Doubles, attention: Doubles, notes: Integers, lime: Doubles | None
) -> Agreement:
    """Compare over all tokens (N,), and LIME (S,) over the tokens at ``notes`` (S,)."""
    relevant = np.abs(shap) > NOISE_FLOOR * np.nan_to_num(errors, nan=np.inf)
    common, compared = (None, None)
    if lime is not None and len(lime):
        common, compared = common_strongest(shap[notes], lime)
    return Agreement(
        attention_shap_top5=top_overlap(np.abs(shap), attention),
        attention_shap_spearman=spearman(np.abs(shap)[relevant], attention[relevant]),
        shap_lime_note_common=common,
        shap_lime_note_compared=compared,
    )


def top_overlap(first: Doubles, second: Doubles, count: int = STRONGEST) -> float | None:
    """Share of the ``count`` largest that both name; None with fewer tokens than that."""
    if len(first) < count:
        return None
    both = set(strongest(first, count)) & set(strongest(second, count))
    return len(both) / count


def strongest(sizes: Doubles, count: int) -> list[int]:
    """Positions of the largest, in falling order; ties go to the earlier token."""
    order: list[int] = np.argsort(-sizes, kind="stable")[:count].tolist()
    return order


def common_strongest(shap: Doubles, lime: Doubles) -> tuple[int, int]:
    """Of the strongest sentences, how many both name with the same sign; and how many there are."""
    compared = min(STRONGEST, len(shap))
    both = set(strongest(np.abs(shap), compared)) & set(strongest(np.abs(lime), compared))
    return sum(bool(shap[i] * lime[i] > 0) for i in both), compared


def spearman(first: Doubles, second: Doubles) -> float | None:
    """Rank correlation; None for too few values or where one side is constant."""
    if len(first) < FEWEST_RANKED:
        return None
    ranks = average_ranks(first), average_ranks(second)
    if any(np.ptp(r) == 0 for r in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def average_ranks(values: Doubles) -> Doubles:
    """Ranks from 0; ties share their mean."""
    _, position, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    means: Doubles = last - (count + 1) / 2
    return means[position]
