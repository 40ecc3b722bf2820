"""How figures move over the weeks: plots of plain rows, as PNG, SVG or PDF by the suffix."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from math import nan
from typing import TYPE_CHECKING

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from fundusd.domain.clinical_terms import Grade
from fundusd.reports import wording
from fundusd.reports.page import INK, MUTED, RULE, font
from fundusd.reports.plot_style import (
    ACCENT,
    GRADES,
    day_number,
    label_ends,
    name,
    over_time,
    plotted,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

_WEEK = 7.0  # days
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
class QualityWeek:
    """How many captures of a camera were ungradable in a week."""

    week: str  # ISO, 2026-W47
    camera_id: str
    captures: int
    ungradable: int

    @property
    def rate(self) -> float:
        """Return the ungradable share."""
        return self.ungradable / self.captures if self.captures else nan


@dataclass(frozen=True, slots=True)
class ClassWeek:
    """How many graded captures of a week had each grade."""

    week: str
    counts: tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class DriftWeek:
    """The mean score of a grade in a week, and its band."""

    week: str
    grade: Grade
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class TurnaroundDay:
    """How long captures of a day took from being received to their result."""

    day: date
    median_seconds: float
    p95_seconds: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many eyes the model and a reader graded so; None: ungradable."""

    model: Grade | None
    reader: Grade | None
    eyes: int


def monday(week: str) -> float:
    """Return the first day of an ISO week, as a number of days.

    >>> monday("2026-W02") - monday("2025-W52")
    14.0
    """
    return day_number(date.fromisocalendar(int(week[:4]), int(week[6:]), 1))


def plot_quality(rows: Sequence[QualityWeek], to: Path) -> None:
    """Plot the weekly ungradable share, a field for each camera before all others in grey; raises FundusdError."""
    by_camera: dict[str, dict[float, float]] = defaultdict(dict)
    for row in rows:
        by_camera[row.camera_id][monday(row.week)] = row.rate
    worst = max(rows, key=lambda row: (row.week, row.rate), default=None)
    told = (
        f"Highest in {worst.week}: {worst.camera_id}, {worst.rate:.0%} of {worst.captures}"
        if worst
        else ""
    )
    title = "Ungradable photographs, share of each week"
    plot = plotted(title, told, len(by_camera), columns=2, height=2.1, unit="share ungradable")
    top = max([0.3, *(row.rate for row in rows)]) * 1.1
    for (camera_id, own), axes in zip(sorted(by_camera.items()), plot.fields, strict=False):
        for other in by_camera.values():
            axes.plot(*_line(other), color=RULE, linewidth=1)
        axes.plot(*_line(own), color=ACCENT, linewidth=1.8, marker="o", markersize=2.5)
        seen = [row for row in rows if row.camera_id == camera_id]
        name(
            axes,
            f"{camera_id}: {_share(seen):.0%} of {sum(row.captures for row in seen):,} captures",
        )
        axes.set(ylim=(0, top))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        over_time(axes, _mondays(by_camera.values()))
    plot.save(to)


def _share(rows: Sequence[QualityWeek]) -> float:
    return sum(row.ungradable for row in rows) / max(1, sum(row.captures for row in rows))


def plot_class_mix(rows: Sequence[ClassWeek], to: Path) -> None:
    """Plot the share of each grade per week, stacked; raises FundusdError."""
    rows = sorted((row for row in rows if sum(row.counts)), key=lambda row: row.week)
    total = sum(sum(row.counts) for row in rows)
    title = "Grades by the model, share of each week"
    plot = plotted(title, f"{total:,} graded captures", bool(rows), unit="share of graded captures")
    for axes in plot.fields:
        weeks = [monday(row.week) for row in rows]
        ground = [0.0] * len(rows)
        middles = {}
        for grade in Grade:
            shares = [row.counts[grade] / sum(row.counts) for row in rows]
            axes.bar(weeks, shares, _WEEK - 1, ground, color=GRADES[grade], align="edge")
            middles[f"{grade.label}  {shares[-1]:.0%}"] = (ground[-1] + shares[-1] / 2, INK)
            ground = [below + share for below, share in zip(ground, shares, strict=True)]
        axes.set(ylim=(0, 1))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        over_time(axes, [*weeks, weeks[-1] + _WEEK])
        label_ends(axes, middles)
    plot.save(to)


def plot_drift(rows: Sequence[DriftWeek], to: Path, band: str) -> None:
    """Plot the weekly mean score of each grade, and the band around it that `band` names; raises FundusdError."""
    title, count = "Scores of the model, weekly mean", len(Grade) if rows else 0
    plot = plotted(title, f"Shaded: {band}", count, columns=3, height=2.1, unit="score, 0 to 1")
    weeks = [monday(row.week) for row in rows]
    for grade, axes in zip(Grade, plot.fields, strict=False):
        own = {monday(row.week): row for row in rows if row.grade is grade}
        at, low = _line({week: row.low for week, row in own.items()})
        _, high = _line({week: row.high for week, row in own.items()})
        axes.fill_between(at, low, high, color=ACCENT, alpha=0.16, linewidth=0)
        axes.plot(
            *_line({week: row.mean for week, row in own.items()}),
            color=ACCENT,
            linewidth=1.8,
            marker="o",
            markersize=2,
        )
        axes.set(ylim=(0, max([0.1, *(row.high for row in own.values())]) * 1.08))
        name(axes, grade.label)
        over_time(axes, weeks)
    plot.save(to)


