"""Send documents about exams to receivers.

Each receiver is served by its own thread, so that no receiver waits for another. While a receiver
is away, all its deliveries wait by one clock, and each attempt is made with one of them. If the
process dies after it has sent a document but before it has recorded the delivery, it sends the same
document again after a restart, under the same name.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from fundusd.domain import retry_policy
from fundusd.domain.errors import LedgerAway
from fundusd.outbox.receiver_clock import ReceiverClock
from fundusd.outbox.receivers import ReceiverError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from fundusd.domain.delivery import SentDocument
    from fundusd.ledger import Ledger
    from fundusd.ledger.deliveries import Due
    from fundusd.outbox.making import DocumentMaker
    from fundusd.outbox.receivers import Receiver

_VERBOSE_LIBRARIES = ("pynetdicom", "urllib3")


class Outbox:
    """The service that sends documents, with a thread for each receiver.

    `only_reviewed` are the receivers that get structured reports only on eyes that were read.
    """

    name = "outbox"

    def __init__(
        self,
        ledger: Ledger,
        receivers: Mapping[str, Receiver],
        maker: DocumentMaker,
        only_reviewed: Collection[str] = (),
        poll_seconds: float = 2.0,
    ) -> None:
        self._ledger = ledger
        self._receivers = receivers
        self._maker = maker
        self._only_reviewed = only_reviewed
        self._poll_seconds = poll_seconds
        self._clocks = {receiver: ReceiverClock() for receiver in receivers}
        self._log = structlog.get_logger(service=self.name)

    def run(self, stop: threading.Event) -> None:
        """Send documents until `stop` is set or a thread ends.

        If an exception ended a thread, it is raised after the other threads have ended.
        """
        for library in _VERBOSE_LIBRARIES:
            # the outbox itself logs receivers that do not answer
            logging.getLogger(library).setLevel(logging.CRITICAL)
        self.recall_outages()
        ending = threading.Event()
        with ThreadPoolExecutor(len(self._receivers), thread_name_prefix=self.name) as pool:
            threads = [pool.submit(self._serve, receiver, ending) for receiver in self._receivers]
            while not stop.wait(self._poll_seconds) and not _any_ended(threads):
                pass
            ending.set()
        for thread in threads:
            thread.result()

    def recall_outages(self) -> None:
        """Take up the outages of receivers that a former process has recorded."""
        for receiver, outage in self._ledger.receivers_away().items():
            if receiver in self._clocks:
                self._clocks[receiver].away_since = outage.since

    def _serve(self, receiver: str, ending: threading.Event) -> None:
        while not ending.is_set():
            due = self.next_due(receiver)
            if due is None:
                ending.wait(self._poll_seconds)
            else:
                self.deliver(due)

    def next_due(self, receiver: str) -> Due | None:
        """Return the next delivery to a receiver, or None if none is due.

        While the receiver is away and its next attempt is not due, only what an operator has queued
        again counts.
        """
        is_waiting = self._clocks[receiver].is_waiting()
        return self._ledger.due(receiver, only_requested=is_waiting)

    def deliver(self, due: Due) -> None:
        """Create and send the documents of one delivery, and record the result.

        Raises LedgerAway if the service is stopped during an outage of the database, but never
        because of the documents or the receiver.
        """
        self._ledger.begin_attempt(due, retry_policy.outage_seconds(due.attempts + 1))
        accepted: list[SentDocument] = []
        try:
            self._deliver(due, accepted)
        except ReceiverError as error:
            self._record_failure(due, error.message, accepted, is_permanent=error.is_permanent)
            if error.is_outage:
                self._record_outage(due.receiver, error.message)
            else:
                self._record_answer(due.receiver)
        except LedgerAway:
            raise
        except Exception as error:  # noqa: BLE001  the boundary of one delivery
            self._log.error(
                "document.broke", receiver=due.receiver, exam_id=due.exam_id, exc_info=error
            )
            answer = f"fundusd could not send it ({type(error).__name__})"
            self._record_failure(due, answer, accepted, is_permanent=False)

    def _deliver(self, due: Due, accepted: list[SentDocument]) -> None:
        """Create and send the documents of one delivery; add the accepted ones to `accepted`."""
        content = self._ledger.document_content(due)
        if content is None:
            self._ledger.undelivered(due, "the exam no longer has any eyes", None)
            return
        only_reviewed = due.receiver in self._only_reviewed
        made = self._maker.make(due.document, content, only_reviewed=only_reviewed)
        sent = [record for document in made.documents for record in document.sent]
        self._ledger.sending(due, sent)
        answers: list[str] = []
        for document in made.documents:
            answers.append(self._receivers[due.receiver].send(document))
            accepted += document.sent
            self._record_answer(due.receiver)
        text = "; ".join([*dict.fromkeys(answers), *made.problems])
        if not answers or made.is_incomplete:
            is_permanent = not made.may_be_complete_later
            self._record_failure(due, text, accepted, is_permanent=is_permanent)
            return
        self._ledger.delivered(due, text, len(answers), accepted)
        self._log.info(
            "document.sent", receiver=due.receiver, exam_id=due.exam_id, count=len(answers)
        )

    def _record_failure(
        self, due: Due, answer: str, accepted: Sequence[SentDocument], *, is_permanent: bool
    ) -> None:
        log = self._log.bind(receiver=due.receiver, exam_id=due.exam_id, error=answer)
        if is_permanent:
            self._ledger.undelivered(due, answer, None, accepted)
            log.warning("document.refused")
            return
        wait = retry_policy.outage_seconds(due.attempts + 1)
        self._ledger.undelivered(due, answer, wait, accepted)
        log.info("document.postponed", wait_seconds=wait)

    def _record_outage(self, receiver: str, reason: str) -> None:
        """Let all deliveries to a receiver wait, and warn about it once an hour."""
        clock = self._clocks[receiver]
        since = clock.failed()
        is_warning_due = clock.is_warning_due()
        if is_warning_due or clock.failures == 1:
            self._ledger.receiver_away(receiver, reason, since)
        if is_warning_due:
            seconds = _seconds_since(since)
            self._log.warning("receiver.away", receiver=receiver, error=reason, seconds=seconds)

    def _record_answer(self, receiver: str) -> None:
        """End the outage of a receiver if there is one."""
        clock = self._clocks[receiver]
        if clock.away_since is None:
            return
        # after a single failure, the document may have been the cause; it keeps its pause
        self._ledger.receiver_back(receiver, queue_waiting=clock.failures != 1)
        seconds = _seconds_since(clock.away_since)
        clock.answered()
        self._log.info("receiver.back", receiver=receiver, seconds=seconds)


def _seconds_since(when: datetime) -> float:
    return max(0.0, round((datetime.now(UTC) - when).total_seconds(), 1))


def _any_ended(threads: Iterable[Future[None]]) -> bool:
    return any(thread.done() for thread in threads)
