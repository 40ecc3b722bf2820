"""An exam as the events that it consists of: files that arrive, and readings that are given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class File:
    """One file of a photograph; `photograph` is shared by the files of one photograph."""

    number: int  # the capture number: a higher one is newer
    photograph: int
    eye: str  # "R", "L" or "U"
    field: str | None  # "macula", "disc" or None
    outcome: str  # "graded", "ungradable", "refused" or "failed"
    reason: str | None = None
    grade: int | None = None
    referable: str | None = None  # "yes" or "no" by the rule of the release, if graded
    warnings: frozenset[str] = frozenset()
    eye_said: bool = False  # a person has said which eye it shows
    excluded: bool = False  # by a person
    belongs: bool = False  # a person has said that it belongs to this exam
    conflict: bool = False  # its sources disagree about the eye


@dataclass(frozen=True, slots=True)
class Reading:
    """A reader's verdict on an eye, given when `after` files of the exam had arrived."""

    reader: str
    purpose: str  # "routine", "second", "arbitration" or "quality_assurance"
    verdict: str  # "agree", "override", "ungradable", "retake" or "defer"
    eye: str
    grade: int | None = None
    lesion: str | None = None
    maculopathy: bool = False
    after: int = 0


@dataclass(frozen=True, slots=True)
class Exam:
    """Files in the order of arrival, readings in the order in which they were given."""

    files: tuple[File, ...]
    readings: tuple[Reading, ...] = ()
    expected_fields: tuple[str, ...] = ()
    one_field: bool = False  # the camera's settings say fields = "one"
    absent: frozenset[str] = frozenset()  # eyes that the person is said to lack
    confirm: str = "none"  # or "all"
    open_follow_ups: frozenset[str] = frozenset()  # eyes
