"""Measure a full sweep of a large inbox in which nothing has changed."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fundusd.domain.errors import FundusdError
from fundusd.domain.files import IgnoreReason, Inbox, Stat
from fundusd.files.safe_read import stat_of
from fundusd.ledger import Ledger
from fundusd.watcher.sweep import Sweep
from fundusd_bench import memory, places
from fundusd_bench.figures import Figure, Goal, of_rounds, ratios

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CAMERA = "bench"
_A_FOLDER = 100  # files
_TOGETHER = 5000  # files, in one transaction
_SIZE = 1_500_000  # bytes of each file, which is a hole and takes no space
_ROUNDS = 3
_GOAL_SECONDS = 5.0  # of CPU for a million files
_BYTES_A_FILE = 700  # inode, name, row and index


def measure(folder: Path, files: int, on_step: Callable[[str], None]) -> list[Figure]:
    """Time sweeps of an inbox of `files` known files, interleaved with plain listings."""
    places.require_room(folder, 0.5 + files * _BYTES_A_FILE / 1e9)
    inbox = Inbox(_CAMERA, folder / "inbox")
    ledger = Ledger(f"sqlite:///{folder / 'fundusd.db'}")
    ledger.create_if_empty()
    ledger.register_camera(_CAMERA)
    for first in range(0, files, _TOGETHER):
        on_step(f"sweep: making file {first:,} of {files:,}")
        ledger.ignore(_CAMERA, dict(_made(inbox.root, range(first, min(files, first + _TOGETHER)))))
    swept, walked, grown = [], [], 0.0
    for number in range(_ROUNDS):
        on_step(f"sweep: round {number + 1} of {_ROUNDS}")
        seconds, megabytes = _sweep(inbox, ledger, files)
        swept.append(seconds)
        grown = max(grown, megabytes)
        walked.append(_cpu(lambda: _walk(os.fsencode(inbox.root))))
    ledger.close()
    on_step("sweep: removing the inbox")
    shutil.rmtree(inbox.root)
    return _figures(files, swept, walked, grown)


def _made(root: Path, numbers: range) -> Iterator[tuple[bytes, tuple[Stat, IgnoreReason]]]:
    """Make files; yield the path of each, and what the ledger should store about it."""
    for number in numbers:
        path = Path(f"P{number // _A_FOLDER:06}", f"IMG_{number:08}.jpg")
        (root / path.parent).mkdir(parents=True, exist_ok=True)
        with (root / path).open("wb") as file:
            file.truncate(_SIZE)
            yield bytes(path), (stat_of(os.fstat(file.fileno())), IgnoreReason.BASELINE)


def _sweep(inbox: Inbox, ledger: Ledger, files: int) -> tuple[float, float]:
    """Return the CPU seconds of a sweep and the growth of the process in MB.

    Raises FundusdError if the sweep misses a file or considers one changed.
    """

    def consider(*_: object, **__: object) -> bool:
        raise FundusdError(
            "A file that was not touched was treated as new.",
            hint="Report this: it is a defect.",
        )

    before = memory.of_process(os.getpid()).resident_mb
    sweep = Sweep(inbox, ledger, consider, lambda: None)
    seconds = _cpu(sweep.run)
    if (sweep.tally.files, sweep.tally.vanished) != (files, 0):
        raise FundusdError(
            f"A sweep saw {sweep.tally.files} of {files} files.",
            hint="Make sure that nothing cleans the cache meanwhile.",
        )
    return seconds, memory.of_process(os.getpid()).resident_mb - before


def _walk(root: bytes) -> int:
    """Stat each file, as any detection of changes must; return the number of files."""
    count = 0
    for folder in os.scandir(root):
        for entry in os.scandir(folder.path):
            entry.stat(follow_symlinks=False)
            count += 1
    return count


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _figures(files: int, swept: list[float], walked: list[float], grown: float) -> list[Figure]:
    note = (
        f"{files:,} files in folders of {_A_FOLDER}, all known to the ledger, in SQLite; "
        "CPU of this process"
    )
    goal = Goal(_GOAL_SECONDS * files / 1_000_000, at_least=False)
    return [
        of_rounds(
            "sweep", f"full sweep of {files:,} known files", "s CPU", swept, goal=goal, note=note
        ),
        of_rounds(
            "sweep", "the same, listed and looked at, nothing compared", "s CPU", walked, note=note
        ),
        of_rounds("sweep", "sweep over bare look", "x", ratios(swept, walked), note=note),
        of_rounds(
            "sweep", "resident memory grown during a sweep, at most", "MB", [grown], note=note
        ),
    ]
