"""From the figures of single records to the audit's table: each claim, its bound, and a verdict."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

Verdict = Literal["pass", "fail", "reported", "not measured"]
Figures = Mapping[str, float | None]
Statistic = Literal["mean", "largest"]

RESAMPLES = 2000
COMPARISONS: Final = {">=": operator.ge, "<=": operator.le, "<": operator.lt}


@dataclass(frozen=True, slots=True)
class Claim:
    """One line of the table. Without a bound the figure is only reported."""

    figure: str
    words: str
    comparison: str = ""
    bound: float = 0.0
    statistic: Statistic = "mean"

    @property
    def excellent(self) -> str:
        """The bound in words."""
        return f"{self.comparison} {self.bound:g}" if self.comparison else "reported"


CLAIMS: Final[tuple[Claim, ...]] = (
    Claim("nmse", "served Shapley values: NMSE against near-exact", "<=", 0.01),
    Claim("reference_nmse", "near-exact values: NMSE by their own standard errors"),
    Claim("top5_overlap", "served Shapley values: top 5 in common with near-exact", ">=", 0.95),
    Claim("seed_stability_top5", "top 5 in common between sampling seeds", ">=", 0.95),
    Claim("gap_logit", "efficiency gap, logits (largest)", "<", 1e-4, "largest"),
    Claim(
        "shap_same_share",
        "stock shap: share of tokens within 3 joint standard errors of ours",
        ">=",
        0.98,
    ),
    Claim("shap_nmse", "stock shap: NMSE against our near-exact values", "<=", 0.01),
    Claim(
        "lime_difference_share",
        "stock lime: largest difference on the same masks, share of its largest coefficient",
        "<=",
        1e-6,
        "largest",
    ),
    Claim("attention_shap_spearman", "attention-SHAP: rank correlation above noise", ">=", 0.80),
    Claim("attention_shap_top5", "attention-SHAP: top 5 in common", ">=", 0.80),
    Claim("served_comprehensiveness", "deletion: comprehensiveness, share", ">=", 0.95),
    Claim("served_sufficiency", "deletion: sufficiency, share", ">=", 0.95),
    Claim("occlusion_comprehensiveness", "deletion: occlusion (not in the loss), share"),
    Claim("integrated_gradients_comprehensiveness", "deletion: integrated gradients, share"),
    Claim("attention_comprehensiveness", "deletion: attention with occlusion's signs, share"),
    Claim("random_sizes_comprehensiveness", "deletion: random sizes with its signs, share"),
    Claim("shap_occlusion_top5", "SHAP-occlusion: top 5 in common"),
    Claim("shap_occlusion_spearman", "SHAP-occlusion: rank correlation, signed"),
    Claim("shap_gradients_top5", "SHAP-integrated gradients: top 5 in common"),
    Claim("shap_gradients_spearman", "SHAP-integrated gradients: rank correlation, signed"),
    Claim("attention_occlusion_top5", "attention-occlusion: top 5 in common"),
    Claim("attention_gradients_top5", "attention-integrated gradients: top 5 in common"),
    Claim("null_token_logit", "control: largest value of a null token", "<=", 1e-6, "largest"),
    Claim("dummy_player_logit", "control: largest value of a dummy player", "<=", 1e-6, "largest"),
    Claim(
        "onnx_torch_logit", "ONNX and torch: largest difference of logits", "<=", 1e-4, "largest"
    ),
)
RANDOMISED: Final = Claim(
    "randomised_spearman", "control: rank correlation after weights are shuffled, size", "<=", 0.1
)


@dataclass(frozen=True, slots=True)
class Line:
    """A claim with its figure: mean over records and bootstrap interval, or the largest."""

    figure: str
    words: str
    excellent: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def audit_lines(
    rows: Sequence[Figures], randomised: Sequence[float] = (), *, seed: int = 0
) -> list[Line]:
    """Return every line of the table; ``randomised`` are correlations with random networks."""
    lines = []
    for claim in CLAIMS:
        values = [value for row in rows if (value := row.get(claim.figure)) is not None]
        lines.append(_line(claim, np.array(values, np.float64), seed))
    lines.append(_randomised_line(np.array(randomised, np.float64), seed))
    return lines


def passed(lines: Sequence[Line]) -> bool:
    """Whether no line failed."""
    return all(line.verdict != "fail" for line in lines)


def _line(claim: Claim, values: npt.NDArray[np.float64], seed: int) -> Line:
    if not len(values):
        empty = (claim.figure, claim.words, claim.excellent, None, None, None, 0)
        return Line(*empty, "not measured")
    low: float | None
    high: float | None
    if claim.statistic == "largest":
        value, low, high = float(values.max()), None, None
    else:
        value, (low, high) = float(values.mean()), _interval(values, seed)
    verdict = _verdict(claim, value)
    return Line(claim.figure, claim.words, claim.excellent, value, low, high, len(values), verdict)


def _randomised_line(values: npt.NDArray[np.float64], seed: int) -> Line:
    """The mean must be about zero on either side."""
    line = _line(RANDOMISED, values, seed)
    if line.value is None:
        return line
    verdict = _verdict(RANDOMISED, abs(line.value))
    return Line(
        *(line.figure, line.words, line.excellent, line.value, line.low, line.high, line.n), verdict
    )


def _verdict(claim: Claim, value: float) -> Verdict:
    if not claim.comparison:
        return "reported"
    return "pass" if COMPARISONS[claim.comparison](value, claim.bound) else "fail"


def _interval(values: npt.NDArray[np.float64], seed: int) -> tuple[float, float]:
    """95 % percentile interval of the mean over records."""
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
