"""What is printed in a terminal."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from cds_hooks.terminal import attribution_table, harmless, print_card
from tests.cds_hooks.explained_patient import NOW, stored_explanation

CARD = {
    "summary": "Estimated risk: 37 %",
    "indicator": "warning",
    "detail": "Reasons:\n\n- Lactate 4.6 mmol/L\n- a \\*star\\*",
    "links": [{"label": "Explanation", "url": "http://127.0.0.1/x"}],
}


def printed(show) -> str:
    out = Console(file=StringIO(), width=110, highlight=False)
    show(out)
    return out.file.getvalue()


def test_a_card_is_readable():
    text = printed(lambda out: print_card(out, CARD, "Ada Example"))
    for expected in (
        "Ada Example",
        "warning",
        "37 %",
        "• Lactate",
        "a *star*",
        "http://127.0.0.1/x",
    ):
        assert expected in text


def test_a_card_cannot_rewrite_the_screen():
    evil = {
        **CARD,
        "summary": "low\x1b[2J\x9b31m risk",
        "detail": "[red]not markup[/red]\x1b]0;x\x07",
    }
    text = printed(lambda out: print_card(out, evil, "\u202eecila"))
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert "\u202e" not in text
    assert "[red]not markup[/red]" in text


def test_line_ends_stay():
    assert harmless("a\nb\tc\r") == "a\nb\tc\N{REPLACEMENT CHARACTER}"


def test_the_table_lists_the_strongest_first():
    explanation = stored_explanation().explanation
    text = printed(lambda out: out.print(attribution_table(explanation, NOW, 5)))
    assert text.index("Lactate") < text.index("Septic shock") < text.index("Glasgow")
    assert "+0.62 ± 0.02" in text
    assert "5 of 28 findings" in text
