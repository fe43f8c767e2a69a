"""The section about drift."""

from __future__ import annotations

from markupsafe import Markup

from cds_hooks.limits import input_words
from cds_hooks.service_report.cells import Json
from cds_hooks.service_report.elements import Row, document_table, section
from cds_hooks.service_report.svg import bar

_LIKE, _OTHER = 0.1, 0.25  # below the first like training, from the second on another population
_MOST_ROWS = 40


def drift_section(drift: Json | None) -> Markup:
    """Return it; a sentence where nothing can be said."""
    heading = "Drift of the inputs"
    if drift is None:
        return section(heading, "No input was compared with training in this period.")
    inputs = drift["inputs"]
    far = [one for one in inputs if one["index"] >= _OTHER]
    said = (
        f"Population stability index of each input of {drift['model']} over {drift['hooks']:,}"
        f" answered hooks, against equal shares of training. Below {_LIKE} is like training, from"
        f" {_OTHER} on (the mark) another population: {len(far)} of {len(inputs)} inputs. With"
        f" fewer than 200 values the index is noise, and is not given:"
        f" {drift['inputsWithTooFewValues']} inputs."
    )
    scale = max([2 * _OTHER, *(one["index"] for one in inputs)])
    rows = [
        Row(
            (input_words(one["input"]),),
            (f"{one['values']:,}", f"{one['index']:.2f}"),
            bar(one["index"], scale=scale, mark=_OTHER),
        )
        for one in inputs[:_MOST_ROWS]
    ]
    return section(
        heading,
        said,
        document_table("Inputs, the farthest first", ("", "values", "index", ""), rows),
    )
