"""Exams that depend on photographs of other exams.

No camera takes a photograph twice. If two exams of a patient hold the same bytes, one of the files
was exported again under the name of another visit. And if the sources of a photograph name two
patients, it may belong to either of them. Until a person says more, both exams are in doubt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from fundusd.clinical.exam import Claim
from fundusd.domain.readings import ExclusionReason
from fundusd.ledger import moved_files, visits
from fundusd.ledger.exam_rows import stem
from fundusd.ledger.tables import capture, exam

if TYPE_CHECKING:
    from collections.abc import Collection


def patient_of(of: sa.FromClause) -> sa.ColumnElement[str | None]:
    """Return the key of a capture's patient: that of its exam or, if it has none, its own."""
    own = exam.alias()
    of_exam = sa.select(own.c.patient_key).where(own.c.id == of.c.exam_id).correlate(of)
    return sa.func.coalesce(of_exam.scalar_subquery(), of.c.patient_key)


def is_in_other_exam() -> sa.ColumnElement[bool]:
    """Return the condition that another exam of the patient holds the bytes of a capture, too."""
    copy = capture.alias()
    return sa.exists().where(_is_copy(copy), copy.c.excluded.is_(None), moved_files.counts(copy))


def claims(connection: sa.Connection, exam_ids: Collection[int]) -> dict[int, tuple[Claim, ...]]:
    """Return, by exam, the photographs of other exams that may be of the same patient and day.

    They are those whose sources name the patient, too. Once a person has said that one belongs to
    its exam, or that it counts nowhere, it is no longer in question. If a person has joined the
    exam of the day into another one, they are in question there. Another file of the photograph
    that is in the patient's exam remains in question, because it may be of the other patient, too.
    """
    claimant = exam.alias()
    members = _members(connection, exam_ids)
    query = (
        sa.select(
            claimant.c.id,
            capture.c.id.label("capture_id"),
            *capture.c["exam_id", "belongs", "camera_id", "path_text"],
        )
        .select_from(_by_other_patient(claimant))
        .where(
            claimant.c.id.in_(members),
            moved_files.counts(),
            sa.or_(
                capture.c.excluded.is_(None),
                capture.c.excluded == ExclusionReason.NOT_THIS_PATIENT,
            ),
        )
        .order_by(capture.c.id)
    )
    rows = connection.execute(query).all()
    twins = _open_files(connection, {members[row.id] for row in rows if row.belongs})
    by_exam: dict[int, dict[int, Claim]] = {}
    for row in rows:
        number = members[row.id]
        claimed = [Claim(row.capture_id, row.exam_id)]
        if row.belongs:
            of_other = number != row.exam_id
            shot = (number, row.camera_id, stem(row.path_text))
            claimed = [Claim(twin, number) for twin in twins.get(shot, ()) if of_other]
        for claim in claimed:
            by_exam.setdefault(number, {})[claim.capture_id] = claim
    return {number: tuple(of_exam.values()) for number, of_exam in by_exam.items()}


def _open_files(
    connection: sa.Connection, exam_ids: Collection[int]
) -> dict[tuple[int, str, str], list[int]]:
    """Return files of which no person has said anything, by exam, camera and stem of the path."""
    files: dict[tuple[int, str, str], list[int]] = {}
    if not exam_ids:
        return files
    query = sa.select(*capture.c["id", "exam_id", "camera_id", "path_text"]).where(
        capture.c.exam_id.in_(exam_ids),
        capture.c.belongs.is_(False),
        capture.c.excluded.is_(None),
        moved_files.counts(),
    )
    for row in connection.execute(query.order_by(capture.c.id)):
        shot = (row.exam_id, row.camera_id, stem(row.path_text))
        files.setdefault(shot, []).append(row.id)
    return files


def _members(connection: sa.Connection, exam_ids: Collection[int]) -> dict[int, int]:
    """Return, by exam, into which of these exams it was joined; each of them is its own member.

    An exam that was joined into another one has no members any more.
    """
    query = sa.select(exam.c.id).where(exam.c.id.in_(exam_ids), exam.c.joined_into.is_(None))
    members = {number: number for number in connection.scalars(query)}
    last = dict(members)
    while last:
        joined = sa.select(exam.c.id, exam.c.joined_into).where(exam.c.joined_into.in_(last))
        last = {number: last[into] for number, into in connection.execute(joined).all()}
        members |= last
    return members


def related(connection: sa.Connection, exam_ids: Collection[int]) -> set[int]:
    """Return the exams whose results depend on the captures of these exams."""
    copy = capture.alias()
    copies = sa.select(copy.c.exam_id).select_from(copy.join(capture, _is_copy(copy)))
    claimant = exam.alias()
    claimants = sa.select(claimant.c.id).select_from(_by_other_patient(claimant))
    of_these = capture.c.exam_id.in_(exam_ids)
    own, other = exam.alias(), exam.alias()
    is_same_day = sa.and_(
        other.c.patient_key == own.c.patient_key, other.c.day == own.c.day, other.c.id != own.c.id
    )
    same_day = sa.select(other.c.id).join(own, is_same_day).where(own.c.id.in_(exam_ids))
    query = sa.union(copies.where(of_these), claimants.where(of_these), same_day)
    ids = set(connection.scalars(query))
    return {*ids, *visits.followed(connection, ids).values()}


def _is_copy(copy: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.and_(
        copy.c.digest == capture.c.digest,
        patient_of(copy) == patient_of(capture),
        copy.c.exam_id != capture.c.exam_id,
    )


def _by_other_patient(claimant: sa.FromClause) -> sa.FromClause:
    """Return captures with the exams of the other patient whom they name, on a day that they name.

    Names give a patient's number without the issuer that headers may name.
    """
    own = exam.alias()
    is_named = sa.or_(
        claimant.c.patient_key == capture.c.other_patient_key,
        claimant.c.bare_key == capture.c.other_patient_key,
    )
    # its own exam may have been joined into one of another day
    own_day = sa.func.coalesce(capture.c.acquired_day, capture.c.local_day)
    is_day = claimant.c.day.in_([own.c.day, own_day, capture.c.other_acquired_day])
    with_own = capture.join(own, own.c.id == capture.c.exam_id)
    return with_own.join(claimant, sa.and_(is_named, is_day))
