"""Answers of any shape, size and encoding: the delivery waits, and nothing else happens."""

from __future__ import annotations

import contextlib
import gc
import gzip
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.outbox import document_cases as cases
from tests.outbox import receiver_cases
from tests.outbox.outbox_cases import SHORT, deliver_all, graded, outbox, subscriptions

from fundusd.domain.delivery import DeliveryState
from fundusd.ledger import Ledger
from fundusd.outbox import fhir, http_post, stow_response, structured_report
from fundusd.outbox.dicom_receivers import DicomNode
from fundusd.outbox.fhir_receiver import FhirServer
from fundusd.outbox.receivers import Folder, ReceiverError
from fundusd.outbox.sender import Sender
from fundusd.outbox.stow_receiver import StowServer

EXAM = cases.exam(cases.shot())
MIB = 1 << 20
SERVERS: dict[str, Any] = {"stow": StowServer, "fhir": FhirServer}
PLANTED = f'"text": "{cases.NAME}"'.encode()


def http(body: bytes, kind: str = "application/dicom+json", *more: str) -> list[bytes]:
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more]
    return ["\r\n".join([*lines, "", ""]).encode() + body]


def chunked(*chunks: bytes) -> list[bytes]:
    return [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *chunks]


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


NUMBER = b'{"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [%s]}}]}}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"

