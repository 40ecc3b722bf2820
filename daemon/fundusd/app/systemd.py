"""Notify systemd of the daemon's state, and feed its watchdog."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TextIO


class Notifier:
    """Sends sd_notify(3) messages to the socket that NOTIFY_SOCKET names.

    If the variable is not set, nothing is sent.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def tell(self, **fields: str | int) -> None:
        """Send one message with the given fields, such as READY=1."""
        if self._address:
            text = "\n".join(f"{key}={value}" for key, value in fields.items())
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.sendto(text.encode(), self._address)


def is_journal(out: TextIO) -> bool:
    """Return whether `out` is connected to the journal, according to JOURNAL_STREAM."""
    try:
        status = os.fstat(out.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return the time limit of systemd's watchdog, or None if it does not watch this process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    limit = int(environment.get("WATCHDOG_USEC", "0"))
    if not limit:
        return None
    return limit / 1_000_000


class Heartbeat:
    """Remembers when each service last made progress.

    It feeds systemd's watchdog as long as no service is stuck.
    """

    def __init__(
        self,
        notifier: Notifier,
        limit_seconds: float | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.notifier = notifier
        self._limit = limit_seconds
        self._monotonic = monotonic
        self._moved: dict[str, float] = {}

    @property
    def interval(self) -> float:
        """Return the seconds to wait between calls of `tick`."""
        if self._limit is None:
            return 1.0
        return min(1.0, self._limit / 4)

    def beat(self, name: str) -> Callable[[], None]:
        """Return a function that the named service must call whenever it makes progress."""

        def moved() -> None:
            self._moved[name] = self._monotonic()

        moved()
        return moved

    def stuck(self) -> list[str]:
        """Return the names of services without progress for longer than the watchdog's limit."""
        if self._limit is None:
            return []
        now = self._monotonic()
        return sorted(name for name, at in self._moved.items() if now - at > self._limit)

    def tick(self) -> None:
        """Feed the watchdog unless a service is stuck."""
        if self._limit is not None and not self.stuck():
            self.notifier.tell(WATCHDOG=1)
