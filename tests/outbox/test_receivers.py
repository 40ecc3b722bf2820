"""Receivers against real servers: what arrives, how they answer, and how refusals are handled."""

from __future__ import annotations

import gc
import socket
import struct
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pynetdicom.sop_class import Verification
from tests.outbox import document_cases as cases
from tests.outbox import receiver_cases
from tests.outbox.receiver_cases import Received

from fundusd.outbox import fhir, structured_report
from fundusd.outbox.dicom_receivers import DicomNode
from fundusd.outbox.fhir_receiver import FhirServer
from fundusd.outbox.receivers import Folder, ReceiverError
from fundusd.outbox.sender import Sender
from fundusd.outbox.stow_receiver import StowServer

if TYPE_CHECKING:
    from pathlib import Path

EXAM = cases.exam(cases.shot())
SHORT: dict[str, Any] = {"connect_seconds": 5.0, "answer_seconds": 5.0}


@pytest.fixture(scope="module")
def report() -> Any:
    return structured_report.report(cases.content(EXAM), EXAM.eyes[0], [cases.header()], Sender())


@pytest.fixture(scope="module")
def bundle() -> Any:
    return fhir.bundle(cases.content(EXAM), Sender())


def test_a_folder_gets_whole_files_and_a_repeat_overwrites(tmp_path: Path, report: Any) -> None:
    folder = Folder(tmp_path)

    assert folder.send(report) == f"written, {len(report.data)} bytes"
    folder.send(report)
    folder.send(replace(report, data=b"newer"))

    assert [path.name for path in tmp_path.iterdir()] == [report.name]
    assert (tmp_path / report.name).read_bytes() == b"newer"


def test_what_a_crash_left_half_written_is_written_over(tmp_path: Path, report: Any) -> None:
    (tmp_path / f".{report.name}.part").write_bytes(b"half")

    Folder(tmp_path).send(report)

    assert [path.name for path in tmp_path.iterdir()] == [report.name]


def test_a_folder_that_is_not_there_is_waited_for_and_never_made(
    tmp_path: Path, report: Any
) -> None:
    with pytest.raises(ReceiverError, match="No such file") as caught:
        Folder(tmp_path / "gone").send(report)

    assert not caught.value.is_permanent
    assert not list(tmp_path.iterdir())


def test_a_dicom_node_stores_the_report_and_a_repeat_changes_nothing(report: Any) -> None:
    received = Received()
    with receiver_cases.dicom_node(received) as port:
        node = DicomNode("ARCHIVE", "127.0.0.1", port, **SHORT)
        assert [node.send(report), node.send(report)] == ["C-STORE 0x0000"] * 2

    [stored] = received.kept.values()
    assert stored.PreliminaryFlag == "PRELIMINARY"
    assert f"{stored.SOPInstanceUID}.dcm" == report.name


@pytest.mark.parametrize(
    ("status", "is_permanent"),
    [
        (0xA700, False),
        (0x0213, False),
        (0xA900, True),
        (0xC000, True),
        (0x0122, True),
        (0x0124, True),
    ],
)
def test_a_refusal_of_a_dicom_node_is_final_unless_it_only_lacks_room(
    status: int, *, is_permanent: bool, report: Any
) -> None:
    with (
        receiver_cases.dicom_node(Received(status=status)) as port,
        pytest.raises(ReceiverError) as caught,
    ):
        DicomNode("ARCHIVE", "127.0.0.1", port, **SHORT).send(report)

    assert caught.value.message.startswith(f"C-STORE 0x{status:04X} (")
    assert caught.value.is_permanent is is_permanent


@pytest.mark.parametrize(
    ("status", "answer"), [(0xB000, "C-STORE 0xB000, a warning"), (0x0111, "C-STORE 0x0111")]
)
def test_a_node_that_warns_or_has_it_already_has_taken_it(
    status: int, answer: str, report: Any
) -> None:
    with receiver_cases.dicom_node(Received(status=status)) as port:
        assert DicomNode("ARCHIVE", "127.0.0.1", port, **SHORT).send(report) == answer


def test_a_node_that_takes_no_structured_reports_says_so_for_good(report: Any) -> None:
    with (
        receiver_cases.dicom_node(Received(), takes=Verification) as port,
        pytest.raises(ReceiverError) as caught,
    ):
        DicomNode("ARCHIVE", "127.0.0.1", port, **SHORT).send(report)

    assert caught.value.is_permanent


