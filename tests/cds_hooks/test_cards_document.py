"""docs/cards.md shows what the service says, in a form that any EHR can show."""

from __future__ import annotations

import pytest

from tests.cds_hooks.print_cards import EXAMPLES, shown_in_document, text_of

ANEW = "python -m tests.cds_hooks.print_cards --document writes the examples anew"


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_what_the_service_says(name: str) -> None:
    card = EXAMPLES[name]()
    assert card is not None
    text = text_of(card)
    assert shown_in_document(name) == text, ANEW
    assert len(card["summary"]) < 140
    assert not [line for line in text.splitlines() if line.lstrip().startswith(("#", "|", ">"))]
    assert "**" not in text
    assert "](" not in text
    assert " 1 items" not in text
    assert "e-0" not in text


def test_the_examples_show_each_kind_of_card() -> None:
    assert "the model is uncertain" in shown_in_document("uncertain")
    assert "No risk estimate" in shown_in_document("ambulatory")
    assert "differ from those that the model learnt from" in shown_in_document("drift")
    assert "Next steps to consider" in shown_in_document("sepsis")
    assert "as shown to you at" in shown_in_document("short")
