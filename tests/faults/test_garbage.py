"""Thousands of files that are no photographs: photographs do not wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.daemon_cases import drop, jpeg, running, site
from tests.faults import oracle

from fundusd.domain.clinical_terms import Grade

if TYPE_CHECKING:
    from pathlib import Path

_FILES = 600


def test_a_photograph_waits_for_no_garbage_which_fails_once_and_at_once(
    tmp_path: Path, store_url: str
) -> None:
    place = site(tmp_path, store_url)
    with running(place) as daemon:
        daemon.await_event("service.ready")
        for number in range(_FILES):
            drop(place, f"G{number % 7}/{number}.jpg", b"%d" % number)
        drop(place, "P1/1_OD.jpg", jpeg(Grade.NO_DR))
        daemon.await_event("capture.graded")
        failed = [row for row in place.rows() if row["outcome"] == "failed"]
        assert len(failed) < _FILES
        assert {(row["reason"], row["attempts"]) for row in failed} <= {("unknown_format", 1)}
        assert daemon.stop() == 0
    logged = [line for line in daemon.lines if line["event"] == "capture.failed"]
    assert len(logged) <= 20  # ten a minute
    assert oracle.ask(place, "SELECT 1 FROM job WHERE state = 'queued'")
    assert len(oracle.ask(place, "SELECT id FROM exam")) == 1  # that of the photograph
