"""fundusd show, fundusd report exam: one capture, or a whole visit, for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundusd.cli.options import Config, Json, as_json, load, local, require_place
from fundusd.domain import SAFETY_WORDS, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from fundusd.domain import Release
    from fundusd.exam import Exam
    from fundusd.ledger import Source
    from fundusd.pictures.panel import Panel, Photograph
    from fundusd.settings import Settings

report = typer.Typer(no_args_is_help=True, help="Reports for people.", rich_markup_mode=None)

_KINDS = (".png", ".pdf", ".svg")
_UNSEEN = "Its picture: --out FILE."


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(show)


def show(
    capture: Annotated[int, typer.Argument(metavar="CAPTURE", min=1, help="Its number in: fundusd results")],
    config: Config = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Draw it, photograph included: .png, .pdf or .svg."),
    ] = None,
    json: Json = False,
) -> None:
    """Show one capture: which eye, what became of it, the five scores, referral, what to do next.

    Examples: fundusd show 17; fundusd show 17 --out capture-17.png
    """
    from fundusd.ledger import Wanted
    from fundusd.pictures import panel
    from fundusd.store import opened_ledger

    settings = load(config)
    if out is not None:
        require_place(settings, out, _KINDS)
    with opened_ledger(settings) as ledger:
        ledger.check()
        row = next(iter(ledger.results(Wanted(capture=capture, superseded=True))), None)
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
        from fundusd.pictures.capture_page import capture_page

        photograph = _photographs(settings, sources)[capture]
        capture_page(panel.of_row(row, photograph), facts, releases).save(out)


def _facts(row: Mapping[str, Any], exam: Exam | None) -> dict[str, str]:
    """Say whose it is and when it came; what identifies a patient comes from the exam alone."""
    from fundusd.pictures import words

    key = exam.patient_key if exam else row["patient_key"]
    return {
        "Patient": words.patient(exam.patient_id if exam else None, key),
        "Received": local(row["received_at"]),
        "Exam": str(exam.exam_id) if exam else "none yet",
    }


def _told(row: Mapping[str, Any], drawn: Panel, releases: Mapping[int, Release]) -> dict[str, Any]:
    from fundusd.pictures import words

    warning = words.warning(list(releases.values()))
    return {**row, "quality": drawn.quality, "next": list(drawn.steps), "warning": warning, "notice": SAFETY_WORDS}


@report.command("exam")
def report_exam(
    exam: Annotated[int, typer.Argument(metavar="EXAM", min=1, help="Its number, as fundusd show tells it.")],
    config: Config = None,
    pdf: Annotated[
        Path | None, typer.Option("--pdf", metavar="FILE", help="Write one page of A4, photographs included.")
    ] = None,
) -> None:
    """Report a visit: both eyes, the result for the person, and what to do next.

    Example: fundusd report exam 12 --pdf exam-12.pdf
    """
    from fundusd.pictures import panel, words
    from fundusd.store import opened_ledger

    settings = load(config)
    if pdf is not None:
        require_place(settings, pdf, (".pdf",))
    with opened_ledger(settings) as ledger:
        ledger.check()
        found = ledger.exam(exam)
        if found is None:
            raise typer.BadParameter(f"there is no exam {exam}; fundusd show CAPTURE tells that of a capture")
        decisive = [eye.decisive for eye in found.eyes]
        releases = ledger.releases([shot.release_id for shot in decisive if shot.outcome is Outcome.GRADED])
        sources = ledger.sources([shot.capture_id for shot in decisive])
        ledger.shown(found, exported=pdf is not None)
    if pdf is None:
        unseen = panel.Photograph(None, "")
        panels = [panel.of_eye(eye, unseen) for eye in found.eyes] + [panel.missing(eye) for eye in found.missing]
        _print(panels, words.facts(found) | words.result(found), releases)
        return
    from fundusd.pictures.exam_page import exam_page

    exam_page(found, _photographs(settings, sources), releases).save(pdf)


def _photographs(settings: Settings, sources: Sequence[Source]) -> dict[int, Photograph]:
    from fundusd import app
    from fundusd.pictures.photographs import photographs

    return photographs(sources, {one.id: one.inbox for one in settings.camera}, app.limits(settings))


def _print(panels: Sequence[Panel], facts: Mapping[str, str], releases: Mapping[int, Release]) -> None:
    from rich.console import Console

    from fundusd.pictures import card, words

    console = Console(highlight=False)
    warning = words.warning(list(releases.values()))
    parts: list[RenderableType] = [card.facts(facts), "", *(part for one in panels for part in (card.card(one), ""))]
    for part in parts:
        console.print(part)
    for line in [warning, *(words.provenance(*one) for one in sorted(releases.items())), SAFETY_WORDS]:
        if line:
            console.print(line, markup=False, soft_wrap=True)
