"""Ask the kernel whether a process has a file open for writing."""

from __future__ import annotations

import errno
import fcntl
import signal
from enum import Enum, auto


class Probe(Enum):
    """Whether some process holds a file open for writing."""

    FREE = auto()
    BUSY = auto()
    UNAVAILABLE = auto()  # not our file, or a file system without leases


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
