"""Receivers are asked whether they would take documents; each answer has its own hint."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Comprehensive3DSRStorage, Verification
from tests.outbox import receiver_cases
from tests.outbox.receiver_cases import Received, raw_server

from fundusd.outbox import reachability
from fundusd.outbox.credentials import BearerToken
from fundusd.outbox.dicom_receivers import DicomNode
from fundusd.outbox.fhir_receiver import FhirServer
from fundusd.outbox.stow_receiver import StowServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fundusd.outbox.receivers import Receiver


# pynetdicom leaves a socket that could not connect to the garbage collector
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
)


@contextmanager
def node(*takes: str, title: str = "") -> Iterator[DicomNode]:
    """Run a DICOM node that accepts some SOP classes."""
    entity = AE(ae_title="ARCHIVE")
    entity.require_called_aet = bool(title)
    for sop_class in takes:
        entity.add_supported_context(sop_class)
    with receiver_cases.started(entity) as port:
        yield DicomNode(title or "ARCHIVE", "127.0.0.1", port)


def http(status: str, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def test_a_dicom_node_is_asked_by_echo_and_for_its_sop_class() -> None:
    with node(Comprehensive3DSRStorage, Verification) as archive:
        answer = reachability.ask(archive)
    assert answer == ("answers C-ECHO, and accepts Comprehensive 3D SR", "")
    with node(Comprehensive3DSRStorage) as archive:
        assert reachability.ask(archive) == ("accepts Comprehensive 3D SR", "")
    with node(Verification) as archive:
        answer = reachability.ask(archive)
    assert "does not accept Comprehensive 3D SR" in answer.verdict
    assert "1.2.840.10008.5.1.4.1.1.88.34" in answer.hint


def test_a_dicom_node_of_another_title_is_not_the_receiver() -> None:
    with node(Verification, title="OTHER") as archive:
        answer = reachability.ask(archive)
    assert "association rejected" in answer.verdict
    assert "AE title" in answer.hint


@pytest.mark.parametrize("kind", ["dicom", "stow", "fhir"])
def test_a_receiver_that_is_down_is_called_unreachable(kind: str) -> None:
    port = receiver_cases.free_port()
    receivers: dict[str, Receiver] = {
        "dicom": DicomNode("ARCHIVE", "127.0.0.1", port),
        "stow": StowServer(f"http://127.0.0.1:{port}"),
        "fhir": FhirServer(f"http://127.0.0.1:{port}"),
    }
    answer = reachability.ask(receivers[kind])
    assert "unreachable" in answer.verdict or "does not answer" in answer.verdict
    assert "its documents wait" in answer.hint


def test_a_server_that_hangs_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachability, "_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for receiver in (
            DicomNode("ARCHIVE", "127.0.0.1", port),
            StowServer(f"http://127.0.0.1:{port}"),
            FhirServer(f"http://127.0.0.1:{port}"),
        ):
            assert "its documents wait" in reachability.ask(receiver).hint


def test_a_certificate_that_is_not_trusted_has_its_own_hint() -> None:
    with raw_server(b"no TLS\r\n", is_http=False) as url:
        answer = reachability.ask(FhirServer(url.replace("http://", "https://")))
    assert "SSLError" in answer.verdict
    assert "certificate" in answer.hint


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        ("200 OK", ""),
        ("204 No Content", ""),
        ("405 Method Not Allowed", ""),
        ("302 Found", "login page"),
        ("401 Unauthorized", "credentials"),
        ("403 Forbidden", "credentials"),
        ("404 Not Found", "/studies"),
        ("502 Bad Gateway", "/studies"),
    ],
)
def test_a_stow_server_is_judged_by_its_status(status: str, hint: str) -> None:
    with raw_server(http(status)) as url:
        answer = reachability.ask(StowServer(url))
    assert status in answer.verdict
    assert (hint in answer.hint) if hint else not answer.hint


@pytest.mark.parametrize(
    ("status", "body", "verdict", "hint"),
    [
        (
            "200 OK",
            {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"},
            "FHIR 4.0.1 answers",
            "",
        ),
        (
            "200 OK",
            {"resourceType": "CapabilityStatement", "fhirVersion": "3.0.2"},
            "not R4",
            "FHIR R4",
        ),
        ("200 OK", {"resourceType": "CapabilityStatement"}, "not R4", "FHIR R4"),
        ("200 OK", ["a"], "no FHIR capability statement", "FHIR R4"),
        ("401 Unauthorized", {}, "401", "credentials"),
        ("503 Service Unavailable", {}, "no FHIR capability statement", "FHIR R4"),
    ],
)
def test_a_fhir_server_is_asked_for_its_capability_statement(
    status: str, body: object, verdict: str, hint: str
) -> None:
    with raw_server(http(status, json.dumps(body).encode())) as url:
        answer = reachability.ask(FhirServer(url))
    assert verdict in answer.verdict
    assert (hint in answer.hint) if hint else not answer.hint


def test_a_welcome_page_is_no_fhir_server() -> None:
    with receiver_cases.fhir_server(Received()) as url:
        answer = reachability.ask(FhirServer(url))
    assert "no FHIR capability statement" in answer.verdict


def test_a_receiver_without_a_token_says_so(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{receiver_cases.free_port()}"
    server = StowServer(url, credentials=BearerToken(tmp_path / "token"))
    answer = reachability.ask(server)
    assert "credential file" in answer.verdict
    assert "credentials of this receiver" in answer.hint
