"""Documents and their identifiers.

Identifiers are derived from content. The same content therefore always has the same identifier, and
a document that is sent again overwrites the first one.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fundusd.ledger import hash_chain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fundusd.clinical.exam import Exam, EyeResult
    from fundusd.domain.inference import Release

_NAMESPACE = uuid.UUID("5a0f4d4e-6bd5-4f5e-9c53-9d1f6f0c1c57")


@dataclass(frozen=True, slots=True)
class Document:
    """A document in the form in which it is sent.

    `name` is its file name.
    """

    name: str
    media_type: str
    data: bytes


def uuid_for(kind: str, *parts: str | int | None) -> uuid.UUID:
    """Return the UUID of an object, derived from its kind and the values that identify it."""
    return uuid.uuid5(_NAMESPACE, hash_chain.canonical([kind, *parts]).hex())


def uid_for(kind: str, *parts: str | int | None) -> str:
    """Return the UUID of an object as a DICOM UID, in the form of PS3.5 B.2."""
    return f"2.25.{uuid_for(kind, *parts).int}"


def release_digest(release: Release) -> str:
    """Return a digest of all values in a release that can change a score."""
    fields = asdict(release)
    files = fields.pop("files")
    parts: list[str] = []
    for name, value in sorted(fields.items()):
        parts += [name, str(value)]
    for name, digest in sorted(files.items()):
        parts += [name, digest]
    return hash_chain.digest(parts)


def exam_uuid(exam: Exam) -> uuid.UUID:
    """Return the UUID of an exam, which is the same in every database.

    It is derived from the patient and the day and, for a further exam of this day, from its study.
    If the patient is not known, it is derived from the study and the day. If there is no study
    either, it is derived from a photograph and the day.
    """
    day = exam.day.isoformat()
    if exam.patient_key:
        further = [exam.part] if exam.part else []
        return uuid_for("exam", exam.patient_key, day, *further)
    if exam.study_uid:
        return uuid_for("exam", exam.study_uid, day)
    return uuid_for("exam", *photograph_digests(exam.eyes)[:1], day)


def photograph_digests(eyes: Iterable[EyeResult]) -> list[str]:
    """Return the digests of all photographs of the eyes, sorted and without duplicates."""
    digests: set[str] = set()
    for eye in eyes:
        digests.update(shot.digest for shot in eye.shots)
    return sorted(digests)


def verdict_digest(eye: EyeResult, release: Release) -> str:
    """Return the digest of an eye's verdict.

    The digest changes with the result, the review, the photographs and the release.
    """
    parts: list[Any] = [
        eye.eye,
        eye.outcome,
        eye.referable,
        eye.reason,
        *eye.missing_fields,
        eye.decisive.digest,
        eye.grade,
    ]
    parts += [score.hex() for score in eye.decisive.scores or ()]
    parts += sorted(shot.digest for shot in eye.shots)
    parts.append("read")
    if eye.reading is not None:
        parts += [
            eye.reading.verdict,
            eye.reading.referable,
            eye.reading.grade,
            eye.reading.reason,
            eye.reading.reviewer,
            eye.reading.role,
            int(eye.reading.is_blinded),
        ]
    return hash_chain.digest([release_digest(release), *[_text(part) for part in parts]])


def _text(part: Any) -> str | None:
    if part is None:
        return None
    return str(part)
