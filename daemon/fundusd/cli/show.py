"""fundusd show: describe one capture in words, or draw it with its photograph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundusd.cli.audited import print_not_recorded, record_shown
from fundusd.cli.layout import Command
from fundusd.cli.left_out import left_out
from fundusd.cli.options import (
    DRAWING_SUFFIXES,
    LARGEST_NUMBER,
    Config,
    Json,
    load,
    require_output_file,
)
from fundusd.cli.output import as_json, local
from fundusd.cli.panels import photographs_of, print_panels
from fundusd.cli.release_warning import print_warning
from fundusd.domain.clinical_terms import SAFETY_WORDS, Eye
from fundusd.domain.errors import LedgerForbidden

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundusd.cli.output import Row
    from fundusd.clinical.exam import Exam
    from fundusd.domain.inference import Release
    from fundusd.ledger import Ledger
    from fundusd.reports.panel import Panel

_NOT_DRAWN = "To draw it, use --out FILE."
_LEFT_OUT = (
    "so what the exam says of the photograph is left out: doubts that v_eye_result does not name,"
    " readings, and which warnings a person has answered"
)

_Capture = Annotated[
    int,
    typer.Argument(
        metavar="CAPTURE",
        min=1,
        max=LARGEST_NUMBER,
        help="Number of a capture, as fundusd results shows it.",
    ),
]
_Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Draw a page with the photograph: .png, .svg or .pdf.",
        show_default=False,
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(cls=Command)(show)


def show(capture: _Capture, config: Config = None, out: _Out = None, json: Json = False) -> None:
    """Show one capture: eye, result, scores, and what to do next.

    Examples:
      fundusd show 17
      fundusd show 17 --out capture-17.png
    """
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.reports import capture_panel, panel

    settings = load(config)
    if out is not None:
        require_output_file(settings, out, DRAWING_SUFFIXES)
    with opened_ledger(settings) as ledger:
        ledger.check()
        row = next(iter(ledger.results(capture_id=capture, superseded=True)), None)
        if row is None:
            raise typer.BadParameter(f"there is no capture {capture}; see: fundusd results")
        releases = ledger.releases([row["release_id"]])
        sources = ledger.sources([capture]) if out is not None else []
        exam = _recorded_exam(ledger, row, to_file=out is not None)
        eyes, note = [], None
        if exam is None and row["exam_id"] is not None:
            eyes = _eyes_by_views(ledger, row)
            note = left_out(ledger, _LEFT_OUT)
    drawn = capture_panel.of_capture(row, exam, panel.Photograph(None, _NOT_DRAWN), eyes)
    facts = _facts(row, exam)
    if json:
        print(as_json(_as_dict(row, drawn, releases)))
    elif out is None:
        print_panels([drawn], facts, releases)
    print_warning(note, beside_data=json)
    if out is not None:
        from fundusd.reports.capture_page import capture_page

        photograph = photographs_of(settings, sources)[capture]
        drawn = capture_panel.of_capture(row, exam, photograph)
        if row["patient_key"] is not None and Eye(row["eye"]) is not Eye.UNKNOWN:
            del facts["File"]  # which may name the patient, and the page may leave the clinic
        capture_page(drawn, facts, releases).save(out)


def _recorded_exam(ledger: Ledger, row: Row, *, to_file: bool) -> Exam | None:
    """Return a capture's exam, and record that it is shown.

    Return None if there is no exam yet, or if this role may not read it. Raises LedgerForbidden if
    such a role wants a file, of which nothing would be recorded.
    """
    try:
        exam = ledger.exam_of(row["capture_id"])
    except LedgerForbidden:
        if to_file:
            raise
        if row["exam_id"] is not None:
            print_not_recorded(row["exam_id"])
        return None
    if exam is not None:
        record_shown(ledger, exam, to_file=to_file)
    return exam


def _eyes_by_views(ledger: Ledger, row: Row) -> list[dict[str, Any]]:
    """Return the rows of v_eye_result of the eyes for which a capture may count.

    It counts for none if a file of the exam with the same bytes was excluded.
    """
    from fundusd.ledger import ViewQuery

    of_exam = {"exam_id": row["exam_id"]}
    equal = ledger.results(superseded=True, digest=row["digest"], **of_exam)
    if any(each["excluded"] for each in equal):
        return []
    return ledger.ask(ViewQuery("v_eye_result", (), of_exam))


def _facts(row: Row, exam: Exam | None) -> dict[str, str]:
    """Return a capture's patient, times, exam and file, keyed by caption.

    If there is no exam yet, the pseudonym identifies the patient. If this role may not read the
    exam, the capture's own identifier does.
    """
    from fundusd.reports import wording

    if exam is None:
        patient_id = row["patient_id"] if row["exam_id"] is not None else None
        patient = wording.patient(patient_id, row["patient_key"])
        exam_number = str(row["exam_id"] or ("none" if row["outcome"] else "none yet"))
    else:
        patient = wording.patient(exam.patient_id, exam.patient_key)
        exam_number = str(exam.exam_id)
    return {
        "Patient": patient,
        "Taken": local(row["acquired_at"]) or row["acquired_day"] or "not known",
        "Received": local(row["received_at"]),
        "Exam": exam_number,
        "File": row["path"],
    }


def _as_dict(row: Row, drawn: Panel, releases: Mapping[int, Release]) -> dict[str, Any]:
    from fundusd.reports import wording

    return {
        **row,
        "verdict": drawn.verdict,
        "quality": drawn.quality,
        "next": list(drawn.steps),
        "warnings_in_words": list(drawn.warnings),
        "warning": wording.warning(list(releases.values())),
        "notice": SAFETY_WORDS,
    }
