"""Read the reviews of exams, which follow their photographs from eye to eye and exam to exam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from fundusd.clinical.reading import Reading, of_eyes
from fundusd.domain.clinical_terms import Eye
from fundusd.domain.readings import ReadingPurpose
from fundusd.ledger import exam_rows, moved_files
from fundusd.ledger.tables import capture, release, review, review_photograph, storable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from fundusd.clinical.exam import Exam
    from fundusd.clinical.eye_result import EyeResult
    from fundusd.clinical.shot import Shot

    Row = Mapping[Any, Any]


@dataclass(frozen=True, slots=True)
class Reviews:
    """Reviews in the order of their numbers, their photographs, and where these are now.

    `digests` are keyed by review, and `exams` by digest.
    """

    rows: Sequence[Row]
    digests: Mapping[int, set[str]]
    exams: Mapping[str, set[int]]

    def of_exam(
        self,
        exam_id: int,
        eyes: Sequence[EyeResult],
        others: Sequence[Shot],
        received: Mapping[int, datetime],
    ) -> dict[Eye, list[Reading]]:
        """Return the readings of each eye of an exam.

        `others` are the files of the exam that count for no eye, and `received` are the times at
        which its captures were received.
        """
        files: dict[Eye, list[Shot]] = {eye.eye: list(eye.shots) for eye in eyes}
        for shot in others:
            files.setdefault(shot.eye, []).append(shot)
        places = {eye: {shot.digest for shot in of_eye} for eye, of_eye in files.items()}
        here: set[str] = set().union(*places.values())
        readings: list[Reading] = []
        elsewhere: set[str] = set()
        for row in self.rows:
            digests = self.digests.get(row["id"], set())
            if row["exam_id"] != exam_id:
                digests = {digest for digest in digests if not self._is_in(digest, row["exam_id"])}
            if row["exam_id"] == exam_id or not digests.isdisjoint(here):
                shots = files.get(Eye(row["eye"]), [])
                readings.append(exam_rows.reading(row, digests, shots, received))
                elsewhere |= {digest for digest in digests if self._is_in_another(digest, exam_id)}
        return of_eyes(readings, exam_id, places, elsewhere)

    def _is_in(self, digest: str, exam_id: int) -> bool:
        return exam_id in self.exams.get(digest, set())

    def _is_in_another(self, digest: str, exam_id: int) -> bool:
        return bool(self.exams.get(digest, set()) - {exam_id})


def reviews_of(connection: sa.Connection, exam_ids: Sequence[int]) -> Reviews:
    """Return the reviews of exams, and those that are about photographs that the exams have now."""
    digests_here = sa.select(capture.c.digest).where(capture.c.exam_id.in_(exam_ids))
    about_these = sa.select(review_photograph.c.review_id).where(
        review_photograph.c.digest.in_(digests_here)
    )
    query = (
        sa.select(review, release.c.referable_rule)
        .join(release, release.c.id == review.c.release_id)
        .where(sa.or_(review.c.exam_id.in_(exam_ids), review.c.id.in_(about_these)))
        .order_by(review.c.id)
    )
    rows = connection.execute(query).mappings().all()
    if not rows:
        return Reviews((), {}, {})
    digests: dict[int, set[str]] = {}
    of_reviews = sa.select(review_photograph).where(
        review_photograph.c.review_id.in_([row["id"] for row in rows])
    )
    for photograph in connection.execute(of_reviews):
        digests.setdefault(photograph.review_id, set()).add(photograph.digest)
    return Reviews(rows, digests, _exams(connection, set().union(*digests.values())))


def purposes_of(
    connection: sa.Connection, reviewer: str, exam: Exam, eye: EyeResult
) -> set[ReadingPurpose]:
    """Return for which purposes a reader has read an eye or, anywhere, one of its photographs.

    Excluded photographs count, too. Readings for quality assurance are left out, and those that
    were taken back are not.
    """
    others = [shot for shot in exam.others if shot.eye is eye.eye]
    of_photographs = sa.select(review_photograph.c.review_id).where(
        review_photograph.c.digest.in_({shot.digest for shot in (*eye.shots, *others)})
    )
    is_here = sa.and_(review.c.exam_id == exam.exam_id, review.c.eye == eye.eye)
    query = sa.select(review.c.purpose).where(
        review.c.reviewer == storable(reviewer),
        review.c.purpose != ReadingPurpose.QUALITY_ASSURANCE,
        sa.or_(is_here, review.c.id.in_(of_photographs)),
    )
    return {ReadingPurpose(purpose) for purpose in connection.scalars(query)}


def exams_with(connection: sa.Connection, digests: Iterable[str]) -> set[int]:
    """Return the exams that have a photograph with one of these digests."""
    exams: set[int] = set()
    return exams.union(*_exams(connection, set(digests)).values())


def _exams(connection: sa.Connection, digests: set[str]) -> dict[str, set[int]]:
    """Return, by digest, the exams of the captures with these bytes that count."""
    query = sa.select(capture.c.digest, capture.c.exam_id).where(
        capture.c.digest.in_(digests), capture.c.exam_id.is_not(None), moved_files.counts()
    )
    exams: dict[str, set[int]] = {}
    for row in connection.execute(query):
        exams.setdefault(row.digest, set()).add(row.exam_id)
    return exams
