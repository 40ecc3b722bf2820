"""Failures that no capture is to blame for: claimed jobs are released, whichever step fails."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import structlog
from tests import ledger_cases
from tests.worker.worker_cases import Bench, FirstByte, Overlapping, Plain

from fundusd.clinical.quality_thresholds import Thresholds
from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import FundusdError, LedgerError
from fundusd.domain.files import OfflineReason
from fundusd.domain.jobs import JobState
from fundusd.worker.rules import WorkerRules
from fundusd.worker.service import Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fundusd.domain.decoding import Decoded, Pixels
    from fundusd.domain.inference import Classifier, Logits
    from fundusd.ledger import Ledger
    from fundusd.worker.preparation import Decoder


@pytest.fixture
def bench(ledger: Ledger, tmp_path: Path) -> Bench:
    structlog.reset_defaults()
    (tmp_path / "inbox").mkdir()
    return Bench(ledger, tmp_path / "inbox")


def fails_at(call: int, method: Callable[..., object]) -> Callable[..., object]:
    """Make one call of a ledger's method fail."""
    calls = iter(range(1000))

    def refusing(*arguments: object) -> object:
        if next(calls) == call:
            raise LedgerError("gone", hint="look")
        return method(*arguments)

    return refusing


def run(bench: Bench, classifier: Classifier, decoder: Decoder | None = None) -> None:
    rules = WorkerRules(batch_size=4, retry_seconds=(), max_bytes=1000, decoders=2, model="test")
    roots = {ledger_cases.CAMERA: bench.inbox}
    Worker(
        bench.ledger, lambda: classifier, decoder or FirstByte(), roots, rules, lambda: None
    ).run(threading.Event())


def attempts(bench: Bench, state: JobState) -> list[int]:
    return [job["attempts"] for job in ledger_cases.jobs(bench.ledger) if job["state"] == state]


@pytest.mark.parametrize("overlaps", [False, True])
@pytest.mark.parametrize(
    ("method", "call"), [("claim", 1), ("claim", 2), ("record", 0), ("record", 1)]
)
def test_a_ledger_that_refuses_costs_no_capture_an_attempt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, method: str, call: int, *, overlaps: bool
) -> None:
    bench.drop(range(16))
    monkeypatch.setattr(bench.ledger, method, fails_at(call, getattr(bench.ledger, method)))
    with pytest.raises(LedgerError, match="gone"):
        run(bench, Overlapping() if overlaps else Plain())
    assert attempts(bench, JobState.RUNNING) == []
    assert len(attempts(bench, JobState.SUCCEEDED)) < 16
    assert set(attempts(bench, JobState.QUEUED)) == {0}


def test_a_decoder_that_does_not_start_costs_no_capture_an_attempt(bench: Bench) -> None:
    class Unstartable(FirstByte):
        def decode(self, data: bytes, thresholds: Thresholds) -> Decoded:
            if data[1] == 6:
                raise FundusdError("A decoder process did not start.")
            return super().decode(data, thresholds)

    bench.drop(range(12))
    with pytest.raises(FundusdError, match="did not start"):
        run(bench, Plain(), Unstartable())
    assert attempts(bench, JobState.RUNNING) == []
    assert set(attempts(bench, JobState.QUEUED)) == {0}
    assert set(attempts(bench, JobState.FAILED)) == set()


def test_a_capture_that_was_tried_before_is_alone_while_the_model_has_it(bench: Bench) -> None:
    bench.drop(range(17))  # two full batches, and the one
    ledger_cases.execute(bench.ledger, "UPDATE job SET attempts = 1 WHERE id = 5")
    beside: list[int] = []

    class Looking(Overlapping):
        def begin(self, pixels: Pixels) -> Callable[[], Logits]:
            if len(pixels) == 1:
                beside.append(bench.ledger.status()["jobs"]["running"])
            return super().begin(pixels)

    bench.work(Looking())
    assert beside == [1]
    assert len(attempts(bench, JobState.SUCCEEDED)) == 17


@pytest.mark.parametrize("how", ["gone", "reported by the watcher", "not noticed yet"])
def test_an_inbox_that_is_away_costs_no_capture_an_attempt(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    bench.drop([0, 1, 2])
    bench.inbox.rename(tmp_path / "away")
    if how != "gone":
        bench.inbox.mkdir()
    if how == "reported by the watcher":
        bench.ledger.offline(ledger_cases.CAMERA, OfflineReason.EMPTY)
    given_back, give_back = iter(range(100)), bench.ledger.give_back

    def coming_back(*arguments: object) -> object:
        count = give_back(*arguments)  # type: ignore[arg-type]
        if next(given_back) == (2 if how == "reported by the watcher" else 5):
            if bench.inbox.exists():
                bench.inbox.rmdir()
            (tmp_path / "away").rename(bench.inbox)
            bench.ledger.offline(ledger_cases.CAMERA, None)
        return count

    monkeypatch.setattr(bench.ledger, "give_back", coming_back)
    bench.work(Plain(), offline_retry_seconds=0.01)
    assert bench.outcomes() == {f"{number}.jpg": ("graded", number) for number in range(3)}
    assert attempts(bench, JobState.SUCCEEDED) == [1, 1, 1]


def test_jobs_of_an_offline_camera_rest_until_it_is_online(bench: Bench) -> None:
    bench.drop(range(4))
    for number in range(3):
        (bench.inbox / f"{number}.jpg").unlink()
    bench.ledger.offline(ledger_cases.CAMERA, OfflineReason.MASS_DISAPPEARANCE)
    given_back = []
    while claims := bench.ledger.claim(8):
        present = [claim for claim in claims if claim.places[0].path == b"3.jpg"]
        for claim in present:
            bench.ledger.fail(claim, Reason.NOT_RETINA, "the file is there, and was read")
        gone = [claim for claim in claims if claim not in present]
        given_back += [claim.places[0].path for claim in gone]
        bench.ledger.give_back(gone, 1e-6)
    assert sorted(given_back) == [b"0.jpg", b"1.jpg", b"2.jpg"]
    bench.drop([0])  # the file is back, as another file
    assert [claim.places[0].path for claim in bench.ledger.claim(8)] == [b"0.jpg"]
    bench.ledger.offline(ledger_cases.CAMERA, None)
    paths = {claim.places[0].path for claim in bench.ledger.claim(8)}
    assert paths == {b"1.jpg", b"2.jpg"}


def test_what_failed_while_its_inbox_was_away_is_queued_again_when_it_is_back(bench: Bench) -> None:
    bench.drop([0, 1])
    (bench.inbox / "1.jpg").unlink()
    bench.work(Plain())
    assert bench.outcomes() == {"0.jpg": ("graded", 0), "1.jpg": ("failed", "file_missing")}
    (bench.inbox / "1.jpg").write_bytes(bytes([1, 1]))
    assert bench.ledger.queue_unread(ledger_cases.CAMERA) == 1
    assert bench.ledger.queue_unread(ledger_cases.CAMERA) == 0
    bench.work(Plain())
    assert bench.outcomes() == {"0.jpg": ("graded", 0), "1.jpg": ("graded", 1)}
