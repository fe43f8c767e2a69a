"""Card text as HTML that can do no harm, whatever the service sent.

HTML in the text is shown as text, images are not loaded, links open apart and only over http(s).
Control characters that turn the reading direction are made visible, so that nothing can be made
to read as something else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

_CONTROLS = re.compile(
    r"[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f"  # all but tab and line ends
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # reading direction
    r"\ud800-\udfff]"  # half characters, which JSON can hold and no page
)
# Without a shape, and of no use on a page. Joiners stay: scripts and emoji need them.
_SHAPELESS = re.compile(r"[\u00ad\u034f\u115f\u1160\u180e\u200b\u2060-\u2065\u3164\ufeff\uffa0]")
_PILED = re.compile(r"([\u0300-\u036f]{4})[\u0300-\u036f]+")  # accents that cover lines above
_LONGEST = 100_000


def plain(text: object) -> str:
    """Return text without the power to hide anything; not yet escaped."""
    shown = _CONTROLS.sub(lambda match: f"[U+{ord(match[0]):04X}]", str(text))
    shown = _PILED.sub(r"\1", _SHAPELESS.sub("", shown))
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + " …"


def to_html(markdown: str) -> Markup:
    """Render GitHub-flavoured Markdown without HTML, images and foreign schemes."""
    # What markdown-it returns holds no tag that came from the text: html is off.
    return Markup(_parser().render(plain(markdown)))  # noqa: S704


def web_address(url: object) -> str | None:
    """Return an absolute http(s) address as it is, None for anything else."""
    text = plain(url)
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    return text if parts.scheme in ("http", "https") and parts.netloc else None


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False})
    parser.enable(["table", "strikethrough"]).disable(["image", "html_inline", "html_block"])
    parser.validateLink = lambda url: web_address(url) is not None  # type: ignore[method-assign]
    parser.add_render_rule("link_open", _link_open)
    return parser


def _link_open(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, _env: Any
) -> str:
    tokens[index].attrSet("rel", "noopener noreferrer")
    tokens[index].attrSet("target", "_blank")
    return renderer.renderToken(tokens, index, options, _env)
