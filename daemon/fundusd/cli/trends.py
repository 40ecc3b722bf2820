"""Define the view, the table and the plot of each of the five statistical reports."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from fundusd.cli.options import DRAWING_SUFFIXES, icdr_grade, load, require_output_file
from fundusd.cli.output import as_json, print_table
from fundusd.cli.release_warning import print_warning, release_ids, release_warning
from fundusd.domain.clinical_terms import SAFETY_WORDS, Grade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from fundusd.cli.output import Row

_GRADE_KEYS = tuple(grade.name.lower() for grade in Grade)
_SAMPLING = {
    False: (
        "Note the sampling: the worklist contains only referable and undecided eyes, "
        "so negatives are missing from sensitivity and specificity."
    ),
    True: (
        "Note the sampling: the worklist contains the negative eyes of [reading] "
        "confirm_negatives = {setting} only since this was set."
    ),
}


@dataclass(frozen=True, slots=True)
class Trend:
    """A statistical report, with the view that it reads, its table and its plot."""

    view: str
    order: Sequence[str]
    plot: Callable[[Sequence[Row], Path], None]
    since: str | None = None  # the column to which --since applies
    columns: Mapping[str, str] = field(default_factory=dict)  # titles by name; default: all filled
    is_sampled: bool = False  # by what the worklist contains


def report(
    trend: Trend,
    config: Path | None,
    since: str | None,
    plot: Path | None,
    *,
    json: bool,
    wide: bool,
) -> None:
    """Print the rows of a report, and plot them if `plot` names a file."""
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.ledger import ViewQuery

    settings = load(config)
    if plot is not None:
        require_output_file(settings, plot, DRAWING_SUFFIXES)
    bound = None
    if trend.since is not None:
        bound = (trend.since, since)
    with opened_ledger(settings) as ledger:
        ledger.check()
        rows = ledger.ask(ViewQuery(trend.view, trend.order, since=bound))
        plotted = rows
        if plot is not None and trend is AGREEMENT:  # its matrix counts single reviews
            plotted = ledger.ask(ViewQuery("v_review", ("review_id",), {"is_latest": True}))
        warning = release_warning(ledger, release_ids(rows))
    print_warning(warning, beside_data=json)
    if plot is not None:
        trend.plot(plotted, plot)
    if json:
        print(as_json(rows))
    else:
        _print(rows, trend, settings.reading.confirm_negatives, wide=wide)


def _print(rows: Sequence[Row], trend: Trend, confirmed: str, *, wide: bool) -> None:
    columns = trend.columns or _filled_columns(rows)
    print_table([_cells(row, columns) for row in rows], wide=wide)
    if trend.is_sampled:
        print(_SAMPLING[confirmed != "none"].format(setting=f'"{confirmed}"'))
    print(SAFETY_WORDS)


def _filled_columns(rows: Sequence[Row]) -> dict[str, str]:
    """Return the titles of the columns to show, keyed by column name.

    A column is left out if it contains only zeros and empty cells.
    """
    columns: dict[str, str] = {}
    if not rows:
        return columns
    for name in rows[0]:
        if any(row[name] not in {None, 0} for row in rows):
            columns[name] = name.replace("_", " ")
    return columns


def _cells(row: Row, columns: Mapping[str, str]) -> dict[str, str]:
    return {title: _cell(name, row[name]) for name, title in columns.items()}


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("share") or name in {"sensitivity", "specificity"}:
        return f"{value:.1%}"
    if name == "shift":
        return f"{value:+.3f}"
    if name.endswith("_ms"):
        return f"{value:.0f}"
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)


def _by_week(rows: Iterable[Row]) -> dict[str, list[Row]]:
    weeks: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        weeks[row["week"]].append(row)
    return weeks


def _plot_quality(rows: Sequence[Row], to: Path) -> None:
    from fundusd.reports.trends import QualityWeek, plot_quality

    weeks = []
    for row in rows:
        retinas = row["graded"] + row["ungradable"]
        weeks.append(QualityWeek(row["week"], row["camera_id"], retinas, row["ungradable"]))
    plot_quality(weeks, to)


def _plot_classes(rows: Sequence[Row], to: Path) -> None:
    """Plot the number of captures of each grade, summed over cameras and releases."""
    from fundusd.reports.trends import ClassWeek, plot_class_mix

    weeks = []
    for week, same_week in _by_week(rows).items():
        counts: Counter[str] = Counter()
        for row in same_week:
            for key in _GRADE_KEYS:
                counts[key] += row[key]
        no_dr, mild, moderate = counts["no_dr"], counts["mild"], counts["moderate"]
        weeks.append(ClassWeek(week, (no_dr, mild, moderate, counts["severe"], counts["pdr"])))
    plot_class_mix(weeks, to)


def _plot_drift(rows: Sequence[Row], to: Path) -> None:
    """Plot the weekly mean scores over all cameras and releases.

    A shaded band extends from the lowest to the highest mean of a camera.
    """
    from fundusd.reports.trends import DriftWeek, plot_drift

    points = []
    for week, same_week in _by_week(rows).items():
        captures = [row["graded"] for row in same_week]
        for grade, key in zip(Grade, _GRADE_KEYS, strict=True):
            means = [row[f"mean_{key}"] for row in same_week]
            mean = fmean(means, weights=captures)
            points.append(DriftWeek(week, grade, mean, min(means), max(means)))
    plot_drift(points, to, "from the lowest to the highest mean of a camera")


def _plot_turnaround(rows: Sequence[Row], to: Path) -> None:
    from fundusd.reports.turnaround_plot import TurnaroundDay, plot_turnaround

    days = []
    for row in rows:
        day = date.fromisoformat(row["day"])
        days.append(TurnaroundDay(day, row["median_ms"] / 1000, row["p95_ms"] / 1000))
    plot_turnaround(days, to)


def _plot_agreement(rows: Sequence[Row], to: Path) -> None:
    """Plot the model's grades against the readers' grades.

    `rows` come from the view v_review.
    """
    from fundusd.reports.agreement_plot import Agreement, plot_agreement

    counts: dict[tuple[int | None, int | None], int] = defaultdict(int)
    for row in rows:
        counts[row["model_grade"], row["grade"]] += 1
    cells = []
    for (by_model, by_reader), count in counts.items():
        cells.append(Agreement(icdr_grade(by_model), icdr_grade(by_reader), count))
    plot_agreement(cells, to)


QUALITY = Trend("v_quality_weekly", ("week", "camera_id"), _plot_quality, "week")
CLASSES = Trend("v_class_mix_weekly", ("week", "camera_id"), _plot_classes, "week")
DRIFT = Trend("v_score_drift_weekly", ("week", "camera_id"), _plot_drift, "week")
TURNAROUND = Trend("v_turnaround_daily", ("day",), _plot_turnaround, "day")
AGREEMENT = Trend(
    "v_agreement",
    ("release_id", "role", "purpose", "blinded"),
    _plot_agreement,
    columns={
        "release_id": "release",
        "role": "role",
        "purpose": "purpose",
        "blinded": "blinded",
        "readings": "readings",
        "agree": "agree",
        "override": "override",
        "only_reader_refers": "missed",
        "only_model_refers": "needless",
        "sensitivity": "sens.",
        "specificity": "spec.",
    },
    is_sampled=True,
)
