"""fundusd report quality, classes, drift, turnaround, agreement: how figures move, as tables and plots."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundusd.cli.options import Config, Json, as_json, load, require_place, since_time
from fundusd.domain.clinical_terms import SAFETY_WORDS, Grade

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Row = Mapping[str, Any]

_KINDS = (".png", ".svg", ".pdf")
_KEYS = tuple(grade.name.lower() for grade in Grade)

# what the table shows of v_agreement; missed and needless are referrals, all else stands in --json
_AGREEMENT = {
    "release_id": "release",
    "role": "role",
    "blinded": "blinded",
    "readings": "readings",
    "agree": "agree",
    "override": "override",
    "only_reader_refers": "missed",
    "only_model_refers": "needless",
    "sensitivity": "sens.",
    "specificity": "spec.",
}
_BIASED = "Sensitivity and specificity hold for what was read: from the worklist come no negatives."

Since = Annotated[str, typer.Option(help="From when on: 12w, 90d, or a date.")]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw it: .png, .svg or .pdf.")
]


def add_to(report: typer.Typer) -> None:
    """Register the reports."""
    for command in (quality, classes, drift, turnaround, agreement):
        report.command()(command)


def quality(
    config: Config = None, since: Since = "12w", plot: Plot = None, json: Json = False
) -> None:
    """Report the ungradable share of each camera and week, and why: v_quality_weekly.

    Examples: fundusd report quality; fundusd report quality --since 52w --plot quality.png
    """
    _report(config, "v_quality_weekly", ("week", _week(since)), _plot_quality, plot, json=json)


def classes(
    config: Config = None, since: Since = "12w", plot: Plot = None, json: Json = False
) -> None:
    """Report how many captures had which grade, by week, camera and release: v_class_mix_weekly.

    Example: fundusd report classes --since 52w --plot classes.svg
    """
    _report(config, "v_class_mix_weekly", ("week", _week(since)), _plot_classes, plot, json=json)


def drift(
    config: Config = None, since: Since = "12w", plot: Plot = None, json: Json = False
) -> None:
    """Report mean scores by week, camera and release, and how far they are from the weeks before: v_score_drift_weekly.

    Example: fundusd report drift --since 2026-01-01 --plot drift.png
    """
    _report(config, "v_score_drift_weekly", ("week", _week(since)), _plot_drift, plot, json=json)


def turnaround(
    config: Config = None, since: Since = "12w", plot: Plot = None, json: Json = False
) -> None:
    """Report how long captures took from arrival to result, each day: v_turnaround_daily.

    Example: fundusd report turnaround --since 30d --plot turnaround.png
    """
    day = since_time(since).astimezone().date().isoformat()
    _report(config, "v_turnaround_daily", ("day", day), _plot_turnaround, plot, json=json)


def agreement(config: Config = None, plot: Plot = None, json: Json = False) -> None:
    """Report how readers and model agree, by release and role: v_agreement. The plot sets grades against each other.

    Example: fundusd report agreement --plot agreement.png
    """
    _report(config, "v_agreement", None, _plot_agreement, plot, json=json)


def _week(since: str) -> str:
    year, week, _ = since_time(since).astimezone().isocalendar()
    return f"{year}-W{week:02}"


def _report(
    config: Path | None,
    view: str,
    since: tuple[str, str] | None,
    draw: Callable[[Sequence[Row], Path], None],
    plot: Path | None,
    *,
    json: bool,
) -> None:
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.ledger import ViewQuery

    settings = load(config)
    if plot is not None:
        require_place(settings, plot, _KINDS)
    order = {"v_agreement": ("release_id", "role", "blinded"), "v_turnaround_daily": ("day",)}
    with opened_ledger(settings) as ledger:
        ledger.check()
        rows = ledger.ask(ViewQuery(view, order.get(view, ("week", "camera_id")), since=since))
        read = (
            ledger.ask(ViewQuery("v_review", ("review_id",), {"is_latest": True}))
            if plot and not since
            else []
        )
    if plot is not None:
        draw(read or rows, plot)
    if json:
        print(as_json(rows))
    else:
        _print(rows, {} if since else _AGREEMENT)


def _print(rows: Sequence[Row], names: Mapping[str, str]) -> None:
    """Print rows, with their own columns that are not empty or those that are named."""
    from rich.console import Console

    from fundusd.reports.terminal_table import table_of

    filled = [
        name
        for name in (rows[0] if rows else ())
        if any(row[name] not in {None, 0} for row in rows)
    ]
    shown = names or {name: name.replace("_", " ") for name in filled}
    cells = [{title: _shown(name, row[name]) for name, title in shown.items()} for row in rows]
    console = Console(highlight=False)
    console.print(table_of(cells))
    if names:
        console.print(_BIASED)
    console.print(SAFETY_WORDS)


def _shown(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("share") or name in {"sensitivity", "specificity"}:
        return f"{value:.1%}"
    if name == "shift":
        return f"{value:+.3f}"
    return (
        f"{value:.0f}"
        if name.endswith("_ms")
        else f"{value:.3f}"
        if isinstance(value, float)
        else str(value)
    )


def _plot_quality(rows: Sequence[Row], to: Path) -> None:
    from fundusd.reports.trends import QualityWeek, plot_quality

    weeks = [
        QualityWeek(
            row["week"], row["camera_id"], row["graded"] + row["ungradable"], row["ungradable"]
        )
        for row in rows
    ]
    plot_quality(weeks, to)


def _plot_classes(rows: Sequence[Row], to: Path) -> None:
    from fundusd.reports.trends import ClassWeek, plot_class_mix

    weeks: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        weeks[row["week"]].append(row)
    counts = {
        week: [sum(row[key] for row in same) for key in _KEYS] for week, same in weeks.items()
    }
    plot_class_mix(
        [ClassWeek(week, (n[0], n[1], n[2], n[3], n[4])) for week, n in counts.items()], to
    )


def _plot_drift(rows: Sequence[Row], to: Path) -> None:
    """Join cameras and releases: the mean over all, and from the lowest to the highest of them."""
    from fundusd.reports.trends import DriftWeek, plot_drift

    weeks: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        weeks[row["week"]].append(row)
    points = []
    for week, same in weeks.items():
        for grade, key in zip(Grade, _KEYS, strict=True):
            means = [row[f"mean_{key}"] for row in same]
            mean = sum(row[f"mean_{key}"] * row["graded"] for row in same) / sum(
                row["graded"] for row in same
            )
            points.append(DriftWeek(week, grade, mean, min(means), max(means)))
    plot_drift(points, to, "from the lowest to the highest mean of a camera")


def _plot_turnaround(rows: Sequence[Row], to: Path) -> None:
    from fundusd.reports.trends import TurnaroundDay, plot_turnaround

    days = [
        TurnaroundDay(date.fromisoformat(row["day"]), row["median_ms"] / 1000, row["p95_ms"] / 1000)
        for row in rows
    ]
    plot_turnaround(days, to)


def _plot_agreement(rows: Sequence[Row], to: Path) -> None:
    """Count grades of the model against grades of the readers: rows of v_review."""
    from fundusd.reports.trends import Agreement, plot_agreement

    counts: dict[tuple[int | None, int | None], int] = defaultdict(int)
    for row in rows:
        counts[row["model_grade"], row["grade"]] += 1

    def graded(number: int | None) -> Grade | None:
        return None if number is None else Grade(number)

    plot_agreement(
        [Agreement(graded(model), graded(reader), n) for (model, reader), n in counts.items()], to
    )
