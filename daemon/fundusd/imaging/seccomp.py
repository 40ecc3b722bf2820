"""A seccomp filter for a process that only computes and uses one socket; see seccomp(2)."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# The allowed system calls, with their numbers on x86_64 and aarch64. They move bytes over open
# descriptors, allocate memory without code, read the clock, and exit. Every other call is refused,
# including those that later kernels add. Sources: asm/unistd_64.h and asm-generic/unistd.h. The
# numbers of the x32 ABI have a bit set that none of these has.
_CALLS = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "brk": (12, 214),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "mprotect": (10, 226),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "futex": (202, 98),
    "sched_yield": (24, 124),
    "clock_gettime": (228, 113),
    "getrandom": (318, 278),
    "sysinfo": (99, 179),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "gettid": (186, 178),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH
_WITHOUT_CODE = ("mmap", "mprotect")  # allowed only without PROT_EXEC

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_MODE_FILTER = 2
_ALLOW, _KILL_PROCESS = 0x7FFF0000, 0x80000000
# An error, not a kill, because libraries try calls that they can do without
_REFUSE = 0x00050000 | 1  # EPERM
_PROT_EXEC = 4
# Offsets in struct seccomp_data; the last one is that of the third argument's low half on a
# little-endian machine
_NUMBER, _ARCH, _THIRD_ARGUMENT = 0, 4, 32
_LOAD, _IF_EQUAL, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06


def install() -> bool:
    """Confine the calling thread and all its children irrevocably.

    Returns False if the machine or the kernel does not support the filter.
    """
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        return False
    code = b"".join(_program(*machine))
    steps = ctypes.create_string_buffer(code, len(code))
    sock_fprog = struct.pack("@HP", len(code) // 8, ctypes.addressof(steps))
    program = ctypes.create_string_buffer(sock_fprog)
    prctl = ctypes.CDLL(None).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    # Without PR_SET_NO_NEW_PRIVS only root may install a filter
    return bool(
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        and prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(program), 0, 0) == 0
    )


def _program(column: int, audit_arch: int) -> Iterator[bytes]:
    """Yield the filter's instructions.

    The architecture is checked first, since the numbers of the system calls depend on it.
    """
    yield _step(_LOAD, _ARCH)
    yield _step(_IF_EQUAL, audit_arch, then=1)
    yield _step(_RETURN, _KILL_PROCESS)  # 32-bit code, which the program never runs
    yield _step(_LOAD, _NUMBER)
    for name, numbers in _CALLS.items():
        number = numbers[column]
        if name in _WITHOUT_CODE:
            yield _step(_IF_EQUAL, number, otherwise=4)
            yield _step(_LOAD, _THIRD_ARGUMENT)
            yield _step(_IF_ANY_BIT, _PROT_EXEC, otherwise=1)
            yield _step(_RETURN, _REFUSE)
        else:
            yield _step(_IF_EQUAL, number, otherwise=1)
        yield _step(_RETURN, _ALLOW)
    yield _step(_RETURN, _REFUSE)


def _step(code: int, operand: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """Return a packed struct sock_filter; `then` and `otherwise` are numbers of steps to skip."""
    return struct.pack("=HBBI", code, then, otherwise, operand)
