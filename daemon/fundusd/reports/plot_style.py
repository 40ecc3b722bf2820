"""The style of all plots: a title, a subtitle with the main finding, a grid and labelled lines."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from math import ceil
from typing import TYPE_CHECKING

from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from fundusd.domain.clinical_terms import SAFETY_WORDS, Grade
from fundusd.reports.page import INK, MUTED, RULE, drawable, font, save_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

_EPOCH = date(1970, 1, 1)
_POINTS = 72  # per inch
ACCENT = "#1d4e79"
# from light to dark with severity, so that the order of the grades is visible without colour too
GRADES = {
    Grade.NO_DR: "#d3dce4",
    Grade.MILD: "#f4d58d",
    Grade.MODERATE: "#e8974a",
    Grade.SEVERE: "#b5492a",
    Grade.PDR: "#5f1a1d",
}
_WIDTH, _TOP, _BOTTOM, _LEFT, _RIGHT = 9.0, 0.95, 0.75, 0.85, 1.55  # inches
_RIGHT_OF_COLUMNS = 0.3  # inches: only a plot of one column has labels to the right of its lines


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure with its axes."""

    figure: Figure
    axes: Sequence[Axes]

    def save(self, to: Path) -> None:
        """Write the plot as PDF, SVG or PNG, depending on the suffix of `to`.

        Raises RequestError if the file cannot be written.
        """
        save_figure(self.figure, to)


def new_plot(
    title: str, subtitle: str, count: int, *, columns: int = 1, height: float = 3.6, unit: str = ""
) -> Plot:
    """Return a plot with `count` empty axes.

    If `count` is 0, the plot shows only a sentence that says that there is nothing to show.
    """
    columns = max(1, min(columns, count))
    rows = max(1, ceil(count / columns))
    total_height = _TOP + _BOTTOM + rows * height
    figure = Figure(figsize=(_WIDTH, total_height), facecolor="white")
    if count == 0:
        subtitle = "There is nothing to show for this period."
    _write_texts(figure, title, subtitle)
    if count == 0:
        return Plot(figure, [])
    every_axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    right = _RIGHT
    if columns > 1:
        right = _RIGHT_OF_COLUMNS
    figure.subplots_adjust(
        left=_LEFT / _WIDTH,
        right=1 - right / _WIDTH,
        bottom=_BOTTOM / total_height,
        top=1 - _TOP / total_height,
        hspace=0.45,
        wspace=0.25,
    )
    for number, axes in enumerate(every_axes):
        axes.set_visible(number < count)
        _set_style(axes)
        if number % columns == 0:
            axes.set_ylabel(unit, fontproperties=font(8), color=MUTED)
    return Plot(figure, every_axes[:count])


def _write_texts(figure: Figure, title: str, subtitle: str) -> None:
    height = figure.get_figheight()
    x = 0.3 / _WIDTH
    figure.text(x, 1 - 0.38 / height, title, fontproperties=font(13, bold=True), color=INK)
    figure.text(
        x,
        1 - 0.62 / height,
        drawable(subtitle),
        fontproperties=font(9),
        color=MUTED,
        parse_math=False,
    )
    figure.text(x, 0.18 / height, SAFETY_WORDS, fontproperties=font(7), color=MUTED)


def _set_style(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=8, labelcolor=MUTED, labelfontfamily="DejaVu Sans")


def set_title(axes: Axes, text: str) -> None:
    """Write a title above the upper left corner of the axes."""
    axes.set_title(
        drawable(text), loc="left", fontproperties=font(9, bold=True), color=INK, parse_math=False
    )


def day_number(day: date) -> float:
    """Return the number of days from 1 January 1970 to a day, as matplotlib counts days."""
    return float((day - _EPOCH).days)


def set_time_axis(axes: Axes, days: Sequence[float]) -> None:
    """Make the time axis extend from the first to the last day, with a few dates as labels."""
    locator = AutoDateLocator(minticks=2, maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.xaxis.get_offset_text().set(size=8, color=MUTED)
    margin = max(1.0, (max(days) - min(days)) * 0.02)
    axes.set_xlim(min(days) - margin, max(days) + margin)


def label_ends(axes: Axes, ends: Mapping[str, tuple[float, str]]) -> None:
    """Write labels to the right of the axes, without overlap.

    `ends` gives the value beside which each label is placed, and the colour of the label.
    """
    outside, inside = axes.transData, axes.transAxes.inverted()
    spacing = 13 * axes.figure.dpi / _POINTS
    below = float("-inf")
    for text, (value, colour) in sorted(ends.items(), key=lambda end: end[1][0]):
        below = max(outside.transform((0, value))[1], below + spacing)
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
