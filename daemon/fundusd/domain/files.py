"""Files and inboxes as the watcher sees them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    # directory, name, size, mtime, ctime, and the inode as a signed 64-bit integer
    ListedFile = tuple[bytes, bytes, int, int, int, int]

# the pause after a full sweep, as a multiple of its duration: sweeps use about 5 % of a core
SWEEP_SHARE = 20


class IgnoreReason(StrEnum):
    """Why a file in an inbox is not a capture; such files are counted.

    A folder that is ignored counts once, and is not listed.
    """

    TEMPORARY_NAME = "temporary_name"
    STORAGE_FOLDER = "storage_folder"
    EXCLUDED = "excluded"
    SYMLINK = "symlink"
    NOT_A_REGULAR_FILE = "not_a_regular_file"
    SIDECAR = "sidecar"
    OTHER_IMAGE_FORMAT = "other_image_format"
    BASELINE = "baseline"


class WaitReason(StrEnum):
    """Why a file is still incomplete."""

    EMPTY = "empty"
    CHANGING = "changing"
    HELD = "held"  # a process has it open for writing
    UNREADABLE = "unreadable"


class OfflineReason(StrEnum):
    """Why an inbox counts as offline; its files remain recorded."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    EMPTY = "empty"  # another directory, and empty: a mount point without its mount
    MASS_DISAPPEARANCE = "mass_disappearance"


class Stat(NamedTuple):
    """The fields of a file's stat that show whether the file has changed.

    The fields do not identify the file. Times are in nanoseconds.

    This is a tuple, like a sighting, because a sweep creates two of them for each file of the inbox
    and creating a dataclass takes three times as long.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Inbox:
    """A camera's watched export folder; `ignore` holds globs of paths that are passed over."""

    camera_id: str
    root: Path
    ignore: tuple[str, ...] = ()


class Sighting(NamedTuple):
    """The ledger's record of a path from the last time that the path was processed."""

    stat: Stat
    ignored: IgnoreReason | None  # None: the path holds a capture
    missing: bool


@dataclass(frozen=True, slots=True)
class SettledFile:
    """A complete file that the watcher has found; `path` is relative to the inbox."""

    camera_id: str
    path: bytes
    stat: Stat
    digest: str  # sha256 of the bytes, hex
    hinted: bool  # an event named its directory before a sweep reached it
    backlog: bool  # the file is older than the registration of the camera
    is_of_known_format: bool = True  # otherwise only its name is that of a capture


@dataclass(frozen=True, slots=True)
class SweepReport:
    """The result of a full sweep of an inbox."""

    files: int
    directories: int
    ignored: Mapping[IgnoreReason, int]
    waiting: int  # seen but still incomplete
    seconds: float
    hints_healthy: bool
    mode: str  # "native" | "sweep-only"
    lease_probe: str  # "writer-lease" | "double-quiet" | "unknown"
    watches: int = 0  # inotify watches: with fewer than one per directory some events are missed
    hinted: int = 0  # captures first found by an event since startup
    swept: int = 0  # captures first found by a sweep


@dataclass(frozen=True, slots=True)
class InboxState:
    """The identity of an inbox's directory when it last held files, and any current outage."""

    place: str | None
    offline_reason: OfflineReason | None
    offline_since: datetime | None


@dataclass(frozen=True, slots=True)
class IncompleteFile:
    """A file that is waiting because it is empty, still changing, held open or unreadable.

    `quarantined_at` is when its quarantine began, or None.
    """

    reason: WaitReason
    size: int
    since: datetime
    quarantined_at: datetime | None = None


class Admission(StrEnum):
    """The result of admitting a complete file."""

    ADMITTED = "admitted"  # a new capture whose bytes are waiting for a worker
    REUSED = "reused"  # a new capture of bytes that were classified before
    MOVED = "moved"  # a new capture whose file was renamed
    TOUCHED = "touched"  # the same bytes at the same path; only the file's times have changed
