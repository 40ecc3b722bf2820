"""What the watcher knows of files and inboxes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    ListedFile = tuple[
        bytes, bytes, int, int, int, int
    ]  # directory, name and change signal, the inode in 64 signed bits

# a full sweep rests so many times as long as it took: one core in twenty, however large the inbox
SWEEP_SHARE = 20


class IgnoreReason(StrEnum):
    """Why a file in an inbox is no capture; counted, never silent."""

    TEMPORARY_NAME = "temporary_name"
    SYMLINK = "symlink"
    NOT_A_REGULAR_FILE = "not_a_regular_file"
    SIDECAR = "sidecar"
    OTHER_IMAGE_FORMAT = "other_image_format"
    BASELINE = "baseline"


class WaitReason(StrEnum):
    """Why a file is not complete yet."""

    EMPTY = "empty"
    CHANGING = "changing"
    HELD = "held"  # a process has it open for writing
    UNREADABLE = "unreadable"


class OfflineReason(StrEnum):
    """Why an inbox counts as away; what it held is remembered."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    EMPTY = "empty"  # another directory than before, with nothing in it: a mount point without its mount
    MASS_DISAPPEARANCE = "mass_disappearance"


class Stat(NamedTuple):
    """What a sweep sees of a file; times in nanoseconds. The change signal, never an identity.

    A tuple, as is a sighting: a sweep makes two for each file of the inbox, and a dataclass takes three times as long.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Inbox:
    """A camera's watched export folder."""

    camera_id: str
    root: Path


class Sighting(NamedTuple):
    """What the ledger remembers of a path from the last time it was dealt with."""

    stat: Stat
    ignored: IgnoreReason | None  # None: the path holds a capture
    missing: bool


@dataclass(frozen=True, slots=True)
class SettledFile:
    """A settled capture as the watcher found it; `path` is relative to the inbox, in bytes."""

    camera_id: str
    path: bytes
    stat: Stat
    digest: str  # sha256 of the bytes, hex
    hinted: bool  # a hint named its directory before a sweep did
    backlog: bool  # lay there before the camera was first swept


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a full sweep of an inbox saw."""

    files: int
    directories: int
    ignored: Mapping[IgnoreReason, int]
    waiting: int  # seen, not yet settled
    seconds: float
    hints_healthy: bool
    mode: str  # "native" | "sweep-only"
    lease_probe: str  # "writer-lease" | "double-quiet" | "unknown"
    watches: int = 0  # that the kernel holds for us: one per directory, or hints miss some
    hinted: int = 0  # captures first found by a hint since the start
    swept: int = 0  # by a sweep


@dataclass(frozen=True, slots=True)
class InboxState:
    """Where an inbox was when files were last seen in it, and since when and why it counts as away."""

    place: str | None
    offline_reason: OfflineReason | None
    offline_since: datetime | None


@dataclass(frozen=True, slots=True)
class IncompleteFile:
    """A file that waits to be complete, and since when; given up for now once it is quarantined."""

    reason: WaitReason
    size: int
    since: datetime
    quarantined_at: datetime | None = None  # any change of the file opens it again


class Admission(StrEnum):
    """What admitting a settled capture came to."""

    ADMITTED = "admitted"  # new capture, its bytes wait for a worker
    REUSED = "reused"  # new capture, the same bytes were classified before
    MOVED = "moved"  # new capture, the old path is gone
    TOUCHED = "touched"  # the same bytes at the same path: only the change signal moved
