"""fundusd report: report an exam, or how figures change over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fundusd.cli.layout import Command
from fundusd.cli.options import Config, Json, load, require_output_file, since_time
from fundusd.cli.panels import photographs_of, print_panels
from fundusd.domain.clinical_terms import Outcome

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam
    from fundusd.reports.panel import Panel

app = typer.Typer(no_args_is_help=True, help="Report an exam, or how figures change over time.")

_Exam = Annotated[
    int,
    typer.Argument(metavar="EXAM", min=1, help="Number of an exam, as fundusd show prints it."),
]
_Pdf = Annotated[
    Path | None,
    typer.Option(
        "--pdf",
        metavar="FILE",
        help="Write one A4 page with the photographs.",
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
def report_exam(exam: _Exam, config: Config = None, pdf: _Pdf = None) -> None:
    """Report an exam: both eyes, the result, and what to do next.

    Example:
      fundusd report exam 12 --pdf exam-12.pdf
    """
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.reports import next_steps, wording

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
        releases = ledger.releases(_graded_by(visit))
        sources = ledger.sources([eye.decisive.capture_id for eye in visit.eyes])
        ledger.shown(visit, exported=pdf is not None)
    if pdf is None:
        next_step = {"Next": " ".join(next_steps.steps(visit))}
        facts = wording.facts(visit) | wording.result(visit) | next_step
        print_panels(_panels(visit), facts, releases)
        return
    from fundusd.reports.exam_page import exam_page

    exam_page(visit, photographs_of(settings, sources), releases).save(pdf)


def _graded_by(exam: Exam) -> list[int]:
    """Return the ids of the releases that graded the eyes of an exam."""
    decisive = (eye.decisive for eye in exam.eyes)
    return [shot.release_id for shot in decisive if shot.outcome is Outcome.GRADED]


def _panels(exam: Exam) -> list[Panel]:
    from fundusd.reports import panel

    panels = [panel.of_eye(eye, panel.Photograph(None, "")) for eye in exam.eyes]
    panels += [panel.missing(eye) for eye in exam.missing]
    return panels


@app.command(cls=Command)
def quality(
    config: Config = None, since: _Since = "12w", plot: _Plot = None, json: Json = False
) -> None:
    """Report the share of ungradable captures, by camera and week.

    Prints the view v_quality_weekly, which also counts the reasons.

    Examples:
      fundusd report quality
      fundusd report quality --since 52w --plot quality.png
    """
    from fundusd.cli.trends import QUALITY, report

    report(QUALITY, config, _week(since), plot, json=json)


@app.command(cls=Command)
def classes(
    config: Config = None, since: _Since = "12w", plot: _Plot = None, json: Json = False
) -> None:
    """Report the number of captures with each grade, by week.

    Each row is a week, a camera and a release. Prints the view v_class_mix_weekly.

    Example:
      fundusd report classes --since 52w --plot classes.svg
    """
    from fundusd.cli.trends import CLASSES, report

    report(CLASSES, config, _week(since), plot, json=json)


@app.command(cls=Command)
def drift(
    config: Config = None, since: _Since = "12w", plot: _Plot = None, json: Json = False
) -> None:
    """Report mean scores by week, and how far they have shifted.

    Each row is a week, a camera and a release. Prints the view v_score_drift_weekly.

    Example:
      fundusd report drift --since 2026-01-01 --plot drift.png
    """
    from fundusd.cli.trends import DRIFT, report

    report(DRIFT, config, _week(since), plot, json=json)


@app.command(cls=Command)
def turnaround(
    config: Config = None, since: _Since = "12w", plot: _Plot = None, json: Json = False
) -> None:
    """Report the time from arrival to result, by day.

    Prints the view v_turnaround_daily.

    Example:
      fundusd report turnaround --since 30d --plot turnaround.png
    """
    from fundusd.cli.trends import TURNAROUND, report

    first_day = since_time(since).astimezone().date().isoformat()
    report(TURNAROUND, config, first_day, plot, json=json)


@app.command(cls=Command)
def agreement(config: Config = None, plot: _Plot = None, json: Json = False) -> None:
    """Report how often readers and model agree, by release and role.

    Prints the view v_agreement; the plot compares the readers' grades with the model's.

    Example:
      fundusd report agreement --plot agreement.png
    """
    from fundusd.cli.trends import AGREEMENT, report

    report(AGREEMENT, config, None, plot, json=json)


def _week(since: str) -> str:
    year, week, _ = since_time(since).astimezone().isocalendar()
    return f"{year}-W{week:02}"
