"""fundusd correct: correct eyes, photographs and visits; each correction is audited."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundusd.cli.layout import Command
from fundusd.cli.options import LARGEST_NUMBER, Config, ExamNumber, Json, OneEye, load
from fundusd.cli.output import as_json
from fundusd.cli.readers import Reader, reader_who_may
from fundusd.cli.several_captures import Captures, excludable, spans_of
from fundusd.domain.clinical_terms import SAFETY_WORDS
from fundusd.domain.readings import AbsenceReason, ExclusionReason, ReaderPermission

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from fundusd.clinical.exam import Exam
    from fundusd.ledger import Ledger
    from fundusd.ledger.corrections import Corrector

app = typer.Typer(
    no_args_is_help=True,
    help="Correct eyes, photographs and visits.\n\n"
    "Nothing is overwritten: only a later correction undoes an earlier one. The settings say which "
    "readers may correct.",
)

_Capture = Annotated[
    int,
    typer.Argument(
        metavar="CAPTURE",
        min=1,
        max=LARGEST_NUMBER,
        help="Number of a capture, as results show it.",
    ),
]
_Into = Annotated[
    int,
    typer.Argument(
        metavar="INTO", min=1, max=LARGEST_NUMBER, help="Number of the exam that remains."
    ),
]
_Exclusion = Annotated[
    ExclusionReason,
    typer.Option("--reason", metavar="REASON", help=f"One of: {', '.join(ExclusionReason)}."),
]
_Absence = Annotated[
    AbsenceReason,
    typer.Option("--reason", metavar="REASON", help=f"One of: {', '.join(AbsenceReason)}."),
]
_OtherPatient = Annotated[
    bool,
    typer.Option("--other-patient", help="It is of the other patient whom its file or name gives."),
]
_Until = Annotated[
    datetime | None,
    typer.Option(
        "--until",
        metavar="DAY",
        formats=["%Y-%m-%d"],
        help="The last day, YYYY-MM-DD (default: for good).",
        show_default=False,
    ),
]


@app.command("eye", cls=Command)
def correct_eye(
    capture: _Capture, eye: OneEye, reader: Reader = "", config: Config = None, json: Json = False
) -> None:
    """Say which eye a photograph shows.

    This assigns an eye that is not known, corrects a wrong one, and confirms one that the position
    of the optic disc contradicts. It applies to all files of the photograph.

    Examples:
      fundusd correct eye 41 L
      fundusd correct eye 41 R --reader okafor
    """
    with _correcting(config, reader) as (ledger, by):
        _print(ledger.correct_eye(capture, eye, by), json=json)


@app.command(cls=Command)
def exclude(
    captures: Captures,
    reason: _Exclusion,
    reader: Reader = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Exclude photographs, so that they count for no eye.

    Each exclusion is a correction of its own. A range stands for the captures in it that belong to
    an exam and have not been replaced. It is refused if one of them was graded, is of a known
    patient or waits for its result: such a capture has to be named by its number.

    Examples:
      fundusd correct exclude 41 --reason not_this_patient
      fundusd correct exclude 41 44 120-180 --reason not_a_retina
    """
    spans = spans_of(captures)
    with _correcting(config, reader) as (ledger, by):
        numbers = excludable(ledger, spans)
        if len(captures) == 1 and captures[0].isdecimal():
            _print(ledger.exclude(numbers[0], reason, by), json=json)
            return
        after: list[Exam] = []
        try:
            for number in numbers:
                after.append(ledger.exclude(number, reason, by))
        finally:  # if one is refused, those before it are excluded
            _print_several(after, json=json)


@app.command(cls=Command)
def include(
    capture: _Capture, reader: Reader = "", config: Config = None, json: Json = False
) -> None:
    """Let a photograph that was excluded count again.

    Example:
      fundusd correct include 41
    """
    with _correcting(config, reader) as (ledger, by):
        _print(ledger.include(capture, by), json=json)


