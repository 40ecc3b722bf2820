"""Receivers of documents: a folder, a DICOM node, a STOW-RS server and a FHIR server.

`send` returns only the codes in a receiver's answer, because the free text may name a patient.
"""

from __future__ import annotations

import http
import os
import re
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol

from fundusd.domain.errors import FundusdError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fundusd.outbox.document_ids import Document

CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 30.0
# HTTP statuses that reject the document itself; after any other error a retry may succeed
_REJECTS_DOCUMENT = frozenset({400, 409, 410, 412, 413, 415, 422})
_DUPLICATE = 0x0111  # PS3.7 C.5.1: the node already has this instance
_WARNING, _OUT_OF_RESOURCES = 0xB000, 0xA700
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,40}$")


class ReceiverError(FundusdError):
    """The receiver did not accept the document."""

    def __init__(self, message: str, *, is_permanent: bool = False) -> None:
        self.is_permanent = is_permanent  # a retry with the same document would fail too
        super().__init__(message)


class Receiver(Protocol):
    """A destination for documents."""

    def send(self, document: Document) -> str:
        """Send a document, and return the receiver's answer as text.

        Raises ReceiverError if the document could not be sent or was not accepted.
        """
        ...


@dataclass(frozen=True, slots=True)
class Folder:
    """An existing folder that another program reads or empties."""

    path: Path

    def send(self, document: Document) -> str:
        """Write the document atomically, replacing any file with the same name.

        Raises ReceiverError if the folder cannot be written.
        """
        unfinished = self.path / f".{document.name}.part"
        try:
            with unfinished.open("wb") as file:
                file.write(document.data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self.path / document.name)
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise ReceiverError(f"the folder cannot be written ({error.strerror})") from None
        return f"written, {len(document.data)} bytes"


@dataclass(frozen=True, slots=True)
class DicomNode:
    """A DICOM node that accepts Comprehensive 3D SR by C-STORE."""

    title: str
    host: str
    port: int
    connect_seconds: float = CONNECT_SECONDS
    answer_seconds: float = ANSWER_SECONDS

    @classmethod
    def at(cls, address: str) -> DicomNode:
        """Return the node at an address of the form `title@host:port`.

        >>> DicomNode.at("ARCHIVE@pacs.example.org:104").port
        104
        """
        title, _, host_and_port = address.partition("@")
        host, _, port = host_and_port.rpartition(":")
        return cls(title, host, int(port))

    def send(self, document: Document) -> str:
        """Send the instance by C-STORE, and return the status as text.

        Raises ReceiverError if the node cannot be reached or does not store the instance.
        """
        from pydicom import dcmread
        from pynetdicom import AE, sop_class

        storage = sop_class.Comprehensive3DSRStorage  # type: ignore[attr-defined,unused-ignore]
        node = AE(ae_title="FUNDUSD")
        node.connection_timeout = node.acse_timeout = self.connect_seconds
        node.dimse_timeout = node.network_timeout = self.answer_seconds
        node.add_requested_context(storage)
        try:
            association = node.associate(self.host, self.port, ae_title=self.title)
        except OSError as error:  # the name does not resolve, or the process has no network
            raise _unreachable(error) from None
        if not association.is_established:
            raise self._refused(association)
        try:
            status = association.send_c_store(dcmread(BytesIO(document.data)))
        except (RuntimeError, ValueError) as error:
            raise ReceiverError(f"C-STORE was interrupted ({type(error).__name__})") from None
        finally:
            association.release()
        return _stored(status.get("Status"))

    @staticmethod
    def _refused(association: Any) -> ReceiverError:
        if association.is_rejected:
            return ReceiverError(
                "association rejected: the node may not know FUNDUSD, or may have another AE title"
            )
        if association.rejected_contexts:
            return ReceiverError("the node does not accept Comprehensive 3D SR", is_permanent=True)
        return ReceiverError("no association: the node does not answer")


def _stored(status: int | None) -> str:
    """Return a C-STORE status (PS3.4 B.2.3) as text.

    Raises ReceiverError if the status is a failure, or None because the node did not answer.
    """
    if status is None:
        raise ReceiverError("C-STORE was not answered")
    answer = f"C-STORE 0x{status:04X}"
    if status in {0x0000, _DUPLICATE}:
        return answer
    if status & 0xF000 == _WARNING or status in {0x0001, 0x0107, 0x0116}:
        return f"{answer}, a warning"
    raise ReceiverError(answer, is_permanent=not _is_full(status))


def _is_full(status: int | None) -> bool:
    return status is not None and status & 0xFF00 == _OUT_OF_RESOURCES


