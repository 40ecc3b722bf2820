"""Whether a photograph may be of another eye, patient or visit, as far as one may know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fundusd.domain.clinical_terms import Eye, Referable
from fundusd.domain.eye_reasons import EyeReason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.clinical.shot import Shot

    Row = Mapping[str, Any]

_DOUBTS = {
    EyeReason.EYE_CONTRADICTED,
    EyeReason.EYE_UNKNOWN,
    EyeReason.PATIENT_UNCERTAIN,
    EyeReason.DAY_UNCERTAIN,
}


@dataclass(frozen=True, slots=True)
class CaptureDoubt:
    """Why a photograph is in doubt; `reason` is None if it is not, or if that is not known."""

    reason: EyeReason | None
    is_known: bool = True


def of_shot(shot: Shot) -> CaptureDoubt:
    """Return the doubt about a photograph of an exam."""
    if shot.identity_doubt is None and shot.eye is Eye.UNKNOWN:
        return CaptureDoubt(EyeReason.EYE_UNKNOWN)
    return CaptureDoubt(shot.identity_doubt)


def by_views(row: Row, eyes: Sequence[Row]) -> CaptureDoubt:
    """Return what is known of the doubt from its row of v_result and those of its eyes.

    `eyes` are the rows of v_eye_result for which it may count. An eye with a doubtful photograph is
    never negative, and one that is undecided because of it names the photograph that decided. The
    exam may count a photograph for another eye than v_result says, so all eyes are asked.
    """
    for eye in eyes:
        is_negative = row["referable"] == Referable.NO  # other photographs may decide otherwise
        if is_negative and eye["capture_id"] == row["capture_id"] and eye["reason"] in _DOUBTS:
            return CaptureDoubt(EyeReason(eye["reason"]))
    are_negative = all(eye["final_referable"] == Referable.NO for eye in eyes)
    return CaptureDoubt(None, is_known=bool(eyes) and are_negative)
