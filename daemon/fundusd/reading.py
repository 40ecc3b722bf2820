"""Reading camera files safely: by descriptor, without following links, whole or not at all.

No error leaves this module with a path in its text.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import signal
import stat as modes
from enum import Enum, auto
from typing import TYPE_CHECKING

from fundusd.domain import Reason, Stat
from fundusd.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: a FIFO named like a capture must not hang us
_CAPTURE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CHUNK = 1 << 20

# f_type of statfs(2); the kernel reports no remote writer's events on these
_NETWORK = frozenset(
    {
        0x6969,  # NFS
        0xFF534D42,  # CIFS
        0xFE534D42,  # SMB2
        0x517B,  # SMB
        0x01021997,  # 9p
        0x65735546,  # FUSE: sshfs and the like
        0x00C36400,  # Ceph
        0x5346414F,  # AFS
    }
)


class Probe(Enum):
    """Whether some process holds a file open for writing."""

    FREE = auto()
    BUSY = auto()
    UNAVAILABLE = auto()  # not our file, or a file system without leases


def stat_of(status: os.stat_result) -> Stat:
    """Take the change signal out of a stat."""
    return Stat(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@contextlib.contextmanager
def _without_paths() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        gone = error.errno in {errno.ENOENT, errno.ENOTDIR}
        raise CaptureError(Reason.FILE_MISSING if gone else Reason.FILE_UNREADABLE) from None


def open_capture(root: Path, path: bytes) -> int:
    """Open the regular file `path` below `root` for reading, following no link; return its descriptor.

    `root` itself may be a link: it is the operator's word. Raises CaptureError (FILE_MISSING, FILE_UNREADABLE).
    """
    *directories, name = path.split(b"/")
    if any(part in {b"", b".", b".."} or b"\0" in part for part in (*directories, name)):
        raise CaptureError(Reason.FILE_UNREADABLE)
    with _without_paths(), contextlib.ExitStack() as opened:
        at = _opened(opened, root, _DIRECTORY, None)
        for part in directories:
            at = _opened(opened, part, _DIRECTORY | os.O_NOFOLLOW, at)
        descriptor = os.open(name, _CAPTURE, dir_fd=at)
        if modes.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    raise CaptureError(Reason.FILE_UNREADABLE)


def _opened(stack: contextlib.ExitStack, path: Path | bytes, flags: int, at: int | None) -> int:
    descriptor = os.open(path, flags, dir_fd=at)
    stack.callback(os.close, descriptor)
    return descriptor


def ignore_lease_breaks() -> None:
    """Survive a writer that opens a file while it is probed; call in the main thread at start-up.

    The default action of SIGIO, which breaks a lease, is to end the process.
    """
    signal.signal(signal.SIGIO, signal.SIG_IGN)


def probe_writer(descriptor: int) -> Probe:
    """Ask the kernel whether anyone holds a file open for writing, by taking a read lease for a moment.

    UNAVAILABLE without CAP_LEASE on somebody else's file, and before `ignore_lease_breaks`. On network file
    systems the answer means nothing: their clients refuse leases they have no delegation for as if busy.
    """
    if signal.getsignal(signal.SIGIO) is not signal.SIG_IGN:
        return Probe.UNAVAILABLE
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return Probe.BUSY if error.errno == errno.EAGAIN else Probe.UNAVAILABLE
    return Probe.FREE


def read_head(descriptor: int, length: int) -> bytes:
    """Read the first bytes of an open file; raises CaptureError."""
    with _without_paths():
        return os.pread(descriptor, length, 0)


def is_unchanged(descriptor: int, expect: Stat) -> bool:
    """Tell whether an open file still looks as expected; raises CaptureError."""
    with _without_paths():
        return stat_of(os.fstat(descriptor)) == expect


def digest_settled(descriptor: int, expect: Stat, progress: Callable[[], None] = lambda: None) -> str | None:
    """Return the sha256 of an open file, None when it did not look as `expect` before and after the read.

    Calls `progress` for each MiB. Raises CaptureError (FILE_UNREADABLE).
    """
    if not is_unchanged(descriptor, expect):
        return None
    digest = hashlib.sha256()
    done = 0
    with _without_paths():
        while chunk := os.pread(descriptor, _CHUNK, done):
            digest.update(chunk)
            done += len(chunk)
            progress()
    return digest.hexdigest() if done == expect.size and is_unchanged(descriptor, expect) else None


def read_capture(root: Path, path: bytes, max_bytes: int) -> bytes:
    """Return all bytes of a capture, read once.

    Raises CaptureError (FILE_MISSING, FILE_CHANGED while it was read, FILE_UNREADABLE, TOO_MANY_BYTES).
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
    """Read up to one byte more than `size`, so that growth shows."""
    content = os.read(descriptor, size + 1)  # in one go, short of signals and 2 GiB: nothing is copied
    while len(content) <= size and (more := os.read(descriptor, size + 1 - len(content))):
        content += more
    return content


def status_at(root: Path, path: bytes) -> Stat | None:
    """Return what the regular file at `path` looks like now, None when there is none; raises CaptureError."""
    try:
        with _without_paths():
            status = os.lstat(os.path.join(os.fsencode(root), path))  # noqa: PTH118  bytes
    except CaptureError as error:
        if error.reason is Reason.FILE_MISSING:
            return None
        raise
    return stat_of(status) if modes.S_ISREG(status.st_mode) else None


def still_there(root: Path, path: bytes, stat: Stat) -> bool:
    """Tell whether `path` leads to the very file that looked like `stat`; raises CaptureError."""
    return status_at(root, path) == stat


def is_gone(root: Path, path: bytes) -> bool:
    """Tell whether there is certainly no regular file at `path`."""
    try:
        return status_at(root, path) is None
    except CaptureError:
        return False


def can_be_listed(root: Path) -> bool:
    """Tell whether a directory is there and may be listed."""
    try:
        os.close(os.open(root, _DIRECTORY))
    except OSError:
        return False
    return True


def is_network_filesystem(path: Path) -> bool:
    """Tell whether `path` lies where other machines may write unseen; raises OSError."""
    return f_type(path) in _NETWORK


def f_type(path: Path) -> int:
    """Return statfs(2)'s f_type, which os.statvfs leaves out; raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(512)  # struct statfs is 120 bytes at most; f_type comes first
    if libc.statfs(os.fsencode(path), buffer) != 0:
        raise OSError(ctypes.get_errno(), "statfs failed")
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF
