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
    UNAVAILABLE = auto()  # a file of another user, or a file system without leases


def ignore_lease_breaks() -> None:
    """Ignore SIGIO, which is sent if a writer opens a file while it is being probed.

    The default action of the signal is to end the process. Only the main thread may call this.
    """
    signal.signal(signal.SIGIO, signal.SIG_IGN)


def probe_writer(descriptor: int) -> Probe:
    """Return whether a process has a file open for writing, as shown by a brief read lease.

    The answer is UNAVAILABLE until `ignore_lease_breaks` has been called. Without CAP_LEASE, it is
    also UNAVAILABLE for another user's file. On network file systems the answer means nothing,
    because without a delegation their clients refuse a lease with the error for a busy file.
    """
    if signal.getsignal(signal.SIGIO) is not signal.SIG_IGN:
        return Probe.UNAVAILABLE
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return Probe.BUSY
        return Probe.UNAVAILABLE
    return Probe.FREE
