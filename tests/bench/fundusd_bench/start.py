"""Time a start from exec to the first row, and read the memory used, beside the reference."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundusd.app import child_daemon
from fundusd.domain.errors import FundusdError
from fundusd_bench import captures, memory, places, site
from fundusd_bench.figures import Figure, Goal, of_rounds, ratios

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fundusd_bench.memory import Memory
    from fundusd_bench.work import Work

_ANONYMOUS = Goal(400, at_least=False)
_RESIDENT = Goal(40, at_least=False)
_FIRST_ROW = Goal(0.5, at_least=False)
_QUIET_SECONDS = 0.05  # part of what is measured
_MEMORY_NOTE = "after the first row; the decoder processes apart"


@dataclass(frozen=True, slots=True)
class Start:
    """A start: the seconds to the first result, and the memory used then."""

    seconds: float
    memory: Memory


def measure(work: Work, on_step: Callable[[str], None]) -> list[Figure]:
    """Start both, interleaved; an unmeasured round first fills caches and prepares the model."""
    photograph = captures.large(places.cache() / "captures", 1, on_step)[0]
    ours: list[Start] = []
    theirs: list[Start] = []
    for number in range(work.options.rounds + 1):
        on_step(f"start: round {number} of {work.options.rounds}, fundusd")
        ours.append(_daemon(work, number, photograph))
        if work.options.reference:
            on_step(f"start: round {number} of {work.options.rounds}, the reference")
            theirs.append(_reference(work.checkpoint, photograph))
    return _figures(work, ours[1:], theirs[1:])


def _daemon(work: Work, number: int, photograph: Path) -> Start:
    """Start the daemon on an inbox that holds one capture."""
    place = site.lay_out(
        work.folder / f"start-{number}",
        str(work.checkpoint),
        dtype=work.cpu_dtype,
        quiet_seconds=_QUIET_SECONDS,
    )
    (place.inbox / "capture.jpg").write_bytes(photograph.read_bytes())
    began = time.time()
    with child_daemon.running(place.path) as log:
        for line in log.until("capture.graded", site.READY_SECONDS):
            site.require_graded(line)
            if line["event"] == "capture.graded":
                return Start(site.graded_at(line) - began, memory.of_process(log.process.pid))
    raise AssertionError  # `until` ends with the event, or raises


def _reference(checkpoint: Path, photograph: Path) -> Start:
    """Start the reference example and give it the same capture."""
    command = [sys.executable, "-m", "fundusd_bench.reference", str(checkpoint)]
    began = time.time()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{photograph}\n")
        process.stdin.flush()
        if not process.stdout.readline():
            raise FundusdError(
                "The reference example ended without a result.",
                hint=f"Run python -m fundusd_bench.reference {checkpoint}, "
                "then type the path of a JPEG.",
            )
        start = Start(time.time() - began, memory.of_process(process.pid))
        process.stdin.close()
    return start


def _seconds(starts: list[Start]) -> list[float]:
    return [start.seconds for start in starts]


def _resident_mb(starts: list[Start]) -> list[float]:
    return [start.memory.resident_mb for start in starts]


def _figures(work: Work, ours: list[Start], theirs: list[Start]) -> list[Figure]:
    seconds, resident = _seconds(ours), _resident_mb(ours)
    anonymous = [start.memory.anonymous_mb for start in ours]
    cpu = f"torch {work.cpu_dtype} on the CPU"
    held = f"{cpu}, {_MEMORY_NOTE}"
    if work.cpu_dtype != "bfloat16":
        held += "; the goals for memory are for bfloat16"
    figures = [
        of_rounds("start", "exec to first committed row", "s", seconds, note=cpu),
        of_rounds("start", "resident memory", "MB", resident, note=held),
        of_rounds("start", "anonymous memory", "MB", anonymous, goal=_ANONYMOUS, note=held),
    ]
    if not theirs:
        return figures
    first, their_resident = _seconds(theirs), _resident_mb(theirs)
    shares = [100 * share for share in ratios(resident, their_resident)]
    return [
        *figures,
        of_rounds("start", "the reference: exec to first printed class", "s", first),
        of_rounds("start", "the reference: resident memory", "MB", their_resident),
        of_rounds(
            "start",
            "first row over the reference",
            "x",
            ratios(seconds, first),
            goal=_FIRST_ROW,
            note=cpu,
        ),
        of_rounds(
            "start", "resident memory over the reference", "%", shares, goal=_RESIDENT, note=held
        ),
    ]
