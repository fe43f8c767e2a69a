"""What may become a token: the vocabulary of a model and the words for its tokens.

The order of variables, channels and types is part of a checkpoint's weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from model.prediction import Evidence, Modality

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

STRUCTURED_STATS: Final = (
    "last",
    "minimum",
    "maximum",
    "mean",
    "first",
    "standard_deviation",
    "slope_per_hour",
    "count",
    "hours_since_last",
)
PATCH_STATS: Final = (
    "mean",
    "standard_deviation",
    "slope_per_hour",
    "minimum",
    "maximum",
    "coverage",
)
SENTENCE_FEATURES: Final = (
    "negated",
    "historical",
    "family",
    "hypothetical",
    "log1p_age_hours",
    "position",
)
EMBEDDING_WIDTH: Final = 384  # of all-MiniLM-L6-v2; a TokenConfig may name another
STATICS: Final = ("age_years", "sex", "unit_type")
SEX_CODES: Final[Mapping[str, float]] = {"male": 0.0, "female": 1.0, "other": 0.5}
UNKNOWN_NOTE_TYPE: Final = 0  # index of a note type that training did not know
SECONDS_PER_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class VariableSpec:
    """A structured variable or a device channel of the vocabulary."""

    name: str
    display: str
    unit: str
    organ_system: str


@dataclass(frozen=True)
class TokenConfig:
    """Variables, channels, types and windows."""

    variables: tuple[VariableSpec, ...]  # structured, including the STATICS that are used
    channels: tuple[VariableSpec, ...]
    note_types: tuple[str, ...]  # compared without regard to case
    unit_types: tuple[str, ...]  # the value of "unit_type" is an index into these
    lookback_hours: int = 48  # the window of PhysioNet 2012; older values describe another state
    note_lookback_hours: int = 168  # admission notes and discharge letters stay true for a week
    patch_hours: int = 6  # 8 patches: fine enough for a course, few enough to explain
    max_sentences: int = 64  # about ten short notes; more would dominate the number of players
    embedding_width: int = EMBEDDING_WIDTH  # of the sentence encoder

    @property
    def patch_count(self) -> int:
        """Number of patches in the look-back window of one channel."""
        return self.lookback_hours // self.patch_hours

    @cached_property
    def variable_index(self) -> dict[str, int]:
        """Position of each structured variable."""
        return {spec.name: index for index, spec in enumerate(self.variables)}

    @cached_property
    def channel_index(self) -> dict[str, int]:
        """Position of each device channel."""
        return {spec.name: index for index, spec in enumerate(self.channels)}

    @cached_property
    def note_type_index(self) -> dict[str, int]:
        """Number of each note type; UNKNOWN_NOTE_TYPE is for all others."""
        return {name.casefold(): index for index, name in enumerate(self.note_types, start=1)}

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and numbers for a checkpoint's config.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TokenConfig:
        """Inverse of to_json. KeyError or TypeError for a field that is absent or foreign."""
        fields = dict(data)
        for name in ("variables", "channels"):
            fields[name] = tuple(VariableSpec(**spec) for spec in fields[name])
        for name in ("note_types", "unit_types"):
            fields[name] = tuple(fields[name])
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class TokenLabel:
    """What a token stands for, in words and references."""

    token_id: str
    modality: Modality
    organ_system: str
    evidence: Evidence
    sources: tuple[str, ...]  # newest first
