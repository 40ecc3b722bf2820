"""What the ledger costs: captures a second with every commit on the disk, and what a long history adds to that."""

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
from fundusd_bench.figures import Figure, Goal, of_rounds, ratios

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fundusd.ledger import Claim

_CAMERA = "bench"
_BATCH = 16
_BYTES_A_ROW = 2500  # of a capture with all that belongs to it, indexes too
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
    """Time batches of 16 in a new SQLite file, then beside one another in a small and in a large one."""
    few, many = rows
    places.require_room(folder, 1 + many * _BYTES_A_ROW / 1e9)
    on_step("ledger: how long the disk takes to make a page safe")
    disk = _sync_ms(folder / "page")
    on_step("ledger: admit, claim, record")
    ledger = _opened(folder / "rate.db")
    times = [_turn(ledger, numbers) for numbers in _numbers(batches)]
    ledger.close()
    return [*_rates(times, disk), *_growth(folder, on_step, few, many, rounds=max(1, batches // 3))]


def _sync_ms(path: Path, pages: int = 100) -> list[float]:
    """Write pages to a file, each made safe: what every commit has to wait for."""
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
    return (
        range(first, first + _BATCH) for first in range(start, start + batches * _BATCH, _BATCH)
    )


def _found(number: int, *, backlog: bool = False) -> SettledFile:
    name = f"P{number // 10:06}/IMG_{number:08}.jpg".encode()
    digest = hashlib.sha256(name).hexdigest()
    return SettledFile(
        _CAMERA, name, Stat(1_500_000, number, number, number), digest, hinted=True, backlog=backlog
    )


def _finding(claim: Claim) -> Finding:
    content = Content(MediaType.JPEG, 4096, 3072, measures={"brightness": 0.4})
    return Finding(claim, Decoded(content, None, None, 30.0), grade(_LOGITS), 1000.0, _BATCH)


def _turn(ledger: Ledger, numbers: range) -> dict[str, float]:
    """Take a batch through the ledger; return the seconds of each step."""
    taken: dict[str, float] = {}
    found = [_found(number) for number in numbers]
    for name, step in zip(_NAMES, _steps(ledger, found), strict=True):
        began = perf_counter()
        step()
        taken[name] = perf_counter() - began
    return taken


def _steps(ledger: Ledger, found: list[SettledFile]) -> Iterator[Callable[[], object]]:
    claims: list[Claim] = []
    yield lambda: ledger.admit(*found)
    yield lambda: claims.extend(ledger.claim(_BATCH))
    findings = [_finding(claim) for claim in claims]
    yield lambda: ledger.record(findings)
    yield ledger.status


def _rates(times: list[dict[str, float]], disk: list[float]) -> list[Figure]:
    note = f"SQLite, every commit on the disk, batches of {_BATCH}; the disk makes a page safe in {_ms(disk)} ms"
    paths = {
        "admit and record": (("admit", "record"), _RATE),
        "admit, claim and record": (("admit", "claim", "record"), None),
    }
    return [
        of_rounds("ledger", "page made safe by the disk (fdatasync)", "ms", disk),
        *(
            of_rounds("ledger", name, "captures/s", [_BATCH / sum(one[step] for step in steps) for one in times],
                      goal=goal, note=note)
            for name, (steps, goal) in paths.items()
        ),
    ]  # fmt: skip


def _ms(values: list[float]) -> str:
    return f"{statistics.median(values):.2f}"


def _growth(
    folder: Path, on_step: Callable[[str], None], few: int, many: int, rounds: int
) -> list[Figure]:
    """Do the same in a ledger with a short and one with a long history, in turns."""
    ledgers = {}
    for rows in (few, many):
        on_step(f"ledger: writing a history of {rows:,} captures")
        ledgers[rows] = _with_history(folder / f"history-{rows}.db", rows, min(few, rows))
    times: dict[tuple[str, int], list[float]] = defaultdict(list)
    for number, numbers in enumerate(_numbers(rounds, start=2 * many)):
        on_step(f"ledger: round {number + 1} of {rounds}, {few:,} and {many:,} captures in turns")
        for rows in (few, many) if number % 2 else (many, few):
            for name, seconds in _turn(ledgers[rows], numbers).items():
                times[name, rows].append(seconds)
    for ledger in ledgers.values():
        ledger.close()
    note = (
        f"a tenth of the history waits as backlog; {rounds} batches of {_BATCH} in each, in turns"
    )
    figures = []
    for name in _NAMES:
        grown = ratios(times[name, many], times[name, few])
        goal = None if name == "record" else _GROWTH
        milliseconds = [1000 * one for one in times[name, many]]
        figures += [
            of_rounds("ledger", f"{name} with {many:,} captures", "ms", milliseconds, note=note),
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
    """Open a ledger with so many captures: the first by its own methods, the others copied from them by SQL."""
    ledger = _opened(path)
    numbers, fresh = range(real), real - real // 10
    for first in range(0, real, _BATCH):
        ledger.admit(
            *(_found(number, backlog=number >= fresh) for number in numbers[first : first + _BATCH])
        )
    for first in range(0, fresh, _BATCH):
        ledger.record([_finding(claim) for claim in ledger.claim(min(_BATCH, fresh - first))])
    ledger.close()
    history.multiply(path, rows // real)
    return _opened(path)
