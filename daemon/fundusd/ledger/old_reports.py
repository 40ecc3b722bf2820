"""Remember which structured reports were sent by versions that did not store it.

Those of schema revision 0001 derived the UID of a report from all that it says. It is derived here
in the same way from what the database held when the report was sent, unless that has changed since.
At a pseudonymous site, these reports had the UIDs of studies, which must not be sent again.

This has to be done before exams are parted or judged anew.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import sqlalchemy as sa

from fundusd.domain.clinical_terms import Eye, EyeSource, Outcome, ReviewVerdict
from fundusd.domain.decoding import MediaType
from fundusd.domain.delivery import DocumentKind, DocumentStatus
from fundusd.ledger import hash_chain
from fundusd.ledger.result_columns import IS_RESULT_OF_JOB, SCORES
from fundusd.ledger.tables import (
    capture,
    delivery,
    eye_result,
    job,
    release,
    result,
    review,
    sent_document,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    Row = Mapping[Any, Any]

_NAMESPACE = uuid.UUID("5a0f4d4e-6bd5-4f5e-9c53-9d1f6f0c1c57")
_MARK = 16  # hexadecimal digits of the digest of a photograph that are remembered
_OF_RELEASE = (
    *("model", "revision", "weights_digest", "tokenizer_digest", "preprocessing", "prompt_set"),
    *("prompt_digest", "head", "referable_rule", "quality_gate", "dtype", "runtime"),
    "program_version",
)
_OF_REVIEW = ("verdict", "referable", "grade", "reason", "reviewer", "role")


class _Judged(NamedTuple):
    """The result of an eye in a report, and its reading if a person had read it."""

    outcome: str
    referable: str
    grade: int | None
    capture_id: int
    reading: Row | None


def fill(connection: sa.Connection) -> None:
    """Store the structured reports that receivers have confirmed."""
    releases = _release_digests(connection)
    query = sa.select(delivery).where(
        delivery.c.document == DocumentKind.SR, delivery.c.delivered_at.is_not(None)
    )
    for row in connection.execute(query.order_by(delivery.c.id)).mappings().all():
        shared = {"receiver": row["receiver"], "exam_id": row["exam_id"], "content": ""}
        shared |= {"document": DocumentKind.SR, "sent_at": row["delivered_at"]}
        reports = [shared | report for report in _reports(connection, row, releases)]
        if reports:
            connection.execute(sa.insert(sent_document), reports)


def _reports(
    connection: sa.Connection, sent: Row, releases: Mapping[int, str]
) -> Iterator[dict[str, Any]]:
    exam_id, at = sent["exam_id"], sent["delivered_at"]
    files = _files(connection, exam_id)
    patient_id = next((file["patient_id"] for file in files if file["patient_id"]), None)
    by_eye = _shots([file for file in files if file["received_at"] <= at])
    of_exam = sa.select(eye_result).where(eye_result.c.exam_id == exam_id)
    for row in connection.execute(of_exam.order_by(eye_result.c.eye)).mappings().all():
        shots = by_eye.get(row["eye"], [])
        is_unchanged = shots == _shots(files).get(row["eye"])
        judged = _judged(connection, row, shots, at, is_unchanged=is_unchanged)
        photograph = judged and _dicom_file(shots, judged.capture_id)
        if judged is not None and photograph is not None:
            parts = _parts(row, judged, shots)
            digest = releases[photograph["release_id"]]
            yield _report(row["eye"], photograph, patient_id, digest, parts) | {
                "status": DocumentStatus.FINAL if judged.reading else DocumentStatus.PRELIMINARY,
                "photographs": " ".join(sorted({shot["digest"][:_MARK] for shot in shots})),
            }


def _report(
    eye: str, photograph: Row, patient_id: str | None, release_digest: str, parts: Sequence[Any]
) -> dict[str, Any]:
    study = orjson.loads(photograph["content"]).get("study_uid")
    verdict = hash_chain.digest(
        [release_digest, *[None if part is None else str(part) for part in parts]]
    )
    return {
        "eye": eye,
        "identifier": _uid("sr", study, patient_id, verdict),
        "study_uid": study,
        "series_uid": _uid("series", study, release_digest),
    }


def _judged(
    connection: sa.Connection, row: Row, shots: Sequence[Row], at: datetime, *, is_unchanged: bool
) -> _Judged | None:
    """Return what a report said about an eye, or None if that cannot be known any more."""
    query = sa.select(review).where(
        review.c.exam_id == row["exam_id"],
        review.c.eye == row["eye"],
        review.c.created_at <= at,
    )
    last = connection.execute(query.order_by(review.c.id.desc())).mappings().first()
    if last is not None and last["verdict"] != ReviewVerdict.DEFER:
        if any(shot["received_at"] > last["created_at"] for shot in shots):
            return None  # it may have been read again, or not
        columns = last["model_outcome"], last["model_referable"], last["model_grade"]
        return _Judged(*columns, last["capture_id"], last)
    if is_unchanged and row["review_id"] is None:
        columns = row["outcome"], row["referable"], row["grade"]
        return _Judged(*columns, row["capture_id"], None)
    return None


def _parts(row: Row, judged: _Judged, shots: Iterable[Row]) -> list[Any]:
    """Return all that decided about the UID of a report, besides the release."""
    [decisive] = [shot for shot in shots if shot["id"] == judged.capture_id]
    parts = [row["eye"], judged.outcome, judged.referable, decisive["reason"]]
    parts += [*row["missing_fields"].split(), decisive["digest"], judged.grade]
    if decisive["grade"] is not None:
        parts += [decisive[name].hex() for name in SCORES]
    parts += sorted(shot["digest"] for shot in shots)
    parts.append("read")
    if judged.reading is not None:
        parts += [judged.reading[name] for name in _OF_REVIEW]
        parts.append(int(judged.reading["blinded"]))
    return parts


# -- photographs, as these versions grouped them


def _files(connection: sa.Connection, exam_id: int) -> Sequence[Row]:
    columns = ("id", "camera_id", "path_text", "digest", "eye", "eye_source", "patient_id")
    of_result = ("release_id", "outcome", "reason", "grade", "content", *SCORES)
    query = (
        sa.select(*capture.c[columns], *capture.c["received_at", "media_type"])
        .add_columns(*result.c[of_result])
        .join(job, job.c.id == capture.c.job_id)
        .join(result, IS_RESULT_OF_JOB)
        .where(capture.c.exam_id == exam_id, capture.c.superseded.is_(False))
        .order_by(capture.c.id)
    )
    return connection.execute(query).mappings().all()


def _shots(files: Iterable[Row]) -> dict[str, list[Row]]:
    """Return the files that counted for each eye; refused ones only if there were no others."""
    photographs: dict[tuple[str, str], list[Row]] = {}
    for file in files:
        photographs.setdefault(_photograph(file), []).append(file)
    by_eye: dict[str, list[Row]] = {}
    for of_photograph in photographs.values():
        eyes = {file["eye"] for file in of_photograph} - {Eye.UNKNOWN}
        is_conflict = any(file["eye_source"] == EyeSource.CONFLICT for file in of_photograph)
        eye = Eye.UNKNOWN if is_conflict or len(eyes) != 1 else eyes.pop()
        by_eye.setdefault(eye, []).extend(of_photograph)
    for eye, shots in by_eye.items():
        by_eye[eye] = [shot for shot in shots if shot["outcome"] != Outcome.REFUSED] or shots
    return by_eye


def _dicom_file(shots: Iterable[Row], decisive_id: int) -> Row | None:
    """Return the decisive file, or another one of the same photograph, if it is DICOM."""
    files = sorted(shots, key=lambda shot: shot["id"] != decisive_id)
    if not files or files[0]["id"] != decisive_id:
        return None
    for file in files:
        if _photograph(file) == _photograph(files[0]) and file["media_type"] == MediaType.DICOM:
            return file
    return None


def _photograph(file: Row) -> tuple[str, str]:
    """Return what the files of a photograph have in common: the path without its suffix."""
    folder, slash, name = file["path_text"].rpartition("/")
    return file["camera_id"], folder + slash + (name.rpartition(".")[0] or name)


# -- identifiers


def _release_digests(connection: sa.Connection) -> dict[int, str]:
    digests = {}
    for row in connection.execute(sa.select(release)).mappings():
        parts: list[str] = []
        for name in sorted(_OF_RELEASE):
            parts += [name, str(row[name])]
        for name, digest in sorted(orjson.loads(row["files"]).items()):
            parts += [name, digest]
        digests[row["id"]] = hash_chain.digest(parts)
    return digests


def _uid(*parts: str | None) -> str:
    return f"2.25.{uuid.uuid5(_NAMESPACE, hash_chain.canonical(parts).hex()).int}"
