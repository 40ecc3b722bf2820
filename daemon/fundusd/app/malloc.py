"""Keep glibc's allocator from holding unused memory.

Other allocators are left alone.
"""

from __future__ import annotations

import ctypes

_libc = ctypes.CDLL(None)
_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2


def limit_arenas() -> None:
    """Make all threads share two arenas.

    By default, each thread gets its own arena, which keeps the thread's peak amount of memory.
    Call this before any thread starts.
    """
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(_M_ARENA_MAX, _ARENAS)


def trim() -> None:
    """Return free memory to the kernel.

    Released images leave gaps, which the allocator would otherwise keep.
    """
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)
