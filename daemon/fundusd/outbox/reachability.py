"""Ask receivers whether they are there and would take documents, without sending any.

A DICOM node is asked by C-ECHO, a STOW-RS server by OPTIONS, and a FHIR server for its capability
statement. No question contains anything about a patient.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from fundusd.outbox import http_post
from fundusd.outbox.dicom_receivers import DicomNode
from fundusd.outbox.fhir_receiver import FhirServer
from fundusd.outbox.receivers import ReceiverError
from fundusd.outbox.stow_receiver import StowServer

if TYPE_CHECKING:
    from fundusd.outbox.http_post import Answer
    from fundusd.outbox.receivers import Receiver

_SECONDS = 5.0  # to connect, and again for the answer
_REFUSES_CREDENTIALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
# a server need not know OPTIONS to store instances
_ANSWERS_STOW = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.NOT_ACCEPTABLE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.NOT_IMPLEMENTED,
    }
)
_UNREACHABLE_HINT = (
    "See that the server runs, that its host and port are right, and that no firewall is in the"
    " way. Until it answers, its documents wait."
)
_TLS_HINT = (
    "The certificate of the server must be valid, name this host, and come from an authority that"
    " this machine trusts (for another one, set REQUESTS_CA_BUNDLE for the service)."
)
_TITLE_HINT = (
    "Enter FUNDUSD as the AE title of a sender at the node, and see that the title in `dicom` is"
    " the node's own."
)
_REPORTS_HINT = (
    "Let the node accept the SOP class Comprehensive 3D SR (1.2.840.10008.5.1.4.1.1.88.34)."
)
_CREDENTIALS_HINT = (
    "See that the credentials of this receiver in the settings are valid, and that they may store"
    " documents. Until then, its documents wait."
)
_STOW_HINT = (
    "`stow` must be the address to which /studies is added, without a login page before it."
)
_FHIR_HINT = "`fhir` must be the base address of a FHIR R4 server, without a login page before it."


class Reachability(NamedTuple):
    """What a receiver answered; there is a hint if documents would not be delivered now."""

    verdict: str
    hint: str = ""


def ask(receiver: Receiver) -> Reachability:
    """Return what a receiver on the network answers, within some 15 seconds.

    A folder has no answer.
    """
    try:
        if isinstance(receiver, DicomNode):
            return _of_node(receiver)
        if isinstance(receiver, StowServer):
            return _of_stow_server(receiver)
        if isinstance(receiver, FhirServer):
            return _of_fhir_server(receiver)
    except ReceiverError as error:
        return Reachability(error.message, _hint(error.message))
    return Reachability("is not on the network")


def _hint(problem: str) -> str:
    if "SSLError" in problem:
        return _TLS_HINT
    if "access token" in problem or "credential file" in problem:
        return _CREDENTIALS_HINT
    if "rejected" in problem:
        return _TITLE_HINT
    if "Comprehensive 3D SR" in problem:
        return _REPORTS_HINT
    return _UNREACHABLE_HINT


def _of_node(node: DicomNode) -> Reachability:
    answer = replace(node, connect_seconds=_SECONDS, answer_seconds=_SECONDS).echo()
    return Reachability(answer)


def _of_stow_server(server: StowServer) -> Reachability:
    answer = _request("OPTIONS", f"{server.url}/studies", "application/dicom+json", server)
    if answer.status in _REFUSES_CREDENTIALS:
        return Reachability(f"answers {answer.phrase}", _CREDENTIALS_HINT)
    if answer.is_success or answer.status in _ANSWERS_STOW:
        return Reachability(f"answers ({answer.phrase})")
    return Reachability(f"answers {answer.phrase}", _STOW_HINT)


def _of_fhir_server(server: FhirServer) -> Reachability:
    answer = _request("GET", f"{server.url}/metadata", "application/fhir+json", server)
    if answer.status in _REFUSES_CREDENTIALS:
        return Reachability(f"answers {answer.phrase}", _CREDENTIALS_HINT)
    version = _fhir_version(answer)
    if version is None:
        return Reachability(
            f"answers {answer.phrase}, but has no FHIR capability statement", _FHIR_HINT
        )
    if not version.startswith("4."):
        return Reachability(f"is a FHIR server of version {version[:10]}, not R4", _FHIR_HINT)
    return Reachability(f"FHIR {version[:10]} answers")


def _request(method: str, url: str, media_type: str, server: StowServer | FhirServer) -> Answer:
    return http_post.request(
        method,
        url,
        b"",
        {"Accept": media_type},
        timeouts=(_SECONDS, _SECONDS),
        credentials=server.credentials,
    )


def _fhir_version(answer: Answer) -> str | None:
    """Return the version in a capability statement, "" if it has none, or None for no statement."""
    if not answer.is_success:
        return None
    try:
        statement: Any = orjson.loads(answer.body)
    except ValueError:
        return None
    if not isinstance(statement, dict) or statement.get("resourceType") != "CapabilityStatement":
        return None
    return str(statement.get("fhirVersion", ""))
