"""Cards and attributions in a terminal. What comes from a chart or a server is shown as text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.markdown import Markdown
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cds_hooks.explanation_page.figures import PageClock, logit_text, signed
from cds_hooks.explanation_page.reasons import reason, strongest, token_scale
from model.prediction import Explanation, TokenAttribution

if TYPE_CHECKING:
    from cds_hooks.explain_command import Explained

_COLOURS = {"info": "blue", "warning": "yellow", "critical": "red"}
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_BAR_CHARACTERS = 12


def console() -> Console:
    """Return the console on stdout; it drops colours where stdout is no terminal."""
    return Console(highlight=False)


def print_card(out: Console, card: Mapping[str, Any], heading: str) -> None:
    """Print one CDS card as a panel in the colour of its indicator."""
    colour = _COLOURS.get(str(card.get("indicator")), "white")
    content = Group(
        Text(harmless(card.get("summary", "")), style=f"bold {colour}"),
        Markdown(harmless(card.get("detail", "")), hyperlinks=False),
    )
    title = Text(f"{harmless(heading)} [{harmless(card.get('indicator', ''))}]")
    out.print(Panel(content, title=title, title_align="left", border_style=colour))
    for link in card.get("links", []):  # apart and unbroken, so that it can be opened
        line = Text(f"  {harmless(link.get('label'))}: {harmless(link.get('url'))}")
        out.print(line, soft_wrap=True)


def print_explained(out: Console, result: Explained, top: int) -> None:
    """Print the card and the strongest attributions of one patient."""
    card = result.card()
    if card is not None:
        print_card(out, card, result.record.demographics.source)
    if result.explanation is not None and result.explanation.reliable:
        out.print(attribution_table(result.explanation, result.prediction.prediction_time, top))


def attribution_table(explanation: Explanation, now: Any, top: int) -> Table:
    """Return the strongest tokens with SHAP, LIME, attention and sources."""
    table = Table(
        title=f"Findings by absolute SHAP value ({explanation.task})", title_justify="left"
    )
    table.add_column("Finding", ratio=5)
    table.add_column("Effect", no_wrap=True, width=2 * _BAR_CHARACTERS + 1)
    table.add_column("SHAP, logits", justify="right", no_wrap=True)
    table.add_column("LIME", justify="right", no_wrap=True)
    table.add_column("Attention", justify="right", no_wrap=True)
    table.add_column("Source", ratio=2)
    ordered = strongest(explanation.tokens)
    largest = max((abs(token.shap_logit) for token in ordered), default=0.0) or 1.0
    scale = token_scale(explanation.tokens)
    for token in ordered[:top]:
        row = reason(token, scale, PageClock(now))
        table.add_row(
            Text(harmless("; ".join(part for part in (*row.flags, row.what, row.value) if part))),
            _bar(token, largest),
            logit_text(token.shap_logit, token.shap_standard_error_logit),
            "" if token.lime_logit is None else signed(token.lime_logit),
            row.attention,
            Text(harmless(", ".join(token.sources[:2]))),
        )
    shown = min(top, len(ordered))
    course = f"{signed(explanation.empty_logit)} without data to {signed(explanation.logit)}"
    table.caption = f"{shown} of {len(ordered)} findings; the output goes from {course} logits"
    return table


def harmless(text: object) -> str:
    """Return text without control characters, which could rewrite what stands on the screen."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", str(text))


def _bar(token: TokenAttribution, largest: float) -> Text:
    length = round(_BAR_CHARACTERS * abs(token.shap_logit) / largest)
    blank, bar = " " * _BAR_CHARACTERS, "█" * length
    if token.shap_logit >= 0:
        return Text.assemble(blank, "│", (bar, "red"))
    return Text.assemble(" " * (_BAR_CHARACTERS - length), (bar, "blue"), "│")
