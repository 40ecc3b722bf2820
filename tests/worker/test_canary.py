"""A model that answers wrongly, or not at all, grades nothing: at night and under load."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs
from tests import ledger_cases
from tests.worker.worker_cases import BAD, Bench, FirstByte, Overlapping, Plain

from fundusd.domain.errors import ModelError, ModelRefused, OutOfMemory
from fundusd.domain.inference import Classifier, SelfTestResult
from fundusd.domain.jobs import JobState
from fundusd.ledger import Ledger
from fundusd.ledger.tables import result
from fundusd.worker.rules import WorkerRules
from fundusd.worker.service import Worker

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels
    from fundusd.domain.inference import Logits

EVENING = datetime(2026, 11, 23, 22, tzinfo=UTC)


class Silent(Plain):
    """Gives no usable answer to captures, but passes the self-test."""

    def logits(self, pixels: Pixels) -> Logits:
        return super().logits(pixels) * np.float32(np.nan)


class Wrong(Silent):
    def run_self_test(self) -> Iterator[SelfTestResult]:
        yield from super().run_self_test()
        raise ModelRefused("does not compute what the model is", hint="look")


class SilentInFlight(Overlapping):
    def logits(self, pixels: Pixels) -> Logits:
        return super().logits(pixels) * np.float32(np.nan)

    def run_self_test(self) -> Iterator[SelfTestResult]:
        assert self.flying <= 1, "the self-test needs room for one more batch"
        raise ModelRefused("does not compute what the model is", hint="look")
        yield


@pytest.fixture
def bench(ledger: Ledger, tmp_path: Path) -> Bench:
    structlog.reset_defaults()
    (tmp_path / "inbox").mkdir()
    return Bench(ledger, tmp_path / "inbox")


def run(
    bench: Bench,
    classifier: Classifier,
    beat: Callable[[Worker, threading.Event], None],
    now: Callable[[], datetime] = lambda: EVENING,
) -> None:
    """Run a worker that never waits; `beat` is called in every round."""
    stop = threading.Event()

    def turn() -> None:
        beat(worker, stop)
        worker.wake()

    rules = WorkerRules(
        batch_size=4, retry_seconds=(), max_bytes=1000, decoders=2, model="test", now=now
    )
    worker = Worker(
        bench.ledger,
        lambda: classifier,
        FirstByte(),
        {ledger_cases.CAMERA: bench.inbox},
        rules,
        turn,
    )
    worker.run(stop)


def attempts(bench: Bench) -> set[tuple[JobState, int]]:
    return {(job["state"], job["attempts"]) for job in ledger_cases.jobs(bench.ledger)}


@pytest.mark.parametrize(("make", "count"), [(Wrong, 1), (Wrong, 8), (SilentInFlight, 8)])
def test_a_model_that_answers_nothing_and_is_wrong_grades_nothing_and_blames_no_capture(
    bench: Bench, make: type[Plain], count: int
) -> None:
    bench.drop(range(count))
    with capture_logs() as logged, pytest.raises(ModelRefused):
        run(bench, make(), lambda *_: None)
    assert attempts(bench) == {(JobState.QUEUED, 0)}
    assert [line["log_level"] for line in logged if line["event"] == "model.canary"] == ["error"]
    assert ledger_cases.details(bench.ledger, "model.refused") == [
        {"problem": "does not compute what the model is"}
    ]
    canary = ledger_cases.last_canary(bench.ledger)
    assert canary is not None
    assert not canary.passed
    assert bench.ledger.verify().broken_seq is None


def test_captures_without_an_answer_are_failed_once_the_model_has_answered_what_is_known(
    bench: Bench,
) -> None:
    bench.drop([1, 2, 3])
    classifier = Silent()
    bench.work(classifier)
    assert bench.outcomes() == {f"{number}.jpg": ("failed", "model_error") for number in range(3)}
    assert classifier.proven == 1
    (row,) = ledger_cases.details(bench.ledger, "model.verified")
    assert row == {"cosine": 0.9999999, "tolerance": 0.999999}


def test_one_capture_without_an_answer_among_others_says_nothing_of_the_model(bench: Bench) -> None:
    class Confused(Plain):
        def logits(self, pixels: Pixels) -> Logits:
            answer = super().logits(pixels)
            answer[(pixels == BAD).any(axis=(1, 2, 3))] = np.inf
            return answer

    bench.drop([1, BAD])
    classifier = Confused()
    bench.work(classifier)
    assert bench.outcomes() == {"0.jpg": ("graded", 1), "1.jpg": ("failed", "model_error")}
    assert classifier.proven == 0
    scores = [row["score_no_dr"] for row in ledger_cases.rows(bench.ledger, result)]
    assert len(scores) == 1, "NaN scores are not stored"


def test_an_idle_worker_proves_its_model_once_a_night(bench: Bench) -> None:
    times = iter(
        [EVENING] * 5 + [EVENING + timedelta(hours=5, minutes=minute) for minute in range(100)]
    )
    classifier, seen = Plain(), [EVENING]

    def now() -> datetime:
        seen.append(next(times))
        return seen[-1]

    def beat(_worker: Worker, stop: threading.Event) -> None:
        if seen[-1] >= EVENING + timedelta(hours=6):
            stop.set()

    with capture_logs() as logged:
        run(bench, classifier, beat, now)
    assert classifier.proven == 1
    (line,) = [line for line in logged if line["event"] == "model.canary"]
    assert (line["log_level"], line["cosine"], line["tolerance"]) == ("info", 0.9999999, 0.999999)
    assert len(ledger_cases.details(bench.ledger, "model.verified")) == 1
    assert bench.ledger.status()["canary"]["passed"]
    assert bench.ledger.verify().broken_seq is None


@pytest.mark.parametrize("base", [Plain, Overlapping])
def test_a_worker_that_is_never_idle_proves_its_model_all_the_same(
    bench: Bench, base: type[Plain]
) -> None:
    class Alone(base):  # type: ignore[valid-type, misc]
        def run_self_test(self) -> Iterator[SelfTestResult]:
            assert not getattr(self, "flying", 0)
            yield from super().run_self_test()

    bench.drop(range(40))
    classifier, hours = Alone(), iter(range(1000))

    def beat(_worker: Worker, stop: threading.Event) -> None:
        jobs = bench.ledger.status()["jobs"]
        if not jobs["queued"] + jobs["running"]:
            stop.set()

    run(bench, classifier, beat, lambda: EVENING.replace(hour=4) + 5 * timedelta(hours=next(hours)))
    assert classifier.proven >= 1
    assert {outcome for outcome, _ in bench.outcomes().values()} == {"graded"}


def test_a_model_that_is_wrong_at_night_grades_nothing_more(bench: Bench) -> None:
    class Drifted(Plain):
        def run_self_test(self) -> Iterator[SelfTestResult]:
            bench.drop([1, 2])  # just now
            raise ModelRefused("does not compute what the model is", hint="look")
            yield

    times = iter([EVENING, EVENING, EVENING + timedelta(hours=6)])
    with pytest.raises(ModelRefused):
        run(bench, Drifted(), lambda *_: None, lambda: next(times))
    assert attempts(bench) == {(JobState.QUEUED, 0)}


def test_a_stop_ends_the_night_round_after_the_forward_in_hand(bench: Bench) -> None:
    stopping: list[threading.Event] = []

    class Endless(Plain):
        def run_self_test(self) -> Iterator[SelfTestResult]:
            for _ in range(1000):
                self.proven += 1
                yield SelfTestResult(1.0, 0.999999)
                stopping[0].set()

    classifier = Endless()
    times = iter([EVENING, EVENING + timedelta(hours=6)])
    run(bench, classifier, lambda _worker, stop: stopping.append(stop), lambda: next(times))
    assert classifier.proven == 2
    assert ledger_cases.details(bench.ledger, "model.verified") == []


def test_a_model_whose_files_changed_grades_nothing_more(bench: Bench) -> None:
    """Not even the current batch: a mapped file may have changed before or after it ran."""

    class Changed(Plain):
        def require_unchanged(self, beat: Callable[[], None]) -> list[str]:
            if len(self.sizes) < 2:
                return []
            raise ModelError(
                "the model in /m changed under the running service: w holds other bytes",
                hint="look",
            )

    bench.drop(range(12))
    with pytest.raises(ModelError, match="changed under"):
        run(bench, Changed(), lambda *_: None)
    states = [(job["state"], job["attempts"]) for job in ledger_cases.jobs(bench.ledger)]
    assert states.count((JobState.SUCCEEDED, 1)) == 4
    assert states.count((JobState.QUEUED, 0)) == 8


def test_files_that_were_only_touched_are_a_debug_line(bench: Bench) -> None:
    class Touched(Plain):
        def require_unchanged(self, beat: Callable[[], None]) -> list[str]:
            return ["config.json"]

    bench.drop([1])
    with capture_logs() as logged:
        bench.work(Touched())
    lines = [line for line in logged if line["event"] == "model.touched"]
    assert lines
    assert {(line["log_level"], *line["keys"]) for line in lines} == {("debug", "config.json")}
    assert bench.outcomes() == {"0.jpg": ("graded", 1)}


def test_halving_and_doubling_the_batch_are_logged_once_each(bench: Bench) -> None:
    class Crowded(Plain):
        def logits(self, pixels: Pixels) -> Logits:
            if len(pixels) > 2 and len(self.sizes) < 20:
                raise OutOfMemory
            return super().logits(pixels)

    bench.drop([number % 5 for number in range(120)])
    classifier = Crowded()
    with capture_logs() as logged:
        bench.work(classifier)
    moved = [
        (line["event"], line["limit"]) for line in logged if line["event"].startswith("model.batch")
    ]
    assert moved == [("model.batch_halved", 2), ("model.batch_restored", 4)]
    assert len(bench.outcomes()) == 120
