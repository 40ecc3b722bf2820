"""The plot of turnaround times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from fundusd.reports import wording
from fundusd.reports.page import MUTED
from fundusd.reports.plot_style import ACCENT, day_number, label_ends, new_plot, set_time_axis

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

    from matplotlib.axes import Axes

_SPANS = {
    1: "1 s",
    10: "10 s",
    60: "1 min",
    600: "10 min",
    3600: "1 h",
    36000: "10 h",
    86400: "1 d",
    864000: "10 d",
}


@dataclass(frozen=True, slots=True)
class TurnaroundDay:
    """The time from receipt to result of one day's captures: the median and the 95th percentile."""

    day: date
    median_seconds: float
    p95_seconds: float


def plot_turnaround(rows: Sequence[TurnaroundDay], to: Path) -> None:
    """Plot the median and 95th percentile of turnaround times by day.

    Raises RequestError if the file cannot be written.
    """
    days = sorted(rows, key=lambda row: row.day)
    plot = new_plot(
        "Time from a photograph's arrival to its result, by day",
        _slowest_day(days),
        bool(days),
        unit="time, logarithmic",
    )
    for axes in plot.axes:
        _draw(axes, days)
    plot.save(to)


def _slowest_day(rows: Sequence[TurnaroundDay]) -> str:
    slowest = max(rows, key=lambda row: row.p95_seconds, default=None)
    if slowest is None:
        return ""
    return f"Slowest: {wording.day(slowest.day)}, 95% within {_span(slowest.p95_seconds)}"


def _draw(axes: Axes, rows: Sequence[TurnaroundDay]) -> None:
    days = [day_number(row.day) for row in rows]
    p95 = [row.p95_seconds for row in rows]
    medians = [row.median_seconds for row in rows]
    labels = {}
    for share, seconds, colour in (("95% within", p95, MUTED), ("half within", medians, ACCENT)):
        axes.plot(days, seconds, color=colour, linewidth=1.8, marker="o", markersize=2.5)
        labels[f"{share} {_span(seconds[-1])}"] = (seconds[-1], colour)
    _set_time_scale(axes, [*p95, *medians])
    set_time_axis(axes, days)
    label_ends(axes, labels)


def _span(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"


def _set_time_scale(axes: Axes, seconds: Sequence[float]) -> None:
    """Use a logarithmic scale with ticks at round times."""
    low, high = min(seconds) / 1.5, max(seconds) * 1.5
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator([span for span in _SPANS if low <= span <= high]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda span, _: _SPANS.get(round(span), "")))
