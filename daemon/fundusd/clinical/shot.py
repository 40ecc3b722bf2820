"""The files of an exam, and what each of them says about its eye; pure.

docs/exams.md, "A photograph", holds the rules.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fundusd.clinical.referral import Assessment
from fundusd.clinical.same_photograph import STILL, Place, photographs
from fundusd.domain.capture_warnings import EYE_QUESTIONS, PATIENT_QUESTIONS, CaptureWarning
from fundusd.domain.clinical_terms import Action, Eye, Grade, Outcome, Reason, Referable
from fundusd.domain.eye_reasons import EyeReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

MACULA, DISC = "macula", "disc"
_SEVERAL_PICTURES = {Reason.MONTAGE, Reason.MULTIFRAME}
_PATIENT_DOUBTS = {
    CaptureWarning.PATIENT_CONFLICT,
    CaptureWarning.DIGEST_OF_TWO_PATIENTS,
    CaptureWarning.NOT_A_PATIENT,
}


@dataclass(frozen=True, slots=True)
class Shot:
    """A file of an exam: a capture with its result or its failure."""

    capture_id: int
    camera_id: str
    path: str  # in the form in which people may see it
    stem: str  # the path without the suffix; a photograph saved as .jpg and .dcm has one
    digest: str
    release_id: int
    eye: Eye
    field: str | None  # macula, disc
    outcome: Outcome
    reason: Reason | None
    grade: Grade | None
    referable: Referable
    scores: tuple[float, ...] | None
    referable_rule: str = ""  # of its release
    is_conflict: bool = False  # its sources disagree about the eye
    warnings: tuple[str, ...] = ()  # codes
    is_eye_said: bool = False  # a person has said which eye it shows
    is_patient_said: bool = False  # a person has said that it belongs to this exam
    is_excluded: bool = False  # by a person
    is_of_other_patient: bool = False  # a person has excluded it as such
    is_beside_other: bool = False  # the same photograph has been excluded as such elsewhere
    is_of_shared_number: bool = False  # its name gives a number that several persons have
    is_placed: bool = False  # a person has put it into this exam
    is_of_uncertain_day: bool = False  # it may have been taken on another day than its exam's
    is_overwritten: bool = False  # another file has taken its path, so that nobody can look at it
    until: int = STILL  # the capture whose file has taken its path
    former_places: tuple[Place, ...] = ()  # of a file that was moved
    is_gone: bool = False  # its file is no longer in the inbox
    is_of_one_field: bool = False  # its camera photographs nothing but the macula
    acquired_at: datetime | None = None
    acquired_day: date | None = None  # in the clinic's time zone, even if the time is not known
    received_at: datetime | None = None

    @property
    def assessment(self) -> Assessment:
        """Return the model's assessment of the file."""
        return Assessment(self.referable, self.grade)

    @property
    def places(self) -> tuple[Place, ...]:
        """Return where the file is and was."""
        until = self.until
        if self.is_overwritten and until == STILL:
            until = self.capture_id + 1  # it is not known when another file took its path
        return Place(self.camera_id, self.stem, self.capture_id, until), *self.former_places

    @property
    def is_accompanying(self) -> bool:
        """Return whether the file is of a kind that is not graded and usually accompanies others.

        Red-free images, angiographies and reports are examples.
        """
        return self.reason is not None and self.reason.action is Action.NONE

    @property
    def doubt(self) -> Reason | EyeReason | None:
        """Return why the file leaves its eye in doubt, or None if it does not.

        An accompanying file leaves no doubt, unless it may be of another eye or patient.
        """
        if self.outcome is Outcome.GRADED or self.is_accompanying:
            return self.identity_doubt
        return self.reason

    @property
    def identity_doubt(self) -> EyeReason | None:
        """Return why the file may show another eye, patient or visit, or None if it does not."""
        if CaptureWarning.EYE_CONTRADICTED in self.warnings and not self.is_eye_said:
            return EyeReason.EYE_CONTRADICTED
        return None if self.is_patient_said else self.doubted_membership

    @property
    def doubted_membership(self) -> EyeReason | None:
        """Return why the file may not belong to its exam, if no person says that it does."""
        is_of_two = self.is_beside_other or self.is_of_shared_number
        if is_of_two or not _PATIENT_DOUBTS.isdisjoint(self.warnings):
            return EyeReason.PATIENT_UNCERTAIN
        return EyeReason.DAY_UNCERTAIN if self.is_of_uncertain_day else None

    @property
    def shows_retina(self) -> bool:
        """Return whether a reader can look at the file, and it may show a retina."""
        is_there = self.outcome is not Outcome.FAILED and not self.is_overwritten
        return is_there and self.reason is not Reason.WRONG_MODALITY

    @property
    def open_warnings(self) -> tuple[str, ...]:
        """Return the codes of the warnings that no person has answered."""
        answered: set[str] = set()
        if self.is_eye_said:
            answered |= EYE_QUESTIONS
        if self.is_patient_said:
            answered |= PATIENT_QUESTIONS
        return tuple(code for code in self.warnings if code not in answered)

    @property
    def is_evidence(self) -> bool:
        """Return whether a negative result of the eye may rest on this file."""
        return self.outcome is Outcome.GRADED and self.doubt is None


