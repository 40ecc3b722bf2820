"""Compare the service's throughput on a backlog with that of bare forwards."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from fundusd.app import factory
from fundusd.app.open_ledger import opened_ledger
from fundusd.domain.errors import FundusdError
from fundusd.domain.files import SettledFile
from fundusd.files.safe_read import stat_of
from fundusd.imaging.decode import decode
from fundusd.worker.service import Worker
from fundusd_bench import captures, places, site
from fundusd_bench.figures import Figure, Goal, interleave, of_rounds, rates, ratios

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fundusd.domain.decoding import Pixels
    from fundusd.ledger import Ledger
    from fundusd_bench.work import Work

_CAMERA = "bench"
_LOOK_SECONDS = 0.05
_GOAL = Goal(0.96, at_least=True)


def measure(work: Work, on_step: Callable[[str], None]) -> list[Figure]:
    """Grade a backlog with worker, ledger and decoder processes, interleaved with bare forwards."""
    each = max(1, work.options.backlog // work.options.rounds)
    bare = max(1, each // 2)
    paths = captures.large(places.cache() / "captures", each * work.options.rounds, on_step)
    on_step("backlog: loading the model")
    place = site.lay_out(
        work.folder / "backlog", str(work.checkpoint), dtype=work.cpu_dtype, quiet_seconds=1
    )
    files = [_exported(place.inbox, path) for path in paths]
    planned = factory.plan_model(place.settings)
    planned.prepare()
    classifier = planned.load()
    rules = factory.worker_rules(place.settings, planned)
    pixels = _decoded(place, paths[0], classifier.side)
    with (
        _logged(place.folder / "log"),
        opened_ledger(place.settings, to_work=True) as ledger,
        factory.decoder_pool(place.settings, classifier.side, rules.decoders) as pool,
    ):
        ledger.create_if_empty()
        ledger.start(classifier.release)
        ledger.register_camera(_CAMERA)
        pool.decode(paths[0].read_bytes())  # starts its processes
        batches = _batches(files, each)

        def work_off() -> None:
            on_step(f"backlog: {each} captures through the service")
            worker = Worker(
                ledger, lambda: classifier, pool, {_CAMERA: place.inbox}, rules, lambda: None
            )
            _work_off(next(batches), ledger, worker)

        def forward() -> None:
            on_step(f"backlog: {bare} bare forwards")
            for _ in range(bare):
                classifier.logits(pixels[None])

        seconds = interleave({"service": work_off, "bare": forward}, work.options.rounds)
        done = ledger.status()["results"]["graded"]
    if done != len(paths):
        raise FundusdError(
            f"{done} of {len(paths)} captures were graded.", hint="Look closer with --keep DIR."
        )
    return _figures(
        rates(each, seconds["service"]), rates(bare, seconds["bare"]), classifier.release.dtype
    )


def _batches(files: list[SettledFile], size: int) -> Iterator[list[SettledFile]]:
    for first in range(0, len(files), size):
        yield files[first : first + size]


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Send the worker's log to a file, since the report is printed to standard output."""
    with path.open("w", encoding="utf-8") as file:
        structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=file))
        try:
            yield
        finally:
            structlog.reset_defaults()


def _decoded(place: site.Site, path: Path, side: int) -> Pixels:
    decoded = decode(
        path.read_bytes(), place.settings.model.preprocessing, side, factory.limits(place.settings)
    )
    assert decoded.pixels is not None
    return decoded.pixels


def _exported(inbox: Path, path: Path) -> SettledFile:
    """Copy a capture to the inbox and return it as the watcher would report it."""
    data = path.read_bytes()
    (inbox / path.name).write_bytes(data)
    stat = stat_of((inbox / path.name).stat())
    return SettledFile(
        _CAMERA,
        path.name.encode(),
        stat,
        hashlib.sha256(data).hexdigest(),
        hinted=False,
        backlog=True,
    )


def _work_off(files: list[SettledFile], ledger: Ledger, worker: Worker) -> None:
    """Admit captures and run the worker until no job waits."""
    ledger.admit(*files)
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(worker.run, stop)
        while not working.done() and _waits(ledger):
            stop.wait(_LOOK_SECONDS)
        stop.set()
        worker.wake()
        working.result()


def _waits(ledger: Ledger) -> bool:
    jobs = ledger.status()["jobs"]
    return bool(jobs["queued"] + jobs["running"])


def _figures(service: list[float], bare: list[float], dtype: str) -> list[Figure]:
    note = f"12 megapixels, SQLite with full synchronisation; {dtype} on the CPU"
    return [
        of_rounds("backlog", "throughput of the service", "captures/s", service, note=note),
        of_rounds("backlog", "throughput of bare forwards", "captures/s", bare, note=note),
        of_rounds(
            "backlog",
            "service over bare forwards",
            "x",
            ratios(service, bare),
            goal=_GOAL,
            note=note,
        ),
    ]
