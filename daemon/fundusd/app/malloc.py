"""Keep glibc's allocator from holding unused memory; with another allocator, do nothing."""

from __future__ import annotations

import ctypes

_libc = ctypes.CDLL(None)
_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2


def limit_arenas() -> None:
    """Let all threads share two arenas; call it before they start.

    By default each thread gets an arena that keeps the most memory it ever needed.
    """
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(_M_ARENA_MAX, _ARENAS)


def trim() -> None:
    """Return free memory to the kernel: images that come and go leave gaps."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)
