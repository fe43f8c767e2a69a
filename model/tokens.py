"""A patient record as tokens: the players of the model and of its explanation.

One token for each structured variable of the vocabulary, for each note sentence, and for each
device channel and patch of time, always in this order. A variable that was never measured keeps
its token, marked so; a modality that is absent has no tokens.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from model.prediction import (
    DeviceEvidence,
    Evidence,
    Modality,
    SentenceEvidence,
    StructuredEvidence,
)
from model.record import DeviceSeries, Measurement, Note, PatientRecord

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]
Embed = Callable[[Sequence[str]], Floats]  # n sentences -> (n, EMBEDDING_WIDTH)

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
EMBEDDING_WIDTH: Final = 384  # all-MiniLM-L6-v2
STATICS: Final = ("age_years", "sex", "unit_type")
SEX_CODES: Final[Mapping[str, float]] = {"male": 0.0, "female": 1.0, "other": 0.5}
UNKNOWN_NOTE_TYPE: Final = 0  # index of a note type that training did not know
# Where a long note must be cut, its conclusions outlive its history and examination.
CONCLUDING_SECTIONS: Final = ("assessment", "impression", "plan", "conclusion", "summary")
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
    """What becomes a token. The order of variables, channels and types is part of the weights."""

    variables: tuple[VariableSpec, ...]  # structured, including the STATICS that are used
    channels: tuple[VariableSpec, ...]
    note_types: tuple[str, ...]  # compared without regard to case
    unit_types: tuple[str, ...]  # the value of "unit_type" is an index into these
    lookback_hours: int = 48  # the window of PhysioNet 2012; older values describe another state
    note_lookback_hours: int = 168  # admission notes and discharge letters stay true for a week
    patch_hours: int = 6  # 8 patches: fine enough for a course, few enough to explain
    max_sentences: int = 64  # about ten short notes; more would dominate the number of players

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


@dataclass(frozen=True, slots=True, eq=False)
class TokenArrays:
    """The tokens of one record. V variables, S sentences, K patches; N = V + S + K tokens."""

    structured_stats: Floats  # (V, 9) in STRUCTURED_STATS order, NaN where not defined
    structured_measured: Booleans  # (V,)
    sentence_embeddings: Floats  # (S, 384)
    sentence_features: Floats  # (S, 6) in SENTENCE_FEATURES order
    sentence_note_type: Integers  # (S,)
    patch_stats: Floats  # (K, 6) in PATCH_STATS order
    patch_channel: Integers  # (K,)
    patch_index: Integers  # (K,) the patch of patch_count - 1 ends at prediction_time
    labels: tuple[TokenLabel, ...] = ()  # (N,) in token order; () where tokenised without

    @property
    def token_count(self) -> int:
        """N."""
        return len(self.structured_stats) + len(self.sentence_features) + len(self.patch_stats)

    @property
    def available(self) -> tuple[Modality, ...]:
        """Modalities that hold anything measured; statics alone do not count as structured."""
        found: list[Modality] = []
        if np.isfinite(self.structured_stats[:, STRUCTURED_STATS.index("count")]).any():
            found.append("structured")
        if len(self.sentence_features):
            found.append("note")
        if len(self.patch_stats):
            found.append("device")
        return tuple(found)


def tokenize(
    record: PatientRecord, config: TokenConfig, embed: Embed, *, with_labels: bool = True
) -> TokenArrays:
    """Turn a record into tokens. Training may leave out the labels to save memory."""
    stats, labels_structured = structured_tokens(record, config, with_labels)
    sentences, labels_notes = _note_tokens(record, config, with_labels)
    patches, labels_device = _device_tokens(record, config, with_labels)
    texts, features, note_types = sentences
    patch_stats, patch_channel, patch_index = patches
    return TokenArrays(
        structured_stats=stats,
        structured_measured=np.isfinite(stats[:, 0]),
        sentence_embeddings=embed(texts) if texts else np.zeros((0, EMBEDDING_WIDTH), np.float32),
        sentence_features=features,
        sentence_note_type=note_types,
        patch_stats=patch_stats,
        patch_channel=patch_channel,
        patch_index=patch_index,
        labels=(*labels_structured, *labels_notes, *labels_device),
    )


# --- structured -----------------------------------------------------------------------------


def structured_tokens(
    record: PatientRecord, config: TokenConfig, with_labels: bool
) -> tuple[Floats, list[TokenLabel]]:
    """Return the statistics (V, 9) of every variable of the vocabulary, and their labels."""
    window = _window(record.measurements, record.prediction_time, config.lookback_hours)
    known = [m for m in window if m.variable in config.variable_index]
    index = np.array([config.variable_index[m.variable] for m in known], np.int64)
    order = np.argsort(index, kind="stable")  # by variable, then still by time
    stats = np.full((len(config.variables), len(STRUCTURED_STATS)), np.nan)
    if known:
        values = np.array([m.value for m in known], np.float64)[order]
        now_s = record.prediction_time.timestamp()
        hours = np.array([m.time.timestamp() - now_s for m in known])[order] / SECONDS_PER_HOUR
        _fill_stats(stats, index[order], values, hours)
    statics = _statics(record, config)
    for position, (value, _, _) in statics.items():
        stats[position, 0] = value
    if not with_labels:
        return stats.astype(np.float32), []
    by_variable: list[list[Measurement]] = [[] for _ in config.variables]
    for measurement, position in zip(known, index.tolist(), strict=True):
        by_variable[position].append(measurement)
    labels = [
        _structured_label(spec, row, items, statics.get(position))
        for position, (spec, row, items) in enumerate(
            zip(config.variables, stats.tolist(), by_variable, strict=True)
        )
    ]
    return stats.astype(np.float32), labels


def _window(
    measurements: Sequence[Measurement], end: datetime, hours: float
) -> Sequence[Measurement]:
    start = bisect_left(measurements, end - timedelta(hours=hours), key=_time)
    return measurements[start : bisect_right(measurements, end, key=_time)]


def _time(item: Measurement | Note) -> datetime:
    return item.time


def _fill_stats(stats: Doubles, index: Integers, values: Doubles, hours: Doubles) -> None:
    """Write a row for each variable in index; index is sorted, hours ascend within a variable."""
    starts = np.flatnonzero(np.r_[True, index[1:] != index[:-1]])
    ends = np.r_[starts[1:], len(index)]
    count = ends - starts
    mean = np.add.reduceat(values, starts) / count
    mean_hours = np.add.reduceat(hours, starts) / count
    deviation = values - np.repeat(mean, count)
    time_deviation = hours - np.repeat(mean_hours, count)
    several = count > 1
    sd = np.sqrt(np.add.reduceat(deviation**2, starts) / count)
    slope = _slope(
        np.add.reduceat(deviation * time_deviation, starts),
        np.add.reduceat(time_deviation**2, starts),
    )
    rows = np.stack(
        [
            values[ends - 1],
            np.minimum.reduceat(values, starts),
            np.maximum.reduceat(values, starts),
            mean,
            values[starts],
            np.where(several, sd, np.nan),
            np.where(several, slope, np.nan),
            count,
            -hours[ends - 1],
        ],
        axis=1,
    )
    stats[index[starts]] = rows


def _slope(covariance: Doubles, variance: Doubles) -> Doubles:
    """Least-squares slope; NaN where all times are the same."""
    slope = np.full(covariance.shape, np.nan)
    np.divide(covariance, variance, out=slope, where=variance > 1e-9)
    return slope


def _statics(record: PatientRecord, config: TokenConfig) -> dict[int, tuple[float, str, str]]:
    """Return value, wording and source of what does not change during the stay, by position."""
    person, stay = record.demographics, record.stay
    found: dict[str, tuple[float, str, str]] = {}
    if person.age_years is not None:
        found["age_years"] = (person.age_years, "", person.source)
    if person.sex in SEX_CODES:
        found["sex"] = (SEX_CODES[person.sex], person.sex, person.source)
    if stay is not None and stay.unit_type in config.unit_types:
        code = float(config.unit_types.index(stay.unit_type))
        found["unit_type"] = (code, stay.unit_type, stay.source)
    positions = config.variable_index
    return {positions[name]: entry for name, entry in found.items() if name in positions}


def _structured_label(
    spec: VariableSpec,
    stats: list[float],
    items: Sequence[Measurement],
    static: tuple[float, str, str] | None,
) -> TokenLabel:
    if static is not None:
        value, text, source = static
        evidence = StructuredEvidence(
            spec.name, spec.display, spec.unit, measured=True, value=value, text=text, count=1
        )
        sources: tuple[str, ...] = (source,)
    elif items:
        slope = stats[6]
        evidence = StructuredEvidence(
            spec.name,
            spec.display,
            spec.unit,
            measured=True,
            value=stats[0],
            time=items[-1].time,
            minimum=stats[1],
            maximum=stats[2],
            count=len(items),
            trend_per_hour=None if slope != slope else slope,
        )
        sources = tuple(dict.fromkeys(item.source for item in reversed(items)))
    else:
        evidence = StructuredEvidence(spec.name, spec.display, spec.unit, measured=False)
        sources = ()
    return TokenLabel(f"structured/{spec.name}", "structured", spec.organ_system, evidence, sources)


# --- notes ----------------------------------------------------------------------------------


def _note_tokens(
    record: PatientRecord, config: TokenConfig, with_labels: bool
) -> tuple[tuple[list[str], Floats, Integers], list[TokenLabel]]:
    notes, end = record.notes, record.prediction_time
    start = bisect_left(notes, end - timedelta(hours=config.note_lookback_hours), key=_time)
    recent = range(start, bisect_right(notes, end, key=_time))
    texts: list[str] = []
    rows: list[tuple[float, ...]] = []
    types: list[int] = []
    labels: list[TokenLabel] = []
    for note_index, kept in kept_sentences(notes, recent, config.max_sentences):
        note = notes[note_index]
        log_age = float(np.log1p((end - note.time).total_seconds() / SECONDS_PER_HOUR))
        note_type = config.note_type_index.get(note.note_type.casefold(), UNKNOWN_NOTE_TYPE)
        for position in kept:
            sentence = note.sentences[position]
            flags = (
                sentence.negated,
                sentence.historical,
                sentence.family,
                sentence.hypothetical,
            )
            texts.append(sentence.text)
            rows.append((*flags, log_age, position / len(note.sentences)))
            types.append(note_type)
            if with_labels:
                labels.append(_sentence_label(note, note_index, position))
    features = np.array(rows, np.float32).reshape(len(rows), len(SENTENCE_FEATURES))
    return (texts, features, np.array(types, np.int64)), labels


def kept_sentences(
    notes: Sequence[Note], recent: Sequence[int], limit: int
) -> list[tuple[int, list[int]]]:
    """Choose at most ``limit`` sentences: (note index, sentence indices in reading order).

    Every recent note gets an even share, and what short notes leave goes to the newest, so that
    one long discharge letter cannot push out a night's nursing notes, nor the reverse. With more
    notes than places, the newest notes keep one sentence each.
    """
    shares = dict.fromkeys(recent, 0)
    left = limit
    hungry = sorted(recent, reverse=True)  # newest first
    while left and hungry:
        even = max(1, left // len(hungry))
        for index in hungry:
            more = min(even, left, len(notes[index].sentences) - shares[index])
            shares[index] += more
            left -= more
        hungry = [index for index in hungry if shares[index] < len(notes[index].sentences)]
    return [(index, _chosen(notes[index], share)) for index, share in shares.items() if share]


def _chosen(note: Note, share: int) -> list[int]:
    positions = range(len(note.sentences))
    if share == len(note.sentences):
        return list(positions)
    by_weight = sorted(positions, key=lambda p: not _concludes(note.sentences[p].section))
    return sorted(by_weight[:share])


def _concludes(section: str) -> bool:
    heading = section.casefold()
    return any(word in heading for word in CONCLUDING_SECTIONS)


def _sentence_label(note: Note, note_index: int, position: int) -> TokenLabel:
    sentence = note.sentences[position]
    evidence = SentenceEvidence(
        text=sentence.text,
        section=sentence.section,
        note_type=note.note_type,
        time=note.time,
        negated=sentence.negated,
        historical=sentence.historical,
        family=sentence.family,
        hypothetical=sentence.hypothetical,
    )
    return TokenLabel(f"note/{note_index}/{position}", "note", "general", evidence, (note.source,))


# --- device ---------------------------------------------------------------------------------


def _device_tokens(
    record: PatientRecord, config: TokenConfig, with_labels: bool
) -> tuple[tuple[Floats, Integers, Integers], list[TokenLabel]]:
    end_s = record.prediction_time.timestamp()
    patch_s = config.patch_hours * SECONDS_PER_HOUR
    edges: Doubles = end_s + np.arange(-config.patch_count, 1, dtype=np.float64) * patch_s
    stats: list[Doubles] = []
    channels: list[Integers] = []
    patches: list[Integers] = []
    labels: list[TokenLabel] = []
    for series in record.device_series:
        channel = config.channel_index.get(series.channel)
        if channel is None:
            continue
        bounds = np.searchsorted(series.times_s, edges, side="right")
        bounds[0] = np.searchsorted(series.times_s, edges[0], side="left")  # a closed window
        filled = np.flatnonzero(bounds[1:] > bounds[:-1])
        if not len(filled):
            continue
        rows = _patch_stats(series, bounds[filled], bounds[filled + 1], edges[filled + 1], config)
        stats.append(rows)
        channels.append(np.full(len(filled), channel, np.int64))
        patches.append(filled)
        if with_labels:
            labels += _patch_labels(series, config.channels[channel], bounds, filled, edges, rows)
    if not stats:
        none = np.zeros(0, np.int64)
        return (np.zeros((0, len(PATCH_STATS)), np.float32), none, none), []
    arrays = (
        np.concatenate(stats).astype(np.float32),
        np.concatenate(channels),
        np.concatenate(patches),
    )
    return arrays, labels


def _patch_stats(
    series: DeviceSeries, starts: Integers, ends: Integers, end_s: Doubles, config: TokenConfig
) -> Doubles:
    """Return (k, 6) statistics of consecutive, non-empty patches."""
    used = slice(int(starts[0]), int(ends[-1]))
    offsets = starts - starts[0]
    count = ends - starts
    values = series.values[used].astype(np.float64)
    hours = (series.times_s[used] - np.repeat(end_s, count)) / SECONDS_PER_HOUR
    mean = np.add.reduceat(values, offsets) / count
    deviation = values - np.repeat(mean, count)
    time_deviation = hours - np.repeat(np.add.reduceat(hours, offsets) / count, count)
    slope = _slope(
        np.add.reduceat(deviation * time_deviation, offsets),
        np.add.reduceat(time_deviation**2, offsets),
    )
    several = count > 1
    return np.stack(
        [
            mean,
            np.where(several, np.sqrt(np.add.reduceat(deviation**2, offsets) / count), np.nan),
            np.where(several, slope, np.nan),
            np.minimum.reduceat(values, offsets),
            np.maximum.reduceat(values, offsets),
            _coverage(series, hours, offsets, count, config.patch_hours),
        ],
        axis=1,
    )


def _coverage(
    series: DeviceSeries, hours: Doubles, offsets: Integers, count: Integers, patch_hours: int
) -> Doubles:
    """Share of the samples that the period promises; without one, share of hours with a sample."""
    if series.period_s:
        covered = count * series.period_s / SECONDS_PER_HOUR
    else:
        hour = np.floor(hours - 1e-9)  # the hour's own end belongs to it, as with patches
        begins = np.r_[True, hour[1:] != hour[:-1]]
        begins[offsets] = True
        covered = np.add.reduceat(begins.astype(np.float64), offsets)
    return np.minimum(covered / patch_hours, 1.0)


def _patch_labels(
    series: DeviceSeries,
    spec: VariableSpec,
    bounds: Integers,
    filled: Integers,
    edges: Doubles,
    rows: Doubles,
) -> list[TokenLabel]:
    times = [datetime.fromtimestamp(edge, UTC) for edge in edges.tolist()]
    labels = []
    for patch, row in zip(filled.tolist(), rows.tolist(), strict=True):
        evidence = DeviceEvidence(
            channel=spec.name,
            display=spec.display,
            unit=spec.unit,
            start=times[patch],
            end=times[patch + 1],
            mean=row[0],
            minimum=row[3],
            maximum=row[4],
            coverage=row[5],
        )
        sources = _patch_sources(series, int(bounds[patch]), int(bounds[patch + 1]))
        token_id = f"device/{spec.name}/{patch}"
        labels.append(TokenLabel(token_id, "device", spec.organ_system, evidence, sources))
    return labels


def _patch_sources(series: DeviceSeries, start: int, end: int) -> tuple[str, ...]:
    if len(series.sources) == 1:
        return series.sources
    newest_first = dict.fromkeys(series.source_index[start:end][::-1].tolist())
    return tuple(series.sources[index] for index in newest_first)
