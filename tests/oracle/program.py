"""The same exams as the program judges them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from tests import ledger_cases
from tests.oracle.moments import files_at, places_of, results_at
from tests.oracle.readings import follows_to

from fundusd.clinical import exam as program
from fundusd.clinical.judgement import files_of_no_eye, judge
from fundusd.clinical.reading import Reading
from fundusd.clinical.shot import Shot
from fundusd.domain.clinical_terms import Eye, Grade, Outcome, Reason, Referable, ReviewVerdict
from fundusd.domain.readings import (
    AbsenceReason,
    FollowUpKind,
    Maculopathy,
    OtherLesion,
    ReadingPurpose,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.oracle import events

LESIONS = {"lesion_1": OtherLesion.AMD, "lesion_2": OtherLesion.GLAUCOMA_SUSPECT}
MIN_GRADE = 2
AT = datetime(2026, 11, 4, 9, tzinfo=UTC)
SCORES = (0.2,) * len(Grade)
DIGESTS = [ledger_cases.digest_of(str(number)) for number in range(20)]


def judged(exam: events.Exam) -> program.Exam:
    """Return an exam of the oracle as the program judges it."""
    shots = _shots(exam, exam.now)
    eyes = [
        replace(_with_readings(exam, eye), confirmed_share=float(exam.confirm == "all"))
        for eye in judge(shots, exam.expected_fields)
    ]
    follow_ups = [
        program.FollowUp(number, Eye(eye), FollowUpKind.RETAKE, AT)
        for number, eye in enumerate(sorted(exam.open_follow_ups, key="RLU".index), 1)
    ]
    absences = [program.Absence(Eye(eye), AbsenceReason.NO_VIEW) for eye in sorted(exam.absent)]
    made = program.Exam(
        exam_id=1,
        day=date(2026, 11, 3),
        patient_key="ab" * 32,
        patient_id=None,
        study_uid=None,
        eyes=tuple(eyes),
        others=files_of_no_eye(shots, eyes),
    )
    return made.with_corrections(absences, follow_ups)


def _with_readings(exam: events.Exam, eye: program.EyeResult) -> program.EyeResult:
    """Return an eye with the readings that count for it.

    Which readings follow their photographs to another eye is decided in the ledger, so it is the
    oracle that chooses them here.
    """
    places = places_of(files_at(exam, exam.now)) if exam.readings else {}
    readings = []
    for number, given in enumerate(exam.readings, 1):
        model = results_at(exam, given.moment)[given.eye]
        if eye.eye in follows_to(given, model, places):
            readings.append(_reading(number, given, _eye_at(exam, given)))
    return eye.with_readings(readings)


def _eye_at(exam: events.Exam, given: events.Reading) -> program.EyeResult:
    """Return the eye as it was when it was read."""
    eyes = judge(_shots(exam, given.moment), exam.expected_fields)
    return next(eye for eye in eyes if eye.eye == given.eye)


def _shots(exam: events.Exam, moment: tuple[int, int]) -> list[Shot]:
    return [_shot(file, is_of_one_field=exam.one_field) for file in files_at(exam, moment)]


def _shot(file: events.File, *, is_of_one_field: bool) -> Shot:
    return Shot(
        capture_id=file.number,
        camera_id="cam",
        stem=str(file.photograph),
        digest=DIGESTS[file.number],
        release_id=1,
        eye=Eye(file.eye),
        field=file.field,
        outcome=Outcome(file.outcome),
        reason=Reason(file.reason) if file.reason else None,
        grade=None if file.grade is None else Grade(file.grade),
        referable=Referable(file.referable or "indeterminate"),
        scores=None if file.grade is None else SCORES,
        warnings=tuple(sorted(file.warnings)),
        is_conflict=file.conflict and not file.eye_said,
        is_eye_said=file.eye_said,
        is_patient_said=file.belongs,
        is_excluded=file.excluded,
        is_of_one_field=is_of_one_field,
    )


def _reading(number: int, given: events.Reading, then: program.EyeResult) -> Reading:
    grade, referable = _stored(given, then)
    is_referred = grade is not None and grade >= MIN_GRADE
    return Reading(
        review_id=number,
        verdict=ReviewVerdict(given.verdict),
        referable=referable,
        grade=grade,
        reason="other" if given.verdict == "override" else None,
        reviewer=given.reader,
        role="grader",
        is_blinded=False,
        at=AT,
        basis=then.basis,
        purpose=ReadingPurpose(given.purpose),
        lesion=LESIONS[given.lesion] if given.lesion else None,
        maculopathy=Maculopathy.PRESENT if given.maculopathy else None,
        is_for_retinopathy=is_referred or given.maculopathy,
    )


def _stored(given: events.Reading, then: program.EyeResult) -> tuple[Grade | None, Referable]:
    """Return what the ledger stores of a review; see `fundusd.ledger.reviews`."""
    grade, referable = then.grade, then.referable
    if given.verdict == "override":
        grade = Grade(given.grade or 0)
        referable = Referable.YES if grade >= MIN_GRADE else Referable.NO
    elif given.verdict in {"ungradable", "retake"}:
        grade, referable = None, Referable.INDETERMINATE
    if given.verdict != "defer" and (given.lesion or given.maculopathy):
        referable = Referable.YES
    return grade, referable


def worklist(exam: program.Exam) -> Sequence[program.EyeResult]:
    """Return the eyes on the worklist, in its order."""
    listed = [eye for eye in exam.eyes if eye.urgency]
    return sorted(listed, key=lambda eye: -eye.urgency)
