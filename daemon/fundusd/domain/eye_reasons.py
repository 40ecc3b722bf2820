"""Why an eye is undecided or has to be read again, although its photographs have a result."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from fundusd.domain.clinical_terms import Action


class EyeReason(StrEnum):
    """A reason that concerns an eye as a whole, with the next action and the wording for staff.

    docs/exams.md says when each applies. The reasons of single photographs are `Reason`.
    """

    action: Action
    wording: str

    def __new__(cls, code: str, action: Action = Action.REFER_READER, wording: str = "") -> Self:
        """Create a member whose value is its code; see `Reason.__new__` for the defaults."""
        reason = str.__new__(cls, code)
        reason._value_ = code
        reason.action = action
        reason.wording = wording
        return reason

    EYE_CONTRADICTED = (
        "eye_contradicted",
        Action.REFER_READER,
        "the optic disc lies on the side of the other eye",
    )
    PATIENT_UNCERTAIN = (
        "patient_uncertain",
        Action.REFER_READER,
        "it is not certain whose photograph this is",
    )
    DAY_UNCERTAIN = (
        "day_uncertain",
        Action.REFER_READER,
        "it may have been taken on another day",
    )
    FIELD_MISSING = (
        "field_missing",
        Action.RETAKE,
        "a part of the eye that has to be seen was not photographed",
    )
    OVERWRITTEN = (
        "overwritten",
        Action.CONTACT_IT,
        "another file was written over it, so nobody can look at it",
    )
    EYE_UNKNOWN = "eye_unknown", Action.REFER_READER, "it is not known which eye this is"
    READING_OUTDATED = (
        "reading_outdated",
        Action.REFER_READER,
        "the photographs or the model's result have changed since a reader read the eye",
    )
    READINGS_DIFFER = "readings_differ", Action.REFER_READER, "readers differ about the referral"
    READER_ASKS_RETAKE = "reader_asks_retake", Action.RETAKE, "a reader asks for another photograph"
    READER_UNGRADABLE = "reader_ungradable", Action.REFER_READER, "a reader cannot grade the eye"
