"""The rules by which the watcher works, and the functions that it calls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class SweepRules:
    """Limits on what one sweep holds in memory and on what it requests from the ledger at once."""

    max_entries: int = 1000  # entries of a directory held at once
    max_directories: int = 200  # directories whose sightings are queried together
    max_sightings: int = 2000  # sightings queried together; larger directories are queried in parts
    max_gone: int = 10_000  # vanished paths kept by one sweep; the next sweep finds the others


@dataclass(frozen=True, slots=True)
class DirectoryRules:
    """Which directories of an inbox count as active, and how many are checked at once."""

    active_seconds: float = 24 * 3600.0  # a directory stays active this long after a change
    max_active: int = 500  # active directories listed every few seconds, the newest first
    max_checked: int = 100  # directories checked between two readings of the clock


DEFAULT_SWEEP_RULES = SweepRules()
DEFAULT_DIRECTORY_RULES = DirectoryRules()


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """How captures are found and when they count as settled."""

    quiet_seconds: float = 2.0
    sweep_seconds: float = 30.0
    mode: Literal["auto", "native", "sweep-only"] = "auto"
    backlog: Literal["newest-first", "baseline"] = "newest-first"
    grace_seconds: float = 600.0  # an incomplete file that stays unchanged longer is quarantined
    active_sweep_seconds: float = 5.0  # between sweeps of active directories without an observer
    directory_check_seconds: float = 30.0  # between checks of the mtimes of all directories
    incomplete_check_seconds: float = 5.0  # between reports of incomplete files to the ledger
    min_incomplete_seconds: float = 10.0  # most files are complete sooner and are never reported
    max_settling: int = 10_000  # files waiting to settle; a later sweep finds the others
    max_disappearance_seconds: float = 24 * 3600.0  # a longer mass disappearance is a deletion
    sweep: SweepRules = DEFAULT_SWEEP_RULES
    directories: DirectoryRules = DEFAULT_DIRECTORY_RULES
    now: Callable[[], datetime] = _utc_now


@dataclass(frozen=True, slots=True)
class Callbacks:
    """The functions that the watcher calls."""

    admitted: Callable[[], None]  # there is new work for the worker
    beat: Callable[[], None]  # the watcher has made progress
    monotonic: Callable[[], float]
