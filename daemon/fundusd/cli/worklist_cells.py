"""The rows of `fundusd worklist` as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.cli.output import local, reason_words
from fundusd.domain.capture_warnings import in_words
from fundusd.domain.clinical_terms import Eye, Referable
from fundusd.domain.eye_reasons import EyeReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from fundusd.cli.output import Row
    from fundusd.clinical.exam import Exam
    from fundusd.clinical.eye_result import EyeResult

    Eyes = Mapping[tuple[int, str], EyeResult]

_FINAL = {"yes": "referable", "no": "not referable", "indeterminate": "undecided"}
_SAYS_THE_RESULT = ("referable", "undecided")
_READ = "read"
_NEXT = {"none": _READ, "retake": "retake", "refer_reader": _READ, "contact_it": "ask IT"}
_WHOSE = "find out whose"
_MAYBE_FIND_OUT = "?"
_FIND_OUT = {
    EyeReason.EYE_CONTRADICTED: "find out which eye",
    EyeReason.EYE_UNKNOWN: "find out which eye",
    EyeReason.PATIENT_UNCERTAIN: _WHOSE,
    EyeReason.DAY_UNCERTAIN: "find out when",
}


def missing_cells(row: Row) -> dict[str, str]:
    """Return the cells of an exam of which photographs are missing, keyed by column heading."""
    return {
        "exam": str(row["exam_id"]),
        "day": row["day"],
        "patient": _patient(row),
        "not photographed": ", ".join(row["missing_fields"].split()),
        "result": _FINAL[row["final_referable"]],
    }


def cells_of(rows: Iterable[Row], exams: Iterable[Exam] | None) -> list[dict[str, str]]:
    """Return the cells of the eyes on the worklist, keyed by column heading.

    `exams` is None if this role may not read them.
    """
    eyes: Eyes | None = None
    if exams is not None:
        eyes = {(exam.exam_id, eye.eye.value): eye for exam in exams for eye in exam.eyes}
    return [_cells(row, eyes) for row in rows]


def _cells(row: Row, eyes: Eyes | None) -> dict[str, str]:
    waits = row["waits_for"].replace("_", " ")
    if row["deferred"]:
        waits += " (deferred)"
    eye = None if eyes is None else eyes.get((row["exam_id"], row["eye"]))
    return {
        "exam": str(row["exam_id"]),
        "eye": row["eye"],
        "day": row["day"],
        "patient": _patient(row),
        "waits for": waits,
        "result": _result(row, _warnings(row, eye)),
        "next": _next(row, eye, is_hidden=eyes is None),
        "capture": str(row["capture_id"]),
        "camera": row["camera_id"],
    }


def _patient(row: Row) -> str:
    """Return the patient of an exam or, if nobody is named, the file by which to find out who."""
    from fundusd.reports import wording

    if row["patient_key"]:
        return wording.patient(row["patient_id"], row["patient_key"])
    when = f"received {_minute(row['received_at'])}"
    if row["acquired_at"] is not None:
        when = f"taken {_minute(row['acquired_at'])}"
    return f"not known ({row['camera_id']}: {row['path']}, {when})"


def _minute(at: datetime) -> str:
    return local(at)[:16].replace("T", " ")


def _warnings(row: Row, eye: EyeResult | None) -> list[str]:
    """Return the warnings of the decisive capture that no person has answered."""
    if eye is None:
        return in_words((row["warnings"] or "").split(", "))
    return in_words(eye.decisive.open_warnings)


def _result(row: Row, warnings: list[str]) -> str:
    """Return the result of an eye so far, why it is on the list, and the capture's warnings."""
    parts = []
    if row["waits_for"] not in _SAYS_THE_RESULT:
        parts.append(_FINAL[row["final_referable"]])
    if row["final_grade"] is not None:
        parts.append(row["final_grade_label"])
    reason = reason_words(row["reason"]) if row["reason"] else ""
    if reason and not any(text.startswith(reason) for text in warnings):
        parts.append(reason)
    if row["missing_fields"]:
        parts.append(f"missing: {row['missing_fields']}")
    texts = [text for text in (", ".join(parts), *warnings) if text]
    return " ".join(f"{text[:1].upper()}{text[1:]}." for text in texts)


def _next(row: Row, eye: EyeResult | None, *, is_hidden: bool) -> str:
    """Return what is needed next; reading cannot say whose a photograph is, or when it was taken.

    An eye that is undecided only because of such a doubt is not to be read. If its exam is hidden,
    the row names the doubt only if it is the reason; a negative eye has none.
    """
    steps = [_NEXT[row["action"]]]
    doubts = [] if row["patient_key"] else [_WHOSE]
    reason, referable = row["reason"], row["final_referable"]
    doubt = reason if reason in _FIND_OUT else None
    if eye is not None:
        doubt, reason, referable = eye.identity_doubt, eye.open_reason, eye.final.referable
    if doubt is not None:
        doubts.append(_FIND_OUT[doubt])
        if reason in _FIND_OUT and referable == Referable.INDETERMINATE:
            steps = [step for step in steps if step != _READ]
    if row["eye"] == Eye.UNKNOWN:
        doubts.append(_FIND_OUT[EyeReason.EYE_UNKNOWN])
    elif is_hidden and doubt is None and referable != Referable.NO:
        doubts.append(_MAYBE_FIND_OUT)
    return ", ".join(dict.fromkeys([*doubts, *steps]))
