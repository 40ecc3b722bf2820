"""List one directory of an inbox without opening any file."""

from __future__ import annotations

import os
from enum import Enum, auto
from itertools import islice
from typing import TYPE_CHECKING

from fundusd.domain.files import IgnoreReason, Stat
from fundusd.files.safe_read import stat_of, storable_time
from fundusd.watcher.rules import DEFAULT_SWEEP_RULES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.domain.files import ListedFile
    from fundusd.watcher.ignore_rules import IgnoreRules

_SIGNED = 2**63
# a page of PostgreSQL's indexes holds no longer key, and other programs reach no longer path
MAX_PATH_BYTES = 2000


class EntryKind(Enum):
    """The kind of a directory entry that is neither a regular file nor ignored."""

    DIRECTORY = auto()
    UNREADABLE = auto()
    GONE = auto()  # removed between the listing and the stat


def batches(
    root: bytes, directory: bytes, max_entries: int = DEFAULT_SWEEP_RULES.max_entries
) -> Iterator[list[os.DirEntry[bytes]]]:
    """Yield the entries of a directory in batches.

    The path `directory` is relative to `root`. Raises OSError if the directory cannot be listed.
    """
    with os.scandir(os.path.join(root, directory)) as listing:  # noqa: PTH118  bytes
        while batch := list(islice(listing, max_entries)):
            yield batch


def listed_file(directory: bytes, entry: os.DirEntry[bytes]) -> ListedFile | None:
    """Return a regular file in the form that the ledger stores, or None for anything else."""
    try:
        if not entry.is_file(follow_symlinks=False):
            return None
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    inode = status.st_ino
    if inode >= _SIGNED:
        inode -= 2 * _SIGNED
    mtime_ns, ctime_ns = storable_time(status.st_mtime_ns), storable_time(status.st_ctime_ns)
    return directory, entry.name, status.st_size, mtime_ns, ctime_ns, inode


def classify(
    entry: os.DirEntry[bytes], path: bytes, rules: IgnoreRules
) -> Stat | IgnoreReason | EntryKind:
    """Classify a directory entry without following links; `path` is relative to the inbox.

    Return the stat of a regular file, the reason why the entry is ignored, otherwise its kind. An
    entry whose path has more than MAX_PATH_BYTES counts as unreadable.
    """
    if len(path) > MAX_PATH_BYTES:
        return EntryKind.UNREADABLE
    try:
        if entry.is_dir(follow_symlinks=False):
            return rules.of_folder(path) or EntryKind.DIRECTORY
        ignored = rules.of_file(path)
        if ignored is not None:
            return ignored
        if entry.is_symlink():
            return IgnoreReason.SYMLINK
        if not entry.is_file(follow_symlinks=False):
            return IgnoreReason.NOT_A_REGULAR_FILE
        return stat_of(entry.stat(follow_symlinks=False))
    except FileNotFoundError:
        return EntryKind.GONE
    except OSError:
        return EntryKind.UNREADABLE


def join_path(directory: bytes, name: bytes) -> bytes:
    """Return an entry's path relative to the inbox, given its directory's path and its name.

    The directory's path is relative to the inbox too; that of the inbox itself is empty.
    """
    if not directory:
        return name
    return directory + b"/" + name


def is_within(path: bytes, directory: bytes) -> bool:
    """Return whether a path is `directory` or lies below it."""
    return not directory or path == directory or path.startswith(directory + b"/")
