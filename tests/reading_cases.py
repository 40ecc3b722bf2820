"""Photographs of one visit and readings of its eyes, recorded in a ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests import ledger_cases as cases

from fundusd.domain.clinical_terms import Eye, EyeSource, Reason, ReviewReason, ReviewVerdict
from fundusd.ledger.corrections import Corrector
from fundusd.ledger.reviews import Review

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.clinical.exam import Exam
    from fundusd.clinical.eye_result import EyeResult
    from fundusd.ledger import Ledger

NO_DR = (5.0, 0.0, 0.0, 0.0, 0.0)
MODERATE = (0.0, 0.0, 5.0, 0.0, 0.0)
PDR = (0.0, 0.0, 0.0, 0.0, 5.0)
BY = Corrector("okafor", "ophthalmologist")


def photograph(
    ledger: Ledger,
    name: str,
    eye: Eye = Eye.RIGHT,
    logits: Sequence[float] = NO_DR,
    *,
    patient: str | None = "PATIENT-7",
    reason: Reason | None = None,
    word: str = "",
    **content: Any,
) -> Exam:
    """Record a photograph, and return its exam.

    If it has a reason, it has failed, is refused or is ungradable. Its bytes are made from `word`.
    """
    claim = cases.take(ledger, name, word or name)
    source = EyeSource.NONE if eye is Eye.UNKNOWN else EyeSource.LATERALITY
    of_file = replace(
        cases.CONTENT_OF_JPEG, patient_id=patient, eye=eye, eye_source=source, **content
    )
    if reason is None:
        ledger.record([cases.finding(claim, of_file, logits)])
    elif reason is Reason.TRUNCATED:
        ledger.fail(claim, reason, "cut short", of_file)
    else:
        ledger.record([cases.refusal(claim, reason, of_file)])
    return exam_of(ledger, name)


def number(ledger: Ledger, name: str) -> int:
    """Return the number of the newest capture with this path."""
    *_, last = [row for row in cases.captures(ledger) if row["path_text"] == name]
    return int(last["id"])


def exam_of(ledger: Ledger, name: str) -> Exam:
    found = ledger.exam_of(number(ledger, name))
    assert found is not None
    return found


def read(
    ledger: Ledger,
    exam: Exam,
    verdict: ReviewVerdict = ReviewVerdict.AGREE,
    eye: Eye = Eye.RIGHT,
    *,
    by: str = "reader 1",
    **more: Any,
) -> Exam:
    """Record a reading; an override has a reason."""
    if verdict is ReviewVerdict.OVERRIDE:
        more.setdefault("reason", ReviewReason.OTHER)
    return ledger.review(Review(exam.exam_id, eye, verdict, by, "grader", **more))


def the_eye(exam: Exam, eye: Eye = Eye.RIGHT) -> EyeResult:
    [found] = [result for result in exam.eyes if result.eye is eye]
    return found
