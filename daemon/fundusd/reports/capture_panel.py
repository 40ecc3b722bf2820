"""The panel of one capture, which is never a result for the eye or the person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fundusd.clinical.shot import unresolved
from fundusd.domain.capture_warnings import in_words
from fundusd.domain.clinical_terms import Action, Eye, EyeSource, Grade, Outcome, Reason, Referable
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.readings import ReadingState
from fundusd.reports import capture_doubt, next_steps, wording
from fundusd.reports.capture_doubt import CaptureDoubt
from fundusd.reports.panel import Panel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
_OF_NOBODY = (
    "It belongs to no exam: it is none of the accepted formats, and no source names its patient or "
    "its eye."
)


def of_capture(
    row: Row, exam: Exam | None, photograph: Photograph, eyes: Sequence[Row] = ()
) -> Panel:
    """Return the panel of a capture, given its row of v_result and its exam, if it has one.

    If the exam may not be read itself, `eyes` are the rows of v_eye_result for which the capture
    may count.
    """
    eye, shot = _in_exam(exam, row["capture_id"])
    if exam is None and row["exam_id"] is not None:
        doubt = capture_doubt.by_views(row, eyes)
        steps = _steps_by_views(row, doubt, eyes)
    else:
        doubt = CaptureDoubt(None) if shot is None else capture_doubt.of_shot(shot)
        steps = _steps(row, exam, eye, shot)
    eye_name = Eye(row["eye"]) if shot is None else shot.eye
    if doubt.reason is EyeReason.EYE_UNKNOWN:
        eye_name = Eye.UNKNOWN
    grade, scores = None, None
    if row["grade"] is not None:
        grade = Grade(row["grade"])
        scores = [row[f"score_{grade.name.lower()}"] for grade in Grade]
    referable = Referable(row["referable"] or Referable.INDETERMINATE)
    verdict = _no_verdict(row, exam, shot, doubt)
    if verdict:
        referable, scores = Referable.INDETERMINATE, None
    return Panel(
        heading=wording.EYES[eye_name],
        source=_source(row),
        photograph=photograph,
        referable=referable,
        grade=wording.grade_name(grade),
        model="",
        quality=_quality(row, doubt),
        scores=scores,
        reading="",
        steps=steps,
        warnings=_warnings(row, shot),
        of_photograph=verdict or _SUGGESTS.get(referable, ""),
    )


def _no_verdict(row: Row, exam: Exam | None, shot: Shot | None, doubt: CaptureDoubt) -> str:
    """Return why nothing follows from what the model says of a capture, or "" if something does."""
    if row["excluded"]:
        return "Excluded by a person"
    is_negative = row["referable"] == Referable.NO
    is_gone = is_negative and row["superseded"] if exam is None else shot is None
    if is_gone:
        return "Moved to another place" if row["moved_to"] else "Replaced by another file"
    if not is_negative:
        return ""
    if not doubt.is_known:
        return "May be in doubt"
    return "In doubt" if doubt.reason is not None else ""


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


def _quality(row: Row, doubt: CaptureDoubt) -> str:
    if not row["outcome"]:
        return f"Not known yet: the capture is {row['state']}"
    if row["excluded"]:
        return "Excluded, so it counts for no eye"
    reason = Reason(row["reason"]) if row["reason"] else None
    if row["outcome"] == Outcome.GRADED and not doubt.is_known:
        return "Graded"
    return wording.quality(Outcome(row["outcome"]), reason or doubt.reason)


def _warnings(row: Row, shot: Shot | None) -> list[str]:
    """Return the warnings of a capture that no person has answered, as sentences."""
    if shot is None:
        return wording.warnings_of_row(row)
    return [f"{text[0].upper()}{text[1:]}." for text in in_words(shot.open_warnings)]


def _steps(row: Row, exam: Exam | None, eye: EyeResult | None, shot: Shot | None) -> list[str]:
    if not row["outcome"]:
        return [*_steps_of_row(row), "Wait for its result."]
    if exam is None and not row["superseded"]:
        return [*next_steps.step(Action(row["action"]), Eye.UNKNOWN), _OF_NOBODY]
    if (exam is None or shot is None) and row["moved_to"]:
        return [f"The file was moved, and is capture {row['moved_to']} now.", _NO_RESULT]
    if exam is None or shot is None:
        return ["Nothing about this file: another one has taken its place.", _NO_RESULT]
    if shot.is_excluded:
        return [_NO_RESULT]
    return [*_steps_of_shot(exam, eye, shot), _NO_RESULT]


def _steps_by_views(row: Row, doubt: CaptureDoubt, eyes: Sequence[Row]) -> list[str]:
    """Return the steps for a capture whose exam may not be read."""
    if not row["outcome"]:
        return [*_steps_of_row(row), "Wait for its result."]
    if row["excluded"]:
        return [_NO_RESULT]
    if row["moved_to"]:
        return [f"The file was moved, and is capture {row['moved_to']} now.", _NO_RESULT]
    steps: list[str] = []
    if row["superseded"]:
        steps.append("Another file has taken its place.")
    read = {eye["eye"] for eye in eyes if eye["reading_state"] == ReadingState.READ}
    if row["referable"] == Referable.YES and row["eye"] not in read:
        steps.append(next_steps.READ_FIRST)
    if doubt.reason is EyeReason.EYE_UNKNOWN and Eye(row["eye"]) is not Eye.UNKNOWN:
        steps.append(next_steps.which_eye([row["capture_id"]], is_conflict=True))
    elif doubt.reason is not None and doubt.reason is not EyeReason.EYE_UNKNOWN:
        steps.append(next_steps.identity(doubt.reason, [row["capture_id"]]))
    return [*steps, *_steps_of_row(row), _NO_RESULT]


def _steps_of_row(row: Row) -> Iterator[str]:
    """Yield the steps that follow from the row of a capture alone."""
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
