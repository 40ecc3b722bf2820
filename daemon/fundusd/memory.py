"""Give memory back that is free but still held."""

from __future__ import annotations

import ctypes

_libc = ctypes.CDLL(None)


def give_back() -> None:
    """Have the allocator return what it keeps in its arenas to the kernel, where it is glibc's.

    Threads that allocate and free pictures leave gaps: 4 % of the process over 10,000 captures, all of it free.
    """
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)