def plot_turnaround(rows: Sequence[TurnaroundDay], to: Path) -> None:
    """Plot each day's median and 95th percentile from capture to result; raises FundusdError."""
    rows = sorted(rows, key=lambda row: row.day)
    worst = max(rows, key=lambda row: row.p95_seconds, default=None)
    told = (
        f"Slowest: {wording.day(worst.day)}, 95% within {_span(worst.p95_seconds)}" if worst else ""
    )
    title = "From a photograph's arrival to its result, each day"
    plot = plotted(title, told, bool(rows), unit="time, logarithmic")
    for axes in plot.fields:
        days = [day_number(row.day) for row in rows]
        lines = {
            "95% within": ([row.p95_seconds for row in rows], MUTED),
            "half within": ([row.median_seconds for row in rows], ACCENT),
        }
        last = {}
        for share, (seconds, colour) in lines.items():
            axes.plot(days, seconds, color=colour, linewidth=1.8, marker="o", markersize=2.5)
            last[f"{share} {_span(seconds[-1])}"] = (seconds[-1], colour)
        _by_spans(axes, [value for values, _ in lines.values() for value in values])
        over_time(axes, days)
        label_ends(axes, last)
    plot.save(to)


def plot_agreement(rows: Sequence[Agreement], to: Path) -> None:
    """Plot how the model's grades and the readers' go together, as a matrix; raises FundusdError."""
    counts = defaultdict(int, {(row.reader, row.model): row.eyes for row in rows})
    total, same = sum(counts.values()), sum(counts[one, one] for one in _STEPS)
    missed = sum(n for (reader, model), n in counts.items() if _is_missed(reader, model))
    told = (
        f"The same for {same} of {total} eyes; referable by the reader, not by the model: {missed}"
    )
    plot = plotted(
        "Grades by model and by reader", told, bool(total), height=4.8, unit="grade by the reader"
    )
    for axes in plot.fields:
        _matrix(axes, counts)
    plot.save(to)


_STEPS: tuple[Grade | None, ...] = (*Grade, None)


def _is_missed(reader: Grade | None, model: Grade | None) -> bool:
    """Tell whether the model gave a negative where the reader refers; ungradable is none."""
    return reader is not None and model is not None and model < Grade.MODERATE <= reader


def _matrix(axes: Axes, counts: Mapping[tuple[Grade | None, Grade | None], int]) -> None:
    """Colour by share of the reader's grade, so that rare grades show; lines where a referral begins and ends."""
    names = [grade.label if grade is not None else "Ungradable" for grade in _STEPS]
    table = [[counts[reader, model] for model in _STEPS] for reader in _STEPS]
    shares = [[count / max(1, sum(row)) for count in row] for row in table]
    edges = [number - 0.5 for number in range(len(names) + 1)]
    axes.pcolormesh(
        edges, edges, shares, cmap="Blues", vmin=0, vmax=1.15
    )  # no image: those are smoothed when saved
    axes.set_ylim(edges[-1], edges[0])
    axes.set_aspect("equal")
    for y, row in enumerate(table):
        for x, count in enumerate(row):
            dark = shares[y][x] > 0.68  # noqa: PLR2004  from there on white reads better
            weight = "bold" if x == y else "normal"
            axes.text(
                x,
                y,
                str(count or "·"),
                ha="center",
                va="center",
                color="white" if dark else INK,
                weight=weight,
            )
    for edge in (Grade.MODERATE - 0.5, Grade.PDR + 0.5):
        axes.axvline(edge, color=INK, linewidth=1)
        axes.axhline(edge, color=INK, linewidth=1)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("grade by the model", fontproperties=font(8), color=MUTED)
    axes.grid(visible=False)


def _span(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"


def _by_spans(axes: Axes, seconds: Sequence[float]) -> None:
    """Scale by the logarithm, with marks where people have words for them."""
    low, high = min(seconds) / 1.5, max(seconds) * 1.5
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator([at for at in _SPANS if low <= at <= high]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda at, _: _SPANS.get(round(at), "")))


def _line(by_week: Mapping[float, float]) -> tuple[list[float], list[float]]:
    """Return weeks and values in order, with a gap where weeks have none."""
    first, last = min(by_week, default=0.0), max(by_week, default=0.0)
    weeks = [first + number * _WEEK for number in range(round((last - first) / _WEEK) + 1)]
    return weeks, [by_week.get(week, nan) for week in weeks]


def _mondays(lines: Iterable[Mapping[float, float]]) -> list[float]:
    return [week for line in lines for week in line]
