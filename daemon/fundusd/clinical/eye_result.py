"""The result for an eye, from all its files and their readings; pure.

`judgement` makes the results, and docs/exams.md holds the rules.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fundusd.clinical.reading import UNREAD, EyeReadings, ReadBasis, combined
from fundusd.clinical.referral import UNDECIDED, Assessment
from fundusd.domain.clinical_terms import (
    Action,
    Eye,
    Grade,
    Outcome,
    Reason,
    Referable,
    ReviewVerdict,
)
from fundusd.domain.eye_reasons import EyeReason
from fundusd.domain.readings import OtherLesion, ReadingState, WorklistReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fundusd.clinical.reading import Reading
    from fundusd.clinical.shot import Shot

_REASON_OF_VERDICT = {
    ReviewVerdict.RETAKE: EyeReason.READER_ASKS_RETAKE,
    ReviewVerdict.UNGRADABLE: EyeReason.READER_UNGRADABLE,
}
# what an open follow-up takes care of
FOLLOWED_UP = frozenset(_REASON_OF_VERDICT.values())
_FIRST_RANK = {Referable.YES: 20, Referable.INDETERMINATE: 10, Referable.NO: 1}
_SAMPLE_DIGITS = 8  # of a digest
_SAMPLE_SIZE = 1 << 4 * _SAMPLE_DIGITS


def needed_action(reason: Reason | EyeReason) -> Action:
    """Return the action of a reason; a reader is needed where an eye has nothing to grade."""
    return Action.REFER_READER if reason.action is Action.NONE else reason.action


def photographs_digest(shots: Iterable[Shot]) -> str:
    """Return the digest of a set of photographs, in hex."""
    digests = sorted({shot.digest for shot in shots})
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class EyeResult:
    """The result for an eye from all its files; `decisive` is the file that decided it.

    `reason` says why the model's result is undecided. `grade` is None unless the result is decided.
    """

    eye: Eye
    outcome: Outcome
    referable: Referable
    grade: Grade | None
    reason: Reason | EyeReason | None
    missing_fields: tuple[str, ...]  # expected fields that were not photographed
    decisive: Shot
    shots: tuple[Shot, ...]  # without those that a person excluded
    # why nobody has seen the whole eye: a photograph has failed, or shows nothing but the disc
    unseen: Reason | EyeReason | None = None
    readings: EyeReadings = UNREAD
    is_absent: bool = False  # a person has said that the patient lacks this eye
    has_follow_up: bool = False  # one that is open
    confirmed_share: float = 0.0  # of the negative eyes, which readers are to confirm

    def with_readings(self, readings: Sequence[Reading]) -> EyeResult:
        """Return a copy with the readings of the eye, given in the order of their numbers."""
        return replace(self, readings=combined(self.basis, readings))

    @property
    def photographs(self) -> str:
        """Return the digest of the set of photographs that can be looked at, in hex."""
        return photographs_digest(self.seen)

    @property
    def seen(self) -> tuple[Shot, ...]:
        """Return the photographs that a reader can look at: those that have not failed."""
        return tuple(shot for shot in self.shots if shot.outcome is not Outcome.FAILED)

    @property
    def gone(self) -> tuple[Shot, ...]:
        """Return those of the photographs whose files are no longer in the inbox.

        Photographs of which another file has the same bytes are left out.
        """
        there = {shot.digest for shot in self.seen if not (shot.is_gone or shot.is_overwritten)}
        return tuple(shot for shot in self.seen if shot.is_gone and shot.digest not in there)

    @property
    def basis(self) -> ReadBasis:
        """Return what a reading given now is about."""
        rule = self.decisive.referable_rule
        return ReadBasis(self.photographs, self.outcome, self.grade, self.referable, rule)

    @property
    def assessment(self) -> Assessment:
        """Return the model's assessment of the eye."""
        return Assessment(self.referable, self.grade)

    @property
    def worst_grade_seen(self) -> Grade | None:
        """Return the highest grade of the photographs, even if the eye is undecided."""
        return max((shot.grade for shot in self.shots if shot.grade is not None), default=None)

    # -- with the readings

    @property
    def reading(self) -> Reading | None:
        """Return the reading that counts, or the one with which a reader deferred the eye."""
        return self.readings.reading

    @property
    def state(self) -> ReadingState:
        """Return what the readings of the eye amount to."""
        return self.readings.state

    @property
    def is_read(self) -> bool:
        """Return whether readers have settled the eye as it is now."""
        return self.state is ReadingState.READ

    @property
    def final(self) -> Assessment:
        """Return the assessment of the eye, taking into account the readings so far.

        It is never negative while it is not certain whose eye, or which one, was photographed, or
        while nobody has seen one of the photographs.
        """
        final = self.readings.final(self.assessment)
        if final.referable is Referable.NO and (self.identity_doubt or self.unseen):
            return UNDECIDED
        return final

    @property
    def identity_doubt(self) -> EyeReason | None:
        """Return why the photographs may show another eye or another patient, if they may."""
        doubtful = [shot for shot in self.shots if shot.identity_doubt is not None]
        if doubtful:
            return max(doubtful, key=lambda shot: shot.capture_id).identity_doubt
        return EyeReason.EYE_UNKNOWN if self.eye is Eye.UNKNOWN else None

    @property
    def lesions(self) -> tuple[OtherLesion, ...]:
        """Return the other lesions for which alone the eye is referred, or () if there is more."""
        is_by_readers = self.state in {ReadingState.READ, ReadingState.DISPUTED}
        if self.referable is Referable.YES and not is_by_readers:
            return ()
        lesions: list[OtherLesion] = []
        for reading in self.readings.decisive:
            if reading.referable is not Referable.YES:
                continue
            if reading.lesion is None or reading.is_for_retinopathy:
                return ()
            lesions.append(reading.lesion)
        return tuple(dict.fromkeys(lesions))

    @property
    def open_reason(self) -> Reason | EyeReason | None:
        """Return why the eye needs somebody, or None if its final result is decided."""
        is_undecided = self.final.referable is Referable.INDETERMINATE
        if self.state is ReadingState.DISPUTED:
            return EyeReason.READINGS_DIFFER
        if self.state is ReadingState.OUTDATED:
            own = self.reason if is_undecided else None
            return own or EyeReason.READING_OUTDATED
        if not is_undecided:
            return None
        if self.is_read and self.reading is not None:
            if self.reading.referable is Referable.NO:
                return self.identity_doubt or self.unseen
            return _REASON_OF_VERDICT.get(self.reading.verdict, EyeReason.READER_UNGRADABLE)
        return self.reason

    @property
    def action(self) -> Action:
        """Return what staff should do next about the eye."""
        reason = self.open_reason
        if reason is None:
            return Action.NONE
        return needed_action(reason)

    # -- on the worklist

    @property
    def waits_for(self) -> WorklistReason | None:
        """Return why the eye is on the worklist, or None if it is not."""
        referable = self.final.referable
        if self.is_absent and referable is not Referable.YES:
            return None
        if self.state is ReadingState.DISPUTED:
            return WorklistReason.ARBITRATION
        if self.state is ReadingState.OUTDATED:
            return WorklistReason.READ_AGAIN
        if referable is Referable.INDETERMINATE:
            is_followed_up = self.has_follow_up and self.open_reason in FOLLOWED_UP
            return None if is_followed_up else WorklistReason.UNDECIDED
        if self.is_read:
            is_doubted = referable is Referable.YES and self.identity_doubt is not None
            return WorklistReason.REFERABLE if is_doubted else None
        if referable is Referable.YES:
            return WorklistReason.REFERABLE
        return WorklistReason.CONFIRMATION if self._is_drawn() else None

    def _is_drawn(self) -> bool:
        """Return whether the eye belongs to the sample that is confirmed, which nobody chooses."""
        drawn = int(self.photographs[:_SAMPLE_DIGITS], 16)
        return drawn < int(self.confirmed_share * _SAMPLE_SIZE)

    @property
    def urgency(self) -> int:
        """Return the eye's rank on the worklist, where the worst eye has the highest rank.

        The rank is 0 if the eye is not on the list.
        """
        if self.waits_for is None:
            return 0
        grades = [self.worst_grade_seen, *self.readings.grades]
        return _FIRST_RANK[self.final.referable] + max(grade or 0 for grade in grades)
