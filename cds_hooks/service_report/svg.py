"""Pictures of the report as SVG without styles of their own: the page's classes colour them.

A bar stands in the row of a table that holds its numbers, so it is hidden from screen readers.
The calibration plot has a title, and its numbers in the table below it.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

BAR_WIDTH, BAR_HEIGHT = 160.0, 14.0
_SIDE = 320.0  # of the calibration plot
_LEFT, _BOTTOM, _TOP, _RIGHT = 44.0, 36.0, 8.0, 8.0
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def bar(
    value: float,
    *,
    scale: float = 1.0,
    interval: tuple[float, float] | None = None,
    mark: float | None = None,
) -> Markup:
    """A bar from 0 to ``value`` on a strip from 0 to ``scale``, with whisker and reference mark."""
    parts = [
        Markup('<rect class="track" width="{}" height="{}"/>').format(_n(BAR_WIDTH), BAR_HEIGHT),
        Markup('<rect class="bar" width="{}" height="{}"/>').format(_x(value, scale), BAR_HEIGHT),
    ]
    if interval is not None:
        parts.append(_whisker(_x(interval[0], scale), _x(interval[1], scale)))
    if mark is not None:
        parts.append(
            Markup('<line class="mark" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(
                _x(mark, scale), BAR_HEIGHT
            )
        )
    return _svg("bar", BAR_WIDTH, BAR_HEIGHT, parts, hidden=True)


def dot(
    value: float,
    interval: tuple[float, float],
    *,
    low: float,
    high: float,
    mark: float | None = None,
) -> Markup:
    """A point with its whisker on a strip from ``low`` to ``high``."""

    def place(number: float) -> str:
        share = (min(max(number, low), high) - low) / (high - low)
        return _n(4 + share * (BAR_WIDTH - 8))

    middle = BAR_HEIGHT / 2
    parts = [
        Markup('<line class="axis" x1="0" x2="{0}" y1="{1}" y2="{1}"/>').format(
            _n(BAR_WIDTH), middle
        )
    ]
    if mark is not None:
        parts.append(
            Markup('<line class="mark" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(
                place(mark), BAR_HEIGHT
            )
        )
    parts += [
        _whisker(place(interval[0]), place(interval[1])),
        Markup('<circle class="dot" cx="{}" cy="{}" r="3.5"/>').format(place(value), middle),
    ]
    return _svg("bar", BAR_WIDTH, BAR_HEIGHT, parts, hidden=True)


def calibration(points: Sequence[tuple[float, float, float, float]], title: str) -> Markup:
    """Observed share over predicted risk; each point is (risk, share, low, high).

    The axes end where the highest whisker or risk ends, rounded up to a fifth.
    """
    top = max(max(risk, high) for risk, _, _, high in points)
    end = next(tick for tick in (0.2, 0.4, 0.6, 0.8, 1.0) if top <= tick or tick == 1.0)
    ticks = [end * tick for tick in _TICKS]

    def x(risk: float) -> str:
        return _n(_LEFT + risk / end * (_SIDE - _LEFT - _RIGHT))

    def y(share: float) -> str:
        return _n(_SIDE - _BOTTOM - share / end * (_SIDE - _BOTTOM - _TOP))

    parts = [Markup("<title>{}</title>").format(title)]
    for tick in ticks:
        label = f"{100 * tick:.0f}"
        parts += [
            Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                x(0), x(end), y(tick), y(tick)
            ),
            Markup('<text class="tick end" x="{}" y="{}">{}</text>').format(
                _n(_LEFT - 6), y(tick - 0.012 * end), label
            ),
            Markup('<text class="tick middle" x="{}" y="{}">{}</text>').format(
                x(tick), _n(_SIDE - _BOTTOM + 15), label
            ),
        ]
    parts.append(
        Markup('<line class="mark" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
            x(0), y(0), x(end), y(end)
        )
    )
    for risk, share, low, high in points:
        parts += [
            Markup('<line class="whisker" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
                x(risk), y(low), y(high)
            ),
            Markup('<circle class="dot" cx="{}" cy="{}" r="4"/>').format(x(risk), y(share)),
        ]
    parts += [
        Markup('<text class="tick middle" x="{}" y="{}">predicted risk, %</text>').format(
            x(end / 2), _n(_SIDE - 4)
        ),
        Markup(
            '<text class="tick middle" transform="translate(11 {}) rotate(-90)">observed, %</text>'
        ).format(y(end / 2)),
    ]
    return _svg("plot", _SIDE, _SIDE, parts, hidden=False)


def _svg(
    kind: str, width: float, height: float, parts: Sequence[Markup], *, hidden: bool
) -> Markup:
    role = Markup('aria-hidden="true" focusable="false"') if hidden else Markup('role="img"')
    head = Markup('<svg class="{}" viewBox="0 0 {} {}" {}>').format(
        kind, _n(width), _n(height), role
    )
    return head + Markup("").join(parts) + Markup("</svg>")


def _whisker(low: str, high: str) -> Markup:
    return Markup('<line class="whisker" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>').format(
        low, high, BAR_HEIGHT / 2
    )


def _x(value: float, scale: float) -> str:
    return _n(min(max(value / scale, 0.0), 1.0) * BAR_WIDTH)


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
