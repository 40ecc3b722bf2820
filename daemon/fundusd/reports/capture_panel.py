"""The panel of one capture, which is never a result for the eye or the person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fundusd.clinical.shot import unresolved
from fundusd.domain.capture_warnings import in_words
from fundusd.domain.clinical_terms import Action, Eye, EyeSource, Grade, Outcome, Reason, Referable
from fundusd.domain.eye_reasons import EyeReason
from fundusd.reports import next_steps, wording
from fundusd.reports.panel import Panel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fundusd.clinical.exam import Exam
    from fundusd.clinical.eye_result import EyeResult
    from fundusd.clinical.shot import Shot
    from fundusd.reports.panel import Photograph

    Row = Mapping[str, Any]

_SUGGESTS = {
    Referable.YES: "The model suggests: referable",
    Referable.NO: "The model suggests: not referable",
}
_NO_RESULT = "One photograph is not a result for the person: see the exam."


def of_capture(row: Row, exam: Exam | None, photograph: Photograph) -> Panel:
    """Return the panel of a capture, given its row of v_result and its exam, if it has one."""
    eye, shot = _in_exam(exam, row["capture_id"])
    grade, scores = None, None
    if row["grade"] is not None:
        grade = Grade(row["grade"])
        scores = [row[f"score_{grade.name.lower()}"] for grade in Grade]
    referable = Referable(row["referable"] or Referable.INDETERMINATE)
    verdict = _no_verdict(row, exam, shot)
    if verdict:
        referable, scores = Referable.INDETERMINATE, None
    return Panel(
        heading=wording.EYES[shot.eye if shot is not None else Eye(row["eye"])],
        source=_source(row),
        photograph=photograph,
        referable=referable,
        grade=wording.grade_name(grade),
        model="",
        quality=_quality(row, shot),
        scores=scores,
        reading="",
        steps=_steps(row, exam, eye, shot),
        warnings=_warnings(row, shot),
        of_photograph=verdict or _SUGGESTS.get(referable, ""),
    )


def _no_verdict(row: Row, exam: Exam | None, shot: Shot | None) -> str:
    """Return why nothing follows from what the model says of a capture, or "" if something does."""
    if row["excluded"]:
        return "Excluded by a person"
    if exam is not None and shot is None:
        return "Moved to another place" if row["moved_to"] else "Replaced by another file"
    is_negative = row["referable"] == Referable.NO
    return "In doubt" if is_negative and shot is not None and _doubt(shot) is not None else ""


def _doubt(shot: Shot) -> EyeReason | None:
    """Return why a photograph may be of another eye, patient or visit, or None if it is not."""
    if shot.identity_doubt is None and shot.eye is Eye.UNKNOWN:
        return EyeReason.EYE_UNKNOWN
    return shot.identity_doubt


def _in_exam(exam: Exam | None, capture_id: int) -> tuple[EyeResult | None, Shot | None]:
    """Return the eye for which a capture counts, and the capture as the exam sees it."""
    if exam is None:
        return None, None
    places: list[tuple[EyeResult | None, Shot]] = [
        (eye, shot) for eye in exam.eyes for shot in eye.shots
    ]
    places += [(None, shot) for shot in exam.others]
    for eye, shot in places:
        if shot.capture_id == capture_id:
            return eye, shot
    return None, None


def _source(row: Row) -> str:
    parts = [f"capture {row['capture_id']}", f"camera {row['camera_id']}"]
    parts.append(wording.field(row["field"]))
    if row["superseded"]:
        parts.append("moved since" if row["moved_to"] else "superseded by a newer file")
    if row["excluded"]:
        parts.append(f"excluded by a reader ({row['excluded'].replace('_', ' ')})")
    return ", ".join(parts)


def _quality(row: Row, shot: Shot | None) -> str:
    if not row["outcome"]:
        return f"Not known yet: the capture is {row['state']}"
    if row["excluded"]:
        return "Excluded, so it counts for no eye"
    reason = Reason(row["reason"]) if row["reason"] else None
    if reason is None and shot is not None:
        return wording.quality(Outcome(row["outcome"]), _doubt(shot))
    return wording.quality(Outcome(row["outcome"]), reason)


def _warnings(row: Row, shot: Shot | None) -> list[str]:
    """Return the warnings of a capture that no person has answered, as sentences."""
    if shot is None:
        return wording.warnings_of_row(row)
    return [f"{text[0].upper()}{text[1:]}." for text in in_words(shot.open_warnings)]


def _steps(row: Row, exam: Exam | None, eye: EyeResult | None, shot: Shot | None) -> list[str]:
    if not row["outcome"]:
        return [*_steps_of_row(row), "Wait for its result."]
    if exam is None and not row["superseded"]:
        return [*_steps_of_row(row), _NO_RESULT]
    if (exam is None or shot is None) and row["moved_to"]:
        return [f"The file was moved, and is capture {row['moved_to']} now.", _NO_RESULT]
    if exam is None or shot is None:
        return ["Nothing about this file: another one has taken its place.", _NO_RESULT]
    if shot.is_excluded:
        return [_NO_RESULT]
    return [*_steps_of_shot(exam, eye, shot), _NO_RESULT]


def _steps_of_row(row: Row) -> Iterator[str]:
    """Yield the steps for a capture that has no exam yet."""
    eye = Eye(row["eye"])
    if eye is Eye.UNKNOWN and row["outcome"] != Outcome.REFUSED:
        is_conflict = row["eye_source"] == EyeSource.CONFLICT
        yield next_steps.which_eye([row["capture_id"]], is_conflict=is_conflict)
    if row["action"]:
        yield from next_steps.step(Action(row["action"]), eye)


def _steps_of_shot(exam: Exam, eye: EyeResult | None, shot: Shot) -> Iterator[str]:
    """Yield what is to be done about a capture of an exam, the most important first."""
    yield from next_steps.whose(exam)
    if shot.referable is Referable.YES and not (eye is not None and eye.is_read):
        yield next_steps.READ_FIRST
    yield from next_steps.identity_of_shot(shot)
    is_open = eye is None or shot in unresolved(eye.shots)
    if shot.reason is not None and is_open:
        yield from next_steps.step(shot.reason.action, shot.eye)
