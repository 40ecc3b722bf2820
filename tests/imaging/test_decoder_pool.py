from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests import imaging_cases as cases

from fundusd.clinical.quality_thresholds import DEFAULTS, Thresholds
from fundusd.domain.clinical_terms import Outcome, Reason
from fundusd.domain.decoding import Content, MediaType, Preprocessing
from fundusd.domain.errors import ExitStatus, FundusdError, SystemRefused
from fundusd.imaging import decoder_process
from fundusd.imaging.decode import decode
from fundusd.imaging.decoder_pool import DecoderPool
from fundusd.imaging.decoder_protocol import Channel, receive_decoded, send_request
from fundusd.imaging.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parents[3] / "shared" / "data"
PAD = Preprocessing.PAD_SQUARE
SIDE = 64
GOOD = cases.encode(cases.retina(), "PNG")
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool(1, PAD, SIDE) as shared:
        yield shared


def pids(pool: DecoderPool) -> set[int]:
    return {process._process.pid for process in pool._children}


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            state = (
                Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
            )
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        threading.Event().wait(0.02)
    pytest.fail("the decoder process is still there")


def test_a_capture_comes_back_as_it_does_in_process(pool: DecoderPool) -> None:
    for data in (GOOD, cases.jpeg_dicom(cases.retina()), b"nothing", GOOD[:500]):
        there, here = pool.decode(data), decode(data, PAD, SIDE, Limits())
        assert (there.content, there.reason) == (here.content, here.reason)
        assert (there.pixels is None) == (here.pixels is None)
        if there.pixels is not None and here.pixels is not None:
            assert np.array_equal(there.pixels, here.pixels)


def test_the_thresholds_of_a_camera_reach_the_process(pool: DecoderPool) -> None:
    assert pool.decode(GOOD, Thresholds(min_side_pixels=2000)).reason is Reason.SMALL
    assert pool.decode(GOOD).reason is None


def test_one_process_serves_many_captures_and_threads(pool: DecoderPool) -> None:
    pool.decode(GOOD)
    before, restarts = pids(pool), pool.restarts
    with ThreadPoolExecutor(4) as threads:
        reasons = list(threads.map(lambda data: pool.decode(data).reason, [GOOD, GOOD[:500]] * 6))
    assert reasons == [None, Reason.TRUNCATED] * 6
    assert pids(pool) == before
    assert pool.restarts == restarts


def test_too_many_bytes_never_leave_the_parent() -> None:
    with DecoderPool(1, PAD, SIDE, Limits(max_bytes=100)) as pool:
        decoded = pool.decode(GOOD)
    assert decoded.reason is Reason.TOO_MANY_BYTES
    assert decoded.content == Content(MediaType.PNG)


def test_a_process_that_is_killed_costs_one_capture(pool: DecoderPool) -> None:
    pool.decode(GOOD)
    (pid,) = pids(pool)
    restarts = pool.restarts
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)
    assert pool.decode(GOOD).reason is Reason.DECODER_CRASHED
    assert pool.decode(GOOD).reason is None
    assert pool.restarts == restarts + 1


def test_a_process_that_hangs_is_killed_in_time() -> None:
    with DecoderPool(1, PAD, SIDE, Limits(seconds=0.3)) as pool:
        assert pool.decode(GOOD).reason is None
        (pid,) = pids(pool)
        os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        decoded = pool.decode(GOOD)
        assert time.monotonic() - started < 10
        assert decoded.reason is Reason.TIMEOUT
        assert decoded.content == Content(MediaType.PNG)
        wait_until_gone(pid)
        assert pids(pool) != {pid}


def test_a_process_that_is_too_late_costs_only_the_capture_it_was_late_for() -> None:
    with DecoderPool(1, PAD, SIDE, Limits(seconds=0.3)) as pool:
        pool.decode(GOOD)
        (pid,) = pids(pool)
        os.kill(pid, signal.SIGSTOP)
        more_than_the_socket_holds = bytes(10 * MIB)
        assert pool.decode(more_than_the_socket_holds).reason is Reason.TIMEOUT
        assert pool.decode(GOOD).reason is None
        assert pool.restarts == 1


def test_memory_is_bounded() -> None:
    big = cases.encode(np.zeros((6000, 6000, 3), np.uint8), "PNG")
    progressive = cases.encode(np.zeros((4400, 4400, 3), np.uint8), "JPEG", progressive=True)
    with DecoderPool(1, PAD, SIDE, Limits(memory_bytes=64 * MIB)) as pool:
        assert pool.decode(big).reason is Reason.OUT_OF_MEMORY
        assert pool.decode(progressive).reason is Reason.OUT_OF_MEMORY
        assert pool.decode(GOOD).reason is None


def test_a_process_may_not_do_what_decoding_does_not_need(pool: DecoderPool) -> None:
    pool.decode(GOOD)
    (pid,) = pids(pool)
    limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    values = {line[:25].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
    assert values["Max core file size"] == values["Max file size"] == values["Max processes"] == "0"
    assert 3072 * MIB <= int(values["Max address space"]) <= 6000 * MIB
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert not {b"PATH", b"HOME"} & {entry.partition(b"=")[0] for entry in environment}
    descriptors = {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in range(3)}
    assert descriptors == {"/dev/null"}


def test_signals_to_the_group_do_not_reach_a_capture(pool: DecoderPool) -> None:
    pool.decode(GOOD)
    (pid,) = pids(pool)
    assert os.getpgid(pid) != os.getpgid(0)
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGINT)
    assert pool.decode(GOOD).reason is None
    assert pids(pool) == {pid}


