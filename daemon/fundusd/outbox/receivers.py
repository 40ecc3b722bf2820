"""Hand a document to whoever is to have it: a folder, a DICOM node, a STOW-RS or a FHIR server.

Each returns the receiver's own answer, as short codes: its free text may name a patient.
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
    from pathlib import Path

    from fundusd.outbox.document_ids import Document

CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 30.0
# what a server means by these is the document; any other refusal may pass
_OF_THE_DOCUMENT = frozenset({400, 409, 410, 412, 413, 415, 422})
_DUPLICATE = 0x0111  # PS3.7 C.5.1: it has this very instance
_WARNING, _OUT_OF_RESOURCES = 0xB000, 0xA700
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,40}$")


class ReceiverError(FundusdError):
    """The receiver did not take the document."""

    def __init__(self, message: str, *, is_permanent: bool = False) -> None:
        self.is_permanent = is_permanent  # it would refuse the same again
        super().__init__(message)


class Receiver(Protocol):
    """Where documents go."""

    def send(self, document: Document) -> str:
        """Hand a document over and return the answer; raises ReceiverError."""
        ...


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that somebody else empties or reads; it has to be there."""

    path: Path

    def send(self, document: Document) -> str:
        """Write the document, never half of it, over an older one of its name; raises ReceiverError."""
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
    """A node that takes Comprehensive 3D SR by C-STORE."""

    title: str
    host: str
    port: int
    connect_seconds: float = CONNECT_SECONDS
    answer_seconds: float = ANSWER_SECONDS

    @classmethod
    def at(cls, address: str) -> DicomNode:
        """Return the node at an address.

        >>> DicomNode.at("ARCHIVE@pacs.example.org:104").port
        104
        """
        title, _, host_and_port = address.partition("@")
        host, _, port = host_and_port.rpartition(":")
        return cls(title, host, int(port))

    def send(self, document: Document) -> str:
        """Store the instance and return the status; raises ReceiverError."""
        from pydicom import dcmread
        from pynetdicom import AE
        from pynetdicom.sop_class import Comprehensive3DSRStorage  # type: ignore[attr-defined,unused-ignore]

        node = AE(ae_title="FUNDUSD")
        node.connection_timeout = node.acse_timeout = self.connect_seconds
        node.dimse_timeout = node.network_timeout = self.answer_seconds
        node.add_requested_context(Comprehensive3DSRStorage)
        try:
            link = node.associate(self.host, self.port, ae_title=self.title)
        except OSError as error:  # a name that does not resolve, or no network for this process
            raise _unreachable(error) from None
        if not link.is_established:
            raise self._refused(link)
        try:
            status = link.send_c_store(dcmread(BytesIO(document.data)))
        except (RuntimeError, ValueError) as error:
            raise ReceiverError(f"C-STORE broke off ({type(error).__name__})") from None
        finally:
            link.release()
        return _stored(status.get("Status"))

    @staticmethod
    def _refused(link: Any) -> ReceiverError:
        if link.is_rejected:
            return ReceiverError(
                "association rejected; the node may not know FUNDUSD, or is called otherwise"
            )
        if link.rejected_contexts:
            return ReceiverError("the node does not take Comprehensive 3D SR", is_permanent=True)
        return ReceiverError("no association: the node does not answer")


def _stored(status: int | None) -> str:
    """Read a C-STORE status: PS3.4 B.2.3."""
    if status is None:
        raise ReceiverError("C-STORE has no answer")
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
    """A DICOMweb server that takes instances by STOW-RS."""

    url: str
    connect_seconds: float = CONNECT_SECONDS
    answer_seconds: float = ANSWER_SECONDS

    def send(self, document: Document) -> str:
        """Store the instance and return the HTTP status, with a warning if there is one; raises ReceiverError."""
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
            except (
                ValueError,
                KeyError,
                TypeError,
                SyntaxError,
            ):  # dicomweb-client on what is neither JSON nor XML
                raise ReceiverError("the answer is no STOW-RS response") from None
        return _stowed(statuses[-1], answer)


def _stowed(status: int, answer: Any) -> str:
    """Read the response of PS3.18 10.5.3."""
    failed = [item.get("FailureReason") for item in answer.get("FailedSOPSequence") or ()]
    if failed:
        return _stored_or_duplicate(status, failed[0])
    warned = [item.get("WarningReason") for item in answer.get("ReferencedSOPSequence") or ()]
    warnings = [f"warning 0x{one:04X}" for one in warned if one]
    return ", ".join([_phrase(status), *warnings])


def _stored_or_duplicate(status: int, reason: int | None) -> str:
    if reason == _DUPLICATE:
        return f"{_phrase(status)}, has it already"
    text = f"{_phrase(status)}, failure 0x{reason or 0:04X}"
    raise ReceiverError(text, is_permanent=not _is_full(reason))


@dataclass(frozen=True, slots=True)
class FhirServer:
    """A FHIR R4 server that takes transactions at its base address."""

    url: str
    connect_seconds: float = CONNECT_SECONDS
    answer_seconds: float = ANSWER_SECONDS

    def send(self, document: Document) -> str:
        """Post the transaction and return the HTTP status; raises ReceiverError."""
        import requests

        headers = {"Content-Type": document.media_type, "Accept": "application/fhir+json"}
        try:
            response = requests.post(
                self.url,
                data=document.data,
                headers=headers,
                timeout=(self.connect_seconds, self.answer_seconds),
                allow_redirects=False,  # a redirected POST becomes a GET, and its 200 says nothing
            )
        except requests.RequestException as error:
            raise _unreachable(error) from None
        answer = _json_of(response)
        if not response.ok or response.is_redirect:
            raise _refusal(response.status_code, _issues(answer))
        entries = (
            answer.get("entry")
            if isinstance(answer, dict) and answer.get("resourceType") == "Bundle"
            else None
        )
        if not isinstance(entries, list):
            raise ReceiverError(
                f"{_phrase(response.status_code)}, but the answer is no transaction response"
            )
        refused = [one for one in map(_status_of_entry, entries) if not one.startswith("2")]
        if refused:
            raise ReceiverError(
                f"{_phrase(response.status_code)}, but an entry has {refused[0]}", is_permanent=True
            )
        return f"{_phrase(response.status_code)}, {len(entries)} resources"


def _json_of(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _status_of_entry(entry: Any) -> str:
    said = entry.get("response", {}).get("status") if isinstance(entry, dict) else None
    return str(said)[:3]


def _issues(outcome: Any) -> list[str]:
    """Take the codes out of an OperationOutcome, not its texts."""
    issues = outcome.get("issue") if isinstance(outcome, dict) else None
    found = (
        [one.get("code") for one in issues if isinstance(one, dict)]
        if isinstance(issues, list)
        else []
    )
    return [code for code in found if isinstance(code, str) and _CODE.match(code)]


def _refusal(status: int, issues: list[str] | None = None) -> ReceiverError:
    return ReceiverError(
        ", ".join([_phrase(status), *(issues or [])]), is_permanent=status in _OF_THE_DOCUMENT
    )


def _unreachable(error: Exception) -> ReceiverError:
    """Name what went wrong by its class: the text of requests quotes the address."""
    return ReceiverError(f"unreachable ({type(error).__name__})")


def _phrase(status: int) -> str:
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
