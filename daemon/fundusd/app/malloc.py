"""Keep the allocator from holding more than is used: glibc's, where it is that."""

from __future__ import annotations

import ctypes

_libc = ctypes.CDLL(None)
_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2


def be_frugal() -> None:
    """Let threads share two arenas; call before they start.

    Each would have one of its own and keep there what it once needed, though only one at a time runs Python.
    """
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Return what is free to the kernel: pictures that come and go leave gaps."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)
