"""What all plots share: a title that says what is seen, a light grid, labels at the lines themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from math import ceil
from typing import TYPE_CHECKING

from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from fundusd.domain.clinical_terms import SAFETY_WORDS, Grade
from fundusd.reports.page import INK, MUTED, RULE, drawable, font, save

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

_EPOCH = date(1970, 1, 1)
_POINTS = 72  # per inch
ACCENT = "#1d4e79"
# from light to dark as the disease goes on: in order without colour too
GRADES = {
    Grade.NO_DR: "#d3dce4",
    Grade.MILD: "#f4d58d",
    Grade.MODERATE: "#e8974a",
    Grade.SEVERE: "#b5492a",
    Grade.PDR: "#5f1a1d",
}
_WIDTH, _HEAD, _FOOT, _LEFT, _RIGHT = 9.0, 0.95, 0.75, 0.85, 1.55  # inches


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure with its fields."""

    figure: Figure
    fields: Sequence[Axes]

    def save(self, to: Path) -> None:
        """Write it by the suffix of its name; raises FundusdError."""
        save(self.figure, to)


def plotted(
    title: str, told: str, count: int, *, columns: int = 1, height: float = 3.6, unit: str = ""
) -> Plot:
    """Lay out so many fields; where there are none, say so."""
    columns = max(1, min(columns, count))
    rows = max(1, ceil(count / columns))
    right = _RIGHT if columns == 1 else 0.3
    tall = _HEAD + _FOOT + rows * height
    figure = Figure(figsize=(_WIDTH, tall), facecolor="white")
    figure.text(0.3 / _WIDTH, 1 - 0.38 / tall, title, fontproperties=font(13, bold=True), color=INK)
    words = told if count else "There is nothing to show for this time."
    figure.text(
        0.3 / _WIDTH,
        1 - 0.62 / tall,
        drawable(words),
        fontproperties=font(9),
        color=MUTED,
        parse_math=False,
    )
    figure.text(0.3 / _WIDTH, 0.18 / tall, SAFETY_WORDS, fontproperties=font(7), color=MUTED)
    fields = figure.subplots(rows, columns, squeeze=False).ravel().tolist() if count else []
    figure.subplots_adjust(
        left=_LEFT / _WIDTH,
        right=1 - right / _WIDTH,
        bottom=_FOOT / tall,
        top=1 - _HEAD / tall,
        hspace=0.45,
        wspace=0.25,
    )
    for number, axes in enumerate(fields):
        axes.set_visible(number < count)
        _clean(axes)
        if number % columns == 0:
            axes.set_ylabel(unit, fontproperties=font(8), color=MUTED)
    return Plot(figure, fields[:count])


def _clean(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8, labelcolor=MUTED, labelfontfamily="DejaVu Sans")


def name(axes: Axes, text: str) -> None:
    """Name a field above its upper left corner."""
    axes.set_title(
        drawable(text), loc="left", fontproperties=font(9, bold=True), color=INK, parse_math=False
    )


def day_number(day: date) -> float:
    """Return a day as matplotlib counts them."""
    return float((day - _EPOCH).days)


def over_time(axes: Axes, days: Sequence[float]) -> None:
    """Show the days from the first to the last, few of them by name."""
    locator = AutoDateLocator(minticks=2, maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.xaxis.get_offset_text().set(size=8, color=MUTED)
    margin = max(1.0, (max(days) - min(days)) * 0.02)
    axes.set_xlim(min(days) - margin, max(days) + margin)


def label_ends(axes: Axes, ends: Mapping[str, tuple[float, str]]) -> None:
    """Write names right of the field, each at its height in its colour, none over another."""
    outside, inside = axes.transData, axes.transAxes.inverted()
    least = 13 * axes.figure.dpi / _POINTS
    below = float("-inf")
    for text, (value, colour) in sorted(ends.items(), key=lambda one: one[1][0]):
        below = max(outside.transform((0, value))[1], below + least)
        _, y = inside.transform((0, below))
        axes.text(
            1.015,
            y,
            text,
            transform=axes.transAxes,
            va="center",
            fontproperties=font(8, bold=True),
            color=colour,
        )
