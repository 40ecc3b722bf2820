"""Notify systemd: READY, STATUS, STOPPING, and WATCHDOG while the services make progress."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Notifier:
    """Sends sd_notify(3) messages to the socket in NOTIFY_SOCKET, if that is set."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def tell(self, **fields: str | int) -> None:
        """Send one message: READY=1, STATUS=…, and so on."""
        if self._address:
            text = "\n".join(f"{key}={value}" for key, value in fields.items())
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.sendto(text.encode(), self._address)


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return the time limit of systemd's watchdog, None if it does not watch this process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    limit = int(environment.get("WATCHDOG_USEC", "0"))
    if not limit:
        return None
    return limit / 1_000_000


class Heartbeat:
    """Remembers when each service made progress; feeds the watchdog while all of them do."""

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
        """Return how often to call `tick`, in seconds."""
        if self._limit is None:
            return 1.0
        return min(1.0, self._limit / 4)

    def beat(self, name: str) -> Callable[[], None]:
        """Return the function that a service calls whenever it makes progress."""

        def moved() -> None:
            self._moved[name] = self._monotonic()

        moved()
        return moved

    def stuck(self) -> list[str]:
        """Return the services that made no progress for the whole watchdog limit."""
        if self._limit is None:
            return []
        now = self._monotonic()
        return sorted(name for name, at in self._moved.items() if now - at > self._limit)

    def tick(self) -> None:
        """Feed the watchdog unless a service is stuck."""
        if self._limit is not None and not self.stuck():
            self.notifier.tell(WATCHDOG=1)
