"""Time the daemon without the model, from file closed to row committed, for single captures."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from fundusd.app import child_daemon
from fundusd.app.open_ledger import opened_ledger
from fundusd_bench import captures, places, site
from fundusd_bench.figures import Figure, Goal, of_rounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from fundusd.app.child_daemon import DaemonLog
    from fundusd_bench.work import Work

    Times = dict[str, float]  # milliseconds

_QUIET_SECONDS = 0.3
_PARTS = ("read", "decode", "record")  # the rest is noticing, hashing, admitting and waking
_WARM = 3  # captures that are not counted
_NOTE = (
    "12 megapixels, the daemon idle, without model and settling; "
    "with the phantom model, not for patients"
)
_MEDIAN, _P95 = Goal(40, at_least=False), Goal(70, at_least=False)
_NAME = "file closed to row committed"


def measure(work: Work, on_step: Callable[[str], None]) -> list[Figure]:
    """Drop captures one by one into an idle daemon's inbox."""
    paths = captures.large(places.cache() / "captures", work.options.latency + _WARM, on_step)
    place = site.lay_out(work.folder / "latency", "phantom", quiet_seconds=_QUIET_SECONDS)
    with child_daemon.running(place.path) as log:
        for _ in log.until("service.ready", site.READY_SECONDS):
            on_step("latency: starting the daemon")
        timed = []
        for number, path in enumerate(paths):
            on_step(f"latency: capture {number + 1} of {len(paths)}")
            timed.append(_time_capture(place, log, f"{number}.jpg", path.read_bytes()))
    return _figures(timed[_WARM:], _settling_ms(place))


def _time_capture(place: site.Site, log: DaemonLog, name: str, data: bytes) -> Times:
    """Write one capture; return the milliseconds until its row, and of each part that is logged."""
    (place.inbox / name).write_bytes(data)
    closed = time.time()
    for line in log.until("capture.graded", site.ROW_SECONDS):
        site.require_graded(line)
        if line["event"] == "capture.graded":
            times = {"all": (site.graded_at(line) - closed) * 1000}
            for part in (*_PARTS, "model"):
                times[part] = float(line[f"{part}_ms"])
            return times
    raise AssertionError  # `until` ends with the event, or raises


def _settling_ms(place: site.Site) -> float:
    """Return how long a file had to be unchanged: twice as long if writers cannot be detected."""
    with opened_ledger(place.settings) as ledger:
        probe = ledger.status()["cameras"][0].get("lease_probe")
    return _QUIET_SECONDS * 1000 * (2 if probe == "double-quiet" else 1)


def _figures(timed: list[Times], settling: float) -> list[Figure]:
    around = [times["all"] - times["model"] - settling for times in timed]
    late = percentile(around, 95)
    figures = [
        of_rounds("latency", f"{_NAME}, median", "ms", around, goal=_MEDIAN, note=_NOTE),
        Figure(
            "latency",
            f"{_NAME}, p95",
            "ms",
            late,
            min(around),
            max(around),
            len(around),
            _P95,
            _NOTE,
        ),
    ]
    for part in _PARTS:
        figures.append(
            of_rounds("latency", f"of which {part}", "ms", [times[part] for times in timed])
        )
    return figures


def percentile(values: list[float], percent: int) -> float:
    """Return the value that `percent` of the values do not exceed, interpolated.

    >>> percentile([1.0, 2.0, 3.0], 50)
    2.0
    """
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
