"""Create the documents about an exam; structured reports need the photographs' headers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.delivery import REMOVE, DocumentKind
from fundusd.domain.errors import CaptureError
from fundusd.files import safe_read
from fundusd.files.filesystem import place_of
from fundusd.imaging import dicom_values
from fundusd.imaging.dicom import read_header
from fundusd.outbox import csv_export, document_ids, fhir, structured_report
from fundusd.outbox.sr_evidence import InvalidUidError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pydicom import Dataset

    from fundusd.clinical.eye_result import EyeResult
    from fundusd.clinical.shot import Shot
    from fundusd.ledger.document_content import DocumentContent, PhotographFile
    from fundusd.outbox.document_ids import Document
    from fundusd.outbox.sender import Sender


# DICOM offers no way to withdraw a report that every archive understands
_NO_EYES = f"the exam no longer has any photographs: if no other exam has them now, {REMOVE}"
_NOT_DICOM = "because its photograph is not DICOM"
_HEADER_OF_OTHER = "because the header of its photograph names another patient"
_NOT_LISTED = "because its header names another patient"
_NO_EYE = f"no longer part of the exam: {REMOVE}"


@dataclass(frozen=True, slots=True)
class MadeDocuments:
    """The documents that could be created for an exam, and the reasons why others could not."""

    documents: tuple[Document, ...] = ()
    problems: tuple[str, ...] = ()
    is_incomplete: bool = False  # a photograph that should be readable is not
    may_be_complete_later: bool = False


class DocumentMaker:
    """Creates the documents of a site.

    `roots` are the inboxes, keyed by camera, from which photographs are read again. `is_away` says
    whether the inbox of a camera, whose device and inode it is given, may be offline.
    """

    def __init__(
        self,
        sender: Sender,
        roots: Mapping[str, Path],
        max_bytes: int,
        is_away: Callable[[str, str | None], bool],
    ) -> None:
        self._sender = sender
        self._roots = roots
        self._max_bytes = max_bytes
        self._is_away = is_away

    def make(
        self, document: DocumentKind, known: DocumentContent, *, only_reviewed: bool = False
    ) -> MadeDocuments:
        """Create the documents of one kind; if `only_reviewed`, reports only on eyes once read."""
        content = self._sender.released(known)
        match document:
            case DocumentKind.FHIR:
                return MadeDocuments((fhir.bundle(content, self._sender),))
            case DocumentKind.CSV:
                return MadeDocuments((csv_export.table(content), *csv_export.withdrawals(content)))
            case DocumentKind.SR:
                return self._reports(content, only_reviewed=only_reviewed)

    def _reports(self, content: DocumentContent, *, only_reviewed: bool) -> MadeDocuments:
        if not content.exam.eyes:
            return MadeDocuments(problems=(_NO_EYES,))
        documents, problems, are_offline = [], [], []
        for eye in content.exam.eyes:
            if only_reviewed and not _was_read(eye, content):
                problems.append(f"eye {eye.eye}: not read, so its report waits")
                continue
            shots = list(_dicom_shots(eye, content.photographs))
            own = [shot for shot in shots if not content.photographs[shot.capture_id].is_of_other]
            if not own or not _is_same_photograph(own[0], eye.decisive):
                is_of_other = bool(shots) and _is_same_photograph(shots[0], eye.decisive)
                why = _HEADER_OF_OTHER if is_of_other else _NOT_DICOM
                problems.append(f"eye {eye.eye}: no report, {why}")
                if is_of_other:
                    are_offline.append(False)
                continue
            photographs = [content.photographs[shot.capture_id] for shot in own]
            try:
                sources, left_out = self._headers(photographs)
                documents.append(structured_report.report(content, eye, sources, self._sender))
                reasons = [*left_out, *[_NOT_LISTED] * (len(shots) - len(own))]
                problems += [f"eye {eye.eye}: a photograph is not listed, {why}" for why in reasons]
            except CaptureError as error:
                problems.append(f"eye {eye.eye}: no report, {error.reason}")
                are_offline.append(self._is_any_offline(photographs))
            except InvalidUidError as error:
                problems.append(f"eye {eye.eye}: {error.message}")
        problems += _orphans(content)
        return MadeDocuments(
            tuple(documents),
            tuple(problems),
            is_incomplete=bool(are_offline),
            may_be_complete_later=any(are_offline),
        )

    def _headers(self, photographs: list[PhotographFile]) -> tuple[list[Dataset], list[Reason]]:
        """Return the headers of photographs, each instance once, and why others are left out.

        Raises CaptureError if the first photograph cannot be read or is no image, or if another one
        may be readable later.
        """
        headers: dict[str, Dataset] = {}
        left_out = []
        for photograph in photographs:
            try:
                header = _header_of_image(self._read(photograph), self._max_bytes)
            except CaptureError as error:
                if photograph is photographs[0] or self._is_any_offline([photograph]):
                    raise
                left_out.append(error.reason)
            else:
                headers.setdefault(str(header.get("SOPInstanceUID")), header)
        return list(headers.values()), left_out

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

    def _is_any_offline(self, photographs: list[PhotographFile]) -> bool:
        """Return whether an inbox is offline, so that photographs may be readable again later."""
        cameras = {photograph.camera_id for photograph in photographs}
        for camera in cameras & self._roots.keys():
            if self._is_away(camera, place_of(self._roots[camera])):
                return True
        return False


def _header_of_image(data: bytes, max_bytes: int) -> Dataset:
    """Return the header of a DICOM file; raises CaptureError if it holds no image."""
    header = read_header(data, max_bytes)
    if dicom_values.number(header, "Rows", 0) < 1 or dicom_values.number(header, "Columns", 0) < 1:
        raise CaptureError(Reason.NO_PIXEL_DATA)
    return header


def _was_read(eye: EyeResult, content: DocumentContent) -> bool:
    """Return whether an eye has been read, now or when an earlier report was sent."""
    return eye.is_read or any(sent.eye is eye.eye for sent in content.sent)


def _orphans(content: DocumentContent) -> list[str]:
    """Return advice for each eye that is no more and whose reports no other report replaces."""
    present = {eye.eye for eye in content.exam.eyes}
    marks = set(document_ids.photograph_marks(content.exam.eyes))
    advice = []
    for sent in content.sent:
        is_lost = sent.eye is not None and sent.eye not in present
        if is_lost and sent.is_accepted and marks.isdisjoint(sent.photographs):
            advice.append(f"eye {sent.eye}: {_NO_EYE}")
    return list(dict.fromkeys(advice))


def _dicom_shots(eye: EyeResult, photographs: Mapping[int, PhotographFile]) -> Iterator[Shot]:
    """Yield the shots of an eye that are DICOM files, those of the decisive photograph first."""
    others = []
    for shot in sorted(eye.shots, key=lambda shot: shot is not eye.decisive):
        if photographs[shot.capture_id].is_dicom:
            if _is_same_photograph(shot, eye.decisive):
                yield shot
            else:
                others.append(shot)
    yield from others


def _is_same_photograph(shot: Shot, other: Shot) -> bool:
    return (shot.camera_id, shot.stem) == (other.camera_id, other.stem)