def test_a_node_that_is_called_otherwise_may_be_set_right(report: Any) -> None:
    with (
        receiver_cases.dicom_node(Received(), title="ARCHIVE") as port,
        pytest.raises(ReceiverError) as caught,
    ):
        DicomNode("OTHER", "127.0.0.1", port, **SHORT).send(report)

    assert "rejected" in caught.value.message
    assert not caught.value.is_permanent


def test_stow_stores_the_report_and_a_repeat_changes_nothing(report: Any) -> None:
    received = Received()
    with receiver_cases.stow_server(received) as url:
        server = StowServer(url, **SHORT)
        assert [server.send(report), server.send(report)] == ["200 OK"] * 2

    assert (len(received.kept), received.times) == (1, 2)


def test_fhir_writes_each_resource_and_a_repeat_over_it(bundle: Any) -> None:
    received = Received()
    with receiver_cases.fhir_server(received) as url:
        server = FhirServer(url, **SHORT)
        assert [server.send(bundle), server.send(bundle)] == ["200 OK, 4 resources"] * 2

    assert (len(received.kept), received.times) == (4, 8)


STATUSES = [
    (400, True), (401, False), (403, False), (404, False), (412, False), (413, True),
    (422, True), (429, False), (500, False), (503, False), (302, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "status", "is_permanent"),
    [
        *((kind, *status) for kind in ("stow", "fhir") for status in STATUSES),
        ("stow", 409, True),
        ("fhir", 409, False),  # another change of the resource at the same time
    ],
)
def test_what_a_web_server_refuses_of_the_document_is_final_and_the_rest_may_pass(
    kind: str, status: int, *, is_permanent: bool, report: Any, bundle: Any
) -> None:
    kinds: dict[str, Any] = {
        "stow": (receiver_cases.stow_server, StowServer, report),
        "fhir": (receiver_cases.fhir_server, FhirServer, bundle),
    }
    run, receiver, document = kinds[kind]
    with run(Received(status=status)) as url:
        with pytest.raises(ReceiverError) as caught:
            receiver(url, **SHORT).send(document)
        assert caught.value.is_permanent is is_permanent
        assert caught.value.message.startswith(str(status))


def test_an_answer_keeps_codes_and_no_text_of_the_receiver(bundle: Any) -> None:
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [
            {"code": "invalid", "diagnostics": f"{cases.NAME} is unknown"},
            {"code": f"bad {cases.NAME}"},
        ],
    }
    with (
        receiver_cases.fhir_server(Received(status=422, body=outcome)) as url,
        pytest.raises(ReceiverError) as caught,
    ):
        FhirServer(url, **SHORT).send(bundle)

    assert caught.value.message.endswith(", invalid")
    assert cases.NAME not in caught.value.message


# pynetdicom leaves a socket that did not connect to the garbage collector
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
def test_a_receiver_that_is_away_is_no_refusal(report: Any, bundle: Any) -> None:
    port = receiver_cases.free_port()
    url = f"http://127.0.0.1:{port}"
    for receiver, document in (
        (DicomNode("ARCHIVE", "127.0.0.1", port, **SHORT), report),
        (DicomNode("ARCHIVE", "nowhere.invalid", port, **SHORT), report),
        (StowServer(url, **SHORT), report),
        (FhirServer(url, **SHORT), bundle),
    ):
        with pytest.raises(ReceiverError) as caught:
            receiver.send(document)
        assert not caught.value.is_permanent


def test_a_node_that_breaks_the_connection_leaves_no_socket_open(report: Any) -> None:
    """A warning about a socket that the garbage collector closes would fail this test."""
    at_once = struct.pack("ii", 1, 0)

    def breaks_off(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=breaks_off, args=(listening,))
        thread.start()
        port = listening.getsockname()[1]
        with pytest.raises(ReceiverError, match="no association"):
            DicomNode("ARCHIVE", "127.0.0.1", port, **SHORT).send(report)
        thread.join()
    gc.collect()


@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
def test_a_receiver_that_never_answers_is_given_up_on(report: Any, bundle: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        short: dict[str, Any] = {"connect_seconds": 0.3, "answer_seconds": 0.3}
        for receiver, document in (
            (DicomNode("ARCHIVE", "127.0.0.1", port, **short), report),
            (StowServer(f"http://127.0.0.1:{port}", **short), report),
            (FhirServer(f"http://127.0.0.1:{port}", **short), bundle),
        ):
            with pytest.raises(ReceiverError) as caught:
                receiver.send(document)
            assert not caught.value.is_permanent
