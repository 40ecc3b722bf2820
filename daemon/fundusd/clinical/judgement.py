"""Judge the eyes of an exam by all their files; pure.

docs/exams.md, "An eye", holds the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.clinical.eye_result import EyeResult, needed_action
from fundusd.clinical.referral import UNDECIDED, Assessment
from fundusd.clinical.shot import DISC, MACULA, joined, unresolved
from fundusd.domain.clinical_terms import Action, Eye, Outcome, Referable
from fundusd.domain.eye_reasons import EyeReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fundusd.clinical.shot import Shot
    from fundusd.domain.clinical_terms import Reason

# the most useful action comes first: a patient who is still there can be photographed again
_MOST_USEFUL = (Action.RETAKE, Action.CONTACT_IT, Action.REFER_READER)


def judge(shots: Iterable[Shot], expected: Sequence[str] = ()) -> list[EyeResult]:
    """Return the result for each eye, in the order R, L, U.

    Without evidence of each field in `expected`, an eye is undecided unless it is referable.
    """
    by_eye: dict[Eye, list[Shot]] = {}
    files = joined(shots)
    excluded = {shot.digest for shot in files if shot.is_excluded}  # equal bytes are one photograph
    for shot in files:
        if shot.digest not in excluded:
            by_eye.setdefault(shot.eye, []).append(shot)
    unknown = by_eye.get(Eye.UNKNOWN, [])
    if len(by_eye) > 1 and all(shot.is_accompanying for shot in unknown):
        by_eye.pop(Eye.UNKNOWN, None)
    return [_judge_eye(eye, by_eye[eye], expected) for eye in Eye if eye in by_eye]


def files_of_no_eye(shots: Iterable[Shot], eyes: Iterable[EyeResult]) -> tuple[Shot, ...]:
    """Return the files that count for no eye: excluded ones, and accompanying ones of no eye."""
    counted = {shot.capture_id for eye in eyes for shot in eye.shots}
    return tuple(shot for shot in joined(shots) if shot.capture_id not in counted)


def _judge_eye(eye: Eye, shots: Sequence[Shot], expected: Sequence[str]) -> EyeResult:
    """Apply the table of docs/exams.md, "An eye", row by row."""
    referable = [shot for shot in shots if shot.referable is Referable.YES]
    evidence = [shot for shot in shots if shot.is_evidence]
    doubtful = unresolved(shots)
    seen = {shot.field for shot in evidence}
    wanted = set(expected)
    is_disc_only = {shot.field for shot in shots if _can_be_looked_at(shot)} == {DISC}
    if seen == {DISC} or is_disc_only:  # without the macula nobody can know
        wanted.add(MACULA)
    lacks_field = not seen >= wanted
    grades = [shot.grade for shot in shots if shot.grade is not None]
    newest = max(shots, key=lambda shot: shot.capture_id)
    if referable:
        decisive, reason = max(referable, key=_by_grade), None
    elif doubtful:
        decisive = max(doubtful, key=_by_use)
        reason = decisive.doubt
    elif lacks_field:
        decisive, reason = newest, EyeReason.FIELD_MISSING
    elif not evidence:
        decisive, reason = newest, newest.reason
    elif eye is Eye.UNKNOWN:
        decisive, reason = newest, EyeReason.EYE_UNKNOWN
    else:
        decisive, reason = max(evidence, key=_by_grade), None
    decided = UNDECIDED
    if reason is None:
        decided = Assessment(decisive.referable, max(grades))
    photographed = {shot.field for shot in shots if shot.field and not shot.is_accompanying}
    return EyeResult(
        eye=eye,
        outcome=decisive.outcome,
        referable=decided.referable,
        grade=decided.grade,
        reason=reason,
        missing_fields=tuple(sorted(wanted - photographed)),
        decisive=decisive,
        shots=tuple(shots),
        unseen=_unseen(shots, doubtful) or (EyeReason.FIELD_MISSING if is_disc_only else None),
    )


def _can_be_looked_at(shot: Shot) -> bool:
    return shot.outcome is not Outcome.FAILED and not shot.is_accompanying


def _unseen(shots: Sequence[Shot], doubtful: Sequence[Shot]) -> Reason | EyeReason | None:
    """Return why nobody has seen a photograph that leaves a doubt or is referable.

    It has failed, or another file was written over it.
    """
    failed = [shot for shot in doubtful if shot.outcome is Outcome.FAILED]
    if failed:
        return max(failed, key=_by_use).doubt
    there = {shot.digest for shot in shots if not shot.is_overwritten}
    for shot in shots:
        matters = shot.referable is Referable.YES or shot in doubtful
        if matters and shot.is_overwritten and shot.digest not in there:
            return EyeReason.OVERWRITTEN
    return None


def _by_grade(shot: Shot) -> tuple[int, int]:
    return -1 if shot.grade is None else shot.grade, shot.capture_id


def _by_use(shot: Shot) -> tuple[int, int]:
    """Return a key by which the doubt with the most useful action, then the newest, is highest."""
    action = Action.REFER_READER if shot.doubt is None else needed_action(shot.doubt)
    return -_MOST_USEFUL.index(action), shot.capture_id
