"""Nobody takes the log: the service grades as before, and says how many lines were lost."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.daemon_cases import DEADLINE, Site, drop, jpeg, site
from tests.faults import oracle

from fundusd.app import settings_file
from fundusd.app.open_ledger import opened_ledger
from fundusd.domain.clinical_terms import Grade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# a sink that holds few lines, so that few photographs fill it
_PROGRAM = (
    "from fundusd.app import log_sink\n"
    "log_sink.CAPACITY_BYTES = 1000\n"
    "from fundusd.cli import main\n"
    "main()"
)
_PHOTOGRAPHS = 12


def full_disk() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def pipe_whose_reader_is_gone() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def pipe_that_nobody_reads() -> int:
    _, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    return writing  # the other end stays open in this process


@contextmanager
def logging_to(place: Site, log: int | None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon whose output goes to a descriptor, or is closed if that is None."""
    closed = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh"] if log is None else []
    process = subprocess.Popen(
        [*closed, sys.executable, "-c", _PROGRAM, "run", "--config", str(place.path)],
        stdout=log,
        stderr=log,
        env={**os.environ, "OMP_NUM_THREADS": "1", "JOURNAL_STREAM": ""},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def await_that(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert process.poll() is None, "the daemon ended"
        assert time.monotonic() < deadline
        time.sleep(0.25)


def is_graded(place: Site) -> bool:
    return len(place.rows()) == _PHOTOGRAPHS and oracle.at_rest(place)


def is_loss_recorded(place: Site) -> bool:
    with opened_ledger(settings_file.load(place.path)) as ledger:
        return ledger.status()["log_lost"] is not None


def no_descriptor() -> None:
    return None


@pytest.mark.parametrize(
    "open_log",
    [
        full_disk,
        pipe_that_nobody_reads,
        pytest.param(pipe_whose_reader_is_gone, marks=pytest.mark.all_faults),
        pytest.param(no_descriptor, marks=pytest.mark.all_faults),
    ],
)
def test_a_log_that_nobody_takes_ends_or_delays_no_grading(
    tmp_path: Path, sqlite_url: str, open_log: Callable[[], int | None]
) -> None:
    place = site(tmp_path, sqlite_url)
    for number in range(_PHOTOGRAPHS):
        drop(place, f"P{number}/{number}_OD.jpg", jpeg(Grade.NO_DR, seed=number))
    with logging_to(place, open_log()) as process:
        await_that(process, lambda: is_graded(place))
        await_that(process, lambda: is_loss_recorded(place))
        status = subprocess.run(
            [sys.executable, "-m", "fundusd", "status", "--config", str(place.path)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    (line,) = [line for line in status.splitlines() if line.startswith("log ")]
    assert "lines LOST since" in line
