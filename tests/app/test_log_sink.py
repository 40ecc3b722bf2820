from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fundusd.app import log_sink
from fundusd.app.log_loss import LogLossRecorder
from fundusd.app.log_sink import LogSink
from fundusd.ledger import Ledger


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_sink, "_PATIENCE_SECONDS", 60)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return the ends of a pipe, for reading and for writing."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def read_lines(end: int, count: int) -> list[bytes]:
    """Read from a pipe until it has given `count` lines."""
    data = b""
    while data.count(b"\n") < count:
        data += os.read(end, 65536)
    return data.splitlines()


def test_lines_are_written_in_their_order(pipe: tuple[int, int]) -> None:
    sink = LogSink(pipe[1])
    for number in range(100):
        sink.write(f"{number}\n")
    assert read_lines(pipe[0], 100) == [b"%d" % number for number in range(100)]
    assert sink.lost is None


def test_a_pipe_that_nobody_reads_costs_lines_and_no_time(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_sink, "CAPACITY_BYTES", 100_000)
    monkeypatch.setattr(log_sink, "_PATIENCE_SECONDS", 0.01)
    sink = LogSink(pipe[1])
    for number in range(400):
        sink.write(f"{number:999}\n")
    assert sink.lost is not None
    assert 200 < sink.lost.number < 350  # a pipe takes 64 KiB
    kept = 400 - sink.lost.number
    assert len(read_lines(pipe[0], kept)) == kept
    sink.write("again\n")
    assert read_lines(pipe[0], 1) == [b"again"]


def test_a_pipe_whose_reader_is_gone_costs_lines() -> None:
    end, writing_end = os.pipe()
    os.close(end)
    sink = LogSink(writing_end)
    for _ in range(3):
        sink.write("x\n")
    sink.flush_before_exit()
    assert sink.lost is not None
    assert sink.lost.number == 3
    assert sink.is_losing


def test_a_full_disk_costs_lines() -> None:
    with Path("/dev/full").open("wb") as full:
        sink = LogSink(full.fileno())
        sink.write("x\n")
        sink.flush_before_exit()
    assert sink.lost is not None


def test_a_program_without_standard_output_loses_all_lines() -> None:
    sink = LogSink(None)
    sink.write("x\n")
    assert sink.lost is not None


def test_a_non_blocking_pipe_loses_nothing(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    sink = LogSink(pipe[1])
    line = "x" * 50_000
    writer = threading.Thread(target=lambda: [sink.write(line + "\n") for _ in range(5)])
    writer.start()
    assert read_lines(pipe[0], 5) == [line.encode()] * 5
    writer.join()
    assert sink.lost is None


def test_a_line_after_one_that_was_cut_short_begins_a_new_line(tmp_path: Path) -> None:
    sizes = iter([3])

    def write(descriptor: int, data: bytes) -> int:
        size = next(sizes, 0)
        if not size:
            raise OSError(28, "no space")
        return real_write(descriptor, data[:size])

    real_write = os.write
    with (tmp_path / "log").open("wb") as file, pytest.MonkeyPatch.context() as patch:
        sink = LogSink(file.fileno())
        patch.setattr(os, "write", write)
        sink.write("first line\n")
        sink.flush_before_exit()
        patch.undo()
        sink.write("second line\n")
        sink.flush_before_exit()
    assert (tmp_path / "log").read_bytes() == b"fir\nsecond line\n"


def test_dropped_lines_are_recorded_when_first_noticed_and_when_over(ledger: Ledger) -> None:
    with Path("/dev/full").open("wb") as full:
        sink, time = LogSink(full.fileno()), [0.0]
        recorder = LogLossRecorder(sink, ledger, lambda: time[0])
        recorder.check()
        assert ledger.status()["log_lost"] is None
        for count in (1, 2, 3):
            sink.write("x\n")
            sink.flush_before_exit()
            recorder.check()
            expected = 1 if count < 3 else 3
            assert ledger.status()["log_lost"]["count"] == expected, "recorded with pauses"
            time[0] += 3
    since = ledger.status()["log_lost"]["since"]
    assert sink.lost is not None
    assert since == sink.lost.since.isoformat(timespec="seconds")
