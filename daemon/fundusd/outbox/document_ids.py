"""Names of documents that follow from what they say: the same again has the same name, and overwrites."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from fundusd.ledger import hash_chain

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam, EyeResult
    from fundusd.domain.inference import Release

_SPACE = uuid.UUID("5a0f4d4e-6bd5-4f5e-9c53-9d1f6f0c1c57")


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it is sent; `name` is a file's."""

    name: str
    media_type: str
    data: bytes


def named(kind: str, *parts: str | int | None) -> uuid.UUID:
    """Return the one UUID of a thing of a kind."""
    return uuid.uuid5(_SPACE, hash_chain.canonical([kind, *parts]).hex())


def uid(kind: str, *parts: str | int | None) -> str:
    """Return the one DICOM UID of a thing of a kind, by its UUID (PS3.5 B.2)."""
    return f"2.25.{named(kind, *parts).int}"


def of_release(release: Release) -> str:
    """Digest everything that fixes a number."""
    parts = [
        (name, str(value)) for name, value in sorted(asdict(release).items()) if name != "files"
    ]
    files = sorted(release.files.items())
    return hash_chain.digest(part for pair in (*parts, *files) for part in pair)


def of_exam(exam: Exam) -> uuid.UUID:
    """Name an exam the same on every database: by its person and day, else by its study, else by its first shot."""
    if exam.patient_key:
        return named("exam", exam.patient_key, exam.day.isoformat())
    if exam.study_uid:
        return named("exam", exam.study_uid)
    return named(
        "exam",
        *sorted({shot.digest for eye in exam.eyes for shot in eye.shots})[:1],
        exam.day.isoformat(),
    )


def of_verdict(eye: EyeResult, release: Release) -> str:
    """Digest what is said of an eye: another verdict, another reading, other photographs are another document."""
    said = [
        eye.eye,
        eye.outcome,
        eye.referable,
        eye.reason,
        *eye.missing_fields,
        eye.decisive.digest,
    ]
    numbers = [eye.grade, *(score.hex() for score in eye.decisive.scores or ())]
    shots = sorted(shot.digest for shot in eye.shots)
    read = []
    if eye.reading is not None:
        one = eye.reading
        read = [
            one.verdict,
            one.referable,
            one.grade,
            one.reason,
            one.reviewer,
            one.role,
            int(one.is_blinded),
        ]
    parts = [
        None if part is None else str(part) for part in (*said, *numbers, *shots, "read", *read)
    ]
    return hash_chain.digest([of_release(release), *parts])
