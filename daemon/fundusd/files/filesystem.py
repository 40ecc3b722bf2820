"""Properties of directories and file systems."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# the f_type, from statfs(2), of file systems on which inotify misses changes by other machines
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


def place_of(root: Path) -> str | None:
    """Return the device and inode of a directory, or None if it cannot be opened."""
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return place_name(os.fstat(descriptor))
    finally:
        os.close(descriptor)


def place_name(status: os.stat_result) -> str:
    """Return the device and inode of a directory in the form in which the ledger stores them.

    They change if a share is unmounted, or another one is mounted in its place.
    """
    return f"{status.st_dev}:{status.st_ino}"


def is_network_filesystem(path: Path) -> bool:
    """Return whether other machines may write to the file system of `path`.

    Raises OSError if the file system cannot be determined.
    """
    return f_type(path) in _NETWORK


def f_type(path: Path) -> int:
    """Return the f_type from statfs(2), which os.statvfs does not provide.

    Raises OSError if the call fails.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(512)  # struct statfs has at most 120 bytes, f_type first
    if libc.statfs(os.fsencode(path), buffer) != 0:
        raise OSError(ctypes.get_errno(), "statfs failed")
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF
