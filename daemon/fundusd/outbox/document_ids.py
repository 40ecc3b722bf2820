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

    from fundusd.clinical.exam import Exam
    from fundusd.clinical.eye_result import EyeResult
    from fundusd.clinical.reading import Reading
    from fundusd.domain.delivery import SentDocument
    from fundusd.domain.inference import Release

_MARK = 16  # hexadecimal digits of the digest of a photograph that are remembered
_NAMESPACE = uuid.UUID("5a0f4d4e-6bd5-4f5e-9c53-9d1f6f0c1c57")


@dataclass(frozen=True, slots=True)
class Document:
    """A document in the form in which it is sent.

    `name` is its file name. `sent` is what is remembered about it for later documents.
    """

    name: str
    media_type: str
    data: bytes
    sent: tuple[SentDocument, ...] = ()


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
    either, it is derived from the camera, the day and the path of the first photograph. It stays
    the same whatever photographs are added or taken away.
    """
    day = exam.day.isoformat()
    if exam.patient_key:
        further = [exam.part] if exam.part else []
        return uuid_for("exam", exam.patient_key, day, *further)
    if exam.study_uid and not exam.part.startswith("parted:"):
        return uuid_for("exam", exam.study_uid, day)
    return uuid_for("exam", exam.part, day)


def photograph_digests(eyes: Iterable[EyeResult]) -> list[str]:
    """Return the digests of all photographs of the eyes, sorted and without duplicates."""
    digests: set[str] = set()
    for eye in eyes:
        digests.update(shot.digest for shot in eye.shots)
    return sorted(digests)


def photograph_marks(eyes: Iterable[EyeResult]) -> tuple[str, ...]:
    """Return the abbreviated digests of all photographs of the eyes."""
    return tuple(digest[:_MARK] for digest in photograph_digests(eyes))


def verdict_digest(exam: Exam, eye: EyeResult, release: Release) -> str:
    """Return the digest of the verdict on an eye of an exam.

    The digest changes with the result, the readings, the photographs, the release, with what a
    person says of the photographs or of the eye, and with whether anything about the eye is open.
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
    for shot in eye.shots:
        parts += sorted(shot.open_warnings)
    parts += [eye.state, int(exam.is_settled(eye)), eye.final.referable, eye.final.grade]
    readings = [*eye.readings.current, *eye.readings.formers]
    if eye.reading is not None and eye.reading not in readings:  # it defers the eye
        readings.append(eye.reading)
    for reading in readings:
        parts += _said(reading)
    for stated in exam.absences:
        if stated.eye is eye.eye:
            parts += ["absent", stated.reason, stated.until]
    return hash_chain.digest([release_digest(release), *[_text(part) for part in parts]])


def _said(reading: Reading) -> list[Any]:
    """Return what a reading says, without its number and its time."""
    return [
        *(reading.verdict, reading.referable, reading.grade, reading.reason),
        *(reading.reviewer, reading.role, int(reading.is_blinded), reading.purpose),
        *(reading.lesion, reading.maculopathy, reading.photocoagulation),
        int(reading.is_stable_treated),
    ]


def _text(part: Any) -> str | None:
    if part is None:
        return None
    return str(part)
