"""Tell systemd how we are: READY, WATCHDOG, STATUS, STOPPING; fed by the services' progress, never by a timer."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Notifier:
    """Speak sd_notify(3) to the socket in NOTIFY_SOCKET; silent where there is none."""

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
    """Return systemd's watchdog limit for this process, None when it watches none or another."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    limit = int(environment.get("WATCHDOG_USEC", "0"))
    return limit / 1_000_000 if limit else None


class Heartbeat:
    """Remember when each service last moved; feed the watchdog only while all of them do."""

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
        """Return how often `tick` wants to be called, in seconds."""
        return min(1.0, self._limit / 4) if self._limit else 1.0

    def beat(self, name: str) -> Callable[[], None]:
        """Return the function that a service calls whenever it gets on."""

        def moved() -> None:
            self._moved[name] = self._monotonic()

        moved()
        return moved

    def stuck(self) -> list[str]:
        """Return the services that have not moved for the whole watchdog limit."""
        if self._limit is None:
            return []
        now = self._monotonic()
        return sorted(name for name, at in self._moved.items() if now - at > self._limit)

    def tick(self) -> None:
        """Feed the watchdog if every service moved lately."""
        if self._limit is not None and not self.stuck():
            self.notifier.tell(WATCHDOG=1)
