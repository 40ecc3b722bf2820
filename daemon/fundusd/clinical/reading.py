"""Readings of an eye by people, and what they amount to; pure.

docs/exams.md, "Readings", holds the rules.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from fundusd.clinical.referral import UNDECIDED, Assessment, most_severe
from fundusd.domain.clinical_terms import Eye, Grade, Outcome, Referable, ReviewVerdict
from fundusd.domain.readings import (
    Maculopathy,
    OtherLesion,
    Photocoagulation,
    ReadingPurpose,
    ReadingState,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime


class ReadBasis(NamedTuple):
    """What a reading is about: a set of photographs, and the model's result for the eye."""

    photographs: str  # the digest of the set of their digests
    outcome: Outcome
    grade: Grade | None
    referable: Referable
    rule: str = ""  # by which grades are referred


@dataclass(frozen=True, slots=True)
class Reading:
    """A review of an eye, and the assessment that results from it."""

    review_id: int
    verdict: ReviewVerdict
    referable: Referable
    grade: Grade | None  # None: not gradable
    reason: str | None
    reviewer: str
    role: str
    is_blinded: bool
    at: datetime
    basis: ReadBasis
    purpose: ReadingPurpose = ReadingPurpose.ROUTINE
    lesion: OtherLesion | None = None  # another one than diabetic retinopathy
    maculopathy: Maculopathy | None = None
    photocoagulation: Photocoagulation | None = None
    is_stable_treated: bool = False  # R3S: proliferative, treated and stable
    # whether it refers for retinopathy or maculopathy, and not only for another lesion
    is_for_retinopathy: bool = True
    # where it was given, and the digests of the photographs that the eye had then
    exam_id: int = 0
    eye: Eye = Eye.UNKNOWN
    photographs: frozenset[str] = frozenset()
    is_of_other_eye: bool = False  # its photographs have come here from another eye or exam

    def is_about(self, basis: ReadBasis) -> bool:
        """Return whether the reading is about an eye as it is now."""
        return self.basis == basis and not self.is_of_other_eye

    @property
    def assessment(self) -> Assessment:
        """Return the reader's assessment of the eye."""
        return Assessment(self.referable, self.grade)

    @property
    def findings(self) -> list[str]:
        """Return in words what the reader found besides the grade of retinopathy."""
        findings: list[str] = []
        if self.lesion is not None:
            findings.append(f"another lesion, {self.lesion.wording}")
        if self.maculopathy is not None:
            findings.append(f"maculopathy {self.maculopathy}")
        if self.photocoagulation is not None:
            findings.append(f"photocoagulation {self.photocoagulation}")
        if self.is_stable_treated:
            findings.append("treated and stable (R3S)")
        return findings

    @property
    def says_something(self) -> bool:
        """Return whether the reading has a result.

        `defer` has none, nor has agreement with an undecided result, which older versions accepted.
        """
        if self.verdict is ReviewVerdict.AGREE:
            return self.referable is not Referable.INDETERMINATE
        return self.verdict.is_settled


@dataclass(frozen=True, slots=True)
class EyeReadings:
    """What the readings of an eye amount to."""

    state: ReadingState = ReadingState.UNREAD
    # the reading that counts; if the eye is unread, the one with which a reader deferred it
    reading: Reading | None = None
    current: tuple[Reading, ...] = ()  # those of the photographs and the result as they are
    formers: tuple[Reading, ...] = ()  # those of other photographs or of another result

    @property
    def former(self) -> Reading | None:
        """Return the last former reading, or None if there is none."""
        return self.formers[-1] if self.formers else None

    @property
    def decisive(self) -> tuple[Reading, ...]:
        """Return the readings on which the final result rests."""
        return self.formers if self.state is ReadingState.OUTDATED else self.current

    @property
    def deciding(self) -> Reading | None:
        """Return the most severe reading on which the final result rests, or one that defers."""
        if self.decisive:
            return max(self.decisive, key=_severity)
        return self.reading

    @property
    def grades(self) -> list[Grade | None]:
        """Return the grades of all readings that count."""
        return [reading.grade for reading in (*self.current, *self.formers)]

    def final(self, by_model: Assessment) -> Assessment:
        """Return the assessment of an eye that the model assessed as `by_model`."""
        assessments = [reading.assessment for reading in self.decisive]
        if self.state is ReadingState.UNREAD:
            return by_model
        if self.state is ReadingState.OUTDATED:
            return _outdated([by_model, *assessments])
        return most_severe(assessments)

    def named(self, names: Mapping[str, str]) -> EyeReadings:
        """Return a copy with the names of the readers, given by their ids, in place of the ids."""

        def of_reader(reading: Reading) -> Reading:
            return replace(reading, reviewer=names.get(reading.reviewer, reading.reviewer))

        return replace(
            self,
            reading=self.reading and of_reader(self.reading),
            current=tuple(of_reader(reading) for reading in self.current),
            formers=tuple(of_reader(reading) for reading in self.formers),
        )


