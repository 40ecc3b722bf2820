"""An exam: one person's visit, with the results of the eyes and that of the person; pure.

docs/exams.md holds the rules. If the person is unknown, an exam is one DICOM study, otherwise a
single photograph, so that strangers are never combined.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fundusd.clinical.referral import UNDECIDED, Assessment, worst
from fundusd.domain.clinical_terms import Eye, Grade, Outcome, Referable
from fundusd.domain.exams import DayDoubt
from fundusd.domain.readings import AbsenceReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date, datetime

    from fundusd.clinical.eye_result import EyeResult
    from fundusd.clinical.shot import Shot
    from fundusd.domain.readings import FollowUpKind

_BOTH = (Eye.RIGHT, Eye.LEFT)


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What has to happen for an eye that a reader could not grade."""

    follow_up_id: int
    eye: Eye
    kind: FollowUpKind
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Absence:
    """An eye that a person is said to lack."""

    eye: Eye
    reason: AbsenceReason
    until: date | None = None  # the last day; None: for good


@dataclass(frozen=True, slots=True)
class Claim:
    """A photograph of another exam, one of whose sources names the patient of this exam."""

    capture_id: int
    exam_id: int


@dataclass(frozen=True, slots=True)
class OtherExam:
    """Another exam of the same person on the same day, and its final result."""

    exam_id: int
    referable: Referable


@dataclass(frozen=True, slots=True)
class Exam:
    """A visit, with the result for each eye and the assessment of the person by the worse eye."""

    exam_id: int
    day: date  # in the clinic's time zone
    patient_key: str | None
    patient_id: str | None  # None also if the site stores only pseudonyms
    study_uid: str | None  # of its first DICOM study
    eyes: tuple[EyeResult, ...]  # those that were photographed, in the order R, L, U
    day_doubt: DayDoubt = DayDoubt.NONE
    absences: tuple[Absence, ...] = ()  # of eyes that the patient is said to lack
    others: tuple[Shot, ...] = ()  # files that count for no eye
    follow_ups: tuple[FollowUp, ...] = ()  # those that are open
    protocol: str = ""  # the settings by which it was judged, as the ledger stores them
    part: str = ""  # the exam's key; empty for the first exam of a known person and day
    joined_into: int | None = None  # the exam that its photographs belong to
    claims: tuple[Claim, ...] = ()  # photographs of other exams that may be the patient's
    others_of_day: tuple[OtherExam, ...] = ()

    @property
    def assessment(self) -> Assessment:
        """Return the model's assessment of the person."""
        return self._person([(eye, eye.assessment) for eye in self.eyes])

    @property
    def final(self) -> Assessment:
        """Return the assessment of the person, taking into account the readings so far."""
        return self._person([(eye, eye.final) for eye in self.eyes])

    def _person(self, assessed: Iterable[tuple[EyeResult, Assessment]]) -> Assessment:
        """Assess the person by the worse eye, leaving out absent eyes that are not referable."""
        counted: list[Assessment] = []
        for eye, assessment in assessed:
            if not eye.is_absent or assessment.referable is Referable.YES:
                counted.append(assessment)
        if self.missing or self.lacks_both_eyes or self.claims or self.impossible:
            counted.append(UNDECIDED)
        person = worst(counted)
        if person.referable is Referable.INDETERMINATE and person.grade is Grade.NO_DR:
            return UNDECIDED  # "No DR" would be said of an eye that nobody could see
        return person

    def with_corrections(self, absences: Sequence[Absence], follow_ups: Sequence[FollowUp]) -> Exam:
        """Return a copy with the eyes that the patient lacks, and with the open follow-ups."""
        absent = {absence.eye for absence in absences}
        followed_up = {follow_up.eye for follow_up in follow_ups}
        eyes: list[EyeResult] = []
        for eye in self.eyes:
            marked = replace(eye, is_absent=eye.eye in absent)
            eyes.append(replace(marked, has_follow_up=eye.eye in followed_up))
        return replace(
            self, eyes=tuple(eyes), absences=tuple(absences), follow_ups=tuple(follow_ups)
        )

    def with_reader_names(self, names: Mapping[str, str]) -> Exam:
        """Return a copy for people to read, with the names of the readers in place of their ids."""
        eyes = tuple(replace(eye, readings=eye.readings.named(names)) for eye in self.eyes)
        return replace(self, eyes=eyes)

    @property
    def absent(self) -> tuple[Eye, ...]:
        """Return the eyes that the patient is said to lack."""
        return tuple(absence.eye for absence in self.absences)

    @property
    def lacks_both_eyes(self) -> bool:
        """Return whether both eyes are said to be absent, which somebody has to check."""
        return set(self.absent) >= set(_BOTH)

    @property
    def impossible(self) -> tuple[Eye, ...]:
        """Return the eyes that are said to be prostheses, but of which a photograph was graded.

        It is a photograph of the other eye or of another person, or the wrong eye was named.
        """
        prostheses = {
            absence.eye for absence in self.absences if absence.reason is AbsenceReason.PROSTHESIS
        }
        impossible: list[Eye] = []
        for eye in self.eyes:
            is_graded = any(shot.outcome is Outcome.GRADED for shot in eye.shots)
            if eye.eye in prostheses and is_graded:
                impossible.append(eye.eye)
        return tuple(impossible)

    @property
    def open_others(self) -> tuple[int, ...]:
        """Return the other exams of the person and day that are not negative."""
        return tuple(
            other.exam_id for other in self.others_of_day if other.referable is not Referable.NO
        )

    @property
    def is_reviewed(self) -> bool:
        """Return whether readers have settled every eye that counts."""
        return bool(self.counting) and all(eye.is_read for eye in self.counting)

    @property
    def counting(self) -> tuple[EyeResult, ...]:
        """Return the eyes whose results count: of an absent eye, only a referable result does."""
        return tuple(
            eye for eye in self.eyes if not eye.is_absent or eye.final.referable is Referable.YES
        )

    def is_settled(self, eye: EyeResult) -> bool:
        """Return whether nothing about an eye of this exam is open any more."""
        return eye.is_read and eye.waits_for is None and not eye.has_follow_up

    @property
    def is_final(self) -> bool:
        """Return whether nothing about the result is open any more."""
        has_unknown = any(eye.eye is Eye.UNKNOWN for eye in self.eyes)
        if has_unknown or self.missing or self.lacks_both_eyes or self.follow_ups or self.claims:
            return False
        is_negative = self.final.referable is Referable.NO
        if self.impossible or (is_negative and self.open_others):
            return False
        return self.is_reviewed and all(eye.waits_for is None for eye in self.counting)

    @property
    def worst_grade_seen(self) -> Grade | None:
        """Return the person's grade or, if it is undecided, the highest one in any photograph.

        The grades of the readings count, too. Only a negative person has a grade below 1: a person
        referred for another lesion would seem to be healthy.
        """
        if self.final.referable is Referable.NO:
            return self.final.grade
        if self.final.referable is Referable.YES:
            return self.final.grade or None
        grades: list[Grade | None] = []
        for eye in self.counting:
            grades += [eye.worst_grade_seen, *eye.readings.grades]
        return max((grade for grade in grades if grade), default=None)

    @property
    def missing(self) -> tuple[Eye, ...]:
        """Return the eyes that were not photographed and that the patient does not lack."""
        known = {result.eye for result in self.eyes} | set(self.absent)
        return tuple(eye for eye in _BOTH if eye not in known)
