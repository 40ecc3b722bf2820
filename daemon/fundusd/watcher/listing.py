"""One directory of an inbox as the file system shows it; nothing is opened."""

from __future__ import annotations

import os
from enum import Enum, auto
from itertools import islice
from typing import TYPE_CHECKING

from fundusd.domain.files import IgnoreReason, Stat
from fundusd.files.safe_read import stat_of
from fundusd.watcher.ignore_rules import ignored_by_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.domain.files import ListedFile

_BATCH = 1000  # entries held at once, however many a directory has
_SIGNED = 2**63


class Place(Enum):
    """An entry that is neither a candidate nor ignored."""

    DIRECTORY = auto()
    UNREADABLE = auto()
    GONE = auto()  # between the listing and the look


def batches(root: bytes, directory: bytes) -> Iterator[list[os.DirEntry[bytes]]]:
    """Yield what `directory`, relative to `root`, holds, some entries at a time; raises OSError."""
    with os.scandir(os.path.join(root, directory)) as listing:  # noqa: PTH118  bytes
        while batch := list(islice(listing, _BATCH)):
            yield batch


def seen(directory: bytes, entry: os.DirEntry[bytes]) -> ListedFile | None:
    """Return what a regular file looks like, as the ledger remembers it; None for anything else."""
    try:
        if not entry.is_file(follow_symlinks=False):
            return None
        now = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    inode = now.st_ino if now.st_ino < _SIGNED else now.st_ino - 2 * _SIGNED
    return directory, entry.name, now.st_size, now.st_mtime_ns, now.st_ctime_ns, inode


def look(entry: os.DirEntry[bytes]) -> Stat | IgnoreReason | Place:
    """Return a regular file's stat, why an entry is ignored, or what else it is; follows no link."""
    ignored = ignored_by_name(entry.name)
    if ignored is not None:
        return ignored
    try:
        if entry.is_symlink():
            return IgnoreReason.SYMLINK
        if entry.is_dir(follow_symlinks=False):
            return Place.DIRECTORY
        if not entry.is_file(follow_symlinks=False):
            return IgnoreReason.NOT_A_REGULAR_FILE
        return stat_of(entry.stat(follow_symlinks=False))
    except FileNotFoundError:
        return Place.GONE
    except OSError:
        return Place.UNREADABLE


def below(directory: bytes, name: bytes) -> bytes:
    """Join two parts of a path relative to the inbox, whose own name is empty."""
    return directory + b"/" + name if directory else name


def is_within(path: bytes, directory: bytes) -> bool:
    """Tell whether a path is `directory` or lies below it."""
    return not directory or path == directory or path.startswith(directory + b"/")
