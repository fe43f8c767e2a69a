"""What limits an answer: data that did not come, that were left out, or the model's warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cds_hooks.escape import escaped
from cds_hooks.reasons import HEADINGS
from model.prediction import Modality, Prediction
from model.record import ReadingReport, ReportLine

_MODALITIES: tuple[Modality, ...] = ("structured", "note", "device")
_MOST_LIMITATIONS = 6
_LINE_LIMIT = 240


def limits(prediction: Prediction, report: ReadingReport) -> list[str]:
    """Return the paragraph about the limits as a list of one, or of none where there are none."""
    lines = [
        f"- {HEADINGS[modality]}: none available."
        for modality in _MODALITIES
        if modality not in prediction.applicability.available
    ]
    lines += [f"- {escaped(one, _LINE_LIMIT)}" for one in prediction.applicability.warnings]
    lines += _report_lines(report.incomplete)
    lines += _counted("Items of the chart that were not used", report.left_out)
    lines += _counted("Values that were used with a reservation", report.remarks)
    if not lines:
        return []
    return ["\n".join(["Limits of this answer:", "", *lines])]


def _report_lines(incomplete: Sequence[ReportLine]) -> list[str]:
    sentences = list(dict.fromkeys(line.sentence for line in incomplete))
    lines = [f"- {escaped(one, _LINE_LIMIT)}" for one in sentences[:_MOST_LIMITATIONS]]
    if len(sentences) > _MOST_LIMITATIONS:
        lines.append(f"- {len(sentences) - _MOST_LIMITATIONS} more; see the explanation.")
    return lines


def _counted(what: str, found: Sequence[ReportLine]) -> list[str]:
    if not found:
        return []
    counts = Counter(line.reason for line in found)
    words = ", ".join(f"{escaped(reason)} {count}" for reason, count in counts.most_common())
    return [f"- {what}, by reason: {words}."]
