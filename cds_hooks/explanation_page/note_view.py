"""Notes with the sentences that moved the prediction, and three ways of asking which they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cds_hooks.explanation_page.bars import Bar, Scale, scale_for
from cds_hooks.explanation_page.figures import PERCENT, PageClock, logit_text, signed
from cds_hooks.explanation_page.reasons import flags_of, strongest
from model.prediction import TokenAttribution
from model.record import Note, Sentence

_COMPARED = 8
_LEVELS = (0.2, 0.4, 0.7)  # shares of a full mark; weaker sentences are not marked
_SENTENCES_SHOWN = 150  # of one note; a discharge letter has 60
_CHARACTERS_SHOWN = 1500  # of one sentence; beyond that it is a table or an attack
_NOTES_CHARACTERS = 120_000  # of all notes together, the newest first: 40 pages of paper


@dataclass(frozen=True, slots=True)
class SentenceView:
    """One sentence. ``level`` 0 is not marked, 3 is the strongest."""

    text: str
    section: str  # "" unless a new section begins here
    level: int
    raises: bool
    number: int  # in the comparison table; 0 if not there
    read: bool  # False: the sentence did not reach the model


@dataclass(frozen=True, slots=True)
class NoteView:
    """One note."""

    note_type: str
    time: str
    source: str
    sentences: tuple[SentenceView, ...]
    not_shown: int

    @property
    def marked(self) -> bool:
        """Whether a sentence of this note is marked: such notes are shown opened."""
        return any(sentence.level for sentence in self.sentences)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One sentence by SHAP, LIME and attention, side by side."""

    number: int
    text: str
    flags: tuple[str, ...]
    shap: Bar
    shap_text: str
    lime: Bar | None
    lime_text: str
    attention: Bar
    attention_text: str


def note_views(
    notes: Sequence[Note], tokens: Sequence[TokenAttribution], clock: PageClock
) -> tuple[tuple[NoteView, ...], tuple[Comparison, ...]]:
    """Return the notes, newest first, and the comparison of their strongest sentences."""
    ordered = strongest(token for token in tokens if token.modality == "note")
    numbers = {token.token_id: i for i, token in enumerate(ordered[:_COMPARED], start=1)}
    by_id = {token.token_id: token for token in ordered}
    largest = _full_mark(tokens, ordered)
    views: list[NoteView] = []
    left = _NOTES_CHARACTERS
    for index in reversed(range(len(notes))):
        view = _note_view(
            index, notes[index], clock.at(notes[index].time), left, by_id, numbers, largest
        )
        left -= sum(len(sentence.text) for sentence in view.sentences)
        views.append(view)
    return tuple(views), _comparison(ordered[:_COMPARED])


def _full_mark(tokens: Sequence[TokenAttribution], ordered: Sequence[TokenAttribution]) -> float:
    """Return the attribution that is marked in full.

    It is the strongest sentence's, unless all sentences are weak beside the other findings: they
    must then not look strong.
    """
    strongest_of_all = max((abs(token.shap_logit) for token in tokens), default=0.0)
    return max([abs(token.shap_logit) for token in ordered[:1]] + [strongest_of_all / 4])


def _note_view(
    index: int,
    note: Note,
    time: str,
    characters: int,
    by_id: Mapping[str, TokenAttribution],
    numbers: Mapping[str, int],
    largest: float,
) -> NoteView:
    views: list[SentenceView] = []
    section = ""
    for position, sentence in enumerate(note.sentences[:_SENTENCES_SHOWN]):
        if characters <= 0:
            break
        characters -= min(len(sentence.text), _CHARACTERS_SHOWN)
        token_id = f"note/{index}/{position}"
        heading = sentence.section if sentence.section != section else ""
        section = sentence.section
        views.append(
            _sentence_view(
                sentence, heading, by_id.get(token_id), numbers.get(token_id, 0), largest
            )
        )
    return NoteView(
        note_type=note.note_type,
        time=time,
        source=note.source,
        sentences=tuple(views),
        not_shown=len(note.sentences) - len(views),
    )


def _sentence_view(
    sentence: Sentence, heading: str, token: TokenAttribution | None, number: int, largest: float
) -> SentenceView:
    share = abs(token.shap_logit) / largest if token and largest else 0.0
    return SentenceView(
        text=_shortened(sentence.text),
        section=heading,
        level=sum(share > step for step in _LEVELS),
        raises=token is not None and token.shap_logit >= 0,
        number=number,
        read=token is not None,
    )


def _comparison(tokens: Sequence[TokenAttribution]) -> tuple[Comparison, ...]:
    shap = scale_for((t.shap_logit, t.shap_standard_error_logit) for t in tokens)
    lime = scale_for((t.lime_logit, 0.0) for t in tokens if t.lime_logit is not None)
    attention = Scale(0.0, max([t.attention for t in tokens], default=0.0) or 1.0)
    return tuple(
        Comparison(
            number=number,
            text=_shortened(token.evidence.text),
            flags=flags_of(token),
            shap=shap.bar(token.shap_logit, token.shap_standard_error_logit),
            shap_text=logit_text(token.shap_logit, token.shap_standard_error_logit),
            lime=None if token.lime_logit is None else lime.bar(token.lime_logit),
            lime_text="not asked" if token.lime_logit is None else signed(token.lime_logit),
            attention=attention.bar(token.attention),
            attention_text=f"{100 * token.attention:.1f}{PERCENT}",
        )
        for number, token in enumerate(tokens, start=1)
        if hasattr(token.evidence, "text")
    )


def _shortened(text: str) -> str:
    if len(text) <= _CHARACTERS_SHOWN:
        return text
    return f"{text[:_CHARACTERS_SHOWN]} … ({len(text) - _CHARACTERS_SHOWN} more characters)"
