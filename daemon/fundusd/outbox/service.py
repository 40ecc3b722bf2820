"""Send documents about exams to receivers.

Each receiver is served by its own thread, so that no receiver waits for another. If the process
dies after it has sent a document but before it has recorded the delivery, it sends the same
document again after a restart, under the same name.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from fundusd.domain import retry_policy
from fundusd.domain.clinical_terms import Reason
from fundusd.domain.delivery import DocumentKind
from fundusd.domain.errors import CaptureError
from fundusd.files import safe_read
from fundusd.imaging.dicom import read_header
from fundusd.outbox import csv_export, fhir, structured_report
from fundusd.outbox.receivers import ReceiverError
from fundusd.outbox.sr_evidence import InvalidUidError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from fundusd.clinical.exam import EyeResult
    from fundusd.ledger import Ledger
    from fundusd.ledger.deliveries import Due
    from fundusd.ledger.document_content import DocumentContent, PhotographFile
    from fundusd.outbox.document_ids import Document
    from fundusd.outbox.receivers import Receiver

_VERBOSE_LIBRARIES = ("pynetdicom", "retrying", "urllib3", "dicomweb_client")


@dataclass(frozen=True, slots=True)
class _Documents:
    """The documents that could be created for an exam, and the reasons why others could not."""

    documents: tuple[Document, ...] = ()
    problems: tuple[str, ...] = ()
    is_incomplete: bool = False  # a photograph that should be readable is not
    may_be_complete_later: bool = False


class Outbox:
    """The service that sends documents, with a thread for each receiver.

    `roots` are the inboxes, keyed by camera, from which photographs are read again.
    """

    name = "outbox"

    def __init__(
        self,
        ledger: Ledger,
        receivers: Mapping[str, Receiver],
        roots: Mapping[str, Path],
        max_bytes: int,
        poll_seconds: float = 2.0,
    ) -> None:
        self._ledger = ledger
        self._receivers = receivers
        self._roots = roots
        self._max_bytes = max_bytes
        self._poll_seconds = poll_seconds
        self._log = structlog.get_logger(service=self.name)

    def run(self, stop: threading.Event) -> None:
        """Send documents until `stop` is set or a thread ends.

        If an exception ended a thread, it is raised after the other threads have ended.
        """
        for library in _VERBOSE_LIBRARIES:
            # the outbox itself logs receivers that do not answer
            logging.getLogger(library).setLevel(logging.CRITICAL)
        ending = threading.Event()
        with ThreadPoolExecutor(len(self._receivers), thread_name_prefix=self.name) as pool:
            threads = [pool.submit(self._serve, receiver, ending) for receiver in self._receivers]
            while not stop.wait(self._poll_seconds) and not _any_ended(threads):
                pass
            ending.set()
        for thread in threads:
            thread.result()

    def _serve(self, receiver: str, ending: threading.Event) -> None:
        while not ending.is_set():
            due = self._ledger.due(receiver)
            if due is None:
                ending.wait(self._poll_seconds)
            else:
                self.deliver(due)

    def deliver(self, due: Due) -> None:
        """Create and send the documents of one delivery, and record the result."""
        content = self._ledger.document_content(due.exam_id)
        if content is None:
            self._ledger.undelivered(due, "the exam no longer has any eyes", None)
            return
        made = self._make(due.document, content)
        try:
            answers = self._send(due.receiver, made.documents)
        except ReceiverError as error:
            self._record_failure(due, error.message, is_permanent=error.is_permanent)
            return
        text = "; ".join([*dict.fromkeys(answers), *made.problems])
        if not answers or made.is_incomplete:
            self._record_failure(due, text, is_permanent=not made.may_be_complete_later)
            return
        self._ledger.delivered(due, text, len(answers))
        self._log.info(
            "document.sent", receiver=due.receiver, exam_id=due.exam_id, count=len(answers)
        )

    def _send(self, receiver: str, documents: Iterable[Document]) -> list[str]:
        return [self._receivers[receiver].send(document) for document in documents]

    def _record_failure(self, due: Due, answer: str, *, is_permanent: bool) -> None:
        log = self._log.bind(receiver=due.receiver, exam_id=due.exam_id, error=answer)
        if is_permanent:
            self._ledger.undelivered(due, answer, None)
            log.warning("document.refused")
            return
        wait = retry_policy.outage_seconds(due.attempts + 1)
        self._ledger.undelivered(due, answer, wait)
        log.warning("document.postponed", wait_seconds=wait)

    def _make(self, document: DocumentKind, content: DocumentContent) -> _Documents:
        match document:
            case DocumentKind.FHIR:
                return _Documents(
                    (fhir.bundle(content.exam, content.releases, content.resulted_at),)
                )
            case DocumentKind.CSV:
                return _Documents(
                    (csv_export.table(content.exam, content.releases, content.resulted_at),)
                )
            case DocumentKind.SR:
                return self._reports(content)

    def _reports(self, content: DocumentContent) -> _Documents:
        documents, problems, are_offline = [], [], []
        for eye in content.exam.eyes:
            photograph = _dicom_photograph(eye, content.photographs)
            if photograph is None:
                problems.append(f"eye {eye.eye}: no report, because its photograph is not DICOM")
                continue
            try:
                header = read_header(self._read(photograph), self._max_bytes)
                release = content.releases[eye.decisive.release_id]
                documents.append(
                    structured_report.report(
                        content.exam, eye, release, header, content.resulted_at
                    )
                )
            except CaptureError as error:
                problems.append(f"eye {eye.eye}: no report, {error.reason}")
                are_offline.append(self._is_offline(photograph))
            except InvalidUidError as error:
                problems.append(f"eye {eye.eye}: {error.message}")
        return _Documents(
            tuple(documents),
            tuple(problems),
            is_incomplete=bool(are_offline),
            may_be_complete_later=any(are_offline),
        )

    def _read(self, photograph: PhotographFile) -> bytes:
        """Return the bytes of the photograph that was graded.

        Raises CaptureError if the file cannot be read or now contains something else.
        """
        root = self._roots.get(photograph.camera_id)
        if root is None:
            raise CaptureError(Reason.FILE_MISSING)
        data = safe_read.read_capture(root, photograph.path, self._max_bytes)
        if hashlib.sha256(data).hexdigest() != photograph.digest:
            raise CaptureError(Reason.FILE_CHANGED)
        return data

    def _is_offline(self, photograph: PhotographFile) -> bool:
        """Return whether the inbox of a photograph is offline.

        If it is, the photograph may be readable again later.
        """
        return photograph.camera_id in self._roots and self._ledger.is_away(photograph.camera_id)


def _any_ended(threads: Iterable[Future[None]]) -> bool:
    return any(thread.done() for thread in threads)


def _dicom_photograph(
    eye: EyeResult, photographs: Mapping[int, PhotographFile]
) -> PhotographFile | None:
    """Return the decisive photograph if it is DICOM, otherwise a DICOM file of the same shot.

    Return None if there is no such file.
    """
    decisive = eye.decisive
    if photographs[decisive.capture_id].is_dicom:
        return photographs[decisive.capture_id]
    for shot in eye.shots:
        is_same_shot = (shot.camera_id, shot.stem) == (decisive.camera_id, decisive.stem)
        if is_same_shot and photographs[shot.capture_id].is_dicom:
            return photographs[shot.capture_id]
    return None
