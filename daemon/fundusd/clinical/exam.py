"""One visit of one person: its photographs, what they say of each eye, and what to do next; pure.

An exam is all of a person's captures of one day of the clinic, whatever camera, file format or DICOM study they came
in. Where no person is known it is one DICOM study, else one shot alone: strangers are never joined.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fundusd.clinical import referral
from fundusd.domain.clinical_terms import (
    Action,
    Eye,
    Grade,
    Outcome,
    Reason,
    Referable,
    ReviewVerdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class Shot:
    """A photograph as it counts: one capture, not superseded, with what became of it."""

    capture_id: int
    camera_id: str
    stem: str  # its path without the suffix: the same shot as .jpg and .dcm has one
    digest: str
    release_id: int
    eye: Eye
    field: str | None  # macula, disc
    outcome: Outcome
    reason: Reason | None
    grade: Grade | None
    referable: Referable
    scores: tuple[float, ...] | None
    is_conflict: bool = False  # its sources disagree about the eye

    @property
    def assessment(self) -> referral.Assessment:
        """Return what it says of its eye."""
        return referral.Assessment(self.referable, self.grade)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a human said last of an eye's result as it stands, and what counts of the eye since."""

    review_id: int
    verdict: ReviewVerdict
    referable: Referable
    grade: Grade | None  # None: not gradable
    reason: str | None
    reviewer: str
    role: str
    is_blinded: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class EyeResult:
    """What the photographs of an eye say together; `decisive` is the shot that says it."""

    eye: Eye
    outcome: Outcome
    referable: Referable
    grade: Grade | None
    reason: Reason | None
    missing_fields: tuple[str, ...]  # expected fields that were not photographed
    decisive: Shot
    shots: tuple[Shot, ...]
    reading: Reading | None = None

    def read_as(self, reading: Reading) -> EyeResult:
        """Add what a human said of it."""
        return replace(self, reading=reading)

    @property
    def action(self) -> Action:
        """Tell staff what to do next about the eye."""
        return self.reason.action if self.reason else Action.NONE

    @property
    def final(self) -> referral.Assessment:
        """Return what counts: a human's word where there is one, the model's until then."""
        said = self.reading if self.is_read else None
        return referral.Assessment(said.referable, said.grade) if said else self.assessment

    @property
    def assessment(self) -> referral.Assessment:
        """Return what the model's results come to."""
        return referral.Assessment(self.referable, self.grade)

    @property
    def is_read(self) -> bool:
        """Tell whether a human has settled it."""
        return self.reading is not None and self.reading.verdict.is_settled

    @property
    def urgency(self) -> int:
        """Rank it on the list of what a human has to read: the worst highest, 0 for what need not be read."""
        if self.is_read or self.referable is Referable.NO:
            return 0
        return (10 if self.referable is Referable.YES else 1) + (self.grade or 0)


@dataclass(frozen=True, slots=True)
class Exam:
    """A visit: its eyes, and by the worse one the person."""

    exam_id: int
    day: date  # the clinic's
    patient_key: str | None
    patient_id: str | None  # None too where the site keeps pseudonyms only
    study_uid: str | None  # of its first DICOM study
    eyes: tuple[EyeResult, ...]  # R, L, U: those there are

    @property
    def assessment(self) -> referral.Assessment:
        """Judge the person by the worse eye, as the model sees it."""
        return referral.person({one.eye: one.assessment for one in self.eyes})

    @property
    def final(self) -> referral.Assessment:
        """Judge the person by the worse eye, as humans have corrected the model."""
        return referral.person({one.eye: one.final for one in self.eyes})

    @property
    def is_reviewed(self) -> bool:
        """Tell whether a human has settled every eye."""
        return bool(self.eyes) and all(one.is_read for one in self.eyes)

    @property
    def missing(self) -> tuple[Eye, ...]:
        """Return the eyes that were not photographed."""
        there = {one.eye for one in self.eyes}
        return tuple(eye for eye in (Eye.RIGHT, Eye.LEFT) if eye not in there)


def joined(shots: Iterable[Shot]) -> list[Shot]:
    """Let the files of one shot share their eye and field; where they disagree the eye is unknown, a conflict."""
    together: dict[tuple[str, str], list[Shot]] = {}
    for shot in shots:
        together.setdefault((shot.camera_id, shot.stem), []).append(shot)
    return [one for same in together.values() for one in _agreed(same)]


def _agreed(same: Sequence[Shot]) -> list[Shot]:
    eyes = {shot.eye for shot in same} - {Eye.UNKNOWN}
    is_conflict = len(eyes) > 1 or any(shot.is_conflict for shot in same)
    eye = next(iter(eyes)) if eyes and not is_conflict else Eye.UNKNOWN
    fields = {shot.field for shot in same if shot.field}
    field = next(iter(fields)) if len(fields) == 1 else None
    return [
        replace(shot, eye=eye, field=shot.field or field, is_conflict=is_conflict) for shot in same
    ]


def counted_shots(shots: Iterable[Shot]) -> dict[Eye, list[Shot]]:
    """Return the shots that count, by eye; refused pictures count only if the eye has nothing else."""
    by_eye: dict[Eye, list[Shot]] = {}
    for shot in joined(shots):
        by_eye.setdefault(shot.eye, []).append(shot)
    for eye, of_eye in by_eye.items():
        by_eye[eye] = [shot for shot in of_eye if shot.outcome is not Outcome.REFUSED] or of_eye
    return by_eye


def judge(shots: Iterable[Shot], expected: Sequence[str] = ()) -> list[EyeResult]:
    """Judge each eye by its worst field.

    An `expected` field that was not photographed leaves an eye undecided that is not referable.
    """
    by_eye = counted_shots(shots)
    return [_judge_eye(eye, by_eye[eye], expected) for eye in Eye if eye in by_eye]


def _judge_eye(eye: Eye, shots: Sequence[Shot], expected: Sequence[str]) -> EyeResult:
    by_field: dict[str | None, list[Shot]] = {}
    for shot in shots:
        by_field.setdefault(shot.field, []).append(shot)
    assessments = {}
    for field, of_field in by_field.items():
        assessments[field] = [shot.assessment for shot in of_field]
    assessment = referral.eye(assessments, expected)
    decisive = max(shots, key=_weight)
    return EyeResult(
        eye=eye,
        outcome=decisive.outcome,
        referable=assessment.referable,
        grade=assessment.grade,
        reason=decisive.reason,
        missing_fields=tuple(field for field in expected if field not in by_field),
        decisive=decisive,
        shots=tuple(shots),
    )


def _weight(shot: Shot) -> tuple[int, int, int]:
    """Order shots by what they weigh: a referable one, then the higher grade, none the least, then the newest."""
    return (
        shot.referable is Referable.YES,
        -1 if shot.grade is None else shot.grade,
        shot.capture_id,
    )