UNREAD = EyeReadings()


def combined(basis: ReadBasis, readings: Sequence[Reading]) -> EyeReadings:
    """Return what the readings of an eye amount to if the eye is now as `basis` says.

    The readings are in the order in which they were given.
    """
    remaining = _remaining(readings)
    current = [reading for reading in remaining if reading.is_about(basis)]
    formers = tuple(reading for reading in remaining if not reading.is_about(basis))
    if len({reading.referable for reading in current}) > 1:
        decisive = max(current, key=_severity)
        return EyeReadings(ReadingState.DISPUTED, decisive, tuple(current), formers)
    if current and not _is_contested(current, remaining):
        return EyeReadings(ReadingState.READ, current[-1], tuple(current), formers)
    if remaining:
        return EyeReadings(ReadingState.OUTDATED, None, (), tuple(remaining))
    return EyeReadings(reading=_deferred(basis, readings))


def _is_contested(current: Sequence[Reading], remaining: Sequence[Reading]) -> bool:
    """Return whether a former reading is later than the current ones and says another referral.

    It was given of more photographs, of which some have been excluded since or are elsewhere now,
    so that an earlier reading of the photographs that are left is current again.
    """
    last = current[-1]
    later = remaining[remaining.index(last) + 1 :]
    return any(reading.referable is not last.referable for reading in later)


def of_eyes(
    readings: Iterable[Reading],
    exam_id: int,
    places: Mapping[Eye, Collection[str]],
    elsewhere: Collection[str],
) -> dict[Eye, list[Reading]]:
    """Return the readings of each eye of an exam: those that were given of it, or have come to it.

    `places` are the digests of the photographs of each eye, excluded ones included, and `elsewhere`
    those of photographs in other exams. Readings of other exams are given with those photographs
    only that are no longer there. The readings stay in their order.
    """
    by_eye: dict[Eye, list[Reading]] = {}
    for reading in readings:
        moved = set(reading.photographs)
        if reading.exam_id == exam_id:
            remaining_here = moved & set(places.get(reading.eye, ()))
            moved -= remaining_here
            all_here = set().union(*places.values())
            is_gone = not moved.isdisjoint(all_here | set(elsewhere))
            if remaining_here or not is_gone:
                by_eye.setdefault(reading.eye, []).append(reading)
        for eye, digests in places.items():
            if not moved.isdisjoint(digests):
                by_eye.setdefault(eye, []).append(replace(reading, is_of_other_eye=True))
    return by_eye


def _remaining(readings: Iterable[Reading]) -> list[Reading]:
    """Return the readings that count, in their order.

    They are the last reading of each reader that says something, from the last arbitration among
    them on. An arbitration that its reader has replaced or taken back replaces nothing any more.
    Only readings that were given of the same eye of the same exam replace each other.
    """
    last: dict[tuple[int, Eye, str], Reading] = {}
    for reading in readings:
        if reading.purpose is not ReadingPurpose.QUALITY_ASSURANCE:
            key = (*_place(reading), reading.reviewer)
            last.pop(key, None)  # so that the readings stay in their order
            last[key] = reading
    remaining: list[Reading] = []
    for reading in last.values():
        if not reading.says_something:
            continue
        if reading.purpose is ReadingPurpose.ARBITRATION:
            remaining = [other for other in remaining if _place(other) != _place(reading)]
        remaining.append(reading)
    return remaining


def _place(reading: Reading) -> tuple[int, Eye]:
    """Return the exam and the eye of which a reading was given."""
    return reading.exam_id, reading.eye


def _severity(reading: Reading) -> tuple[bool, bool, int, int]:
    """Return a key that orders readings by referral, by grade and by number."""
    return (
        reading.referable is Referable.YES,
        reading.referable is Referable.INDETERMINATE,
        -1 if reading.grade is None else reading.grade,
        reading.review_id,
    )


def _deferred(basis: ReadBasis, readings: Sequence[Reading]) -> Reading | None:
    """Return the last reading of the eye as it is now, if a reader deferred it."""
    last = None
    for reading in readings:
        if reading.is_about(basis) and reading.purpose is not ReadingPurpose.QUALITY_ASSURANCE:
            last = reading
    return last


def _outdated(assessments: Iterable[Assessment]) -> Assessment:
    """Return the assessment of an eye that has changed since it was read: never negative."""
    combined_result = most_severe(assessments)
    return combined_result if combined_result.referable is Referable.YES else UNDECIDED
