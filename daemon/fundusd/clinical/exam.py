"""An exam: the photographs of one person's visit, and the result for each eye; pure.

An exam holds all captures of a person on one day of the clinic, regardless of the camera, the file
format and the DICOM study. If the person is unknown, an exam is one DICOM study, otherwise a single
shot, so that strangers are never combined.
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
    """A photograph of an exam: a capture that is not superseded, with its result."""

    capture_id: int
    camera_id: str
    stem: str  # the path without the suffix; a shot saved as .jpg and .dcm has one
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
    warnings: tuple[str, ...] = ()  # codes

    @property
    def assessment(self) -> referral.Assessment:
        """Return the model's assessment of the photograph."""
        return referral.Assessment(self.referable, self.grade)


@dataclass(frozen=True, slots=True)
class Reading:
    """The latest review of an eye's current result, and the assessment that results from it."""

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
    """The result for an eye from all its photographs; `decisive` is the shot that decided it."""

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
        """Return a copy of the result with a review added."""
        return replace(self, reading=reading)

    @property
    def action(self) -> Action:
        """Return what staff should do next about the eye.

        A reader is needed if all photographs of the eye are of kinds that usually accompany others.
        """
        if self.reason is None:
            return Action.NONE
        if self.reason.action is Action.NONE:
            return Action.REFER_READER
        return self.reason.action

    @property
    def final(self) -> referral.Assessment:
        """Return the reader's assessment if the eye has been read, otherwise the model's."""
        if self.reading is not None and self.is_read:
            return referral.Assessment(self.reading.referable, self.reading.grade)
        return self.assessment

    @property
    def assessment(self) -> referral.Assessment:
        """Return the model's assessment of the eye."""
        return referral.Assessment(self.referable, self.grade)

    @property
    def is_read(self) -> bool:
        """Return whether a reader has settled the eye."""
        return self.reading is not None and self.reading.verdict.is_settled

    @property
    def urgency(self) -> int:
        """Return the eye's rank on the worklist, where the worst eye has the highest rank.

        The rank is 0 if no reader is needed.
        """
        if self.is_read or self.referable is Referable.NO:
            return 0
        rank = self.grade or 0
        if self.referable is Referable.YES:
            return rank + 10
        return rank + 1


@dataclass(frozen=True, slots=True)
class Exam:
    """A visit, with the result for each eye and the assessment of the person by the worse eye."""

    exam_id: int
    day: date  # in the clinic's time zone
    patient_key: str | None
    patient_id: str | None  # None also if the site stores only pseudonyms
    study_uid: str | None  # of its first DICOM study
    eyes: tuple[EyeResult, ...]  # those that were photographed, in the order R, L, U

    @property
    def assessment(self) -> referral.Assessment:
        """Return the model's assessment of the person."""
        by_eye: dict[Eye, referral.Assessment] = {}
        for result in self.eyes:
            by_eye[result.eye] = result.assessment
        return referral.person(by_eye)

    @property
    def final(self) -> referral.Assessment:
        """Return the assessment of the person, taking into account the reviews so far."""
        by_eye: dict[Eye, referral.Assessment] = {}
        for result in self.eyes:
            by_eye[result.eye] = result.final
        return referral.person(by_eye)

    @property
    def is_reviewed(self) -> bool:
        """Return whether readers have settled every eye."""
        return bool(self.eyes) and all(result.is_read for result in self.eyes)

    @property
    def is_final(self) -> bool:
        """Return whether both eyes were photographed and readers have settled them."""
        return self.is_reviewed and not self.missing

    @property
    def missing(self) -> tuple[Eye, ...]:
        """Return the eyes that were not photographed."""
        missing = [Eye.RIGHT, Eye.LEFT]
        for result in self.eyes:
            if result.eye in missing:
                missing.remove(result.eye)
        return tuple(missing)


def joined(shots: Iterable[Shot]) -> list[Shot]:
    """Return all shots, with the eye and the field made consistent within each photograph.

    Files of one photograph get the same eye. If they disagree about the eye, it is unknown, and
    each file is marked as a conflict. A file without a field gets the field on which the others
    agree.
    """
    by_stem: dict[tuple[str, str], list[Shot]] = {}
    for shot in shots:
        by_stem.setdefault((shot.camera_id, shot.stem), []).append(shot)
    result: list[Shot] = []
    for files in by_stem.values():
        result += _agreed(files)
    return result


def _agreed(files: Sequence[Shot]) -> list[Shot]:
    """Return the files of one photograph, each labelled with the eye they agree on.

    A file without a field gets the field on which the other files agree.
    """
    eyes: set[Eye] = set()
    fields: set[str] = set()
    is_conflict = False
    for file in files:
        is_conflict = is_conflict or file.is_conflict
        if file.eye is not Eye.UNKNOWN:
            eyes.add(file.eye)
        if file.field:
            fields.add(file.field)
    is_conflict = is_conflict or len(eyes) > 1
    eye = Eye.UNKNOWN
    if eyes and not is_conflict:
        eye = eyes.pop()
    field = None
    if len(fields) == 1:
        field = fields.pop()
    agreed: list[Shot] = []
    for file in files:
        file_field = file.field or field
        agreed.append(replace(file, eye=eye, field=file_field, is_conflict=is_conflict))
    return agreed


def counted_shots(shots: Iterable[Shot]) -> dict[Eye, list[Shot]]:
    """Return the shots of each eye that count towards its result.

    Refused photographs count only if the eye has no other photographs.
    """
    by_eye: dict[Eye, list[Shot]] = {}
    for shot in joined(shots):
        by_eye.setdefault(shot.eye, []).append(shot)
    for eye, of_eye in by_eye.items():
        by_eye[eye] = [shot for shot in of_eye if shot.outcome is not Outcome.REFUSED] or of_eye
    return by_eye


def judge(shots: Iterable[Shot], expected: Sequence[str] = ()) -> list[EyeResult]:
    """Return the result for each eye, determined by the eye's worst field.

    If a field in `expected` was not photographed, the eye is undecided unless another field is
    referable.
    """
    by_eye = counted_shots(shots)
    results: list[EyeResult] = []
    for eye in Eye:
        if eye in by_eye:
            results.append(_judge_eye(eye, by_eye[eye], expected))
    return results


def _judge_eye(eye: Eye, shots: Sequence[Shot], expected: Sequence[str]) -> EyeResult:
    by_field: dict[str | None, list[referral.Assessment]] = {}
    for shot in shots:
        by_field.setdefault(shot.field, []).append(shot.assessment)
    assessment = referral.eye(by_field, expected)
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


def _weight(shot: Shot) -> tuple[bool, int, int]:
    """Return a key that orders shots by referral, then by grade, and then by number.

    A missing grade counts as the lowest.
    """
    grade = -1
    if shot.grade is not None:
        grade = shot.grade
    return shot.referable is Referable.YES, grade, shot.capture_id
