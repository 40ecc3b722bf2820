"""Keeping hints alive on one inbox: what is in doubt is replaced, the new before the old goes."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from fundusd.watcher.observer import Hints

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from fundusd.watcher.observer import Troubles

_LONGEST_WAIT = (
    60.0  # seconds between attempts, and of calm after which the next loss is mended at once
)
_SHORT_WAIT = 3600.0  # after the kernel gave fewer watches than there are folders: an operator has to raise the limit


class Attachment:
    """Hints on one inbox for as long as they can be had; times are monotonic seconds."""

    def __init__(self, root: Path, troubles: Troubles, log: FilteringBoundLogger) -> None:
        self._root, self._troubles, self._log = root, troubles, log
        self._hints: Hints | None = None
        self._since = 0.0
        self._retry_at = 0.0
        self._wait = 0.0

    @property
    def doubt(self) -> str | None:
        """Why the hints are not to be relied on, None while they are or when there are none."""
        return None if self._hints is None else self._hints.doubt()

    @property
    def healthy(self) -> bool:
        """Whether there are hints, in no doubt."""
        return self._hints is not None and self._hints.doubt() is None

    @property
    def watches(self) -> int:
        """How many directories the kernel watches."""
        return 0 if self._hints is None else self._hints.watches()

    def give_up(self, now: float) -> None:
        """Do without hints for a long while: too few directories are watched."""
        self._log.warning("hints.lost", reason="watches_short")
        self.detach()
        self._retry_at = now + _SHORT_WAIT

    def take(self) -> dict[bytes, bool]:
        """Return the directories to look into since the last call, and whether all that lies below as well."""
        return {} if self._hints is None else self._hints.take()

    def attach(self, now: float) -> None:
        """Put a new observer in place, and only then let an old one go."""
        old, self._hints = self._hints, None
        self._since = now
        try:
            self._hints = Hints(self._root, self._troubles)
            self._log.info("hints.attached")
        except OSError as error:
            self._retry_at = now + _LONGEST_WAIT
            self._log.warning("hints.lost", reason=errno.errorcode.get(error.errno or 0, "unknown"))
        if old is not None:
            old.stop()

    def mend(self, now: float) -> bool:
        """Replace hints that are in doubt or away; True when a full sweep has to make up for them."""
        reason = self.doubt
        if reason is not None:
            self._lose(reason, now)
        missing = self._hints is None or reason is not None
        if missing and now >= self._retry_at:
            self.attach(now)
            return True
        if reason is not None:
            self.detach()
        return reason is not None

    def _lose(self, reason: str, now: float) -> None:
        self._log.warning("hints.lost", reason=reason)
        if now - self._since > _LONGEST_WAIT:
            self._wait = 0.0
        self._retry_at = (
            now + self._wait
        )  # a queue that overflows again and again is left alone for a while
        self._wait = min(_LONGEST_WAIT, 2 * self._wait or 1.0)

    def detach(self) -> None:
        """Do without hints."""
        if self._hints is not None:
            self._hints.stop()
            self._hints = None
