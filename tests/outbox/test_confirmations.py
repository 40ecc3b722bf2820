"""A document is delivered when the protocol says so, whatever the HTTP status says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.outbox import document_cases as cases
from tests.outbox import receiver_cases
from tests.outbox.outbox_cases import SHORT
from tests.outbox.receiver_cases import Received, sop_instance

from fundusd.outbox import fhir, structured_report
from fundusd.outbox.fhir_receiver import FhirServer
from fundusd.outbox.receivers import ReceiverError
from fundusd.outbox.sender import Sender
from fundusd.outbox.stow_receiver import StowServer

EXAM = cases.exam(cases.shot())
REPORT = structured_report.report(cases.content(EXAM), EXAM.eyes[0], [cases.header()], Sender())
UID = REPORT.name.removesuffix(".dcm")
BUNDLE = fhir.bundle(cases.content(EXAM), Sender())
COUNT = len(json.loads(BUNDLE.data)["entry"])
NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"


def stow(status: int, body: Any) -> str:
    with receiver_cases.stow_server(Received(status=status, body=body)) as url:
        return StowServer(url, **SHORT).send(REPORT)


def post(status: int, body: Any) -> str:
    with receiver_cases.fhir_server(Received(status=status, body=body)) as url:
        return FhirServer(url, **SHORT).send(BUNDLE)


def waits(send: Any, status: int, body: Any) -> str:
    with pytest.raises(ReceiverError) as caught:
        send(status, body)
    assert not caught.value.is_permanent
    return caught.value.message


def fails(send: Any, status: int, body: Any) -> str:
    with pytest.raises(ReceiverError) as caught:
        send(status, body)
    assert caught.value.is_permanent
    return caught.value.message


# -- STOW-RS


def stored(uid: str = UID, warning: int = 0) -> dict[str, Any]:
    item = sop_instance(uid)
    if warning:
        item["00081196"] = {"vr": "US", "Value": [warning]}
    return {"00081199": {"vr": "SQ", "Value": [item]}}


def failed(reason: int | None, uid: str | None = None) -> dict[str, Any]:
    item = sop_instance(uid) if uid else {}
    if reason is not None:
        item["00081197"] = {"vr": "US", "Value": [reason]}
    return {"00081198": {"vr": "SQ", "Value": [item]}}


def attribute(tag: str, content: str) -> str:
    return f'<DicomAttribute tag="{tag}" vr="UN">{content}</DicomAttribute>'


def xml(sequence: str, **values: str) -> bytes:
    tags = {"uid": "00081155", "failure": "00081197"}
    item = "".join(
        attribute(tags[name], f'<Value number="1">{value}</Value>')
        for name, value in values.items()
    )
    content = attribute(sequence, f'<Item number="1">{item}</Item>')
    return f'<?xml version="1.0"?><NativeDicomModel xmlns="{NAMESPACE}">{content}</NativeDicomModel>'.encode()  # noqa: E501


@pytest.mark.parametrize(
    "body", [stored(), [stored()], stored(f"{UID}\0"), xml("00081199", uid=UID),
             b"\xef\xbb\xbf" + json.dumps(stored()).encode()]
)  # fmt: skip
@pytest.mark.parametrize("status", [200, 202])
def test_stow_delivers_an_instance_that_the_answer_names(status: int, body: Any) -> None:
    assert stow(status, body).startswith(f"{status} ")


def test_stow_shows_a_warning_about_the_instance() -> None:
    assert stow(202, stored(warning=0xB000)) == "202 Accepted, warning 0xB000"


@pytest.mark.parametrize(
    "body",
    [
        b"<html><title>Sign in</title></html>",
        b"<html><p>Sign in<br></html>",
        f"<html>{UID}</html>".encode(),
        {},
        {"00081190": {"vr": "UR", "Value": ["http://x/studies/1"]}},
        stored("1.2.3"),
        stored(UID + "1"),
        {"00081199": {"vr": "SQ", "Value": []}},
        xml("00081199", uid="1.2.3"),
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202, 203])
def test_stow_waits_if_the_answer_does_not_name_the_instance(status: int, body: Any) -> None:
    assert "does not say that the report was stored" in waits(stow, status, body)


@pytest.mark.parametrize("reason", [0x0111, 45070])
@pytest.mark.parametrize("status", [200, 202, 409])
def test_stow_delivers_what_is_already_there(status: int, reason: int) -> None:
    for body in (
        failed(reason),
        failed(reason, UID),
        xml("00081198", uid=UID, failure=str(reason)),
    ):
        assert stow(status, body).endswith(", has it already")


@pytest.mark.parametrize("reason", [0xA700, 0xA701, 0xA7FF, 0x0213])
@pytest.mark.parametrize("status", [200, 202, 400, 409, 503])
def test_stow_waits_while_the_server_lacks_resources(status: int, reason: int) -> None:
    for body in (failed(reason), xml("00081198", uid=UID, failure=str(reason))):
        assert "out of resources" in waits(stow, status, body)


@pytest.mark.parametrize(
    ("reason", "meaning"),
    [
        (0x0110, "general failure"),
        (0x0122, "SOP class not supported"),
        (0xA900, "does not match its SOP class"),
        (0xC000, "cannot be understood"),
        (0xC122, "transfer syntax not supported"),
        (0x1234, "0x1234"),
    ],
)
@pytest.mark.parametrize("status", [202, 409])
def test_stow_fails_with_the_servers_reason(status: int, reason: int, meaning: str) -> None:
    assert meaning in fails(stow, status, failed(reason))


def test_stow_fails_without_a_reason() -> None:
    assert fails(stow, 409, failed(None)) == "409 Conflict, failed without a reason"
    assert fails(stow, 409, b"no reason") == "409 Conflict"


def test_stow_waits_if_a_server_that_fails_itself_gives_a_reason() -> None:
    assert "0xC000" in waits(stow, 503, failed(0xC000))


def test_stow_looks_for_its_own_instance() -> None:
    other = failed(0xC000, "1.2.3")
    assert stow(202, stored() | other) == "202 Accepted"
    assert fails(stow, 202, stored() | failed(0xC000, UID)).startswith("202 Accepted, failure")
    assert waits(stow, 202, other)


def test_stow_waits_for_a_reason_that_broke_off() -> None:
    answer = b"HTTP/1.1 409 Conflict\r\nContent-Length: 999\r\n\r\n{"
    with receiver_cases.raw_server(answer) as url, pytest.raises(ReceiverError) as caught:
        StowServer(url, **SHORT).send(REPORT)

    assert caught.value.message == "409 Conflict, but its answer broke off (ProtocolError)"
    assert not caught.value.is_permanent


# -- FHIR


def responded(*statuses: Any, kind: str = "transaction-response") -> dict[str, Any]:
    entries = [{"response": {"status": status}} for status in statuses]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


@pytest.mark.parametrize("status", ["200", "201 Created", "200 OK"])
def test_fhir_delivers_if_every_entry_succeeded(status: str) -> None:
    assert post(200, responded(*[status] * COUNT)) == f"200 OK, {COUNT} resources"


@pytest.mark.parametrize(
    "body",
    [
        b"<html><title>Sign in</title></html>",
        {},
        {"resourceType": "OperationOutcome", "issue": []},
        {"resourceType": "Bundle", "type": "transaction-response"},
        responded(),
        responded(*["200"] * (COUNT - 1)),
        responded(*["200"] * (COUNT + 1)),
        responded(*["200"] * COUNT, kind="transaction"),
        responded(*["200"] * COUNT, kind="searchset"),
        responded(*["200"] * (COUNT - 1), None),
        responded(*["200"] * (COUNT - 1), "2"),
        responded(*["200"] * (COUNT - 1), "2000"),
        responded(*["200"] * (COUNT - 1), "OK"),
        responded(*["200"] * (COUNT - 1), "304 Not Modified"),
        responded(*["200"] * (COUNT - 1), "409 Conflict"),
        responded(*["200"] * (COUNT - 1), "412"),
        responded(*["200"] * (COUNT - 1), "503"),
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202])
def test_fhir_waits_if_the_answer_does_not_confirm_every_resource(status: int, body: Any) -> None:
    waits(post, status, body or b"{}")


def test_fhir_fails_if_a_resource_was_refused() -> None:
    body = responded(*["200"] * (COUNT - 1), "422 Unprocessable Entity")
    assert fails(post, 200, body) == "200 OK, but an entry has 422 Unprocessable Entity"


@pytest.mark.parametrize("status", [409, 412])
def test_fhir_waits_after_a_concurrent_change(status: int) -> None:
    body = {"resourceType": "OperationOutcome", "issue": [{"code": "conflict"}]}
    assert waits(post, status, body).endswith(", conflict")


@pytest.mark.parametrize("code", ["lock-error", "no-store", "throttled", "timeout", "transient"])
def test_fhir_waits_after_an_error_that_passes_by_its_code(code: str) -> None:
    body = {"resourceType": "OperationOutcome", "issue": [{"code": code}]}
    assert waits(post, 422, body).endswith(f", {code}")


def test_fhir_shows_a_few_codes_and_no_text() -> None:
    issues: list[Any] = [{"code": f"code-{number}"} for number in range(1000)]
    issues += [None, {"code": ["a"]}, {"code": cases.NAME}, {"diagnostics": cases.NAME}]
    message = fails(post, 422, {"resourceType": "OperationOutcome", "issue": issues})
    assert message.endswith("code-0, code-1, code-2, code-3, code-4")
