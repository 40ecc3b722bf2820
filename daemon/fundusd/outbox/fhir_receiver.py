"""A receiver of FHIR transactions."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

from fundusd.outbox import http_post
from fundusd.outbox.receivers import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    ReceiverError,
    phrase,
    rejects_document,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.outbox.credentials import Credentials
    from fundusd.outbox.document_ids import Document
    from fundusd.outbox.http_post import Answer

_CONFLICTS = frozenset({HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED})
_MAX_CODES = 5  # of an answer that are shown
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_STATUS = re.compile(r"([1-5][0-9]{2})(?![0-9])")
# "transient" and the codes below it in http://hl7.org/fhir/issue-type
_TRANSIENT = frozenset(
    {"transient", "lock-error", "no-store", "exception", "timeout", "incomplete", "throttled"}
)


@dataclass(frozen=True, slots=True)
class FhirServer:
    """A FHIR R4 server that accepts transactions at its base address."""

    url: str
    connect_seconds: float = CONNECT_SECONDS
    answer_seconds: float = ANSWER_SECONDS
    credentials: Credentials | None = None

    def send(self, document: Document) -> str:
        """Post the transaction, and return the HTTP status and the number of resources as text.

        Raises ReceiverError if the server cannot be reached, or does not confirm every resource.
        """
        answer = http_post.post(
            self.url,
            document.data,
            {"Content-Type": document.media_type, "Accept": "application/fhir+json"},
            connect_seconds=self.connect_seconds,
            seconds=self.answer_seconds,
            credentials=self.credentials,
        )
        return _stored(answer, len(orjson.loads(document.data)["entry"]))


def _stored(answer: Answer, count: int) -> str:
    """Return an answer that confirms `count` resources as text.

    Raises ReceiverError if it does not. A conflict with a concurrent change of a resource (409 or
    412) is not permanent.
    """
    body = _json(answer.body)
    if not answer.is_success:
        issues = list(dict.fromkeys(_issue_codes(body)))[:_MAX_CODES]
        is_permanent = rejects_document(answer.status) and _TRANSIENT.isdisjoint(issues)
        raise ReceiverError(
            ", ".join([answer.phrase, *issues]),
            is_permanent=is_permanent,
            is_conflict=answer.status in _CONFLICTS,
        )
    statuses = _entry_statuses(body)
    if answer.problem:
        raise ReceiverError(answer.phrase)
    if statuses is None:
        raise ReceiverError(f"{answer.phrase}, but its answer is not a transaction response")
    for status in statuses:
        if status is None:
            raise ReceiverError(f"{answer.phrase}, but an entry has no status")
        if status // 100 != 2:  # noqa: PLR2004  the class of HTTP statuses
            text = f"{answer.phrase}, but an entry has {phrase(status)}"
            raise ReceiverError(
                text, is_permanent=rejects_document(status), is_conflict=status in _CONFLICTS
            )
    if len(statuses) != count:
        text = f"{answer.phrase}, but its answer is about {len(statuses)} of {count} resources"
        raise ReceiverError(text)
    return f"{answer.phrase}, {count} resources"


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body.removeprefix(codecs.BOM_UTF8))
    except ValueError:
        return None


def _entry_statuses(answer: Any) -> list[int | None] | None:
    """Return the status of each entry of a transaction response, None where there is none.

    Return None if the answer is anything else.
    """
    if not isinstance(answer, dict) or answer.get("resourceType") != "Bundle":
        return None
    entries = answer.get("entry")
    if answer.get("type") != "transaction-response" or not isinstance(entries, list):
        return None
    return [_status(entry) for entry in entries]


def _status(entry: Any) -> int | None:
    response = entry.get("response") if isinstance(entry, dict) else None
    status = response.get("status") if isinstance(response, dict) else None
    match = _STATUS.match(status) if isinstance(status, str) else None
    return int(match[1]) if match else None


def _issue_codes(outcome: Any) -> Iterator[str]:
    """Yield the codes in an OperationOutcome, without its texts."""
    issues = outcome.get("issue") if isinstance(outcome, dict) else None
    for issue in issues if isinstance(issues, list) else ():
        code = issue.get("code") if isinstance(issue, dict) else None
        if isinstance(code, str) and _CODE.fullmatch(code):
            yield code
