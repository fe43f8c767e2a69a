"""What limits an answer: data that did not come, that were left out, or the model's warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from cds_hooks.escape import escaped
from cds_hooks.reasons import HEADINGS
from fhir_adapters.codes import load_variables
from model.prediction import Modality, Prediction
from model.record import ReadingReport, ReportLine

_MODALITIES: tuple[Modality, ...] = ("structured", "note", "device")
_MOST_LIMITATIONS = 6
# The words of fhir_adapters' report lines; another word is shown as it is.
_UNREADABLE = dict.fromkeys(("base64", "gzip", "html", "rtf", "xml"), "whose text cannot be read")
_LEFT_OUT = {
    **_UNREADABLE,
    "absent": "said to be missing by the chart itself",
    "artefact": "unlike the readings around it",
    "code": "not known to the model, or in conflict with another",
    "comparator": "with a limit that cannot be read",
    "duplicate": "there twice",
    "empty": "without text",
    "focus": "about somebody or something else",
    "future": "of a later time",
    "implausible": "with a value that cannot be",
    "missing": "that did not come along",
    "modifier": "with a modifier that is not known",
    "pdf": "in PDF, which is not read during a request",
    "quality": "that its device marks as unreliable",
    "shape": "not in the form of FHIR",
    "status": "cancelled, entered in error or not final",
    "subject": "not shown to be about this patient",
    "superseded": "replaced by a later version",
    "time": "without a time",
    "too-large": "too large to be read",
    "type": "of a kind that is not read",
    "unit": "in a unit that does not fit",
    "value": "without a value that can be used",
    "version": "of another version of FHIR",
}
_REMARKS = {
    "comparator": "given as above or below a limit",
    "contradiction": "of two devices that contradict each other",
    "ended": "of an encounter that has ended",
    "hash": "that may be damaged",
    "pdf": "read from a PDF with doubts",
    "size": "that may be damaged",
    "unit": "without a unit, or in an unusual one",
    "value": "added up or read from words",
}
_NO_VARIABLES = {"age_years": "Age"}  # inputs that no Observation holds
_MOST_INPUTS = 3
_NAME_LIMIT = 60
_LINE_LIMIT = 240


def limits(
    prediction: Prediction, report: ReadingReport, drifting: Sequence[str] = ()
) -> list[str]:
    """Return the paragraph about the limits as a list of one, or of none where there are none."""
    lines = [
        f"- {HEADINGS[modality]}: none available."
        for modality in _MODALITIES
        if modality not in prediction.applicability.available
    ]
    lines += [f"- {escaped(one, _LINE_LIMIT)}" for one in prediction.applicability.warnings]
    lines += _drift_lines(drifting)
    lines += _report_lines(report.incomplete)
    lines += _counted("Not used from the chart", "item", _LEFT_OUT, report.left_out)
    lines += _counted("Used with a reservation", "value", _REMARKS, report.remarks)
    if not lines:
        return []
    return ["\n".join(["Limits of this answer:", "", *lines])]


def _drift_lines(drifting: Sequence[str]) -> list[str]:
    """A warning about the site's patients as a whole; which of them, the estimate cannot tell."""
    if not drifting:
        return []
    names = [escaped(input_words(one), _NAME_LIMIT) for one in drifting[:_MOST_INPUTS]]
    more = len(drifting) - len(names)
    listed = ", ".join(names) + (f" and {more} more" if more else "")
    return [
        f"- The patients of late differ from those that the model learnt from, in: {listed}."
        " Its figures may be less accurate here than they were in training."
    ]


def input_words(name: str) -> str:
    """An input of the model in words: "Heart rate (monitor)"."""
    kind, _, channel = name.rpartition("/")
    variable = load_variables().get(channel)
    known = variable.display if variable else _NO_VARIABLES.get(channel)
    words = known or channel.replace("_", " ").capitalize()
    return f"{words} (monitor)" if kind == "device" else words


def _report_lines(incomplete: Sequence[ReportLine]) -> list[str]:
    sentences = list(dict.fromkeys(line.sentence for line in incomplete))
    lines = [f"- {escaped(one, _LINE_LIMIT)}" for one in sentences[:_MOST_LIMITATIONS]]
    if len(sentences) > _MOST_LIMITATIONS:
        lines.append(f"- {len(sentences) - _MOST_LIMITATIONS} more; see the explanation.")
    return lines


def _counted(
    what: str, noun: str, words: Mapping[str, str], found: Sequence[ReportLine]
) -> list[str]:
    """How many were treated so, and why: "Not used from the chart: 2 items without a time"."""
    counts = Counter(line.reason for line in found)
    named = [_one_or_more(count, noun, reason, words) for reason, count in counts.most_common()]
    return [f"- {what}: {'; '.join(named)}. See the explanation."] if named else []


def _one_or_more(count: int, noun: str, reason: str, words: Mapping[str, str]) -> str:
    if reason == "code":  # one line of the report stands for all items with that code
        noun = "code"
    why = words.get(reason, f"for another reason ({escaped(reason)})")
    return f"{count} {noun}{'' if count == 1 else 's'} {why}"
