"""What became of the cards: the feedback report with small cells hidden, and how soon it came."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cds_hooks.feedback_report import FeedbackReport
from cds_hooks.service_report.cells import Cells, Json

_EDGES_S = (60, 300, 900, 3600, 86_400)
_NAMES = (
    "within 1 minute",
    "1 to 5 minutes",
    "5 to 15 minutes",
    "15 to 60 minutes",
    "1 to 24 hours",
    "more than a day",
)


def uptake(report: FeedbackReport, cells: Cells) -> Json:
    """The document's parts about cards that were shown, and feedback about them."""
    reasons = cells.hide(report.reasons)
    return {
        "cards": cells.group(report.all_cards),
        "byIndicator": cells.groups(report.by_indicator),
        "byWeek": cells.groups(report.by_week),
        "byStep": cells.groups(report.by_step),
        "byDriver": cells.groups(report.by_driver),
        "overrideReasons": {
            name: cells.hidden(rate.count) if name in reasons else rate.to_json()
            for name, rate in report.reason_rates().items()
        },
        "overriddenWithComment": cells.count(report.with_comment),
        "suggestionsAccepted": cells.count(report.suggestions_accepted),
        "unknownItems": cells.count(report.unknown_items),
        "timeToFeedback": time_to_feedback(report.delays_s, cells),
    }


def time_to_feedback(delays_s: Sequence[float], cells: Cells) -> Json | None:
    """Quartiles in minutes, and counts; None with too little feedback.

    The user's time is that of the client's clock. Feedback from before its card tells of a clock
    that is wrong; it is counted apart.
    """
    later = np.array([one for one in delays_s if one >= 0])
    if len(later) < cells.least:
        return None
    quarter, median, three = np.quantile(later, (0.25, 0.5, 0.75)) / 60
    counts, _ = np.histogram(later, (0.0, *map(float, _EDGES_S), np.inf))
    return {
        "answered": len(later),
        "medianMinutes": round(float(median), 2),
        "quartilesMinutes": [round(float(quarter), 2), round(float(three), 2)],
        "counts": cells.parts(dict(zip(_NAMES, counts.tolist(), strict=True))),
        "beforeTheirCard": cells.count(len(delays_s) - len(later)),
    }
