"""fundusd show, fundusd report exam: one capture, or a whole visit, for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundusd.cli.options import Config, Json, as_json, load, local, require_place
from fundusd.domain.clinical_terms import SAFETY_WORDS, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from fundusd.app.settings import Settings
    from fundusd.clinical.exam import Exam
    from fundusd.domain.inference import Release
    from fundusd.ledger import Source
    from fundusd.reports.panel import Panel, Photograph

report = typer.Typer(no_args_is_help=True, help="Reports for people.", rich_markup_mode=None)

_KINDS = (".png", ".pdf", ".svg")
_UNSEEN = "Its picture: --out FILE."


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(show)


def show(
    capture: Annotated[
        int, typer.Argument(metavar="CAPTURE", min=1, help="Its number in: fundusd results")
    ],
    config: Config = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Draw it, photograph included: .png, .pdf or .svg."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show one capture: which eye, what became of it, the five scores, referral, what to do next.

    Examples: fundusd show 17; fundusd show 17 --out capture-17.png
    """
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.reports import panel

    settings = load(config)
    if out is not None:
        require_place(settings, out, _KINDS)
    with opened_ledger(settings) as ledger:
        ledger.check()
        row = next(iter(ledger.results(capture_id=capture, superseded=True)), None)
        if row is None:
            raise typer.BadParameter(f"there is no capture {capture}; see: fundusd results")
        exam = ledger.exam_of(capture)
        releases = ledger.releases([row["release_id"]] if row["outcome"] == Outcome.GRADED else [])
        sources = ledger.sources([capture])
        if exam is not None:
            ledger.shown(exam, exported=out is not None)
    drawn = panel.of_row(row, panel.Photograph(None, _UNSEEN))
    facts = _facts(row, exam)
    if json:
        print(as_json(_told(row, drawn, releases)))
    elif out is None:
        _print([drawn], facts, releases)
    if out is not None:
        from fundusd.reports.capture_page import capture_page

        photograph = _photographs(settings, sources)[capture]
        capture_page(panel.of_row(row, photograph), facts, releases).save(out)


def _facts(row: Mapping[str, Any], exam: Exam | None) -> dict[str, str]:
    """Say whose it is and when it came; what identifies a patient comes from the exam alone."""
    from fundusd.reports import wording

    key = exam.patient_key if exam else row["patient_key"]
    return {
        "Patient": wording.patient(exam.patient_id if exam else None, key),
        "Received": local(row["received_at"]),
        "Exam": str(exam.exam_id) if exam else "none yet",
    }


def _told(row: Mapping[str, Any], drawn: Panel, releases: Mapping[int, Release]) -> dict[str, Any]:
    from fundusd.reports import wording

    warning = wording.warning(list(releases.values()))
    return {
        **row,
        "quality": drawn.quality,
        "next": list(drawn.steps),
        "warning": warning,
        "notice": SAFETY_WORDS,
    }


@report.command("exam")
def report_exam(
    exam: Annotated[
        int, typer.Argument(metavar="EXAM", min=1, help="Its number, as fundusd show tells it.")
    ],
    config: Config = None,
    pdf: Annotated[
        Path | None,
        typer.Option("--pdf", metavar="FILE", help="Write one page of A4, photographs included."),
    ] = None,
) -> None:
    """Report a visit: both eyes, the result for the person, and what to do next.

    Example: fundusd report exam 12 --pdf exam-12.pdf
    """
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.reports import panel, wording

    settings = load(config)
    if pdf is not None:
        require_place(settings, pdf, (".pdf",))
    with opened_ledger(settings) as ledger:
        ledger.check()
        found = ledger.exam(exam)
        if found is None:
            raise typer.BadParameter(
                f"there is no exam {exam}; fundusd show CAPTURE tells that of a capture"
            )
        decisive = [eye.decisive for eye in found.eyes]
        releases = ledger.releases(
            [shot.release_id for shot in decisive if shot.outcome is Outcome.GRADED]
        )
        sources = ledger.sources([shot.capture_id for shot in decisive])
        ledger.shown(found, exported=pdf is not None)
    if pdf is None:
        unseen = panel.Photograph(None, "")
        panels = [panel.of_eye(eye, unseen) for eye in found.eyes] + [
            panel.missing(eye) for eye in found.missing
        ]
        _print(panels, wording.facts(found) | wording.result(found), releases)
        return
    from fundusd.reports.exam_page import exam_page

    exam_page(found, _photographs(settings, sources), releases).save(pdf)


def _photographs(settings: Settings, sources: Sequence[Source]) -> dict[int, Photograph]:
    from fundusd.app import factory
    from fundusd.reports.photographs import photographs

    return photographs(
        sources, {one.id: one.inbox for one in settings.camera}, factory.limits(settings)
    )


def _print(
    panels: Sequence[Panel], facts: Mapping[str, str], releases: Mapping[int, Release]
) -> None:
    from rich.console import Console

    from fundusd.reports import terminal_card, wording

    console = Console(highlight=False)
    warning = wording.warning(list(releases.values()))
    parts: list[RenderableType] = [
        terminal_card.facts(facts),
        "",
        *(part for one in panels for part in (terminal_card.card(one), "")),
    ]
    for part in parts:
        console.print(part)
    for line in [
        warning,
        *(wording.provenance(*one) for one in sorted(releases.items())),
        SAFETY_WORDS,
    ]:
        if line:
            console.print(line, markup=False, soft_wrap=True)
