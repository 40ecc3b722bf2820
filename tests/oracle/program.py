"""The same exams as the program judges them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from tests import ledger_cases
from tests.oracle.moments import files_at

from fundusd.clinical import exam as program
from fundusd.clinical.judgement import files_of_no_eye, judge
from fundusd.clinical.reading import Reading, of_eyes
from fundusd.clinical.same_photograph import STILL
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
    from collections.abc import Iterator, Sequence

    from tests.oracle import events

    from fundusd.clinical.eye_result import EyeResult

LESIONS = {"lesion_1": OtherLesion.AMD, "lesion_2": OtherLesion.GLAUCOMA_SUSPECT}
MIN_GRADE = 2
EXAM_ID = 1
AT = datetime(2026, 11, 4, 9, tzinfo=UTC)
SCORES = (0.2,) * len(Grade)
DIGESTS = [ledger_cases.digest_of(str(number)) for number in range(20)]


def judged(exam: events.Exam) -> program.Exam:
    """Return an exam of the oracle as the program judges it."""
    shots = _shots(exam, exam.now)
    judged_eyes = judge(shots, exam.expected_fields)
    others = files_of_no_eye(shots, judged_eyes)
    readings = of_eyes(list(_readings(exam)), EXAM_ID, _places(judged_eyes, others), ())
    eyes = []
    for eye in judged_eyes:
        eye_read = eye.with_readings(readings.get(eye.eye, []))
        eyes.append(replace(eye_read, confirmed_share=float(exam.confirm == "all")))
    follow_ups = [
        program.FollowUp(number, Eye(eye), FollowUpKind.RETAKE, AT)
        for number, eye in enumerate(sorted(exam.open_follow_ups, key="RLU".index), 1)
    ]
    why = AbsenceReason(exam.absence)
    absences = [program.Absence(Eye(eye), why) for eye in sorted(exam.absent)]
    made = program.Exam(
        exam_id=EXAM_ID,
        day=date(2026, 11, 3),
        patient_key="ab" * 32 if exam.is_known else None,
        patient_id=None,
        study_uid=None,
        eyes=tuple(eyes),
        others=others,
        claims=(program.Claim(99, 9),) if exam.claimed else (),
        others_of_day=_others(exam),
    )
    return made.with_corrections(absences, follow_ups)


def _others(exam: events.Exam) -> tuple[program.OtherExam, ...]:
    if not exam.other_exam:
        return ()
    return (program.OtherExam(13, Referable(exam.other_exam)),)


def _places(eyes: Sequence[EyeResult], others: Sequence[Shot]) -> dict[Eye, set[str]]:
    """Return the digests of the photographs of each eye, as the ledger collects them."""
    places: dict[Eye, set[str]] = {eye.eye: {shot.digest for shot in eye.shots} for eye in eyes}
    for shot in others:
        places.setdefault(shot.eye, set()).add(shot.digest)
    return places


def _readings(exam: events.Exam) -> Iterator[Reading]:
    for number, given in enumerate(exam.readings, 1):
        then = _eye_at(exam, given)
        reading = _reading(number, given, then)
        yield replace(
            reading,
            exam_id=EXAM_ID,
            eye=then.eye,
            photographs=frozenset(shot.digest for shot in then.shots),
        )


def _eye_at(exam: events.Exam, given: events.Reading) -> EyeResult:
    """Return the eye as it was when it was read."""
    eyes = judge(_shots(exam, given.moment), exam.expected_fields)
    return next(eye for eye in eyes if eye.eye == given.eye)


def _shots(exam: events.Exam, moment: tuple[int, int]) -> list[Shot]:
    files = files_at(exam, moment)
    taken = {file.path_taken_by: file for file in files}
    return [
        _shot(file, taken.get(file.number, file), is_of_one_field=exam.one_field) for file in files
    ]


def _shot(file: events.File, at_path: events.File, *, is_of_one_field: bool) -> Shot:
    """Return a file as the program knows it, given the first one that was at its path."""
    return Shot(
        capture_id=file.number,
        camera_id="cam",
        path=f"{at_path.photograph}.{at_path.number}",
        stem=str(at_path.photograph),
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
        is_of_uncertain_day=file.day_uncertain,
        is_excluded=file.excluded,
        is_overwritten=file.path_taken_by is not None,
        until=STILL if file.path_taken_by is None else file.path_taken_by,
        is_of_one_field=is_of_one_field,
    )


def _reading(number: int, given: events.Reading, then: EyeResult) -> Reading:
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


def _stored(given: events.Reading, then: EyeResult) -> tuple[Grade | None, Referable]:
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


def worklist(exam: program.Exam) -> Sequence[EyeResult]:
    """Return the eyes on the worklist, in its order."""
    listed = [eye for eye in exam.eyes if eye.urgency]
    return sorted(listed, key=lambda eye: -eye.urgency)