def joined(shots: Iterable[Shot]) -> list[Shot]:
    """Return all files, with the eye and the field made consistent within each photograph.

    Files of one photograph get the same eye and the same field. If they disagree about the eye, it
    is unknown, and each file is marked as a conflict; if about the field, the field is unknown. If
    none names a field and the camera photographs nothing else, it is the macula. Excluded files are
    not asked, unless all files of the photograph are excluded.
    """
    result: list[Shot] = []
    for files in _photographs(shots):
        result += _agreed(files)
    return result


def _photographs(shots: Iterable[Shot]) -> list[list[Shot]]:
    """Return the files of each photograph."""
    files = list(shots)
    digests = [file.digest for file in files]
    groups = photographs(digests, [file.places for file in files])
    return [[files[number] for number in group] for group in groups]


def _agreed(files: Sequence[Shot]) -> list[Shot]:
    """Return the files of one photograph, each labelled with the eye and field they agree on.

    What a person has said about the eye of one file counts for all of them, even if that file is
    excluded.
    """
    of_known_eye = [file for file in files if file.is_eye_said]
    asked = [file for file in files if not file.is_excluded] or files
    eye, is_conflict = _agreed_eye(of_known_eye or asked)
    field = _agreed_field(asked)
    is_beside_other = any(file.is_of_other_patient or file.is_beside_other for file in files)
    agreed: list[Shot] = []
    for file in files:
        with_eye = replace(file, eye=eye, is_conflict=is_conflict, is_eye_said=bool(of_known_eye))
        agreed.append(replace(with_eye, field=field, is_beside_other=is_beside_other))
    return agreed


def _agreed_eye(files: Sequence[Shot]) -> tuple[Eye, bool]:
    """Return the eye that files of one photograph show, and whether they disagree about it."""
    eyes = {file.eye for file in files} - {Eye.UNKNOWN}
    if len(eyes) > 1 or any(file.is_conflict for file in files):
        return Eye.UNKNOWN, True
    return (eyes.pop() if eyes else Eye.UNKNOWN), False


def _agreed_field(files: Sequence[Shot]) -> str | None:
    fields = {file.field for file in files if file.field}
    if len(fields) == 1:
        return fields.pop()
    if not fields and all(file.is_of_one_field for file in files):
        return MACULA
    return None


def unresolved(shots: Sequence[Shot]) -> list[Shot]:
    """Return the files of an eye that leave it in doubt.

    An ungradable, refused or failed file leaves no doubt if another file of the same photograph is
    evidence, or if another photograph of the same known field is: that is a retake. Nothing makes
    up for a file that may be of another eye or patient, or that holds several pictures. A file that
    was overwritten makes up for none, but the file at its path makes up for it.
    """
    evidence = [shot for shot in shots if shot.is_evidence and not shot.is_overwritten]
    fields = {shot.field for shot in evidence} - {None}
    paths = {(shot.camera_id, shot.path) for shot in evidence}
    proven = {shot.capture_id for shot in evidence}
    beside_evidence: set[int] = set()  # of the same photograph
    for files in _photographs(shots):
        numbers = {file.capture_id for file in files}
        if not numbers.isdisjoint(proven):
            beside_evidence |= numbers
    doubtful: list[Shot] = []
    for shot in shots:
        is_made_up_for = (shot.camera_id, shot.path) in paths or shot.field in fields
        is_made_up_for |= shot.capture_id in beside_evidence
        if shot.doubt is not None and not (_can_be_made_up_for(shot) and is_made_up_for):
            doubtful.append(shot)
    return doubtful


def _can_be_made_up_for(shot: Shot) -> bool:
    if shot.outcome is Outcome.GRADED or shot.identity_doubt is not None:
        return False
    return shot.reason not in _SEVERAL_PICTURES
