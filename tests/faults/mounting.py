"""Mounts that only a test and its children see, and that end with it."""

from __future__ import annotations

import ctypes
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests import daemon_cases

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEW_MOUNTS = 0x00020000  # CLONE_NEWNS
_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str | None:
    """Return why nothing can be mounted here, or None if it can."""
    if os.geteuid() != 0:
        return "mounting needs root"
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"],
        check=False,
        capture_output=True,
    )
    return None if tried.returncode == 0 else "new mount namespaces are not allowed here"


@contextmanager
def own_mounts() -> Iterator[None]:
    """Run the block in a separate mount namespace, which its children share."""
    before = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    launcher, daemon_cases.launcher = daemon_cases.launcher, None  # it is in another namespace
    try:
        _require(_libc.unshare(_NEW_MOUNTS))
        run("mount", "--make-rprivate", "/")
        yield
    finally:
        daemon_cases.launcher = launcher
        _require(_libc.setns(before, _NEW_MOUNTS))
        os.close(before)


def _require(answer: int) -> None:
    if answer != 0:
        raise OSError(ctypes.get_errno(), "the namespace could not be changed")


def run(*words: str) -> None:
    """Run mount or umount."""
    subprocess.run(words, check=True, capture_output=True)


def mount_tmpfs(path: Path, size: str = "64m") -> None:
    """Mount an empty file system."""
    path.mkdir(parents=True, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(path))


def bind(source: Path, path: Path) -> None:
    """Mount a folder at another place, like a share."""
    path.mkdir(parents=True, exist_ok=True)
    run("mount", "--bind", str(source), str(path))


def unmount(path: Path) -> None:
    """Detach a mount at once, even while it is in use."""
    run("umount", "-l", str(path))
