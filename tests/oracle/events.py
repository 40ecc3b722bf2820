"""An exam as the events that it consists of: files that arrive, corrections, and readings."""

from __future__ import annotations

from dataclasses import dataclass

OF_ANOTHER_EXAM = 99  # the capture number of a file that is not in the exam


@dataclass(frozen=True, slots=True)
class File:
    """One file of a photograph, as it arrived; `photograph` is shared by the files of one."""

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
    day_uncertain: bool = False  # it may be of another visit
    path_taken_by: int | None = None  # the capture number of the file that took its path


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person says of a photograph when `after` files of the exam have arrived.

    It applies to all files of the photograph that have arrived by then, not to later ones.
    """

    photograph: int
    what: str  # "eye", "exclude", "include" or "belongs"
    after: int
    eye: str = ""  # that a correction of the eye names


@dataclass(frozen=True, slots=True)
class Reading:
    """A reader's verdict on an eye, after so many files and so many corrections."""

    reader: str
    purpose: str  # "routine", "second", "arbitration" or "quality_assurance"
    verdict: str  # "agree", "override", "ungradable", "retake" or "defer"
    eye: str
    grade: int | None = None
    lesion: str | None = None
    maculopathy: bool = False
    after: int = 0
    corrected: int = 0  # how many corrections had been made

    @property
    def moment(self) -> tuple[int, int]:
        """How many files and corrections there were when the reading was given."""
        return self.after, self.corrected


@dataclass(frozen=True, slots=True)
class Exam:
    """Files in the order of arrival; corrections and readings in the order of being made."""

    files: tuple[File, ...]
    readings: tuple[Reading, ...] = ()
    expected_fields: tuple[str, ...] = ()
    one_field: bool = False  # the camera's settings say fields = "one"
    absent: frozenset[str] = frozenset()  # eyes that the person is said to lack
    confirm: str = "none"  # or "all"
    open_follow_ups: frozenset[str] = frozenset()  # eyes
    corrections: tuple[Correction, ...] = ()
    absence: str = "prosthesis"  # why, or "no_view"
    claimed: bool = False  # a photograph of another exam names this patient, too
    other_exam: str | None = None  # the result of another exam of the same patient and day
    is_known: bool = True  # whose photographs they are

    @property
    def now(self) -> tuple[int, int]:
        """How many files and corrections there are in the end."""
        return len(self.files), len(self.corrections)
