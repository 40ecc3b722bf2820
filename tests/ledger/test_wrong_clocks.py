"""A clock that was years ahead, and was set right: what was postponed by it is due at once."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from tests import ledger_cases as cases

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.delivery import DocumentKind, Subscription
from fundusd.ledger import Ledger

YEARS = 1e8  # seconds


def postponed(ledger: Ledger, wait_seconds: float) -> None:
    """Leave a job as a daemon does that postponed it by a clock `wait_seconds` ahead."""
    claim = cases.take(ledger)
    assert ledger.postpone(claim, Reason.TRUNCATED, "truncated", wait_seconds)


def test_a_job_postponed_by_a_clock_that_was_years_ahead_is_due_at_once(ledger: Ledger) -> None:
    postponed(ledger, YEARS)
    assert [claim.attempts for claim in ledger.claim(1)] == [2]


def test_a_job_postponed_for_as_long_as_the_settings_say_waits(ledger: Ledger) -> None:
    postponed(ledger, 600.0)
    assert ledger.claim(1, pause=600.0) == []
    assert len(ledger.claim(1, pause=60.0)) == 1


def test_a_lease_that_a_wrong_clock_gave_for_years_has_expired(ledger: Ledger) -> None:
    claim = cases.take(ledger)
    assert ledger.claim(1) == []
    cases.execute(ledger, "UPDATE job SET lease_until = lease_until + 1e8")
    assert [again.job_id for again in ledger.claim(1)] == [claim.job_id]


def with_receiver(store_url: str) -> Ledger:
    receiver = Subscription("pacs", DocumentKind.FHIR, when_reviewed=False, quiet_seconds=0)
    ledger = Ledger(store_url, site_key=cases.SITE_KEY, subscriptions=[receiver])
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    return ledger


def test_a_delivery_postponed_by_a_clock_that_was_years_ahead_is_due_at_once(
    store_url: str,
) -> None:
    ledger = with_receiver(store_url)
    cases.classify(ledger)
    due = ledger.due("pacs")
    assert due is not None
    ledger.undelivered(due, "away", 3600.0)
    assert ledger.due("pacs") is None
    cases.execute(ledger, "UPDATE delivery SET available_at = available_at + 1e8")
    assert ledger.due("pacs") is not None
    ledger.close()


def test_a_camera_registered_by_a_clock_that_was_years_ahead_has_new_captures(
    ledger: Ledger,
) -> None:
    ahead = datetime.now(UTC) + timedelta(days=2000)
    cases.execute(ledger, "UPDATE camera SET registered_at = :at", at=ahead.isoformat())
    assert ledger.registered_at_ns(cases.CAMERA) <= time.time_ns()


def created_at(ledger: Ledger, moment: datetime) -> dict[str, Any]:
    """Admit a capture at a moment, and return the status."""
    ledger.admit(cases.found())
    cases.execute(ledger, "UPDATE job SET created_at = :at", at=moment.isoformat())
    return ledger.status()


def test_the_oldest_waiting_job_is_as_old_as_its_creation_whenever_it_is_due(
    ledger: Ledger,
) -> None:
    postponed(ledger, 3600.0)
    status = created_at(ledger, datetime.now(UTC) - timedelta(hours=5))
    assert 18_000 <= status["oldest_waiting_seconds"] < 19_000


def test_a_job_created_by_a_clock_that_was_years_ahead_says_so(ledger: Ledger) -> None:
    ahead = datetime.now(UTC) + timedelta(days=2000)
    status = created_at(ledger, ahead)
    assert (status["oldest_waiting_since"], status["oldest_waiting_seconds"]) == (ahead, 0.0)