def test_the_processes_outlive_the_threads_that_used_them(pool: DecoderPool) -> None:
    def crash_once() -> None:
        pool.decode(GOOD)
        (pid,) = pids(pool)
        os.kill(pid, signal.SIGKILL)
        wait_until_gone(pid)
        pool.decode(GOOD)
        pool.decode(GOOD)

    short_lived = threading.Thread(target=crash_once)
    short_lived.start()
    short_lived.join()
    assert pool.decode(GOOD).reason is None


def test_the_processes_die_with_a_parent_that_is_killed() -> None:
    program = (
        "import sys\nfrom fundusd.domain.decoding import Preprocessing\n"
        "from fundusd.imaging.decoder_pool import DecoderPool\n"
        "pool = DecoderPool(1, Preprocessing.PAD_SQUARE, 64)\npool.decode(b'')\n"
        "print(*[c._process.pid for c in pool._children], flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, signal.SIGSTOP)  # as if it hung: it cannot see its socket close
        parent.kill()
    wait_until_gone(pid)


def test_closing_ends_the_processes_and_tells_whoever_still_asks() -> None:
    pool = DecoderPool(2, PAD, SIDE)
    pool.decode(GOOD)
    before = pids(pool)
    pool.close()
    for pid in before:
        wait_until_gone(pid)
    for _ in range(3):
        with pytest.raises(FundusdError, match="closed"):
            pool.decode(GOOD)


def test_a_pool_whose_processes_do_not_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with DecoderPool(1, PAD, SIDE) as pool:
        for _ in range(2):
            with pytest.raises(SystemRefused, match="did not start") as failure:
                pool.decode(GOOD)
            assert failure.value.hint


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (
            "echo 'python: error while loading shared libraries: libpython3.so' >&2; exit 127",
            "python: error while loading shared libraries: libpython3.so",
        ),
        (
            "printf 'Traceback (most recent call last):\\n  File x\\nImportError: no cv2\\n' >&2",
            "ImportError: no cv2",
        ),
        ("yes error | head -c 1000000 >&2", "error"),
    ],
)
def test_a_process_that_does_not_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, reason: str
) -> None:
    interpreter = tmp_path / "python"
    interpreter.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{program}\n", encoding="utf-8")
    interpreter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    with DecoderPool(1, PAD, SIDE) as pool, pytest.raises(SystemRefused) as failure:
        pool.decode(GOOD)
    assert failure.value.message == f"A decoder process did not start: {reason}"
    assert failure.value.exit_code == ExitStatus.SYSTEM


def test_an_interpreter_that_is_gone_is_named_as_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    with DecoderPool(1, PAD, SIDE) as pool, pytest.raises(SystemRefused, match="No such file"):
        pool.decode(GOOD)


def test_a_process_inherits_the_path_of_its_shared_libraries_and_no_other_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/python/lib")
    monkeypatch.setenv("FUNDUSD_DATABASE__URL", "postgresql://user:secret@host/db")
    with DecoderPool(1, PAD, SIDE) as pool:
        assert pool.decode(GOOD).reason is None
        (pid,) = pids(pool)
        environment = Path(f"/proc/{pid}/environ").read_text(encoding="utf-8").split("\0")
    assert "LD_LIBRARY_PATH=/opt/python/lib" in environment
    assert not any("secret" in variable for variable in environment)


def test_starting_imports_nothing_heavy() -> None:
    heavy = {
        "torch",
        "transformers",
        "sqlalchemy",
        "typer",
        "rich",
        "structlog",
        "pydantic",
        "watchdog",
    }
    program = (
        "import fundusd.imaging.decoder_process, json, sys; print(json.dumps(sorted(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert not heavy & set(json.loads(run.stdout))


def test_the_child_answers_until_its_socket_closes() -> None:
    ours, theirs = (Channel(end) for end in socket.socketpair())
    server = threading.Thread(target=decoder_process.serve, args=(theirs, PAD, SIDE, Limits()))
    server.start()
    send_request(ours, GOOD, DEFAULTS)
    assert receive_decoded(ours, SIDE).reason is None
    ours.close()
    server.join(timeout=20)
    assert not server.is_alive()
    theirs.close()


def test_an_idle_process_keeps_a_capture_of_usual_size_but_no_giant(pool: DecoderPool) -> None:
    def resident(pid: int) -> float:
        return (
            int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
            * os.sysconf("SC_PAGE_SIZE")
            / MIB
        )

    pool.decode(GOOD)
    (pid,) = pids(pool)
    before = resident(pid)
    pool.decode(cases.encode(np.zeros((7000, 8000, 3), np.uint8), "JPEG"))
    assert pids(pool) == {pid}
    assert resident(pid) - before < 300


HOSTILE = DATA / "hostile"


@pytest.mark.skipif(not HOSTILE.is_dir(), reason="no ../shared/data here")
def test_no_hostile_file_crashes_hangs_or_passes_for_a_retina(pool: DecoderPool) -> None:
    files = sorted(path for path in HOSTILE.rglob("*") if path.is_file())
    before = pool.restarts
    ungradable = set()
    for path in files:
        decoded = pool.decode(path.read_bytes())
        assert decoded.reason not in {Reason.DECODER_CRASHED, Reason.TIMEOUT, Reason.OUT_OF_MEMORY}
        assert decoded.reason is not None, path.name
        if decoded.reason.outcome is Outcome.UNGRADABLE:
            ungradable.add((path.name, decoded.reason))
    assert len(files) > 100
    retinas = {"no_preamble.dcm", "fundus_exif_orientation_6.jpg", "trailing_garbage.jpg"}
    assert retinas == {name for name, reason in ungradable if reason is Reason.LOW_CONTRAST}
    assert pool.restarts == before
