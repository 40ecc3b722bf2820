"""Which exams are documented for receivers that want only what readers have settled; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Eye, Referable

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam
    from fundusd.clinical.eye_result import EyeResult

_NAMES = {Eye.RIGHT: "right eye", Eye.LEFT: "left eye", Eye.UNKNOWN: "photographs of unknown eye"}


def is_released(exam: Exam) -> bool:
    """Return whether documents about an exam go to a receiver with `when = "reviewed"`.

    They do as soon as every eye that was photographed has been read, or a reader has found one eye
    to be referred: a confirmed referral does not wait for the other eye.
    """
    return exam.is_reviewed or any(_is_confirmed_referral(eye) for eye in exam.eyes)


def _is_confirmed_referral(eye: EyeResult) -> bool:
    return eye.is_read and eye.final.referable is Referable.YES


def waits_for(exam: Exam) -> list[str]:
    """Return what a receiver with `when = "reviewed"` waits for, for example `left eye not read`.

    The list is empty if the documents have been released.
    """
    if is_released(exam):
        return []
    if not exam.counting:
        return ["every photographed eye is said to be absent"]
    return [f"{_NAMES[eye.eye]} not read" for eye in exam.counting if not eye.is_read]