ODD: dict[str, list[bytes]] = {
    "empty": http(b""),
    "empty, no content": [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "list": http(b"[]"),
    "null": http(b"null"),
    "number": http(b"7"),
    "login page": http(b"<html><title>Sign in</title></html>", "text/html"),
    "page of XHTML": http(b"<html><DicomAttribute/></html>", "application/xml"),
    "no JSON": http(b"{" + PLANTED),
    "deeply nested JSON": http(nested(400_000)),
    "deeply nested XML": http(b"<a>" * 150_000 + b"</a>" * 150_000, "application/dicom+xml"),
    "XML with entities": http(
        b'<!DOCTYPE a [<!ENTITY b "' + b"c" * 9000 + b'">]><a>' + b"&b;" * 90_000 + b"</a>"
    ),
    "XML in an unknown encoding": http(b'<?xml version="1.0" encoding="none"?><a/>'),
    "invalid UTF-8": http(b'{"resourceType": "\xff\xfe"}'),
    "lone surrogate": http(b'{"resourceType": "Bundle", "type": "\\ud800"}'),
    "UTF-16": http('{"resourceType": "Bundle"}'.encode("utf-16")),
    "NUL": http(b"\0" * 4096),
    "huge": http(b'{"a": "' + b"a" * 40 * MIB + b'"}'),
    "huge when decompressed": http(
        gzip.compress(b" " * 60 * MIB), "application/json", "Content-Encoding: gzip"
    ),
    "not compressed as it says": http(b"{}", "application/json", "Content-Encoding: gzip"),
    "unknown compression": http(b"{}", "application/json", "Content-Encoding: zstd"),
    "compressed without being asked": http(
        gzip.compress(b"[]"), "application/json", "Content-Encoding: gzip"
    ),
    "number beyond int64": http(NUMBER % b"99999999999999999999999999"),
    "number with 5,000 digits": http(NUMBER % (b"9" * 5000)),
    "negative number": http(NUMBER % b"-1"),
    "text for a number": http(NUMBER % b'"a lot"'),
    "fraction": http(NUMBER % b"1e300"),
    "truth for a number": http(NUMBER % b"true"),
    "object for a number": http(NUMBER % b'{"a": [1]}'),
    "null for a sequence": http(b'{"00081199": null, "00081198": {"Value": [null, [], 3]}}'),
    "text for a sequence": http(b'{"00081199": {"Value": "1.2.3"}}'),
    "bundle without entries": http(b'{"resourceType": "Bundle", "type": "transaction-response"}'),
    "bundle of nothing": http(
        b'{"resourceType": "Bundle", "type": "transaction-response", "entry": []}'
    ),
    "bundle of nulls": http(
        b'{"resourceType": "Bundle", "type": "transaction-response", "entry": [null]}'
    ),
    "response that is text": http(
        b'{"resourceType": "Bundle", "type": "transaction-response", "entry": [{"response": "2"}]}'
    ),
    "status that is a number": http(
        b'{"resourceType": "Bundle", "type": "transaction-response",'
        b' "entry": [{"response": {"status": 200}}]}'
    ),
    "closed at once": [],
    "closed in the status line": [b"HTTP/1."],
    "closed in the headers": [b"HTTP/1.1 200 OK\r\nContent-Le"],
    "closed in the body": [b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"a"'],
    "closed in a chunk": chunked(b"ff\r\n{}"),
    "chunks of garbage": chunked(b"zz\r\n\x00\xff\r\n"),
    "chunk with a huge size": chunked(b"f" * 60 + b"\r\n{}"),
    "no HTTP": [b"\x16\x03\x01\x00" + b"\xff" * 200],
    "status 999": [b"HTTP/1.1 999 \xff\xff\r\nContent-Length: 0\r\n\r\n"],
    "status that is no number": [b"HTTP/1.1 abc OK\r\n\r\n"],
    "too many headers": [b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 5000 + b"\r\n"],
    "long header": [b"HTTP/1.1 200 OK\r\na: " + b"b" * MIB + b"\r\n\r\n"],
    "length that is no number": [b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}"],
    "negative length": [b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}"],
    "redirect to nowhere": [b"HTTP/1.1 302 Found\r\nLocation: http://[::\xff\r\n\r\n"],
}  # fmt: skip


@pytest.fixture(scope="module")
def documents() -> dict[str, Any]:
    content = cases.content(EXAM)
    return {
        "stow": structured_report.report(content, EXAM.eyes[0], [cases.header()], Sender()),
        "fhir": fhir.bundle(content, Sender()),
    }


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("name", ODD)
def test_an_odd_answer_is_not_a_delivery(name: str, kind: str, documents: dict[str, Any]) -> None:
    with receiver_cases.raw_server(*ODD[name]) as url, pytest.raises(ReceiverError) as caught:
        SERVERS[kind](url, **SHORT).send(documents[kind])

    assert len(caught.value.message) < 120
    assert caught.value.message.isprintable()
    assert cases.NAME not in caught.value.message


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize(
    ("head", "outcome"),
    [
        (HEAD, "200 OK, but its answer is longer than 1 MiB"),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", "302 Found, but its answer is longer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 OK, but its answer broke"),
    ],
)
def test_an_endless_answer_is_read_no_further_than_its_limit(
    head: bytes, outcome: str, kind: str, documents: dict[str, Any]
) -> None:
    with (
        receiver_cases.raw_server(head, endless=b"a" * MIB) as url,
        pytest.raises(ReceiverError) as caught,
    ):
        SERVERS[kind](url, **SHORT).send(documents[kind])

    assert caught.value.message.startswith(outcome)
    assert not caught.value.is_permanent


def test_an_answer_that_trickles_is_given_up_on() -> None:
    with receiver_cases.raw_server(HEAD, endless=b"a", pause=0.05) as url:
        answer = http_post.post(url, b"", {}, connect_seconds=5, seconds=0.3)

    assert answer == http_post.Answer(200, b"", "took too long")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    "answer",
    [b"", b"\0" * 4096, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x02\0\xff\xff\xff\xff",
     b"\x02\0\0\0\0\x04abcd", b"\x03\0\0\0\0\x04\0\xff\xff\xff", b"\x07\0\0\0\0\x04\0\0\0\0",
     b"\x04\0\0\0\0\x04abcd"],
)  # fmt: skip
def test_an_odd_answer_of_a_dicom_node_is_not_a_delivery(
    answer: bytes, documents: dict[str, Any]
) -> None:
    with receiver_cases.raw_server(answer, is_http=False) as url:
        node = DicomNode("ARCHIVE", "127.0.0.1", int(url.rpartition(":")[2]), 2.0, 2.0)
        with pytest.raises(ReceiverError) as caught:
            node.send(documents["stow"])
        message, is_permanent = caught.value.message, caught.value.is_permanent
    del caught
    for thread in threading.enumerate():
        if type(thread).__module__.startswith("pynetdicom"):
            thread.join()
    gc.collect()  # pynetdicom leaves its socket to the garbage collector

    assert message
    assert not is_permanent


@pytest.mark.parametrize(
    ("head", "repeated"),
    [(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n")],
)
def test_a_head_that_never_ends_is_given_up_on(
    head: bytes, repeated: bytes, documents: dict[str, Any]
) -> None:
    with (
        receiver_cases.raw_server(head, endless=repeated, pause=0.05) as url,
        pytest.raises(ReceiverError) as caught,
    ):
        FhirServer(url, connect_seconds=5.0, answer_seconds=0.3).send(documents["fhir"])

    assert not caught.value.is_permanent


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["00081198", "00081199", "00081155", "00081197", "00081196", "Value"])
        | st.text(), inner
    ),
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=anything)
def test_any_json_can_be_read_as_a_response_to_stow(value: Any) -> None:
    response = stow_response.parse(json.dumps(value).encode(errors="replace"))

    for instance in (*response.stored, *response.failed):
        assert instance.failure is None or 0 <= instance.failure <= 0xFFFF


