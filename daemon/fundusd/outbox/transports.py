"""The transports of a [[receiver]]: which documents each carries, and which class delivers them.

Both the settings and the daemon use TRANSPORTS. A test compares it with the table in
docs/documents.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fundusd.domain.delivery import DocumentKind
from fundusd.outbox.dicom_receivers import DicomNode
from fundusd.outbox.fhir_receiver import FhirServer
from fundusd.outbox.receivers import Folder
from fundusd.outbox.stow_receiver import StowServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundusd.outbox.receivers import Receiver


class Transport(NamedTuple):
    """The documents that a transport carries, and the function that creates its receivers."""

    documents: tuple[DocumentKind, ...]
    receiver_at: Callable[[Any], Receiver]


# keyed by the setting of [[receiver]] that contains the address
TRANSPORTS = {
    "folder": Transport((DocumentKind.SR, DocumentKind.FHIR, DocumentKind.CSV), Folder),
    "dicom": Transport((DocumentKind.SR,), DicomNode.at),
    "stow": Transport((DocumentKind.SR,), StowServer),
    "fhir": Transport((DocumentKind.FHIR,), FhirServer),
}


def carrying(document: DocumentKind) -> list[str]:
    """Return the keys of the transports that carry a kind of document.

    >>> carrying(DocumentKind.FHIR)
    ['folder', 'fhir']
    """
    return [key for key, transport in TRANSPORTS.items() if document in transport.documents]
