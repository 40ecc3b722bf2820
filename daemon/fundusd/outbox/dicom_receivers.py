"""A receiver of structured reports: a DICOM node."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from fundusd.outbox.dicom_statuses import described, is_duplicate, is_out_of_resources
from fundusd.outbox.receivers import ANSWER_SECONDS, CONNECT_SECONDS, ReceiverError, unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.outbox.document_ids import Document

_SUCCESS, _WARNING = 0x0000, 0xB000
_UNSUPPORTED = frozenset({0x03, 0x04})  # PS3.8 9.3.3.2: the abstract or all transfer syntaxes


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

        with self._associated() as association:
            try:
                status = association.send_c_store(dcmread(BytesIO(document.data)))
            except (RuntimeError, ValueError) as error:
                text = f"C-STORE was interrupted ({type(error).__name__})"
                raise ReceiverError(text) from None
        return _stored(status.get("Status"))

    def echo(self) -> str:
        """Ask the node whether it is there and takes reports, and return its answer as text.

        A node that does not offer C-ECHO is not asked by it. Raises ReceiverError if the node
        cannot be reached, or would not take reports.
        """
        from pynetdicom import sop_class

        verification = sop_class.Verification  # type: ignore[attr-defined,unused-ignore]
        with self._associated(verification) as association:
            accepted = {context.abstract_syntax for context in association.accepted_contexts}
            if accepted == {verification}:
                raise ReceiverError("the node does not accept Comprehensive 3D SR")
            if verification not in accepted:
                return "accepts Comprehensive 3D SR"
            try:
                status = association.send_c_echo()
            except (RuntimeError, ValueError) as error:
                text = f"C-ECHO was interrupted ({type(error).__name__})"
                raise ReceiverError(text) from None
        if status.get("Status") != _SUCCESS:
            raise ReceiverError("C-ECHO failed, or was not answered")
        return "answers C-ECHO, and accepts Comprehensive 3D SR"

    @contextmanager
    def _associated(self, *further: str) -> Iterator[Any]:
        """Open an association for reports and `further` abstract syntaxes while the block runs.

        Raises ReceiverError if there is none.
        """
        from pynetdicom import AE, evt, sop_class

        sockets: list[Any] = []
        node = AE(ae_title="FUNDUSD")
        node.connection_timeout = node.acse_timeout = self.connect_seconds
        node.dimse_timeout = node.network_timeout = self.answer_seconds
        storage = sop_class.Comprehensive3DSRStorage  # type: ignore[attr-defined,unused-ignore]
        for abstract_syntax in (storage, *further):
            node.add_requested_context(abstract_syntax)
        on_open = (evt.EVT_CONN_OPEN, lambda event: sockets.append(event.assoc.dul.socket.socket))
        try:
            association = node.associate(
                self.host, self.port, ae_title=self.title, evt_handlers=[on_open]
            )
        except OSError as error:  # the name does not resolve, or the process has no network
            raise unreachable(error) from None
        try:
            if not association.is_established:
                raise self._refused(association)
            try:
                yield association
            finally:
                association.release()
        finally:
            for opened in sockets:
                opened.close()  # pynetdicom does not, if the node has gone before

    @staticmethod
    def _refused(association: Any) -> ReceiverError:
        if association.is_rejected:
            return ReceiverError(
                "association rejected: the node may not know FUNDUSD, or may have another AE title"
            )
        results = {context.result for context in association.rejected_contexts}
        if results & _UNSUPPORTED:
            return ReceiverError("the node does not accept Comprehensive 3D SR", is_permanent=True)
        return ReceiverError("no association: the node does not answer")


def _stored(status: int | None) -> str:
    """Return a C-STORE status (PS3.4 B.2.3) as text.

    Raises ReceiverError if the status is a failure, or None because the node did not answer.
    """
    if status is None:
        raise ReceiverError("C-STORE was not answered")
    answer = f"C-STORE 0x{status:04X}"
    if status == _SUCCESS or is_duplicate(status):
        return answer
    if status & 0xF000 == _WARNING or status in {0x0001, 0x0107, 0x0116}:
        return f"{answer}, a warning"
    raise ReceiverError(
        f"C-STORE {described(status)}", is_permanent=not is_out_of_resources(status)
    )
