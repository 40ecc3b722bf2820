"""A receiver that is away: one clock, one warning an hour and one line of the status."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests import ledger_cases
from tests.outbox import document_cases as cases
from tests.outbox.outbox_cases import DICOM, graded, outbox, subscriptions

from fundusd.domain.delivery import DeliveryState
from fundusd.ledger import Ledger
from fundusd.outbox.receiver_clock import ReceiverClock
from fundusd.outbox.receivers import ReceiverError
from fundusd.outbox.service import Outbox


class Server:
    """A receiver that can be told what to raise."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.error: ReceiverError | None = ReceiverError("unreachable (ConnectionError)")
        self.refused = ""  # the name of a document that always gets `error`

    def send(self, document: Any) -> str:
        self.sent.append(document.name)
        if self.error is not None and self.refused in {"", document.name}:
            raise self.error
        return "200 OK"


def exams(ledger: Ledger, inbox: Path, count: int) -> None:
    for number in range(count):
        study = f"1.2.3.{number}"
        content = replace(DICOM, study_uid=study, patient_id=f"PLANTED-{number}")
        header = {"StudyInstanceUID": study, "SOPInstanceUID": f"{study}.9"}
        graded(ledger, inbox, f"{number}.dcm", content, cases.source(**header))


def deliver_due(service: Outbox) -> None:
    while (due := service.next_due("sheets")) is not None:
        service.deliver(due)


def waiting(ledger: Ledger) -> list[dict[str, Any]]:
    return ledger.deliveries(DeliveryState.QUEUED, 99)


def test_a_receiver_that_is_away_is_one_clock_one_warning_and_one_line_of_the_status(
    open_ledger: Callable[..., Ledger], inbox: Path
) -> None:
    ledger, server = open_ledger(*subscriptions(sheets="csv")), Server()
    exams(ledger, inbox, 4)
    service = outbox(ledger, inbox, sheets=server)
    before = datetime.now(UTC)

    with capture_logs() as logs:
        deliver_due(service)
        assert len(server.sent) == 1
        assert sorted(row["attempts"] for row in waiting(ledger)) == [0, 0, 0, 1]

        untried = next(row["id"] for row in waiting(ledger) if not row["attempts"])
        ledger.retry_deliveries(untried)  # an operator need not wait
        deliver_due(service)
        assert len(server.sent) == 2
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == ["receiver.away"]
    [(receiver, outage)] = ledger.status()["receivers_away"].items()
    assert (receiver, outage["reason"]) == ("sheets", "unreachable (ConnectionError)")
    assert before <= outage["since"] <= datetime.now(UTC)

    server.error = None
    ledger.retry_deliveries(untried)
    with capture_logs() as logs:
        deliver_due(service)
    assert len(ledger.deliveries(DeliveryState.DELIVERED, 99)) == 4
    assert [log["event"] for log in logs].count("receiver.back") == 1
    assert ledger.status()["receivers_away"] == {}
    assert ledger.verify().broken_seq is None


def test_an_outage_is_remembered_over_a_restart(
    open_ledger: Callable[..., Ledger], inbox: Path
) -> None:
    ledger, server = open_ledger(*subscriptions(sheets="csv")), Server()
    exams(ledger, inbox, 2)
    deliver_due(outbox(ledger, inbox, sheets=server))
    since = ledger.status()["receivers_away"]["sheets"]["since"]

    restarted = outbox(ledger, inbox, sheets=server)
    restarted.recall_outages()
    server.error = ReceiverError("503 Service Unavailable")
    deliver_due(restarted)
    outage = ledger.status()["receivers_away"]["sheets"]
    assert (outage["since"], outage["reason"]) == (since, "503 Service Unavailable")

    server.error = None
    restarted = outbox(ledger, inbox, sheets=server)
    restarted.recall_outages()
    ledger_cases.execute(ledger, "UPDATE delivery SET available_at = 0 WHERE attempts = 1")
    deliver_due(restarted)
    assert ledger.status()["receivers_away"] == {}
    assert waiting(ledger) == []


def test_a_document_that_a_server_cannot_take_does_not_hold_up_the_others_for_long(
    open_ledger: Callable[..., Ledger], inbox: Path
) -> None:
    ledger, server = open_ledger(*subscriptions(sheets="csv")), Server()
    exams(ledger, inbox, 3)
    server.error = ReceiverError("500 Internal Server Error")
    service = outbox(ledger, inbox, sheets=server)
    deliver_due(service)
    [server.refused] = server.sent

    service._clocks["sheets"]._next_at = 0.0  # 30 seconds later
    deliver_due(service)
    [row] = waiting(ledger)
    assert (len(server.sent), row["attempts"], row["next_in_seconds"] > 20) == (3, 1, True)


@pytest.mark.parametrize(
    "error",
    [ReceiverError("422", is_permanent=True), ReceiverError("409 Conflict", is_conflict=True)],
)
def test_a_receiver_that_refuses_a_document_is_not_away(
    error: ReceiverError, open_ledger: Callable[..., Ledger], inbox: Path
) -> None:
    ledger, server = open_ledger(*subscriptions(sheets="csv")), Server()
    exams(ledger, inbox, 3)
    server.error = error
    deliver_due(outbox(ledger, inbox, sheets=server))

    assert len(server.sent) == 3
    assert ledger.status()["receivers_away"] == {}


def test_a_clock_doubles_its_pauses_and_warns_once_an_hour() -> None:
    now = 0.0
    clock = ReceiverClock(lambda: now)
    pauses, warnings = [], 0
    while now < 4 * 3600:
        clock.failed()
        warnings += clock.is_warning_due()
        before = now
        while clock.is_waiting():
            now += 1
        pauses.append(now - before)

    assert pauses[:3] == [30, 60, 120]
    assert max(pauses) == 3600
    assert warnings == 4
    clock.answered()
    assert not clock.is_waiting()
    clock.failed()
    assert (clock.is_warning_due(), clock.is_warning_due()) == (True, False)
