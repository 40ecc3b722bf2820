"""The status of a document, given what the receiver was sent before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundusd.domain.delivery import DocumentStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from fundusd.domain.delivery import SentDocument


def next_status(
    last: SentDocument | None, content: str, photographs: Collection[str], *, is_final: bool
) -> DocumentStatus:
    """Return the status of a document that follows `last`.

    `content` is the digest of what the document says. The same content has the same status, so that
    a repeated delivery repeats the document. `is_final` is whether readers have settled what it is
    about.
    """
    if last is None:
        return DocumentStatus.FINAL if is_final else DocumentStatus.PRELIMINARY
    if last.content == content and last.status is not DocumentStatus.ENTERED_IN_ERROR:
        return last.status
    was_withdrawn = last.status is DocumentStatus.ENTERED_IN_ERROR
    if last.status is DocumentStatus.PRELIMINARY or (was_withdrawn and not last.has_been_final):
        return DocumentStatus.FINAL if is_final else DocumentStatus.PRELIMINARY
    if was_withdrawn:
        return DocumentStatus.CORRECTED
    if set(last.photographs) <= set(photographs):
        return DocumentStatus.AMENDED
    return DocumentStatus.CORRECTED


def last_sent(sent: Iterable[SentDocument], identifier: str) -> SentDocument | None:
    """Return what was sent under an identifier, or None if nothing was."""
    for document in sent:
        if document.identifier == identifier:
            return document
    return None
