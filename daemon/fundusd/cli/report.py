"""fundusd report: report an exam, or how figures change over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli.audited import record_shown
from fundusd.cli.layout import Command
from fundusd.cli.options import (
    LARGEST_NUMBER,
    Config,
    Json,
    Wide,
    load,
    require_output_file,
    since_time,
)
from fundusd.cli.output import as_json
from fundusd.cli.panels import photographs_of, print_panels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundusd.app.settings import Settings
    from fundusd.clinical.exam import Exam
    from fundusd.domain.inference import Release
    from fundusd.reports.exam_details import Form

app = typer.Typer(no_args_is_help=True, help="Report an exam, or how figures change over time.")

_Exam = Annotated[
    int,
    typer.Argument(
        metavar="EXAM",
        min=1,
        max=LARGEST_NUMBER,
        help="Number of an exam, as fundusd show prints it.",
    ),
]
_Pdf = Annotated[
    Path | None,
    typer.Option(
        "--pdf",
        metavar="FILE",
        help="Write A4 pages with the photographs.",
        show_default=False,
    ),
]
_Since = Annotated[
    str,
    typer.Option("--since", metavar="TIME", help="First week or day to show: 12w, 90d, or a date."),
]
_Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="Also plot the figures, to a .png, .svg or .pdf file.",
        show_default=False,
    ),
]


@app.command("exam", cls=Command)
def report_exam(exam: _Exam, config: Config = None, pdf: _Pdf = None, json: Json = False) -> None:
    """Report an exam: the result, the next steps, all photographs.

    Examples:
      fundusd report exam 12
      fundusd report exam 12 --pdf exam-12.pdf
    """
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.reports import exam_details

    settings = load(config)
    if pdf is not None:
        require_output_file(settings, pdf, (".pdf",))
    with opened_ledger(settings) as ledger:
        ledger.check()
        visit = ledger.exam(exam)
        if visit is None:
            raise typer.BadParameter(
                f"there is no exam {exam}; fundusd show CAPTURE prints the exam of a capture"
            )
        if visit.joined_into is not None:
            raise typer.BadParameter(
                f"exam {exam} was joined into exam {visit.joined_into}; "
                f"fundusd report exam {visit.joined_into} shows its photographs"
            )
        shots = exam_details.shots(visit)
        releases = ledger.releases(sorted({shot.release_id for shot in shots}))
        sources = ledger.sources([shot.capture_id for shot in shots])
        record_shown(ledger, visit, to_file=pdf is not None)
    form = _form(settings)
    visit = visit.with_reader_names(settings.reader_names)
    if pdf is not None:
        from fundusd.reports.exam_page import exam_pages
        from fundusd.reports.page import save_pages

        save_pages(exam_pages(visit, photographs_of(settings, sources), releases, form), pdf)
    if json:
        print(as_json(exam_details.as_dict(visit, form, releases)))
    elif pdf is None:
        _print(visit, form, releases)


def _print(visit: Exam, form: Form, releases: Mapping[int, Release]) -> None:
    from fundusd.reports import exam_details, next_steps, panel, wording

    next_step = {"Next": " ".join(next_steps.steps(visit))}
    facts = exam_details.facts(visit, form) | wording.result(visit) | next_step
    facts["Report"] = exam_details.report_id(visit, form, releases)
    photographs = []
    for shot in exam_details.shots(visit):
        photographs.append(" ".join(exam_details.photograph(visit, shot)))
    sections = [("Photographs", photographs), ("Remarks", exam_details.remarks(visit, form))]
    print_panels(panel.of_exam(visit, {}), facts, releases, sections)


def _form(settings: Settings) -> Form:
    from fundusd.domain.clinical_terms import Grade
    from fundusd.reports.exam_details import Form

    recall = settings.recall
    months = {Grade.NO_DR: recall.grade_0, Grade.MILD: recall.grade_1}
    set_months = {grade: count for grade, count in months.items() if count}
    return Form(settings.site.name, settings.site.contact, set_months)


@app.command(cls=Command)
def quality(
    config: Config = None,
    since: _Since = "12w",
    plot: _Plot = None,
    json: Json = False,
    wide: Wide = False,
) -> None:
    """Report the share of ungradable captures, by camera and week.

    Prints the view v_quality_weekly, which also counts the reasons.

    Examples:
      fundusd report quality
      fundusd report quality --since 52w --plot quality.png
    """
    from fundusd.cli.trends import QUALITY, report

    report(QUALITY, config, _week(since), plot, json=json, wide=wide)


@app.command(cls=Command)
def classes(
    config: Config = None,
    since: _Since = "12w",
    plot: _Plot = None,
    json: Json = False,
    wide: Wide = False,
) -> None:
    """Report the number of captures with each grade, by week.

    Each row is a week, a camera and a release. Prints the view v_class_mix_weekly.

    Example:
      fundusd report classes --since 52w --plot classes.svg
    """
    from fundusd.cli.trends import CLASSES, report

    report(CLASSES, config, _week(since), plot, json=json, wide=wide)


@app.command(cls=Command)
def drift(
    config: Config = None,
    since: _Since = "12w",
    plot: _Plot = None,
    json: Json = False,
    wide: Wide = False,
) -> None:
    """Report mean scores by week, and how far they have shifted.

    Each row is a week, a camera and a release. Prints the view v_score_drift_weekly.

    Example:
      fundusd report drift --since 2026-01-01 --plot drift.png
    """
    from fundusd.cli.trends import DRIFT, report

    report(DRIFT, config, _week(since), plot, json=json, wide=wide)


@app.command(cls=Command)
def turnaround(
    config: Config = None,
    since: _Since = "12w",
    plot: _Plot = None,
    json: Json = False,
    wide: Wide = False,
) -> None:
    """Report the time from arrival to result, by day.

    Prints the view v_turnaround_daily.

    Example:
      fundusd report turnaround --since 30d --plot turnaround.png
    """
    from fundusd.cli.trends import TURNAROUND, report

    first_day = since_time(since).astimezone().date().isoformat()
    report(TURNAROUND, config, first_day, plot, json=json, wide=wide)


@app.command(cls=Command)
def agreement(
    config: Config = None, plot: _Plot = None, json: Json = False, wide: Wide = False
) -> None:
    """Report how often readers and model agree, by release and role.

    Prints the view v_agreement; the plot compares the readers' grades with the model's.

    Example:
      fundusd report agreement --plot agreement.png
    """
    from fundusd.cli.trends import AGREEMENT, report

    report(AGREEMENT, config, None, plot, json=json, wide=wide)


def _week(since: str) -> str:
    year, week, _ = since_time(since).astimezone().isocalendar()
    return f"{year}-W{week:02}"
