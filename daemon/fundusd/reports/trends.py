"""Plots of weekly values: the ungradable share, the grades and the mean scores."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from math import nan
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import PercentFormatter

from fundusd.domain.clinical_terms import Grade
from fundusd.reports.page import INK, RULE
from fundusd.reports.plot_style import (
    ACCENT,
    GRADES,
    day_number,
    label_ends,
    new_plot,
    set_time_axis,
    set_title,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

_WEEK = 7.0  # days


@dataclass(frozen=True, slots=True)
class QualityWeek:
    """The number of a camera's captures in a week, and how many of them were ungradable."""

    week: str  # ISO, 2026-W47
    camera_id: str
    captures: int
    ungradable: int

    @property
    def rate(self) -> float:
        """Return the share of captures that were ungradable, or nan if there were no captures."""
        return self.ungradable / self.captures if self.captures else nan


@dataclass(frozen=True, slots=True)
class ClassWeek:
    """The number of captures with each grade in a week."""

    week: str
    counts: tuple[int, int, int, int, int]

    @property
    def total(self) -> int:
        """Return the number of graded captures."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class DriftWeek:
    """The mean score of a grade in a week, and the limits of the shaded band."""

    week: str
    grade: Grade
    mean: float
    low: float
    high: float


def monday(week: str) -> float:
    """Return the day number of the Monday of an ISO week.

    >>> monday("2026-W02") - monday("2025-W52")
    14.0
    """
    return day_number(date.fromisocalendar(int(week[:4]), int(week[6:]), 1))


def plot_quality(rows: Sequence[QualityWeek], to: Path) -> None:
    """Plot the weekly share of ungradable captures for each camera.

    Behind the line of each camera, the lines of the other cameras are drawn in grey. Raises
    RequestError if the file cannot be written.
    """
    rates: dict[str, dict[float, float]] = defaultdict(dict)  # by camera and week
    weeks, top = [], 0.3
    for row in rows:
        weeks.append(monday(row.week))
        rates[row.camera_id][monday(row.week)] = row.rate
        top = max(top, row.rate)
    plot = new_plot(
        "Share of photographs that were ungradable, by week",
        _highest_rate(rows),
        len(rates),
        columns=2,
        height=2.1,
        unit="share ungradable",
    )
    for camera_id, axes in zip(sorted(rates), plot.axes, strict=True):
        for other in rates.values():
            axes.plot(*_line(other), color=RULE, linewidth=1)
        axes.plot(*_line(rates[camera_id]), color=ACCENT, linewidth=1.8, marker="o", markersize=2.5)
        set_title(axes, _summary(rows, camera_id))
        axes.set(ylim=(0, top * 1.1))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        set_time_axis(axes, weeks)
    plot.save(to)


def _highest_rate(rows: Sequence[QualityWeek]) -> str:
    """Return a phrase that states the highest ungradable share in the latest week."""
    highest = max(rows, key=lambda row: (row.week, row.rate), default=None)
    if highest is None:
        return ""
    return (
        f"Highest in {highest.week}: {highest.camera_id}, {highest.rate:.0%} of {highest.captures}"
    )


def _summary(rows: Sequence[QualityWeek], camera_id: str) -> str:
    captures = ungradable = 0
    for row in rows:
        if row.camera_id == camera_id:
            captures += row.captures
            ungradable += row.ungradable
    return f"{camera_id}: {ungradable / max(1, captures):.0%} of {captures:,} captures"


def plot_class_mix(rows: Sequence[ClassWeek], to: Path) -> None:
    """Plot the weekly share of each grade as stacked bars.

    Raises RequestError if the file cannot be written.
    """
    weeks = sorted((row for row in rows if row.total), key=lambda row: row.week)
    graded = sum(row.total for row in weeks)
    plot = new_plot(
        "Grades by the model: share of each grade, by week",
        f"{graded:,} graded captures",
        bool(weeks),
        unit="share of graded captures",
    )
    for axes in plot.axes:
        _draw_class_mix(axes, weeks)
    plot.save(to)


def _draw_class_mix(axes: Axes, rows: Sequence[ClassWeek]) -> None:
    mondays = [monday(row.week) for row in rows]
    counts = np.array([row.counts for row in rows], float)  # [week, grade]
    shares = counts / counts.sum(axis=1, keepdims=True)
    tops = shares.cumsum(axis=1)
    labels = {}
    for grade in Grade:
        share, bottom = shares[:, grade], tops[:, grade] - shares[:, grade]
        axes.bar(mondays, share, _WEEK - 1, bottom, color=GRADES[grade], align="edge")
        labels[f"{grade.label}  {share[-1]:.0%}"] = (bottom[-1] + share[-1] / 2, INK)
    axes.set(ylim=(0, 1))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    set_time_axis(axes, [*mondays, mondays[-1] + _WEEK])
    label_ends(axes, labels)


def plot_drift(rows: Sequence[DriftWeek], to: Path, band: str) -> None:
    """Plot the weekly mean score of each grade, with a shaded band that `band` describes.

    Raises RequestError if the file cannot be written.
    """
    count = 0
    if rows:
        count = len(Grade)
    plot = new_plot(
        "Scores of the model, weekly mean",
        f"Shaded: {band}",
        count,
        columns=3,
        height=2.1,
        unit="score, 0 to 1",
    )
    for grade, axes in zip(Grade, plot.axes, strict=False):
        _draw_drift(axes, rows, grade)
        set_title(axes, grade.label)
        set_time_axis(axes, [monday(row.week) for row in rows])
    plot.save(to)


def _draw_drift(axes: Axes, rows: Sequence[DriftWeek], grade: Grade) -> None:
    lows, means, highs = {}, {}, {}
    top = 0.1
    for row in rows:
        if row.grade is grade:
            week = monday(row.week)
            lows[week], means[week], highs[week] = row.low, row.mean, row.high
            top = max(top, row.high)
    weeks, low = _line(lows)
    _, high = _line(highs)
    axes.fill_between(weeks, low, high, color=ACCENT, alpha=0.16, linewidth=0)
    axes.plot(*_line(means), color=ACCENT, linewidth=1.8, marker="o", markersize=2)
    axes.set(ylim=(0, top * 1.08))


def _line(by_week: Mapping[float, float]) -> tuple[list[float], list[float]]:
    """Return all weeks from the first to the last, and the value for each.

    The value is nan for a week that `by_week` lacks.
    """
    week, last = min(by_week, default=0.0), max(by_week, default=0.0)
    weeks, values = [], []
    while week <= last:
        weeks.append(week)
        values.append(by_week.get(week, nan))
        week += _WEEK
    return weeks, values
