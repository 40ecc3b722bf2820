"""A receiver of structured reports: a STOW-RS server."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from fundusd.outbox import http_post, stow_response
from fundusd.outbox.dicom_statuses import described, is_duplicate, is_out_of_resources
from fundusd.outbox.receivers import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    ReceiverError,
    rejects_document,
)

if TYPE_CHECKING:
    from fundusd.outbox.credentials import Credentials
    from fundusd.outbox.document_ids import Document
    from fundusd.outbox.http_post import Answer
    from fundusd.outbox.stow_response import ReportedInstance, StowResponse


@dataclass(frozen=True, slots=True)
class StowServer:
    """A DICOMweb server that accepts instances by STOW-RS."""

    url: str
    connect_seconds: float = CONNECT_SECONDS
    answer_seconds: float = ANSWER_SECONDS
    credentials: Credentials | None = None

    def send(self, document: Document) -> str:
        """Send the instance, and return the HTTP status and any warning as text.

        Raises ReceiverError if the server cannot be reached, or does not name the instance among
        those that it has stored.
        """
        boundary = uuid.uuid4().hex
        head = f"--{boundary}\r\nContent-Type: {document.media_type}\r\n\r\n"
        answer = http_post.post(
            f"{self.url}/studies",
            head.encode() + document.data + f"\r\n--{boundary}--\r\n".encode(),
            {
                "Content-Type": "multipart/related; "
                f'type="{document.media_type}"; boundary="{boundary}"',
                "Accept": "application/dicom+json, application/dicom+xml;q=0.9",
            },
            connect_seconds=self.connect_seconds,
            seconds=self.answer_seconds,
            credentials=self.credentials,
        )
        return _stored(answer, stow_response.parse(answer.body), document.sent[0].identifier)


def _stored(answer: Answer, response: StowResponse, uid: str) -> str:
    """Return an answer that confirms the instance `uid` as text.

    An instance that failed because the server has it already is confirmed, too. Raises
    ReceiverError if the answer confirms nothing; it is permanent if it gives a reason that lies in
    the document.
    """
    failed = _of(response.failed, uid)
    stored = _of(response.stored, uid)
    if failed is None and stored is None:
        failed = next((each for each in response.failed if each.uid is None), None)
    if failed is not None:
        return _already_there(answer, failed.failure)
    if not answer.is_success:
        raise ReceiverError(answer.phrase, is_permanent=_is_final(answer))
    if stored is None:
        raise ReceiverError(_unconfirmed(answer))
    if stored.warning:
        return f"{answer.phrase}, warning 0x{stored.warning:04X}"
    return answer.phrase


def _of(instances: tuple[ReportedInstance, ...], uid: str) -> ReportedInstance | None:
    return next((instance for instance in instances if instance.uid == uid), None)


def _already_there(answer: Answer, failure: int | None) -> str:
    if failure is None:
        text = f"{answer.phrase}, failed without a reason"
        raise ReceiverError(text, is_permanent=_is_final(answer))
    if is_duplicate(failure):
        return f"{answer.phrase}, has it already"
    is_permanent = _is_final(answer) and not is_out_of_resources(failure)
    raise ReceiverError(f"{answer.phrase}, failure {described(failure)}", is_permanent=is_permanent)


def _is_final(answer: Answer) -> bool:
    """Return whether a failure in an answer lies in the report, not in the server or the way."""
    is_rejection = answer.status == HTTPStatus.CONFLICT or rejects_document(answer.status)
    return (answer.is_success or is_rejection) and not answer.problem


def _unconfirmed(answer: Answer) -> str:
    if answer.problem:
        return answer.phrase
    return f"{answer.phrase}, but its answer does not say that the report was stored"
