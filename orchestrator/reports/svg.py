"""Charts as hand-written SVG: no script, no font, no style but classes of the page around them.

Every chart has a title for those who cannot see it, and writes the same bytes for the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import floor, log10
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.reports.words import harmless

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 680
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 14, 40
_ROW = 30
_NAMES = 190
_NUMBERS = 150
# Room for the names of lines, right of the plane.
_LEGEND = 112


class Dot(NamedTuple):
    """A named estimate with its interval."""

    name: str
    value: float
    low: float
    high: float
    note: str
    kind: str = "plain"  #: good | bad | plain


# How wide a letter of a name is, about, and how far two names stand apart, in pixels.
_LETTER, _LINE = 6.4, 13.0


class Mark(NamedTuple):
    """A named point in a plane."""

    name: str
    x: float
    y: float
    low: float
    high: float
    kind: str = "plain"


class Line(NamedTuple):
    """A named line through points (x, y)."""

    name: str
    points: Sequence[tuple[float, float]]
    kind: str


class Wall(NamedTuple):
    """A named vertical line: a day, a step, a promise."""

    x: float
    name: str
    kind: str = "wall"
    top: bool = False  #: its name stands at the upper end


class Band(NamedTuple):
    """What lies between two lines, as (x, low, high)."""

    points: Sequence[tuple[float, float, float]]
    kind: str


@dataclass(frozen=True, kw_only=True)
class Axis:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value lies."""
        span = self.high - self.low or 1.0
        return self.start + (value - self.low) / span * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values within the axis."""
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        rough = span / most
        size = 10.0 ** floor(log10(rough))
        step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= rough - 1e-12)
        first = -(-self.low // step)
        count = int((self.high - first * step) / step + 1e-9) + 1
        return [round((first + i) * step, 12) for i in range(count)]


def lines(
    title: str,
    drawn: Sequence[Line],
    x_name: str,
    y_name: str,
    *,
    zero: bool,
    walls: Sequence[Wall] = (),
    bands: Sequence[Band] = (),
) -> str:
    """Lines over a common axis.

    Args:
        title: what is seen.
        drawn: at least one line with at least one point.
        x_name: of the horizontal axis.
        y_name: of the vertical axis.
        zero: whether the vertical axis starts at 0, or shows it as a line.
        walls: vertical lines with a name; those right of every point widen the axis.
        bands: drawn behind the lines.
    """
    height = 260
    xs = [x for line in drawn for x, _ in line.points] + [wall.x for wall in walls]
    ys = [y for line in drawn for _, y in line.points] + ([0.0] if zero else [])
    ys += [end for band in bands for _, *ends in band.points for end in ends]
    x, y = _plane(xs, ys, height, right=_LEGEND)
    parts = _grid(x, y, height, x_name, y_name)
    parts += [_area(x, y, band) for band in bands]
    for place, wall in enumerate(walls):
        side, gap = ("end", -5) if x.at(wall.x) > (x.start + x.end) / 2 else ("", 5)
        parts.append(_line(x.at(wall.x), y.end, x.at(wall.x), y.start, wall.kind))
        level = y.end + 12 + 15 * place if wall.top else y.start - 8 - 15 * place
        parts.append(_text(x.at(wall.x) + gap, level, wall.name[:40], f"note {side}".strip()))
    if zero and y.low < 0 < y.high:
        parts.append(_line(x.start, y.at(0), x.end, y.at(0), "zero"))
    for place, line in enumerate(drawn):
        path = " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in line.points)
        parts.append(f'<polyline class="curve {line.kind}" points="{path}"/>')
        if len(line.points) == 1:
            parts.append(_circle(x.at(line.points[0][0]), y.at(line.points[0][1]), line.kind))
        parts.append(
            _text(x.end + 10, y.end + 12 + 17 * place, line.name[:18], f"label {line.kind}")
        )
    return _svg(title, height, parts)


def intervals(
    title: str, dots: Sequence[Dot], *, margin: float | None = None, unit: str = "points"
) -> str:
    """Estimates with their intervals, one a row, around a line at 0."""
    height = _TOP + _ROW * len(dots) + _BOTTOM
    ends = [end for dot in dots for end in (dot.low, dot.high)] + [0.0]
    x = _axis(ends + ([-margin] if margin else []), _NAMES, WIDTH - _NUMBERS)
    bottom = height - _BOTTOM + 6
    parts = [_line(x.at(t), _TOP, x.at(t), bottom, "grid") for t in x.ticks()]
    parts += [_text(x.at(t), bottom + 15, f"{t:+g}" if t else "0", "tick mid") for t in x.ticks()]
    parts.append(_line(x.at(0), _TOP, x.at(0), bottom, "zero"))
    if margin:
        parts.append(_line(x.at(-margin), _TOP, x.at(-margin), bottom, "limit"))
    for place, dot in enumerate(dots):
        middle = _TOP + _ROW * (place + 0.5)
        parts.append(_text(_NAMES - 12, middle + 4, dot.name[:28], "label end"))
        parts.append(_line(x.at(dot.low), middle, x.at(dot.high), middle, f"span {dot.kind}"))
        parts.append(_circle(x.at(dot.value), middle, dot.kind))
        parts.append(_text(WIDTH - _NUMBERS + 12, middle + 4, dot.note, "note"))
    parts.append(_text((x.start + x.end) / 2, bottom + 31, unit, "tick mid"))
    return _svg(title, height, parts)


def frontier(title: str, marks: Sequence[Mark], x_name: str, y_name: str) -> str:
    """Points with vertical intervals; those that another one beats on both axes are grey."""
    height = 280
    x, y = _plane(
        [m.x for m in marks] + [0.0, 1.08 * max(m.x for m in marks)],
        [end for m in marks for end in (m.low, m.high)],
        height,
    )
    parts = _grid(x, y, height, x_name, y_name)
    # The axis has a name, too, and it stands at its upper end.
    taken = [(x.start + 4, x.start + 4 + _LETTER * len(y_name), _TOP + 8.0)]
    for mark in marks:
        beaten = any(
            o.x <= mark.x and o.y >= mark.y and (o.x, o.y) != (mark.x, mark.y) for o in marks
        )
        kind = "beaten" if beaten else mark.kind
        at = x.at(mark.x)
        parts.append(_line(at, y.at(mark.low), at, y.at(mark.high), f"span {kind}"))
        parts.append(_circle(at, y.at(mark.y), kind))
        # Names stand above the intervals, where no other interval can cross them.
        side = "label end" if at > x.end - 60 else "label mid" if at > x.start + 60 else "label"
        name = mark.name[:40]
        wanted = (y.at(mark.high) - 6, y.at(mark.low) + 14)
        parts.append(_text(at, _free(taken, at, name, side, wanted), name, side))
    return _svg(title, height, parts)


def _free(
    taken: list[tuple[float, float, float]],
    at: float,
    name: str,
    side: str,
    wanted: Sequence[float],
) -> float:
    """A height at which a name meets no other one: where it is wanted, else further down."""
    wide = _LETTER * len(name)
    left = at - wide if side.endswith("end") else at - wide / 2 if side.endswith("mid") else at

    def meets(height: float) -> bool:
        return any(
            abs(height - other) < _LINE and left < end and start < left + wide
            for start, end, other in taken
        )

    lower = [wanted[-1] + step * _LINE for step in range(1, 12)]
    height = next((one for one in (*wanted, *lower) if not meets(one)), wanted[0])
    taken.append((left, left + wide, height))
    return height


def tornado(title: str, bars: Sequence[Dot], centre: float) -> str:
    """How far one number moves with each input, widest first."""
    height = _TOP + _ROW * len(bars) + _BOTTOM
    ends = [end for bar in bars for end in (bar.low, bar.high)] + [centre]
    x = _axis(ends, _NAMES, WIDTH - _NUMBERS)
    bottom = height - _BOTTOM + 6
    parts = [_line(x.at(t), _TOP, x.at(t), bottom, "grid") for t in x.ticks(4)]
    parts += [_text(x.at(t), bottom + 15, _short(t), "tick mid") for t in x.ticks(4)]
    for place, bar in enumerate(bars):
        top = _TOP + _ROW * place + 6
        for end, kind in ((bar.low, "bad"), (bar.high, "good")):
            left, right = sorted((x.at(centre), x.at(end)))
            side = kind if (end > centre) == (kind == "good") else ("good", "bad")[kind == "good"]
            parts.append(
                f'<rect class="bar {side}" x="{left:.1f}" y="{top}" '
                f'width="{right - left:.1f}" height="{_ROW - 12}"/>'
            )
        parts.append(_text(_NAMES - 12, top + 13, bar.name[:28], "label end"))
        parts.append(_text(WIDTH - _NUMBERS + 12, top + 13, bar.note, "note"))
    parts.append(_line(x.at(centre), _TOP, x.at(centre), bottom, "zero"))
    return _svg(title, height, parts)


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    # A chart of the same kind may stand on the page twice, so the title is inside, not referenced.
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{_shown(title)}">'
        f"<title>{_shown(title)}</title>{''.join(parts)}</svg>"
    )


def _plane(
    xs: Sequence[float], ys: Sequence[float], height: float, right: float = _RIGHT
) -> tuple[Axis, Axis]:
    x = _axis(xs, _LEFT, WIDTH - right, pad=0.0 if min(xs) < max(xs) else 0.5)
    y = _axis(ys, height - _BOTTOM, _TOP)
    return x, y


def _axis(values: Sequence[float], start: float, end: float, pad: float = 0.06) -> Axis:
    low, high = min(values), max(values)
    extra = (high - low) * pad or (abs(high) or 1.0) * pad
    floor_at_zero = low == 0.0
    return Axis(low=low if floor_at_zero else low - extra, high=high + extra, start=start, end=end)


def _grid(x: Axis, y: Axis, height: float, x_name: str, y_name: str) -> list[str]:
    bottom = height - _BOTTOM
    parts = [_line(x.start, y.at(t), x.end, y.at(t), "grid") for t in y.ticks()]
    parts += [_text(x.start - 8, y.at(t) + 4, _short(t), "tick end") for t in y.ticks()]
    parts += [_text(x.at(t), bottom + 16, _short(t), "tick mid") for t in x.ticks()]
    parts.append(_text((x.start + x.end) / 2, bottom + 33, x_name, "tick mid"))
    parts.append(_text(x.start + 4, _TOP + 8, y_name, "tick"))
    return parts


def _area(x: Axis, y: Axis, band: Band) -> str:
    there = [f"{x.at(a):.1f},{y.at(high):.1f}" for a, _, high in band.points]
    back = [f"{x.at(a):.1f},{y.at(low):.1f}" for a, low, _ in reversed(band.points)]
    return f'<polygon class="band {band.kind}" points="{" ".join(there + back)}"/>'


def _short(value: float) -> str:
    if abs(value) >= 10_000:
        return f"{value / 1000:,.0f}k"
    return f"{value:,.10g}" if abs(value) >= 1000 else f"{value:.6g}"


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _circle(x: float, y: float, kind: str) -> str:
    return f'<circle class="dot {kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'


def _shown(text: str) -> str:
    return escape(harmless(text))


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{_shown(text)}</text>'
