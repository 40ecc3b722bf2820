"""Send documents about exams to receivers: each at its own pace, so that a dead one keeps nobody else waiting.

What was sent and not yet noted when the process died is sent again, and overwrites what the receiver has.
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

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fundusd.clinical.exam import EyeResult
    from fundusd.ledger import Ledger
    from fundusd.ledger.deliveries import Due
    from fundusd.ledger.document_content import DocumentContent, Photograph
    from fundusd.outbox.document_ids import Document
    from fundusd.outbox.receivers import Receiver

_TALKATIVE = ("pynetdicom", "retrying", "urllib3", "dicomweb_client")


@dataclass(frozen=True, slots=True)
class _Made:
    """The documents of an exam, and why there are no others."""

    documents: tuple[Document, ...] = ()
    lacking: tuple[str, ...] = ()
    is_broken: bool = False  # what should be there is not
    may_come: bool = False  # but it may be there later


class Outbox:
    """Serve each receiver in a thread of its own; `roots` are the inboxes in which photographs are found again."""

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
        """Send until `stop` is set; raises what ended one of the threads."""
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(
                logging.CRITICAL
            )  # that somebody does not answer is ours to tell
        ending = threading.Event()
        with ThreadPoolExecutor(len(self._receivers), thread_name_prefix=self.name) as pool:
            running = [pool.submit(self._serve, name, ending) for name in self._receivers]
            while not stop.wait(self._poll_seconds) and not any(one.done() for one in running):
                pass
            ending.set()
        for one in running:
            one.result()

    def _serve(self, name: str, ending: threading.Event) -> None:
        while not ending.is_set():
            due = self._ledger.due(name)
            if due is None:
                ending.wait(self._poll_seconds)
            else:
                self.deliver(due)

    def deliver(self, due: Due) -> None:
        """Make and send the documents of one delivery, and note what came of it."""
        content = self._ledger.document_content(due.exam_id)
        if content is None:
            self._ledger.undelivered(due, "the exam has no eye any more", None)
            return
        made = self._make(due.document, content)
        answers: list[str] = []
        try:
            answers += [self._receivers[due.receiver].send(document) for document in made.documents]
        except ReceiverError as error:
            self._refused(due, error.message, is_permanent=error.is_permanent)
            return
        text = "; ".join([*dict.fromkeys(answers), *made.lacking])
        if not answers or made.is_broken:
            self._refused(due, text, is_permanent=not made.may_come)
            return
        self._ledger.delivered(due, text, len(answers))
        self._log.info(
            "document.sent", receiver=due.receiver, exam_id=due.exam_id, count=len(answers)
        )

    def _refused(self, due: Due, answer: str, *, is_permanent: bool) -> None:
        wait = None if is_permanent else retry_policy.outage_seconds(due.attempts + 1)
        self._ledger.undelivered(due, answer, wait)
        event = "document.refused" if is_permanent else "document.postponed"
        fields = {} if wait is None else {"wait_seconds": wait}
        self._log.warning(event, receiver=due.receiver, exam_id=due.exam_id, error=answer, **fields)

    def _make(self, document: DocumentKind, content: DocumentContent) -> _Made:
        match document:
            case DocumentKind.FHIR:
                return _Made((fhir.bundle(content.exam, content.releases, content.resulted_at),))
            case DocumentKind.CSV:
                return _Made(
                    (csv_export.table(content.exam, content.releases, content.resulted_at),)
                )
            case DocumentKind.SR:
                return self._reports(content)

    def _reports(self, content: DocumentContent) -> _Made:
        documents, lacking, away = [], [], []
        for eye in content.exam.eyes:
            photograph = _in_dicom(eye, content.photographs)
            if photograph is None:
                lacking.append(f"eye {eye.eye}: no report, its photograph is no DICOM")
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
                lacking.append(f"eye {eye.eye}: no report, {error.reason}")
                away.append(self._is_away(photograph))
            except structured_report.NoReport as error:
                lacking.append(f"eye {eye.eye}: {error.message}")
        return _Made(tuple(documents), tuple(lacking), is_broken=bool(away), may_come=any(away))

    def _read(self, photograph: Photograph) -> bytes:
        """Read the bytes that were graded, and no others; raises CaptureError."""
        root = self._roots.get(photograph.camera_id)
        if root is None:
            raise CaptureError(Reason.FILE_MISSING)
        data = safe_read.read_capture(root, photograph.path, self._max_bytes)
        if hashlib.sha256(data).hexdigest() != photograph.digest:
            raise CaptureError(Reason.FILE_CHANGED)
        return data

    def _is_away(self, photograph: Photograph) -> bool:
        """Tell whether a file cannot be read because its whole inbox is away."""
        return photograph.camera_id in self._roots and self._ledger.is_away(photograph.camera_id)


def _in_dicom(eye: EyeResult, photographs: Mapping[int, Photograph]) -> Photograph | None:
    """Return the decisive photograph, or the same shot as DICOM."""
    decisive = eye.decisive
    same = [
        shot
        for shot in eye.shots
        if (shot.camera_id, shot.stem) == (decisive.camera_id, decisive.stem)
    ]
    found = [photographs[shot.capture_id] for shot in (decisive, *same)]
    return next((one for one in found if one.is_dicom), None)
