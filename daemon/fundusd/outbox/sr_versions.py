"""The versions of the structured reports on an eye: which report replaces which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.domain.delivery import DocumentKind, SentDocument
from fundusd.outbox import document_ids, document_status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fundusd.clinical.eye_result import EyeResult
    from fundusd.domain.clinical_terms import Eye
    from fundusd.ledger.document_content import DocumentContent


def record(
    content: DocumentContent, eye: EyeResult, verdict: str, study_uid: str, release_digest: str
) -> SentDocument:
    """Return what is remembered about a report: its UIDs, its status and its photographs."""
    marks = document_ids.photograph_marks([eye])
    earlier = [sent for sent in content.sent if sent.eye is eye.eye]
    last = earlier[-1] if earlier else None
    status = document_status.next_status(
        last, verdict, marks, is_final=content.exam.is_settled(eye)
    )
    replaced_uids = [sent.identifier for sent in replaced(content.sent, eye, verdict)]
    parts = (study_uid, content.exam.patient_id, verdict, status, *replaced_uids)
    return SentDocument(
        DocumentKind.SR,
        eye.eye,
        document_ids.uid_for("sr", *parts),
        status,
        verdict,
        marks,
        study_uid,
        document_ids.uid_for("series", study_uid, release_digest),
    )


def replaced(sent: Iterable[SentDocument], eye: EyeResult, verdict: str) -> list[SentDocument]:
    """Return the reports that a report on an eye replaces.

    These are the last report on the eye that the receiver has confirmed and, for example if an
    unknown eye has become the left one, the last report that was about the same photographs as
    another eye. The report itself, if it is repeated, is not among them.
    """
    marks = set(document_ids.photograph_marks([eye]))
    related = []
    for before in sent:
        if before.eye is eye.eye or not marks.isdisjoint(before.photographs):
            related.append(before)
    if related and related[-1].eye is eye.eye and related[-1].content == verdict:
        related.pop()  # this report
    last: dict[Eye | None, SentDocument] = {}
    for before in related:
        if before.is_accepted:
            last[before.eye] = before
    return list(last.values())
