"""What all receivers of documents have in common, and the simplest one, a folder.

`send` returns only the codes in a receiver's answer, because the free text may name a patient.
"""

from __future__ import annotations

import http
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fundusd.domain.errors import FundusdError

if TYPE_CHECKING:
    from pathlib import Path

    from fundusd.outbox.document_ids import Document

CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 30.0
# after any other error a retry may succeed; what 409 means depends on the protocol
_REJECTS_DOCUMENT = frozenset({400, 410, 413, 415, 422})


class ReceiverError(FundusdError):
    """The receiver did not accept the document.

    With `is_conflict`, somebody else was changing the same resource.
    """

    def __init__(
        self, message: str, *, is_permanent: bool = False, is_conflict: bool = False
    ) -> None:
        self.is_permanent = is_permanent  # a retry with the same document would fail too
        # other documents would fail as well, until the receiver or the way to it is mended
        self.is_outage = not is_permanent and not is_conflict
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


def rejects_document(status: int) -> bool:
    """Return whether an HTTP status says that the document itself is not acceptable."""
    return status in _REJECTS_DOCUMENT


def unreachable(error: Exception) -> ReceiverError:
    """Return a ReceiverError that names only the class of `error`.

    The text of `error` is left out, because it quotes the address.
    """
    return ReceiverError(f"unreachable ({type(error).__name__})")


def phrase(status: int) -> str:
    """Return an HTTP status with its phrase."""
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
