"""Readings in plain words, as pages and the terminal show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from fundusd.domain.clinical_terms import ReviewVerdict
from fundusd.domain.readings import ReadingPurpose
from fundusd.reports import wording

if TYPE_CHECKING:
    from fundusd.clinical.eye_result import EyeResult
    from fundusd.clinical.reading import Reading

_PURPOSES = {
    ReadingPurpose.SECOND: "as second reader",
    ReadingPurpose.ARBITRATION: "as arbiter",
    ReadingPurpose.QUALITY_ASSURANCE: "for quality assurance",
}


def in_words(reading: Reading) -> str:
    """Return a sentence that says who read an eye, when, and with what result."""
    purpose = blinded = why = ""
    if reading.purpose is not ReadingPurpose.ROUTINE:
        purpose = f", {_PURPOSES[reading.purpose]}"
    if reading.is_blinded:
        blinded = ", without seeing the model's result"
    if reading.reason:
        why = f" ({reading.reason.replace('_', ' ')})"
    who = f"{reading.reviewer}, {reading.role}, on {wording.day(reading.at.astimezone())}"
    return f"{who}{purpose}{blinded}: {'; '.join([_verdict(reading) + why, *reading.findings])}."


def of_eye(eye: EyeResult) -> list[str]:
    """Return sentences about all readings of an eye, first the ones that count."""
    sentences = [in_words(reading) for reading in eye.readings.current]
    if eye.reading is not None and eye.reading not in eye.readings.current:
        sentences.append(in_words(eye.reading))  # it defers the eye
    for reading in eye.readings.formers:
        sentences.append(f"Of other photographs or another result: {in_words(reading)}")
    return sentences or ["Not read by a human yet."]


def _verdict(reading: Reading) -> str:
    match reading.verdict:
        case ReviewVerdict.AGREE:
            return "agrees with the model"
        case ReviewVerdict.OVERRIDE:
            verdict = wording.VERDICTS[reading.referable].lower()
            return f"says {wording.grade_name(reading.grade)}, {verdict}"
        case ReviewVerdict.UNGRADABLE:
            return "finds it ungradable"
        case ReviewVerdict.RETAKE:
            return "asks for another photograph"
        case ReviewVerdict.DEFER:
            return "has put it off"
        case _:
            assert_never(reading.verdict)
