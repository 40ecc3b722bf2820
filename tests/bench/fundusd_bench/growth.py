"""Measure how the daemon's resident memory grows over thousands of captures."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

from fundusd.app import child_daemon
from fundusd.domain.errors import FundusdError
from fundusd_bench import captures, memory, site
from fundusd_bench.figures import Figure, Goal, of_rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fundusd.app.child_daemon import DaemonLog
    from fundusd_bench.work import Work

_WAVE = 500  # captures dropped at once
_WARM_SHARE = 10  # a tenth as many are graded first and not counted
_NOTE = "small captures, with the phantom model, not for patients"


def measure(work: Work, on_step: Callable[[str], None]) -> list[Figure]:
    """Compare the daemon's memory before and after it has graded many captures."""
    warm = max(1, work.options.growth // _WARM_SHARE)
    place = site.lay_out(work.folder / "growth", "phantom", quiet_seconds=0.1)
    pictures = enumerate(captures.small(warm + work.options.growth))
    with child_daemon.running(place.path) as log:
        for _ in log.until("service.ready", site.READY_SECONDS):
            on_step("growth: starting the daemon")
        _grade(place, log, pictures, warm, on_step)
        before, began = memory.of_process(log.process.pid), time.monotonic()
        _grade(place, log, pictures, work.options.growth, on_step)
        seconds, after = time.monotonic() - began, memory.of_process(log.process.pid)
    grown = 100 * (after.resident / before.resident - 1)
    name = f"resident memory grown over {work.options.growth:,} captures"
    return [
        of_rounds("growth", name, "%", [grown], goal=Goal(3, at_least=False), note=_NOTE),
        of_rounds("growth", "resident memory at the end", "MB", [after.resident_mb], note=_NOTE),
        of_rounds(
            "growth",
            "throughput, settling included",
            "captures/s",
            [work.options.growth / seconds],
            note=_NOTE,
        ),
    ]


def _grade(
    place: site.Site,
    log: DaemonLog,
    pictures: Iterator[tuple[int, bytes]],
    count: int,
    on_step: Callable[[str], None],
) -> None:
    """Drop `count` captures in waves, each after the one before was graded."""
    for done in range(0, count, _WAVE):
        wave = min(_WAVE, count - done)
        on_step(f"growth: {done} of {count} captures")
        for number, picture in itertools.islice(pictures, wave):
            (place.inbox / f"{number}.jpg").write_bytes(picture)
        _await_rows(log, wave)


def _await_rows(log: DaemonLog, count: int) -> None:
    deadline = time.monotonic() + site.ROW_SECONDS
    while count > 0:
        if time.monotonic() > deadline:
            raise FundusdError(
                "The daemon did not grade a wave of captures in time.", hint="Look with --keep DIR."
            )
        for line in log.take(1.0):
            site.require_graded(line)
            count -= line["event"] == "capture.graded"