@given(body=st.binary() | st.binary().map(lambda data: b"<" + data))
def test_any_bytes_can_be_read_as_a_response_to_stow(body: bytes) -> None:
    stow_response.parse(body)


def test_odd_answers_and_errors_leave_the_delivery_waiting_and_the_others_go_on(
    open_ledger: Callable[..., Ledger], inbox: Path, tmp_path: Path
) -> None:
    class Broken:
        def send(self, _document: Any) -> str:
            raise RecursionError(cases.NAME)

    kinds = {"web": "sr", "record": "fhir", "broken": "fhir", "sheets": "csv"}
    ledger = open_ledger(*subscriptions(**kinds))
    graded(ledger, inbox)
    with contextlib.ExitStack() as stack:
        web = stack.enter_context(receiver_cases.raw_server(*ODD["list"]))
        record = stack.enter_context(receiver_cases.raw_server(*ODD["lone surrogate"]))
        service = outbox(
            ledger,
            inbox,
            web=StowServer(web, **SHORT),
            record=FhirServer(record, **SHORT),
            broken=Broken(),
            sheets=Folder(tmp_path),
        )
        deliver_all(service, ledger, *kinds)

    [delivered] = ledger.deliveries(DeliveryState.DELIVERED, 9)
    waiting = {row["receiver"]: row for row in ledger.deliveries(DeliveryState.QUEUED, 9)}
    assert delivered["receiver"] == "sheets"
    assert waiting.keys() == {"web", "record", "broken"}
    for row in waiting.values():
        assert (row["attempts"], row["next_in_seconds"] > 20) == (1, True)
    assert waiting["broken"]["answer"] == "fundusd could not send it (RecursionError)"


def test_an_attempt_is_counted_before_the_document_is_sent(
    open_ledger: Callable[..., Ledger], inbox: Path
) -> None:
    counted: list[tuple[int, bool]] = []

    class Counting:
        def send(self, _document: Any) -> str:
            [row] = ledger.deliveries(DeliveryState.QUEUED, 9)
            counted.append((row["attempts"], row["next_in_seconds"] > 20))
            raise ReceiverError("busy")

    ledger = open_ledger(*subscriptions(record="fhir"))
    graded(ledger, inbox)
    deliver_all(outbox(ledger, inbox, record=Counting()), ledger, "record")

    assert counted == [(1, True)]
    [row] = ledger.deliveries(DeliveryState.QUEUED, 9)
    assert row["attempts"] == 1
