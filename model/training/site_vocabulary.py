"""The vocabulary of a site: what enough of its patients have, counted one patient at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from model.predictor import no_embedding
from model.record import PatientRecord
from model.tokens import TokenConfig, VariableSpec, tokenize

MINIMUM_SHARE = 0.01  # of the patients; of a rarer variable nothing can be learnt
FEWEST_PATIENTS = 5  # where a hundredth of the patients would be fewer


class VocabularyCount:
    """Counts in how many patients each variable, channel, note type and unit type occurs."""

    def __init__(self, whole: TokenConfig) -> None:
        """``whole`` lists every variable and channel that may be kept."""
        self._whole = whole
        self._patients = 0
        self._variables: Counter[str] = Counter()
        self._channels: Counter[str] = Counter()
        self._note_types: Counter[str] = Counter()  # without regard to case
        self._spellings: dict[str, str] = {}
        self._unit_types: Counter[str] = Counter()

    def add_patient(self, records: Iterable[PatientRecord]) -> None:
        """Count one patient, who may have several records; only what a token would see counts."""
        variables: set[str] = set()
        channels: set[str] = set()
        note_types: dict[str, str] = {}
        unit_types: set[str] = set()
        embed = no_embedding(self._whole.embedding_width)
        for record in records:
            tokens = tokenize(record, self._whole, embed, with_labels=False)
            measured = zip(self._whole.variables, tokens.structured_measured, strict=True)
            variables |= {spec.name for spec, there in measured if there}
            channels |= {self._whole.channels[i].name for i in set(tokens.patch_channel.tolist())}
            note_types |= {note.note_type.casefold(): note.note_type for note in record.notes}
            if record.stay is not None and record.stay.unit_type:
                unit_types.add(record.stay.unit_type)
        self._patients += 1
        self._variables.update(variables)
        self._channels.update(channels)
        self._note_types.update(note_types.keys())
        self._spellings = note_types | self._spellings
        self._unit_types.update(unit_types)

    def config(self) -> TokenConfig:
        """Return what at least a hundredth of the patients have."""
        enough = max(FEWEST_PATIENTS, math.ceil(MINIMUM_SHARE * self._patients))
        units = tuple(sorted(name for name, n in self._unit_types.items() if n >= enough))
        if units:
            self._variables["unit_type"] = enough
        types = [self._spellings[key] for key, n in self._note_types.items() if n >= enough]
        return replace(
            self._whole,
            variables=_kept(self._whole.variables, self._variables, enough),
            channels=_kept(self._whole.channels, self._channels, enough),
            note_types=tuple(sorted(types)),
            unit_types=units,
        )


def _kept(
    specs: Sequence[VariableSpec], counts: Counter[str], enough: int
) -> tuple[VariableSpec, ...]:
    return tuple(spec for spec in specs if counts[spec.name] >= enough)