@dataclass(frozen=True, slots=True)
class StowServer:
    """A DICOMweb server that accepts instances by STOW-RS."""

    url: str
    connect_seconds: float = CONNECT_SECONDS
    answer_seconds: float = ANSWER_SECONDS

    def send(self, document: Document) -> str:
        """Send the instance, and return the HTTP status and any warnings as text.

        Raises ReceiverError if the server cannot be reached or does not store the instance.
        """
        import requests
        from dicomweb_client import DICOMwebClient
        from pydicom import dcmread

        statuses: list[int] = []
        with requests.Session() as session:
            session.max_redirects = 0
            session.headers["Accept"] = "application/dicom+json"
            session.hooks["response"].append(
                lambda response, **_: statuses.append(response.status_code)
            )
            client = DICOMwebClient(
                self.url, session=session, timeout=(self.connect_seconds, self.answer_seconds)
            )
            client.set_http_retry_params(retry=False)
            try:
                answer = client.store_instances([dcmread(BytesIO(document.data))])
            except requests.HTTPError as error:
                raise _refusal(error.response.status_code) from None
            except requests.RequestException as error:
                raise _unreachable(error) from None
            except (ValueError, KeyError, TypeError, SyntaxError):
                # dicomweb-client raises these when the body is neither JSON nor XML
                raise ReceiverError("the answer is not a STOW-RS response") from None
        return _stowed(statuses[-1], answer)


def _stowed(status: int, answer: Any) -> str:
    """Return a STOW-RS response (PS3.18 10.5.3) as text.

    Raises ReceiverError if the response reports a failure other than a duplicate.
    """
    failures = answer.get("FailedSOPSequence")
    if failures:
        return _stored_or_duplicate(status, failures[0].get("FailureReason"))
    parts = [_phrase(status)]
    for instance in answer.get("ReferencedSOPSequence") or ():
        reason = instance.get("WarningReason")
        if reason:
            parts.append(f"warning 0x{reason:04X}")
    return ", ".join(parts)


def _stored_or_duplicate(status: int, reason: int | None) -> str:
    if reason == _DUPLICATE:
        return f"{_phrase(status)}, has it already"
    text = f"{_phrase(status)}, failure 0x{reason or 0:04X}"
    raise ReceiverError(text, is_permanent=not _is_full(reason))


@dataclass(frozen=True, slots=True)
class FhirServer:
    """A FHIR R4 server that accepts transactions at its base address."""

    url: str
    connect_seconds: float = CONNECT_SECONDS
    answer_seconds: float = ANSWER_SECONDS

    def send(self, document: Document) -> str:
        """Post the transaction, and return the HTTP status and the number of resources as text.

        Raises ReceiverError if the server cannot be reached or does not accept the whole
        transaction.
        """
        import requests

        headers = {"Content-Type": document.media_type, "Accept": "application/fhir+json"}
        try:
            response = requests.post(
                self.url,
                data=document.data,
                headers=headers,
                timeout=(self.connect_seconds, self.answer_seconds),
                allow_redirects=False,  # a redirected POST becomes a GET, whose 200 proves nothing
            )
        except requests.RequestException as error:
            raise _unreachable(error) from None
        answer = _json_of(response)
        status = _phrase(response.status_code)
        if not response.ok or response.is_redirect:
            raise _refusal(response.status_code, *_issue_codes(answer))
        entries = _entries(answer)
        if entries is None:
            raise ReceiverError(f"{status}, but the answer is not a transaction response")
        for entry in entries:
            entry_status = _entry_status(entry)
            if not entry_status.startswith("2"):
                text = f"{status}, but an entry has {entry_status}"
                raise ReceiverError(text, is_permanent=True)
        return f"{status}, {len(entries)} resources"


def _json_of(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _entries(answer: Any) -> list[Any] | None:
    """Return the entries of a FHIR transaction response, or None if the answer is anything else."""
    if not isinstance(answer, dict) or answer.get("resourceType") != "Bundle":
        return None
    entries = answer.get("entry")
    if not isinstance(entries, list):
        return None
    return entries


def _entry_status(entry: Any) -> str:
    status = None
    if isinstance(entry, dict):
        status = entry.get("response", {}).get("status")
    return str(status)[:3]


def _issue_codes(outcome: Any) -> Iterator[str]:
    """Yield the codes in an OperationOutcome, without its texts."""
    if not isinstance(outcome, dict):
        return
    issues = outcome.get("issue")
    if not isinstance(issues, list):
        return
    for issue in issues:
        if isinstance(issue, dict):
            code = issue.get("code")
            if isinstance(code, str) and _CODE.match(code):
                yield code


def _refusal(status: int, *issue_codes: str) -> ReceiverError:
    text = ", ".join([_phrase(status), *issue_codes])
    return ReceiverError(text, is_permanent=status in _REJECTS_DOCUMENT)


def _unreachable(error: Exception) -> ReceiverError:
    """Return a ReceiverError that names only the class of `error`.

    The text of `error` is left out, because it quotes the address.
    """
    return ReceiverError(f"unreachable ({type(error).__name__})")


def _phrase(status: int) -> str:
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
