"""Values that a database cannot hold are refused in words, and cost only their own capture."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from tests import ledger_cases as cases
from tests.watcher import watch_cases
from tests.worker.worker_cases import Bench, FirstByte, Plain

from fundusd.domain.decoding import Content, Decoded, MediaType
from fundusd.domain.delivery import DocumentKind, Subscription
from fundusd.domain.errors import NotStorable
from fundusd.ledger import Ledger
from fundusd.watcher import listing
from fundusd.worker.rules import WorkerRules
from fundusd.worker.service import Worker

if TYPE_CHECKING:
    from pathlib import Path

    from fundusd.clinical.quality_thresholds import Thresholds
LONE_SURROGATE = "\udcff"


@pytest.mark.parametrize("changes", [{"mtime_ns": 2**70}, {"size": 2**63}, {"ctime_ns": -(2**90)}])
def test_a_number_beyond_64_bits_is_refused_in_words(
    ledger: Ledger, changes: dict[str, Any]
) -> None:
    with pytest.raises(NotStorable) as caught:
        ledger.admit(cases.found(**changes))
    assert caught.value.hint
    assert not cases.captures(ledger)


def test_a_text_that_is_no_unicode_is_refused_in_words(ledger: Ledger) -> None:
    with pytest.raises(NotStorable) as caught:
        ledger.admit(cases.found(digest=LONE_SURROGATE))
    assert LONE_SURROGATE not in str(caught.value)


def test_a_path_too_long_for_an_index_lets_that_file_wait(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL itself refuses it, where the watcher does not."""
    monkeypatch.setattr(listing, "MAX_PATH_BYTES", 4096)
    (tmp_path / "inbox").mkdir()
    name = "/".join(hashlib.sha512(bytes([n])).hexdigest() for n in range(26)) + "/OD.jpg"
    with watch_cases.prepared(tmp_path / "inbox", postgres_url) as watched:
        watched.drop(name, watch_cases.jpeg("a"))
        watched.drop("OS.jpg", watch_cases.jpeg("b"))
        watched.start()
        watched.wait_for("OS.jpg", watch_cases.jpeg("b"))
        watched.until(lambda: watched.lines("capture.not_storable"))
        watched.stop()
        assert list(watched.current()) == [b"OS.jpg"]


class OddWidth(FirstByte):
    """Reads a width that no database can hold from files that begin with 7."""

    def decode(self, data: bytes, thresholds: Thresholds) -> Decoded:
        decoded = super().decode(data, thresholds)
        if data[0] == 7:
            return Decoded(Content(MediaType.JPEG, 2**63, 2), decoded.reason, decoded.pixels, 1.0)
        return decoded


def test_a_header_value_that_cannot_be_stored_fails_that_capture_alone(
    ledger: Ledger, tmp_path: Path
) -> None:
    structlog.reset_defaults()
    bench = Bench(ledger, tmp_path)
    bench.drop([1, 7, 2])
    stop = threading.Event()

    def beat() -> None:
        jobs = ledger.status()["jobs"]
        if not jobs["queued"] + jobs["running"]:
            stop.set()

    rules = WorkerRules(batch_size=8, retry_seconds=(), max_bytes=1000, decoders=2, model="test")
    roots = {cases.CAMERA: tmp_path}
    Worker(ledger, Plain, OddWidth(), roots, rules, beat).run(stop)
    outcomes = bench.outcomes()
    assert outcomes["0.jpg"] == ("graded", 1)
    assert outcomes["2.jpg"] == ("graded", 2)
    assert outcomes["1.jpg"] == ("failed", "decode_error")


@pytest.mark.parametrize("wait_seconds", [None, 1.0])
def test_an_answer_of_a_receiver_is_stored_whatever_its_characters(
    store_url: str, wait_seconds: float | None
) -> None:
    subscription = Subscription("fhir", DocumentKind.FHIR, when_reviewed=False, quiet_seconds=0)
    ledger = Ledger(store_url, site_key=cases.SITE_KEY, subscriptions=[subscription])
    ledger.start(cases.release())
    ledger.register_camera(cases.CAMERA)
    cases.classify(ledger)
    due = ledger.due("fhir")
    assert due is not None
    ledger.undelivered(due, f"no\0 {LONE_SURROGATE}", wait_seconds)
    [row] = ledger.deliveries(None, 1)
    assert row["answer"] == "no \\udcff"
    ledger.close()


def test_a_file_of_terabytes_keeps_no_other_waiting(tmp_path: Path, sqlite_url: str) -> None:
    """A sparse file takes no room on the disk, but hours to read."""
    (tmp_path / "inbox").mkdir()
    with watch_cases.prepared(tmp_path / "inbox", sqlite_url) as watched:
        huge = watched.inbox / os.fsdecode(watched.drop("huge.jpg", watch_cases.jpeg("a")))
        os.truncate(huge, 8 << 40)
        watched.start()
        watched.until(lambda: watched.lines("capture.unreadable"))
        watched.wait_for(watched.drop("OS.jpg", watch_cases.jpeg("b")), watch_cases.jpeg("b"))
        watched.stop()
        assert list(watched.current()) == [b"OS.jpg"]
