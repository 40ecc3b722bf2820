"""Measure the ledger: captures per second with durable commits, and the cost of a long history."""

from __future__ import annotations

import hashlib
import os
import statistics
from collections import defaultdict
from time import perf_counter
from typing import TYPE_CHECKING

from fundusd.clinical.grading import grade
from fundusd.domain.decoding import Content, Decoded, MediaType
from fundusd.domain.files import SettledFile, Stat
from fundusd.domain.inference import Release
from fundusd.ledger import Finding, Ledger
from fundusd_bench import history, places
from fundusd_bench.figures import Figure, Goal, milliseconds, of_rounds, rates, ratios

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fundusd.ledger import Claim

_CAMERA = "bench"
_BATCH = 16
_BYTES_A_ROW = 2500  # of a capture with its job, result, events and indexes
_PAGE = 4096
_RATE, _GROWTH = Goal(1000, at_least=True), Goal(2, at_least=False)
_LOGITS = (-17.1, -16.2, -15.3, -16.9, -18.0)
_NAMES = ("admit", "claim", "record", "status")
_RELEASE = Release(
    model="none: fundusd bench",
    revision="",
    weights_digest="",
    tokenizer_digest="",
    files={},
    preprocessing="",
    prompt_set="",
    prompt_digest="",
    head="",
    referable_rule="",
    quality_gate="",
    dtype="",
    runtime="",
    program_version="",
)


def measure(
    folder: Path,
    on_step: Callable[[str], None],
    *,
    batches: int = 100,
    rows: tuple[int, int] = (1_000, 1_000_000),
) -> list[Figure]:
    """Time batches of 16 in a new SQLite file, then interleaved in a small and in a large one."""
    few, many = rows
    places.require_room(folder, 1 + many * _BYTES_A_ROW / 1e9)
    on_step("ledger: how long the disk takes to sync a page")
    disk = _sync_ms(folder / "page")
    on_step("ledger: admit, claim, record")
    ledger = _opened(folder / "rate.db")
    times = [_turn(ledger, numbers) for numbers in _numbers(batches)]
    ledger.close()
    return [*_rates(times, disk), *_growth(folder, on_step, few, many, rounds=max(1, batches // 3))]


def _sync_ms(path: Path, pages: int = 100) -> list[float]:
    """Return how long fdatasync takes for single pages, which every commit waits for."""
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(pages):
            file.write(b"\0" * _PAGE)
            began = perf_counter()
            os.fdatasync(file.fileno())
            taken.append(1000 * (perf_counter() - began))
    path.unlink()
    return taken


def _opened(path: Path) -> Ledger:
    ledger = Ledger(f"sqlite:///{path}")
    ledger.create_if_empty()
    ledger.start(_RELEASE)
    ledger.register_camera(_CAMERA)
    return ledger


def _numbers(batches: int, start: int = 0) -> Iterator[range]:
    for first in range(start, start + batches * _BATCH, _BATCH):
        yield range(first, first + _BATCH)


def _settled_file(number: int, *, backlog: bool = False) -> SettledFile:
    name = f"P{number // 10:06}/IMG_{number:08}.jpg".encode()
    digest = hashlib.sha256(name).hexdigest()
    return SettledFile(
        _CAMERA, name, Stat(1_500_000, number, number, number), digest, hinted=True, backlog=backlog
    )


def _finding(claim: Claim) -> Finding:
    content = Content(MediaType.JPEG, 4096, 3072, measures={"brightness": 0.4})
    return Finding(claim, Decoded(content, None, None, 30.0), grade(_LOGITS), 1000.0, _BATCH)


def _turn(ledger: Ledger, numbers: range) -> dict[str, float]:
    """Pass a batch through the ledger; return the seconds of each step."""
    taken: dict[str, float] = {}
    files = [_settled_file(number) for number in numbers]
    for name, step in zip(_NAMES, _steps(ledger, files), strict=True):
        began = perf_counter()
        step()
        taken[name] = perf_counter() - began
    return taken


def _steps(ledger: Ledger, files: list[SettledFile]) -> Iterator[Callable[[], object]]:
    claims: list[Claim] = []
    yield lambda: ledger.admit(*files)
    yield lambda: claims.extend(ledger.claim(_BATCH))
    findings = [_finding(claim) for claim in claims]
    yield lambda: ledger.record(findings)
    yield ledger.status


def _rates(times: list[dict[str, float]], disk: list[float]) -> list[Figure]:
    sync_ms = statistics.median(disk)
    note = (
        f"SQLite, durable commits, batches of {_BATCH}; the disk syncs a page in {sync_ms:.2f} ms"
    )
    without_claim, with_claim = [], []
    for steps in times:
        recording = steps["admit"] + steps["record"]
        without_claim.append(recording)
        with_claim.append(recording + steps["claim"])
    figures = [of_rounds("ledger", "page made safe by the disk (fdatasync)", "ms", disk)]
    for name, seconds, goal in (
        ("admit and record", without_claim, _RATE),
        ("admit, claim and record", with_claim, None),
    ):
        throughput = rates(_BATCH, seconds)
        figures.append(of_rounds("ledger", name, "captures/s", throughput, goal=goal, note=note))
    return figures


def _growth(
    folder: Path, on_step: Callable[[str], None], few: int, many: int, rounds: int
) -> list[Figure]:
    """Time the same steps interleaved in ledgers with a short and with a long history."""
    ledgers = {}
    for rows in (few, many):
        on_step(f"ledger: writing a history of {rows:,} captures")
        ledgers[rows] = _with_history(folder / f"history-{rows}.db", rows, min(few, rows))
    times: dict[tuple[str, int], list[float]] = defaultdict(list)
    for number, numbers in enumerate(_numbers(rounds, start=2 * many)):
        on_step(f"ledger: round {number + 1} of {rounds}, {few:,} and {many:,} captures in turns")
        order = (few, many) if number % 2 else (many, few)
        for rows in order:
            for name, seconds in _turn(ledgers[rows], numbers).items():
                times[name, rows].append(seconds)
    for ledger in ledgers.values():
        ledger.close()
    note = f"a tenth of the history is queued backlog; {rounds} batches of {_BATCH}, interleaved"
    figures = []
    for name in _NAMES:
        grown = ratios(times[name, many], times[name, few])
        goal = None if name == "record" else _GROWTH
        taken = milliseconds(times[name, many])
        figures += [
            of_rounds("ledger", f"{name} with {many:,} captures", "ms", taken, note=note),
            of_rounds(
                "ledger",
                f"{name}: {many:,} captures over {few:,}",
                "x",
                grown,
                goal=goal,
                note=note,
            ),
        ]
    return figures


def _with_history(path: Path, rows: int, real: int) -> Ledger:
    """Open a ledger with `rows` captures: `real` recorded ones, the others copied in SQL."""
    ledger = _opened(path)
    numbers, fresh = range(real), real - real // 10
    for first in range(0, real, _BATCH):
        files = []
        for number in numbers[first : first + _BATCH]:
            files.append(_settled_file(number, backlog=number >= fresh))
        ledger.admit(*files)
    for first in range(0, fresh, _BATCH):
        ledger.record([_finding(claim) for claim in ledger.claim(min(_BATCH, fresh - first))])
    ledger.close()
    history.multiply(path, rows // real)
    return _opened(path)
