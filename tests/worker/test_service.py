"""The worker on a real ledger, with classifiers that misbehave on purpose."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import structlog
from tests import ledger_cases
from tests.worker.worker_cases import BAD, Bench, FirstByte, Overlapping, Plain

from fundusd.clinical.quality_thresholds import Thresholds
from fundusd.domain.decoding import Decoded
from fundusd.domain.errors import DeviceLost, FundusdError, ModelError, OutOfMemory
from fundusd.domain.files import SettledFile, Stat
from fundusd.domain.inference import Classifier
from fundusd.domain.jobs import JobState
from fundusd.ledger import Ledger
from fundusd.worker.rules import WorkerRules
from fundusd.worker.service import Worker

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels
    from fundusd.domain.inference import Logits


class Crowded(Plain):
    def logits(self, pixels: Pixels) -> Logits:
        if len(pixels) > 2:
            raise OutOfMemory
        return super().logits(pixels)


class Brittle(Plain):
    def logits(self, pixels: Pixels) -> Logits:
        if (pixels == BAD).any():
            raise RuntimeError("device-side trouble")
        return super().logits(pixels)


class Confused(Plain):
    def logits(self, pixels: Pixels) -> Logits:
        answer = super().logits(pixels)
        answer[(pixels == BAD).any(axis=(1, 2, 3))] = np.nan
        return answer


@pytest.fixture
def bench(ledger: Ledger, tmp_path: Path) -> Bench:
    structlog.reset_defaults()
    (tmp_path / "inbox").mkdir()
    return Bench(ledger, tmp_path / "inbox")


def test_what_waits_is_classified_together_and_recorded(bench: Bench) -> None:
    bench.drop([0, 1, 2, 3, 4, 255])
    classifier = Plain()
    bench.work(classifier)
    assert classifier.sizes == [5]
    assert bench.outcomes() == {f"{n}.jpg": ("graded", n) for n in range(5)} | {
        "5.jpg": ("refused", "not_retina")
    }
    assert bench.ledger.verify().broken_seq is None


def test_out_of_memory_halves_the_forward_and_remembers(bench: Bench) -> None:
    bench.drop([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    classifier = Crowded()
    bench.work(classifier)
    assert max(classifier.sizes) == 2
    assert len(bench.outcomes()) == 10
    assert all(outcome == "graded" for outcome, _ in bench.outcomes().values())


@pytest.mark.parametrize("classifier", [Brittle(), Confused()], ids=["raises", "answers with NaN"])
def test_one_bad_capture_fails_alone(bench: Bench, classifier: Classifier) -> None:
    bench.drop([0, BAD, 2, 3])
    bench.work(classifier)
    outcomes = bench.outcomes()
    assert outcomes.pop("1.jpg") == ("failed", "model_error")
    assert outcomes == {"0.jpg": ("graded", 0), "2.jpg": ("graded", 2), "3.jpg": ("graded", 3)}


def test_a_capture_that_breaks_the_decoder_costs_only_itself(bench: Bench) -> None:
    bench.drop([0, 254])
    bench.work(Plain())
    assert bench.outcomes() == {"0.jpg": ("graded", 0), "1.jpg": ("failed", "decode_error")}


def test_bytes_that_are_not_those_that_were_hashed_are_never_classified(bench: Bench) -> None:
    bench.drop([0, 1])
    (bench.inbox / "1.jpg").write_bytes(b"other bytes")
    bench.work(Plain())
    assert bench.outcomes() == {"0.jpg": ("graded", 0), "1.jpg": ("failed", "file_changed")}


def test_a_missing_file_is_looked_for_again_and_then_failed(bench: Bench) -> None:
    bench.drop([0])
    (bench.inbox / "0.jpg").unlink()
    bench.work(Plain(), retry_seconds=(0.0, 0.0))
    assert bench.outcomes() == {"0.jpg": ("failed", "file_missing")}
    (row,) = bench.ledger.results()
    assert row["attempts"] == 3


def test_bytes_that_lie_elsewhere_too_are_read_there(bench: Bench) -> None:
    bench.drop([3])
    data = (bench.inbox / "0.jpg").read_bytes()
    (bench.inbox / "copy.jpg").write_bytes(data)
    (bench.inbox / "0.jpg").unlink()
    copy = SettledFile(
        ledger_cases.CAMERA,
        b"copy.jpg",
        Stat(2, 9, 9, 9),
        hashlib.sha256(data).hexdigest(),
        True,
        False,
    )
    bench.ledger.admit(copy)
    bench.work(Plain())
    assert bench.outcomes() == {"0.jpg": ("graded", 3), "copy.jpg": ("graded", 3)}


def test_a_capture_is_judged_by_the_thresholds_of_its_camera(bench: Bench) -> None:
    bench.drop([1])
    data = b"\x02 of another camera"
    (bench.inbox / "other.jpg").write_bytes(data)
    bench.ledger.register_camera("other")
    stat = Stat(len(data), 1, 1, 9)
    bench.ledger.admit(
        SettledFile("other", b"other.jpg", stat, hashlib.sha256(data).hexdigest(), True, False)
    )
    strict, judged, stop = Thresholds(min_side_pixels=800), {}, threading.Event()

    class Noting(FirstByte):
        def decode(self, data: bytes, thresholds: Thresholds) -> Decoded:
            judged[data[0]] = thresholds
            return super().decode(data, thresholds)

    def beat() -> None:
        if bench.ledger.status()["jobs"]["succeeded"] == 2:
            stop.set()

    rules = WorkerRules(
        batch_size=8,
        retry_seconds=(),
        max_bytes=1000,
        decoders=1,
        model="test",
        thresholds={"other": strict},
    )
    roots = {ledger_cases.CAMERA: bench.inbox, "other": bench.inbox}
    Worker(bench.ledger, Plain, Noting(), roots, rules, beat).run(stop)
    assert judged == {1: Thresholds(), 2: strict}


def test_a_stop_gives_back_what_was_claimed_without_counting_it(bench: Bench) -> None:
    bench.drop(range(20))
    stop = threading.Event()

    class Stopping(Plain):
        def logits(self, pixels: Pixels) -> Logits:
            stop.set()  # while a batch is in hand and the next one decodes
            return super().logits(pixels)

    rules = WorkerRules(batch_size=8, retry_seconds=(), max_bytes=1000, decoders=2, model="test")
    roots = {ledger_cases.CAMERA: bench.inbox}
    Worker(bench.ledger, Stopping, FirstByte(), roots, rules, lambda: None).run(stop)
    states = [(job["state"], job["attempts"]) for job in ledger_cases.jobs(bench.ledger)]
    assert states.count((JobState.SUCCEEDED, 1)) == 8
    assert states.count((JobState.QUEUED, 0)) == 12


def test_what_comes_while_the_model_loads_is_decoded_meanwhile(bench: Bench) -> None:
    decoding, stop = threading.Event(), threading.Event()

    class Noted(FirstByte):
        def decode(self, data: bytes, thresholds: Thresholds) -> Decoded:
            decoding.set()
            return super().decode(data, thresholds)

    def load() -> Classifier:
        bench.drop([3])  # after the worker has begun
        worker.wake()
        assert decoding.wait(60), "nothing was decoded before the model was there"
        return Plain()

    def beat() -> None:
        if bench.ledger.status()["jobs"]["succeeded"]:
            stop.set()

    rules = WorkerRules(batch_size=8, retry_seconds=(), max_bytes=1000, decoders=1, model="test")
    worker = Worker(bench.ledger, load, Noted(), {ledger_cases.CAMERA: bench.inbox}, rules, beat)
    worker.run(stop)
    assert bench.outcomes() == {"0.jpg": ("graded", 3)}


def test_a_model_that_does_not_load_costs_no_capture_an_attempt(bench: Bench) -> None:
    bench.drop([1, 2, 3])

    def load() -> Classifier:
        raise ModelError("gone", hint="look")

    rules = WorkerRules(batch_size=8, retry_seconds=(), max_bytes=1000, decoders=2, model="test")
    roots = {ledger_cases.CAMERA: bench.inbox}
    with pytest.raises(ModelError):
        Worker(bench.ledger, load, FirstByte(), roots, rules, lambda: None).run(threading.Event())
    assert {(job["state"], job["attempts"]) for job in ledger_cases.jobs(bench.ledger)} == {
        (JobState.QUEUED, 0)
    }


@pytest.mark.parametrize(
    "error",
    [DeviceLost("the card fell off the bus", hint="look"), OutOfMemory("full"), ModelError("gone")],
)
def test_a_model_that_is_lost_ends_the_worker_and_costs_no_capture_an_attempt(
    bench: Bench, error: FundusdError
) -> None:
    bench.drop(range(20))

    class Lost(Plain):
        def logits(self, pixels: Pixels) -> Logits:
            if self.sizes:
                raise error
            return super().logits(pixels)

    rules = WorkerRules(batch_size=8, retry_seconds=(), max_bytes=1000, decoders=2, model="test")
    roots = {ledger_cases.CAMERA: bench.inbox}
    with pytest.raises(type(error)):
        Worker(bench.ledger, Lost, FirstByte(), roots, rules, lambda: None).run(threading.Event())
    states = [(job["state"], job["attempts"]) for job in ledger_cases.jobs(bench.ledger)]
    assert states.count((JobState.SUCCEEDED, 1)) == 8  # the batch before was written down
    assert states.count((JobState.QUEUED, 0)) == 12


def test_two_batches_are_in_flight_and_each_capture_gets_its_own_answer(bench: Bench) -> None:
    values = [(7 * n) % 5 for n in range(30)]
    bench.drop(values)
    classifier = Overlapping()
    bench.work(classifier)
    assert classifier.most == 2
    assert bench.outcomes() == {
        f"{number}.jpg": ("graded", value) for number, value in enumerate(values)
    }


@pytest.mark.parametrize("trouble", [OutOfMemory("full"), RuntimeError("device-side trouble")])
def test_a_batch_that_fails_in_flight_is_asked_for_again_in_parts(
    bench: Bench, trouble: Exception
) -> None:
    bench.drop([0, 1, 2, 3, 4] * 4)
    bench.work(Overlapping(trouble))
    assert bench.outcomes() == {f"{number}.jpg": ("graded", number % 5) for number in range(20)}


def test_a_device_lost_with_two_batches_in_flight_costs_no_capture_an_attempt(bench: Bench) -> None:
    bench.drop(range(30))
    rules = WorkerRules(batch_size=8, retry_seconds=(), max_bytes=1000, decoders=2, model="test")
    roots = {ledger_cases.CAMERA: bench.inbox}
    lost = Overlapping(DeviceLost("the card fell off the bus", hint="look"))
    with pytest.raises(DeviceLost):
        Worker(bench.ledger, lambda: lost, FirstByte(), roots, rules, lambda: None).run(
            threading.Event()
        )
    assert lost.most == 2
    assert {(job["state"], job["attempts"]) for job in ledger_cases.jobs(bench.ledger)} == {
        (JobState.QUEUED, 0)
    }


def test_a_stop_writes_down_what_is_in_flight(bench: Bench) -> None:
    bench.drop(range(30))
    stop = threading.Event()

    class Stopping(Overlapping):
        def begin(self, pixels: Pixels) -> Callable[[], Logits]:
            stop.set()
            return super().begin(pixels)

    rules = WorkerRules(batch_size=8, retry_seconds=(), max_bytes=1000, decoders=2, model="test")
    roots = {ledger_cases.CAMERA: bench.inbox}
    Worker(bench.ledger, Stopping, FirstByte(), roots, rules, lambda: None).run(stop)
    states = [(job["state"], job["attempts"]) for job in ledger_cases.jobs(bench.ledger)]
    assert states.count((JobState.SUCCEEDED, 1)) == 8
    assert states.count((JobState.QUEUED, 0)) == 22


def test_a_lost_lease_drops_the_result(bench: Bench) -> None:
    bench.drop([1])

    class Robbed(Plain):
        def logits(self, pixels: Pixels) -> Logits:
            ledger_cases.execute(bench.ledger, "UPDATE job SET token = 'another'")
            return super().logits(pixels)

    stop = threading.Event()
    turns = iter(range(100))

    def beat() -> None:
        if next(turns) > 3:
            stop.set()

    rules = WorkerRules(batch_size=8, retry_seconds=(), max_bytes=1000, decoders=1, model="test")
    roots = {ledger_cases.CAMERA: bench.inbox}
    Worker(bench.ledger, Robbed, FirstByte(), roots, rules, beat).run(stop)
    assert bench.outcomes() == {"0.jpg": (None, None)}
