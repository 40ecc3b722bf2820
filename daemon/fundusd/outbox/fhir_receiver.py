"""A receiver of FHIR transactions."""

from __future__ import annotations

import re
from dataclasses import dataclass
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
    from collections.abc import Iterator

    from fundusd.outbox.document_ids import Document

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,40}$")


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
            raise unreachable(error) from None
        answer = _json_of(response)
        status = phrase(response.status_code)
        if not response.ok or response.is_redirect:
            raise refusal(response.status_code, *_issue_codes(answer))
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