@app.command(cls=Command)
def belongs(
    capture: _Capture,
    other_patient: _OtherPatient = False,
    reader: Reader = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Say that a photograph belongs to its exam.

    This clears the doubt about a photograph whose sources name two patients, whose date cannot be
    right, or whose bytes came with another patient or visit too. If it was excluded as
    not_this_patient, it counts again. To undo it, exclude the photograph.

    If the sources name two patients and it is of the other one, --other-patient moves it into the
    exam of that patient and day. Given again, it moves the photograph back.

    Examples:
      fundusd correct belongs 41
      fundusd correct belongs 41 --other-patient
    """
    with _correcting(config, reader) as (ledger, by):
        say = ledger.belongs_to_other if other_patient else ledger.belongs
        _print(say(capture, by), json=json)


@app.command(cls=Command)
def absent(
    exam: ExamNumber,
    eye: OneEye,
    reason: _Absence,
    until: _Until = None,
    reader: Reader = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Say that a patient lacks an eye.

    The patient is then judged by the other eye, in all exams.

    Examples:
      fundusd correct absent 12 L --reason prosthesis
      fundusd correct absent 12 L --reason no_view --until 2027-06-30
    """
    last = None if until is None else until.date()
    with _correcting(config, reader) as (ledger, by):
        before = _others_of_patient(ledger, exam)
        _print(ledger.eye_absent(exam, eye, reason, by, last), _changed(ledger, before), json=json)


@app.command(cls=Command)
def present(
    exam: ExamNumber, eye: OneEye, reader: Reader = "", config: Config = None, json: Json = False
) -> None:
    """Take back that a patient lacks an eye.

    Example:
      fundusd correct present 12 L
    """
    with _correcting(config, reader) as (ledger, by):
        before = _others_of_patient(ledger, exam)
        _print(ledger.eye_present(exam, eye, by), _changed(ledger, before), json=json)


@app.command(cls=Command)
def join(
    exam: ExamNumber, into: _Into, reader: Reader = "", config: Config = None, json: Json = False
) -> None:
    """Join an exam into another one of the same patient.

    All its photographs move, and those that arrive later, too. Its readings follow their
    photographs, and these eyes have to be read again. To undo this, part the photographs again.

    Example:
      fundusd correct join 13 12
    """
    with _correcting(config, reader) as (ledger, by):
        _print(ledger.join_exams(exam, into, by), json=json)


@app.command(cls=Command)
def part(capture: _Capture, reader: Reader = "", config: Config = None, json: Json = False) -> None:
    """Part a photograph from its exam into an exam of its own.

    Example:
      fundusd correct part 41
    """
    with _correcting(config, reader) as (ledger, by):
        _print(ledger.part_exam(capture, by), json=json)


@contextmanager
def _correcting(config: Path | None, reader: str) -> Iterator[tuple[Ledger, Corrector]]:
    """Open the ledger for a reader who may correct."""
    from fundusd.app.open_ledger import opened_ledger
    from fundusd.ledger.corrections import Corrector

    settings = load(config)
    by = reader_who_may(settings, reader, ReaderPermission.CORRECT)
    with opened_ledger(settings) as ledger:
        ledger.check()
        yield ledger, Corrector(by.id, by.role)


def _others_of_patient(ledger: Ledger, exam_id: int) -> list[Exam]:
    """Return the other exams of a known patient, to which what is said of an eye applies, too."""
    from fundusd.ledger import ViewQuery

    corrected = ledger.exam(exam_id)
    if corrected is None or corrected.patient_key is None:
        return []
    rows = ledger.ask(ViewQuery("v_person_exam", (), {"patient_key": corrected.patient_key}))
    return ledger.judged_exams([row["exam_id"] for row in rows if row["exam_id"] != exam_id])


def _changed(ledger: Ledger, before: Sequence[Exam]) -> list[Exam]:
    """Return those exams of which the result has changed since, as they are now."""
    now = ledger.judged_exams([exam.exam_id for exam in before])
    results = {exam.exam_id: (exam.final, exam.is_final) for exam in before}
    return [exam for exam in now if (exam.final, exam.is_final) != results[exam.exam_id]]


def _print_several(after: Sequence[Exam], *, json: bool) -> None:
    """Print the exams of several captures that were excluded, as they are now."""
    from fundusd.reports import wording

    exams = {exam.exam_id: exam for exam in after}.values()
    if json:
        print(as_json([_as_dict(exam) for exam in exams]))
        return
    for exam in exams:
        print(wording.result_line(exam))
    print(f"Captures excluded: {len(after)}. Exams: {len(exams)}.")
    print(SAFETY_WORDS)


def _as_dict(after: Exam, others: Sequence[Exam] = ()) -> dict[str, Any]:
    eyes = {}
    for eye in after.eyes:
        eyes[eye.eye.value] = {"referable": eye.final.referable, "waits_for": eye.waits_for}
    answer = {"exam_id": after.exam_id, "referable": after.final.referable, "eyes": eyes}
    changed = [exam.exam_id for exam in others]
    return answer | {"absent": list(after.absent), "changed_exams": changed}


def _print(after: Exam, others: Sequence[Exam] = (), *, json: bool) -> None:
    """Print what the exam is now, and which `others` have changed with it."""
    from fundusd.reports import wording

    if json:
        print(as_json(_as_dict(after, others)))
        return
    print(wording.result_line(after))
    for exam in others:
        print(f"Changed, too: {wording.result_line(exam)}")
    print(SAFETY_WORDS)
