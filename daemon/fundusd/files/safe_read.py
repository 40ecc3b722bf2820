"""Read camera files safely: by descriptor, without following links, completely or not at all.

The errors raised by this module do not contain paths.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat as modes
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError
from fundusd.domain.files import Stat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO that is named like a capture must not block
_CAPTURE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CHUNK = 1 << 20
_MAX_OFFSET = 1 << 62  # the kernel refuses offsets from 2**63 on
_LATEST_NS = (1 << 63) - 1  # in the year 2262: the largest integer of both databases


def stat_of(status: os.stat_result) -> Stat:
    """Return the fields of a stat result that show a change to a file."""
    return Stat(
        status.st_size,
        storable_time(status.st_mtime_ns),
        storable_time(status.st_ctime_ns),
        status.st_ino,
    )


def storable_time(time_ns: int) -> int:
    """Return a time of a file in nanoseconds, bounded to what a database can hold.

    File systems have times far outside the years 1677 to 2262; they become the nearest of these.
    Both the time and its negative value fit into a signed 64-bit integer.

    >>> storable_time(15032385535 * 10**9), storable_time(-(10**30))
    (9223372036854775807, -9223372036854775807)
    """
    return max(-_LATEST_NS, min(time_ns, _LATEST_NS))


@contextlib.contextmanager
def _without_paths() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = Reason.FILE_UNREADABLE
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            reason = Reason.FILE_MISSING
        raise CaptureError(reason) from None


@contextlib.contextmanager
def opened_root(root: Path) -> Iterator[int]:
    """Open the directory `root`, and yield its descriptor, which stays the same directory.

    Raises CaptureError (FILE_MISSING or FILE_UNREADABLE) if it cannot be opened.
    """
    with _without_paths():
        descriptor = os.open(root, _DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_capture(root: Path | int, path: bytes) -> int:
    """Open the regular file `path` below `root` for reading and return its descriptor.

    `root` is a path or the descriptor of a directory. No link is followed except `root` itself,
    which the operator has configured. Raises CaptureError (FILE_MISSING or FILE_UNREADABLE).
    """
    *directories, name = path.split(b"/")
    if any(part in {b"", b".", b".."} or b"\0" in part for part in (*directories, name)):
        raise CaptureError(Reason.FILE_UNREADABLE)
    with _without_paths():
        at = os.dup(root) if isinstance(root, int) else os.open(root, _DIRECTORY)
        for part in directories:
            at = _opened_within(at, part, _DIRECTORY | os.O_NOFOLLOW)
        descriptor = _opened_within(at, name, _CAPTURE)
        if modes.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    raise CaptureError(Reason.FILE_UNREADABLE)


def _opened_within(directory: int, name: bytes, flags: int) -> int:
    """Open an entry of an open directory, and close the directory.

    Thousands of nested folders therefore need no more than two descriptors.
    """
    try:
        return os.open(name, flags, dir_fd=directory)
    finally:
        os.close(directory)


def read_at(descriptor: int, length: int, offset: int) -> bytes:
    """Return up to `length` bytes of an open file, from `offset` on.

    Fewer bytes are returned at the end of the file. Raises CaptureError if the file cannot be read.
    """
    if offset >= _MAX_OFFSET:
        return b""  # a damaged file may refer to any offset
    with _without_paths():
        return os.pread(descriptor, length, offset)


def is_unchanged(descriptor: int, expected: Stat) -> bool:
    """Return whether the stat of an open file equals `expected`.

    Raises CaptureError if the stat cannot be read.
    """
    with _without_paths():
        return stat_of(os.fstat(descriptor)) == expected


def digest_settled(
    descriptor: int, expected: Stat, progress: Callable[[], None] = lambda: None
) -> str | None:
    """Return the SHA-256 of an open file in hex, or None if its stat differs from `expected`.

    The stat is checked before and after the read. `progress` is called after each MiB. Raises
    CaptureError (FILE_UNREADABLE) if the file cannot be read.
    """
    if not is_unchanged(descriptor, expected):
        return None
    digest = hashlib.sha256()
    done = 0
    with _without_paths():
        while chunk := os.pread(descriptor, _CHUNK, done):
            digest.update(chunk)
            done += len(chunk)
            progress()
    if done != expected.size or not is_unchanged(descriptor, expected):
        return None
    return digest.hexdigest()


def read_capture(root: Path | int, path: bytes, max_bytes: int) -> bytes:
    """Return all bytes of a capture, reading its file only once.

    Raises CaptureError (FILE_MISSING, FILE_UNREADABLE, TOO_MANY_BYTES, or FILE_CHANGED if the file
    changed while being read).
    """
    descriptor = open_capture(root, path)
    with _without_paths(), os.fdopen(descriptor, "rb", buffering=0) as file:
        before = stat_of(os.fstat(descriptor))
        if before.size > max_bytes:
            raise CaptureError(Reason.TOO_MANY_BYTES)
        content = _read(file.fileno(), before.size)
        if len(content) != before.size or stat_of(os.fstat(descriptor)) != before:
            raise CaptureError(Reason.FILE_CHANGED)
        return content


def _read(descriptor: int, size: int) -> bytes:
    """Read up to one byte more than `size`, so that a growing file is noticed."""
    # a single call, so nothing is copied unless a signal arrives or the file has 2 GiB
    content = os.read(descriptor, size + 1)
    while len(content) <= size and (more := os.read(descriptor, size + 1 - len(content))):
        content += more
    return content


def status_at(root: Path, path: bytes) -> Stat | None:
    """Return the stat of the regular file at `path`, or None if there is no regular file.

    Raises CaptureError if the stat cannot be read.
    """
    try:
        with _without_paths():
            status = os.lstat(os.path.join(os.fsencode(root), path))  # noqa: PTH118  bytes
    except CaptureError as error:
        if error.reason is Reason.FILE_MISSING:
            return None
        raise
    if not modes.S_ISREG(status.st_mode):
        return None
    return stat_of(status)


def still_there(root: Path, path: bytes, stat: Stat) -> bool:
    """Return whether the file at `path` still has the given stat.

    Raises CaptureError if the stat cannot be read.
    """
    return status_at(root, path) == stat


def is_gone(root: Path, path: bytes) -> bool:
    """Return whether there is certainly no regular file at `path`."""
    try:
        return status_at(root, path) is None
    except CaptureError:
        return False
