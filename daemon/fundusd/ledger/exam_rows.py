"""Turn rows of captures and reviews into the files and readings of an exam."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import orjson

from fundusd.clinical.eye_result import photographs_digest
from fundusd.clinical.grading import Rule
from fundusd.clinical.reading import ReadBasis, Reading
from fundusd.clinical.shot import Shot
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import (
    Eye,
    EyeSource,
    Grade,
    Outcome,
    Reason,
    Referable,
    ReviewVerdict,
)
from fundusd.domain.readings import (
    ExclusionReason,
    Maculopathy,
    OtherLesion,
    Photocoagulation,
    ReadingPurpose,
)
from fundusd.ledger.result_columns import SCORES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    Row = Mapping[Any, Any]

# of images, in the names that cameras give their files
_SUFFIXES = frozenset(
    ["bmp", "dcm", "dic", "dicom", "j2k", "jfif", "jp2", "jpe", "jpeg", "jpg", "png", "tif", "tiff"]
)


def stem(path_text: str) -> str:
    """Return a path without the suffix of an image.

    The files of one photograph have the same path except for this suffix. A name such as 1.2.840.5
    has none: its last number is part of a UID.

    >>> stem("P7/12.jpg"), stem("P7/12.DCM"), stem("P7/1.2.840.5"), stem("P7/.jpg")
    ('P7/12', 'P7/12', 'P7/1.2.840.5', 'P7/.jpg')
    """
    folder, slash, name = path_text.rpartition("/")
    before, _, suffix = name.rpartition(".")
    if not before or suffix.lower() not in _SUFFIXES:
        return path_text
    return folder + slash + before


def shot(row: Row, *, is_of_one_field: bool) -> Shot:
    """Return a file of an exam, given its capture with its result, if there is one.

    A capture without a result has failed, or is tried again after it failed.
    """
    outcome, reason = row["outcome"], row["reason"]
    if outcome is None:
        outcome, reason = Outcome.FAILED, row["job_reason"] or Reason.ATTEMPTS_EXHAUSTED
    corrected, day = row["corrected_eye"], row["acquired_day"]
    warnings = tuple(orjson.loads(row["warnings"] or "[]"))
    is_conflict = corrected is None and row["eye_source"] == EyeSource.CONFLICT
    return Shot(
        capture_id=row["id"],
        camera_id=row["camera_id"],
        path=row["path_text"],
        stem=stem(row["path_text"]),
        digest=row["digest"],
        release_id=row["release_id"],
        eye=Eye(corrected or row["eye"]),
        field=row["field"],
        outcome=Outcome(outcome),
        reason=Reason(reason) if reason else None,
        grade=_grade(row["grade"]),
        referable=Referable(row["referable"] or Referable.INDETERMINATE),
        scores=_scores(row),
        referable_rule=row["referable_rule"],
        is_conflict=is_conflict,
        warnings=warnings,
        is_eye_said=corrected is not None,
        is_patient_said=row["belongs"],
        is_excluded=row["excluded"] is not None,
        is_of_other_patient=row["excluded"] == ExclusionReason.NOT_THIS_PATIENT,
        is_placed=row["placed_exam_id"] == row["exam_id"],
        is_beside_other=row["is_disowned"],
        until=row["until"],
        former_places=row["former_places"],
        is_of_shared_number=row["is_of_shared_number"],
        is_of_uncertain_day=row["is_in_other_exam"],
        is_overwritten=row["superseded"] and row["moved_to"] is None,
        is_gone=row["is_gone"] and row["moved_to"] is None,
        is_of_one_field=is_of_one_field and CaptureWarning.FIELD_CONFLICT not in warnings,
        acquired_at=row["acquired_at"],
        acquired_day=date.fromisoformat(day) if day else None,
        received_at=row["received_at"],
    )


def reading(
    row: Row, digests: Iterable[str], shots: Iterable[Shot], received: Mapping[int, datetime]
) -> Reading:
    """Return a review as a reading, given the digests of the photographs that it is about.

    Reviews by older versions do not say which set of photographs they are about: those `shots` of
    the eye that had been received by then, as `received` says by capture.
    """
    photographs = row["photographs"]
    if not photographs:
        known = [shot for shot in shots if received[shot.capture_id] <= row["created_at"]]
        photographs = photographs_digest(known)
    model_grade = _grade(row["model_grade"])
    if row["model_referable"] == Referable.INDETERMINATE:
        model_grade = None  # older versions gave undecided eyes the grade of a photograph
    return Reading(
        review_id=row["id"],
        verdict=ReviewVerdict(row["verdict"]),
        referable=Referable(row["referable"]),
        grade=_grade(row["grade"]),
        reason=row["reason"],
        reviewer=row["reviewer"],
        role=row["role"],
        is_blinded=row["blinded"],
        at=row["created_at"],
        basis=ReadBasis(
            photographs,
            Outcome(row["model_outcome"]),
            model_grade,
            Referable(row["model_referable"]),
            row["referable_rule"],
        ),
        purpose=ReadingPurpose(row["purpose"]),
        lesion=OtherLesion(row["lesion"]) if row["lesion"] else None,
        maculopathy=Maculopathy(row["maculopathy"]) if row["maculopathy"] else None,
        photocoagulation=_photocoagulation(row["photocoagulation"]),
        is_stable_treated=row["stable_treated"],
        is_for_retinopathy=_is_for_retinopathy(row),
        exam_id=row["exam_id"],
        eye=Eye(row["eye"]),
        photographs=frozenset(digests),
    )


def _is_for_retinopathy(row: Row) -> bool:
    """Return whether a review refers, or would refer, the eye without another lesion."""
    if row["maculopathy"] == Maculopathy.PRESENT:
        return True
    grade = _grade(row["grade"])
    if grade is None:
        return False
    by_model = row["model_referable"] == Referable.YES and grade == row["model_grade"]
    return by_model or Rule.parse(row["referable_rule"]).of_grade(grade) is Referable.YES


def _photocoagulation(stored: str | None) -> Photocoagulation | None:
    return Photocoagulation(stored) if stored else None


def _scores(row: Row) -> tuple[float, ...] | None:
    return None if row["grade"] is None else tuple(row[name] for name in SCORES)


def _grade(stored: int | None) -> Grade | None:
    return None if stored is None else Grade(stored)
