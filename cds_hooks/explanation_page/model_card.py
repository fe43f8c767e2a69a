"""The checkpoint's model card as a page: Markdown that came with the weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

from cds_hooks.errors import SettingsError

FILE_NAME = "MODEL_CARD.md"
_LARGEST_BYTES = 1_000_000
_TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)
_TITLE = re.compile(r"<h1>(.*?)</h1>")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model card as HTML; ``title`` names the model and its version."""

    title: str
    html: Markup

    def is_of(self, model: str) -> bool:
        """Whether this is the card of a model: an explanation may be older than the weights."""
        return self.title.endswith(f": {model}")


def read_model_card(checkpoint: Path) -> ModelCard | None:
    """Return the card, None where the checkpoint has none. Raises SettingsError."""
    path = checkpoint / FILE_NAME
    try:
        text = path.read_bytes()[:_LARGEST_BYTES].decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"The model card {path} cannot be read: {exc}") from exc
    return model_card(text)


def model_card(text: str) -> ModelCard:
    """Render a card without HTML of its own and without images; wide tables scroll apart."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.disable(["image", "html_inline", "html_block"])
    html = parser.render(text).replace("<th></th>", "<td></td>")  # a heading says something
    title = _TITLE.search(html)
    numbers = count(1)
    html = _TABLE.sub(
        lambda match: (
            f'<div class="scroll" tabindex="0" role="region"'
            f' aria-label="Table {next(numbers)}">{match[0]}</div>'
        ),
        html,
    )
    # html is off: no tag comes from the text
    return ModelCard(Markup(title[1]).striptags() if title else "", Markup(html))  # noqa: S704
