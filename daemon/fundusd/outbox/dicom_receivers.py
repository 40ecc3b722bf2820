"""Receivers of structured reports: a DICOM node and a STOW-RS server."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from fundusd.outbox.receivers import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    ReceiverError,
    phrase,
    refusal,
    unreachable,
)

if TYPE_CHECKING:
    from fundusd.outbox.document_ids import Document

_DUPLICATE = 0x0111  # PS3.7 C.5.1: the node already has this instance
_WARNING, _OUT_OF_RESOURCES = 0xB000, 0xA700


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
            raise unreachable(error) from None
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
                raise refusal(error.response.status_code) from None
            except requests.RequestException as error:
                raise unreachable(error) from None
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
    parts = [phrase(status)]
    for instance in answer.get("ReferencedSOPSequence") or ():
        reason = instance.get("WarningReason")
        if reason:
            parts.append(f"warning 0x{reason:04X}")
    return ", ".join(parts)


def _stored_or_duplicate(status: int, reason: int | None) -> str:
    if reason == _DUPLICATE:
        return f"{phrase(status)}, has it already"
    text = f"{phrase(status)}, failure 0x{reason or 0:04X}"
    raise ReceiverError(text, is_permanent=not _is_full(reason))
